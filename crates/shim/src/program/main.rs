//! `corten-shim BUNDLE`: a container's parent.
//!
//! Standard input is the engine's end of the [protocol](corten_shim::protocol). The process is
//! single-threaded and waits in one place, [`supervisor`]. It ends when the container has ended and
//! all who listen have been told. Once the container runs, it ignores every signal but `SIGKILL`.

#![forbid(unsafe_code)]

mod bundle;
mod client;
mod clock;
mod container;
mod control;
mod detach;
mod external;
mod input;
mod json_line;
mod log;
mod names;
mod poll;
mod ports;
mod relay;
mod requests;
mod rotation;
mod start;
mod streams;
mod supervisor;

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let (Some(bundle), None) = (args.next(), args.next()) else {
        complain("usage: corten-shim BUNDLE, with the engine's socket as standard input");
        return ExitCode::from(2);
    };
    match start::run(bundle.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn complain(message: &str) {
    // There is nobody else to tell.
    let _ = writeln!(std::io::stderr(), "corten-shim: {message}");
}
