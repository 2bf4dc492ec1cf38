//! One container's lines on their way: read, delivered, noted, until there are no more.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use corten_api::{container::LogConfig, time::Time};
use tokio::{sync::watch, time::sleep};

use super::{
    Followers,
    message::{Message, Pieces},
    place::{Delivered, Note},
    target::{Failed, Target, Trouble},
};
use crate::{
    containers::{
        Status,
        log_config::{COPY, Facts, rotation},
        logs::{Change, Changes, Cursor, Entry, From, Position},
    },
    error::{Result, blocking},
};

/// How long lines are gathered that come one by one.
const GATHER: Duration = Duration::from_millis(10);
/// How many bytes of a log go together.
const BATCH: usize = 384 << 10;
/// The first and the longest pause between tries.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];
/// The pause before a log is looked at again that could not be read.
const UNREADABLE: Duration = Duration::from_secs(5);
/// Why lines are lost that were never read.
const ROTATED: &str = "the log was rotated before the receiver took them";
/// How long the log of a removed container waits for its receiver, in seconds.
const KEPT: i64 = 24 * 3600;

/// Reads one log and delivers it.
pub(super) struct Follower {
    pub(super) log: LogConfig,
    pub(super) facts: Facts,
    pub(super) whereabouts: watch::Receiver<Whereabouts>,
    /// The container's; none when it is gone.
    pub(super) status: Option<watch::Receiver<Status>>,
    pub(super) changes: Changes,
    /// The log's first file, if it was there before the first line; then nothing is missed unnoticed.
    pub(super) begin: Option<File>,
    pub(super) followers: Arc<Mutex<Followers>>,
}

/// Where a log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Whereabouts {
    pub(super) folder: PathBuf,
    /// When its container was removed.
    pub(super) removed: Option<Time>,
}

impl Whereabouts {
    fn log(&self) -> Arc<Path> {
        self.folder.join(COPY).into()
    }
}

/// What a follower works with.
struct Work {
    target: Target,
    cursor: Cursor,
    note: Note,
    pieces: Pieces,
    change: Change,
    /// When the last line that was delivered had been written.
    delivered: Time,
    /// Whether lines before the next one were rotated away.
    gap: bool,
    /// Lines that were given up, of which the receiver does not know.
    lost: Option<Lost>,
    /// Whether the receiver was away at the last try, and this was said.
    away: bool,
}

/// Lines that will not be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lost {
    /// How many, as far as that is known.
    lines: Option<usize>,
    from: Time,
    to: Time,
    why: String,
}

/// Lines that go together.
struct Batch {
    messages: Vec<Message>,
    /// Where the first one begins.
    begin: Position,
    /// Lines between them that were rotated away.
    missed: Vec<Lost>,
}

/// Whether a batch is done with.
enum Outcome {
    /// All its lines were delivered, or given up.
    Done,
    /// The place in the log has changed.
    Elsewhere,
}

impl Follower {
    /// Delivers until the container has ended and everything was delivered.
    pub(super) async fn run(mut self) {
        loop {
            match self.follow().await {
                Ok(()) => return,
                Err(error) => {
                    tracing::error!(
                        container = self.facts.id,
                        error = error.report(),
                        "a container's log cannot be delivered for the moment"
                    );
                    if (self.is_expired() || self.is_gone()) && self.finish().await {
                        return;
                    }
                    sleep(UNREADABLE).await;
                }
            }
        }
    }

    async fn follow(&mut self) -> Result<()> {
        let mut work = self.open().await?;
        loop {
            let ended = self.has_ended();
            self.whereabouts.mark_unchanged();
            work.cursor.follow_to(self.whereabouts.borrow().log());
            let batch = self.read(&mut work).await?;
            if batch.messages.is_empty() && work.lost.is_none() {
                if (ended || self.is_expired()) && self.finish().await {
                    return Ok(());
                }
                self.wait(&mut work).await;
            } else if let Outcome::Done = self.deliver(&mut work, batch).await? {
                continue;
            } else if self.is_expired() && self.finish().await {
                return Ok(());
            }
        }
    }

