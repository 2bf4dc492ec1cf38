//! A build's events as the text of Docker's classic builder, which clients of `POST /build` read.
//!
//! Steps of several stages go on at once; the text has them one after the other. What later steps say waits
//! until those before them have ended.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use corten_api::image::{ErrorDetail, Progress, ProgressDetail};
use corten_build::{Event, StepEvent, Stream, Transfer};
use corten_oci::digest::Digest;
use tokio::sync::mpsc;

use super::BuildRequest;
use crate::{
    error::{Error, Kind},
    identifiers::short,
    images::bar,
};

/// Tells a client.
pub(super) struct Teller {
    lines: mpsc::Sender<Progress>,
    quiet: bool,
    remove: bool,
    order: Mutex<Order>,
}

/// Which step is being told, and what waits.
#[derive(Default)]
struct Order {
    step: usize,
    waiting: BTreeMap<usize, Vec<Said>>,
    held: Held,
}

/// Something that a step said.
enum Said {
    Event(StepEvent),
    Output(Stream, Vec<u8>),
}

impl Teller {
    pub(super) fn new(lines: mpsc::Sender<Progress>, request: &BuildRequest) -> Self {
        Self {
            lines,
            quiet: request.quiet,
            remove: request.remove,
            order: Mutex::new(Order {
                step: 1,
                ..Order::default()
            }),
        }
    }

    pub(super) fn event(&self, event: Event) {
        match event {
            Event::Built(id) if self.quiet => send(&self.lines, text(format!("{id}\n"))),
            _ if self.quiet => {}
            Event::Step(number, event) => self.said(number, Said::Event(event)),
            Event::Log(log) if log.step > 0 => self.said(log.step, Said::Output(log.stream, log.bytes)),
            Event::Unconsumed(names) => self.line(format!(
                "[Warning] One or more build-args [{}] were not consumed\n",
                names.join(" ")
            )),
            Event::Built(id) => self.line(format!("Successfully built {}\n", short(id.hex()))),
            Event::Tagged(name) => self.line(format!("Successfully tagged {name}\n")),
            Event::Warnings(_)
            | Event::Warned(_)
            | Event::Vertex(_)
            | Event::Status(_)
            | Event::Log(_)
            | Event::Exported(..) => {}
        }
    }

    /// Tells what still waits: the build is over, well or badly.
    pub(super) fn finish(&self) {
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, said) in std::mem::take(&mut order.waiting) {
            for said in said {
                self.tell(&mut order, said);
            }
        }
        if let Some(rest) = order.held.rest() {
            self.line(rest);
        }
    }

    fn line(&self, line: String) {
        send(&self.lines, text(line));
    }

    fn said(&self, number: usize, said: Said) {
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if number != order.step {
            order.waiting.entry(number).or_default().push(said);
            return;
        }
        self.tell(&mut order, said);
        // The next ones may have said everything already.
        while let Some(waiting) = {
            let step = order.step;
            order.waiting.remove(&step)
        } {
            let step = order.step;
            for said in waiting {
                self.tell(&mut order, said);
            }
            if order.step == step {
                break;
            }
        }
    }

    fn tell(&self, order: &mut Order, said: Said) {
        match said {
            Said::Output(stream, bytes) => {
                if let Some(output) = order.held.take(stream, &bytes) {
                    self.line(coloured(stream, output));
                }
            }
            Said::Event(StepEvent::Ended) => order.step += 1,
            Said::Event(event) => {
                if let Some(rest) = order.held.rest() {
                    self.line(rest);
                }
                if let Some(message) = message(&event, order.step, self.remove) {
                    send(&self.lines, message);
                }
            }
        }
    }
}

/// Docker shows in red what a command writes to its standard error.
fn coloured(stream: Stream, text: String) -> String {
    match stream {
        Stream::Out => text,
        Stream::Err => format!("\x1b[91m{text}\x1b[0m"),
    }
}

/// Bytes of a character that is not complete yet, for each stream.
#[derive(Debug, Default)]
struct Held([Vec<u8>; 2]);

impl Held {
    fn take(&mut self, stream: Stream, bytes: &[u8]) -> Option<String> {
        let held = &mut self.0[usize::from(stream == Stream::Err)];
        held.extend_from_slice(bytes);
        let complete = match std::str::from_utf8(held) {
            Ok(_) => held.len(),
            // An incomplete end may become a character yet; anything else never will.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => held.len(),
        };
        let whole: Vec<u8> = held.drain(..complete).collect();
        (!whole.is_empty()).then(|| String::from_utf8_lossy(&whole).into_owned())
    }

    fn rest(&mut self) -> Option<String> {
        let rest: Vec<u8> = self.0.iter_mut().flat_map(std::mem::take).collect();
        (!rest.is_empty()).then(|| String::from_utf8_lossy(&rest).into_owned())
    }
}

