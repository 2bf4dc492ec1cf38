//! A build's events as the text of Docker's classic builder, which clients of `POST /build` read.

use corten_api::image::{ErrorDetail, Progress};
use corten_build::{Event, Stream};
use corten_oci::digest::Digest;
use tokio::sync::mpsc;

use super::BuildRequest;
use crate::{
    error::{Error, Kind},
    identifiers::short,
};

/// What tells a client.
pub(super) fn teller(lines: mpsc::Sender<Progress>, request: &BuildRequest) -> impl FnMut(&Event) + use<> {
    let (quiet, remove) = (request.quiet, request.remove);
    let mut held = Held::default();
    move |event| {
        if quiet {
            if let Event::Built(id) = event {
                send(&lines, text(format!("{id}\n")));
            }
            return;
        }
        if let Event::Output(stream, bytes) = event {
            if let Some(output) = held.take(*stream, bytes) {
                send(&lines, text(coloured(*stream, output)));
            }
            return;
        }
        if let Some(rest) = held.rest() {
            send(&lines, text(rest));
        }
        messages(event, remove)
            .into_iter()
            .for_each(|message| send(&lines, message));
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

/// Docker shows in red what a command writes to its standard error.
fn coloured(stream: Stream, text: String) -> String {
    match stream {
        Stream::Out => text,
        Stream::Err => format!("\x1b[91m{text}\x1b[0m"),
    }
}

fn messages(event: &Event, remove: bool) -> Vec<Progress> {
    let shown = |id: &Digest| short(id.hex()).to_owned();
    let line = match event {
        Event::Step(step) => format!("Step {}/{} : {}\n", step.number, step.total, step.text),
        Event::Triggers(1) => "# Executing 1 build trigger\n".to_owned(),
        Event::Triggers(count) => format!("# Executing {count} build triggers\n"),
        Event::Cached => " ---> Using cache\n".to_owned(),
        Event::Running(id) => format!(" ---> Running in {}\n", short(id)),
        Event::Removed(id) if remove => format!(" ---> Removed intermediate container {}\n", short(id)),
        Event::Done(Some(id)) => format!(" ---> {}\n", shown(id)),
        Event::Done(None) => " ---> \n".to_owned(),
        Event::Stage(id) => {
            return vec![Progress {
                aux: Some(serde_json::json!({"ID": id.as_str()})),
                ..Progress::default()
            }];
        }
        Event::Unconsumed(names) => {
            format!(
                "[Warning] One or more build-args [{}] were not consumed\n",
                names.join(" ")
            )
        }
        Event::Built(id) => format!("Successfully built {}\n", shown(id)),
        Event::Tagged(name) => format!("Successfully tagged {name}\n"),
        Event::Warnings(_) | Event::Pulling(_) | Event::Removed(_) | Event::Output(..) => return Vec::new(),
    };
    vec![text(line)]
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
    fn events_become_docker_s_text() {
        let id = Digest::sha256(b"");
        let line = |event: &Event| {
            messages(event, true)
                .first()
                .map(|m| m.stream.clone())
                .unwrap_or_default()
        };
        assert_eq!(line(&Event::Done(Some(id.clone()))), " ---> e3b0c44298fc\n");
        assert_eq!(line(&Event::Built(id.clone())), "Successfully built e3b0c44298fc\n");
        assert_eq!(line(&Event::Cached), " ---> Using cache\n");
        assert_eq!(
            line(&Event::Unconsumed(vec!["A".into(), "B".into()])),
            "[Warning] One or more build-args [A B] were not consumed\n"
        );
        assert!(messages(&Event::Removed("x".into()), false).is_empty());
    }
}