    async fn open(&mut self) -> Result<Work> {
        let target = Target::new(&self.log, &self.facts)?;
        let whereabouts = self.whereabouts.borrow().clone();
        // Before the first look at the files, so that nothing is missed between it and the wait.
        let change = self.changes.of(&whereabouts.log())?;
        let most = rotation::parse(&self.log)?.map_or(0, |rotation| rotation.max_files);
        let begin = self.begin.take();
        let mut work = blocking(move || {
            let delivered = Delivered::read(&whereabouts.folder);
            let from = delivered.map_or(From::Beginning, |delivered| From::Position(delivered.position));
            let begin = begin.filter(|_| delivered.is_none());
            let is_early = begin.is_some();
            let mut cursor = match begin {
                Some(file) => Cursor::holding(&whereabouts.log(), file)?,
                None => Cursor::open(&whereabouts.log(), &from)?,
            };
            // As many files as are kept, and none noted: there may have been more.
            let is_late =
                delivered.is_none() && !is_early && cursor.files()? >= usize::try_from(most).unwrap_or(usize::MAX);
            let gap = cursor.take_gap() || is_late;
            Ok(Work {
                target,
                cursor,
                note: Note::open(&whereabouts.folder)?,
                pieces: Pieces::default(),
                change,
                delivered: delivered.map_or_else(Time::default, |delivered| delivered.time),
                gap,
                lost: None,
                away: false,
            })
        })
        .await?;
        if let Some(position) = work.cursor.position().filter(|_| !work.gap) {
            work.note.write(&Delivered::new(position, work.delivered))?;
        }
        Ok(work)
    }

    fn has_ended(&self) -> bool {
        self.status.as_ref().is_none_or(|status| !status.borrow().active) || self.whereabouts.borrow().removed.is_some()
    }

    /// Whether a removed container's log has waited long enough.
    fn is_expired(&self) -> bool {
        let removed = self.whereabouts.borrow().removed;
        removed.is_some_and(|removed| Time::now().seconds().saturating_sub(removed.seconds()) > KEPT)
    }

    /// Whether there is no log any more.
    fn is_gone(&self) -> bool {
        !corten_sys::fs::exists(&self.whereabouts.borrow().folder).unwrap_or(true)
    }

    /// Ends the work, unless the container has been started again meanwhile.
    async fn finish(&self) -> bool {
        let delivered = {
            let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
            if !self.has_ended() {
                return false;
            }
            followers.remove(&self.facts.id);
            let whereabouts = self.whereabouts.borrow();
            whereabouts.removed.map(|_| whereabouts.folder.clone())
        };
        if let Some(folder) = delivered {
            let removed = blocking(move || Ok(corten_sys::fs::remove_dir_all(folder)?)).await;
            if let Err(error) = removed {
                tracing::warn!(error = error.report(), "cannot remove a log that was delivered");
            }
        }
        true
    }

    async fn wait(&mut self, work: &mut Work) {
        tokio::select! {
            () = work.change.next() => sleep(GATHER).await,
            // The senders live as long as the container and the registry of followers.
            _ = async { match &mut self.status { Some(status) => status.changed().await, None => std::future::pending().await } } => {}
            _ = self.whereabouts.changed() => {}
        }
    }

    /// Reads the next lines; none at the end.
    async fn read(&self, work: &mut Work) -> Result<Batch> {
        // The cursor is taken to a thread that may wait for the disk, and comes back.
        let path = self.whereabouts.borrow().log();
        let idle = Cursor::idle(&path);
        let mut cursor = std::mem::replace(&mut work.cursor, idle);
        let mut pieces = std::mem::take(&mut work.pieces);
        let (mut gap, last) = (work.gap, work.delivered);
        let (batch, gap, cursor, pieces) = blocking(move || {
            let batch = read(&mut cursor, &mut pieces, &mut gap, last)?;
            Ok((batch, gap, cursor, pieces))
        })
        .await?;
        (work.cursor, work.pieces, work.gap) = (cursor, pieces, gap);
        for lost in &batch.missed {
            self.tell_lost(lost);
        }
        Ok(batch)
    }