fn message(event: &StepEvent, number: usize, remove: bool) -> Option<Progress> {
    let shown = |id: &Digest| short(id.hex()).to_owned();
    let line = match event {
        StepEvent::Begun { total, text } => format!("Step {number}/{total} : {text}\n"),
        StepEvent::Pulling(transfer) => return Some(pulling(transfer)),
        StepEvent::Triggers(1) => "# Executing 1 build trigger\n".to_owned(),
        StepEvent::Triggers(count) => format!("# Executing {count} build triggers\n"),
        StepEvent::Cached => " ---> Using cache\n".to_owned(),
        StepEvent::Running(id) => format!(" ---> Running in {}\n", short(id)),
        StepEvent::Removed(id) if remove => format!(" ---> Removed intermediate container {}\n", short(id)),
        StepEvent::Removed(_) | StepEvent::Ended => return None,
        StepEvent::Done(Some(id)) => format!(" ---> {}\n", shown(id)),
        StepEvent::Done(None) => " ---> \n".to_owned(),
        StepEvent::Stage(id) => {
            return Some(Progress {
                aux: Some(serde_json::json!({"ID": id.as_str()})),
                ..Progress::default()
            });
        }
    };
    Some(text(line))
}

/// A message of a pull, as `POST /images/create` has it.
fn pulling(transfer: &Transfer) -> Progress {
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let (current, total) = (signed(transfer.current), signed(transfer.total));
    Progress {
        id: transfer.id.clone(),
        status: transfer.status.clone(),
        detail: (!transfer.id.is_empty()).then_some(ProgressDetail { current, total }),
        progress: match total {
            0 => String::new(),
            _ => bar(current, total),
        },
        ..Progress::default()
    }
}

/// Tells how a build failed, when a command's exit code goes with it: a plain error has no place for that.
pub(super) fn failure(lines: &mpsc::Sender<Progress>, error: &corten_build::Error) -> Option<Error> {
    let failure = error.failure()?;
    let message = error.to_string();
    send(
        lines,
        Progress {
            error_detail: Some(ErrorDetail {
                code: failure.code.into(),
                message: message.clone(),
            }),
            error: message,
            ..Progress::default()
        },
    );
    Some(told())
}

/// An error that the stream has told already.
pub(super) fn told() -> Error {
    Error::new(Kind::Cancelled, "")
}

/// Whether an error is one of those.
pub(super) fn is_told(error: &Error) -> bool {
    error.kind() == Kind::Cancelled && error.message().is_empty()
}

pub(super) fn text(text: String) -> Progress {
    Progress {
        stream: text,
        ..Progress::default()
    }
}

/// A client that has left is noticed when the build is cancelled.
pub(super) fn send(lines: &mpsc::Sender<Progress>, message: Progress) {
    let _ = lines.blocking_send(message);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_not_torn() {
        let mut held = Held::default();
        let umlaut = "ä".as_bytes();
        assert_eq!(held.take(Stream::Out, &umlaut[..1]), None);
        assert_eq!(held.take(Stream::Out, &umlaut[1..]).as_deref(), Some("ä"));
        assert_eq!(held.take(Stream::Err, b"x\xff").as_deref(), Some("x\u{fffd}"));
        assert_eq!(held.take(Stream::Out, &umlaut[..1]), None);
        assert!(held.rest().is_some() && held.rest().is_none());
    }

    #[test]
    fn steps_that_go_on_at_once_are_told_in_order() {
        let (lines, mut told) = mpsc::channel(64);
        let request = BuildRequest::default();
        let teller = Teller::new(lines, &request);
        let begun = |number: usize| {
            let text = format!("RUN {number}");
            Event::Step(number, StepEvent::Begun { total: 3, text })
        };
        for event in [
            begun(3),
            Event::Step(3, StepEvent::Ended),
            begun(1),
            begun(2),
            Event::Step(2, StepEvent::Cached),
            Event::Step(2, StepEvent::Ended),
            Event::Step(1, StepEvent::Done(Some(Digest::sha256(b"")))),
            Event::Step(1, StepEvent::Ended),
            Event::Unconsumed(vec!["A".into(), "B".into()]),
        ] {
            teller.event(event);
        }
        let mut text = String::new();
        while let Ok(message) = told.try_recv() {
            text.push_str(&message.stream);
        }
        assert_eq!(
            text,
            "Step 1/3 : RUN 1\n ---> e3b0c44298fc\nStep 2/3 : RUN 2\n ---> Using cache\nStep 3/3 : RUN 3\n\
             [Warning] One or more build-args [A B] were not consumed\n"
        );
    }
}