    /// Delivers lines, again and again if need be; before them, what is to be said of lost ones.
    async fn deliver(&mut self, work: &mut Work, mut batch: Batch) -> Result<Outcome> {
        let mut untold = work.lost.take();
        if let Some(lost) = &untold {
            let marker = lost.marker(batch.messages.first().map(|next| next.time), batch.begin);
            batch.messages.insert(0, marker);
        }
        let mut rest = &batch.messages[..];
        let mut tries = 0;
        while !rest.is_empty() {
            let (delivered, trouble) = match work.target.deliver(rest).await {
                Ok(()) => (rest.len(), None),
                Err(Failed { delivered, trouble }) => (delivered, Some(trouble)),
            };
            if let Some(last) = delivered.checked_sub(1) {
                self.note(work, &rest[last])?;
                rest = &rest[delivered..];
                (untold, tries) = (None, 0);
            }
            match trouble {
                None => {}
                Some(Trouble::Unacceptable(why)) => {
                    self.lose(work, Some(1), rest[0].time, rest[0].time, &why);
                    rest = &rest[1..];
                }
                Some(Trouble::Away(why)) => {
                    tries += 1;
                    self.tell_away(work, &why);
                    let enough = work.target.patience.tries.is_some_and(|most| tries >= most);
                    self.pause(work, tries).await;
                    if enough {
                        let lines = rest.len() - usize::from(untold.is_some());
                        let last = rest[rest.len() - 1].time;
                        work.lost = untold;
                        if lines > 0 {
                            self.lose(work, Some(lines), rest[0].time, last, &why);
                        }
                        return Ok(Outcome::Done);
                    }
                    if self.is_expired() || self.skip(work, rest, &untold).await? {
                        return Ok(Outcome::Elsewhere);
                    }
                }
            }
        }
        Ok(Outcome::Done)
    }

    /// Waits before the next try, and looks at what becomes of the log meanwhile.
    async fn pause(&mut self, work: &mut Work, tries: u32) {
        let [first, longest] = PAUSES;
        let first = work.target.patience.pause.unwrap_or(first);
        let pause = first
            .saturating_mul(1 << tries.min(16).saturating_sub(1))
            .min(longest.max(first));
        sleep(pause).await;
        work.cursor.follow_to(self.whereabouts.borrow_and_update().log());
        if let Err(error) = work.cursor.look_ahead() {
            tracing::debug!(
                container = self.facts.id,
                error = error.report(),
                "cannot look at a log"
            );
        }
    }

    /// Gives up what is too much to wait for the receiver, if the options bound it; returns whether it did.
    async fn skip(&self, work: &mut Work, rest: &[Message], untold: &Option<Lost>) -> Result<bool> {
        let Some(most) = work.target.patience.buffer else {
            return Ok(false);
        };
        let path = self.whereabouts.borrow().log();
        let held: usize = rest.iter().map(|message| message.line.len()).sum();
        if work.cursor.ahead()? + held as u64 <= most {
            return Ok(false);
        }
        work.cursor = blocking(move || Cursor::open(&path, &From::Last(most))).await?;
        work.lost.clone_from(untold);
        self.lose(
            work,
            None,
            rest[0].time,
            Time::now(),
            "more waited than the buffer may hold",
        );
        Ok(true)
    }

    /// Notes how far lines were delivered.
    fn note(&self, work: &mut Work, last: &Message) -> Result<()> {
        if work.away {
            tracing::info!(container = self.facts.id, "the receiver of a container's log is back");
            work.away = false;
        }
        work.delivered = last.time;
        work.note.write(&Delivered::new(last.end, work.delivered))?;
        crate::crash::point("delivery:noted");
        Ok(())
    }

    fn tell_away(&self, work: &mut Work, why: &str) {
        if !work.away {
            tracing::warn!(
                container = self.facts.id,
                driver = self.log.driver,
                why,
                "a container's log cannot be delivered; it waits"
            );
        }
        work.away = true;
    }

    fn tell_lost(&self, lost: &Lost) {
        tracing::warn!(
            container = self.facts.id,
            lines = lost.lines,
            from = %lost.from,
            to = %lost.to,
            why = lost.why,
            "lines of a container's log are not delivered"
        );
    }

    /// Remembers lines that will not be delivered, for the marker.
    fn lose(&self, work: &mut Work, lines: Option<usize>, from: Time, to: Time, why: &str) {
        let new = Lost {
            lines,
            from,
            to,
            why: why.to_owned(),
        };
        self.tell_lost(&new);
        work.lost = Some(match work.lost.take() {
            None => new,
            Some(earlier) => Lost {
                lines: earlier.lines.zip(new.lines).map(|(a, b)| a + b),
                from: earlier.from,
                ..new
            },
        });
    }
}

impl Lost {
    /// Lines that were rotated away.
    fn rotated(from: Time, to: Time) -> Self {
        Self {
            lines: None,
            from,
            to,
            why: ROTATED.to_owned(),
        }
    }

    /// What the receiver is told, before the next line.
    fn marker(&self, next: Option<Time>, place: Position) -> Message {
        let lines = match self.lines {
            Some(1) => "1 line".to_owned(),
            Some(lines) => format!("{lines} lines"),
            None => "lines".to_owned(),
        };
        let from = match self.from.is_zero() {
            true => "the beginning".to_owned(),
            false => self.from.to_string(),
        };
        Message {
            line: format!(
                "corten: {lines} between {from} and {} could not be delivered: {}",
                self.to, self.why
            ),
            stderr: true,
            time: next.unwrap_or(self.to),
            partial: None,
            end: place,
        }
    }
}

/// Reads the next lines of a log, and puts markers where lines were rotated away; `gap` says whether that
/// is so before the first one, and then whether it is so after the last one.
fn read(cursor: &mut Cursor, pieces: &mut Pieces, gap: &mut bool, mut last: Time) -> Result<Batch> {
    let (mut messages, mut missed, mut length) = (Vec::new(), Vec::new(), 0);
    let mut begin = None;
    while length < BATCH {
        let (mut chunk, read) = match cursor.next_lines()? {
            None => break,
            Some(lines) => (parse(lines, pieces), lines.len()),
        };
        length += read;
        *gap |= cursor.take_gap();
        cursor.look_ahead()?;
        let place = cursor.position().unwrap_or_default();
        begin.get_or_insert(place);
        for message in &mut chunk {
            message.end = Position {
                offset: message.end.offset + place.offset,
                ..place
            };
        }
        if let Some(first) = chunk.first().filter(|_| *gap) {
            let lost = Lost::rotated(last, first.time);
            messages.push(lost.marker(Some(first.time), place));
            missed.push(lost);
            *gap = false;
        }
        last = chunk.last().map_or(last, |message| message.time);
        messages.append(&mut chunk);
    }
    Ok(Batch {
        messages,
        begin: begin.or_else(|| cursor.position()).unwrap_or_default(),
        missed,
    })
}

/// The messages of lines, with offsets from the first one.
fn parse(lines: &[u8], pieces: &mut Pieces) -> Vec<Message> {
    let mut offset = 0;
    let mut messages = Vec::new();
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        offset += line.len() as u64;
        // A line that a power cut damaged is left out.
        let Some(entry) = Entry::parse(line) else { continue };
        let time = entry.time.parse().unwrap_or_else(|_| Time::now());
        let stderr = entry.stream == "stderr";
        let whole = entry.log.ends_with('\n');
        messages.push(Message {
            line: entry.log.strip_suffix('\n').unwrap_or(&entry.log).to_owned(),
            stderr,
            time,
            partial: pieces.next(stderr, time, whole),
            end: Position {
                offset,
                ..Position::default()
            },
        });
    }
    messages
}
