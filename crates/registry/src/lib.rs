//! The registry server: `corten registry serve`.
//!
//! OCI distribution 1.1 over HTTP/1.1, with what Docker's clients expect beside.
//!
//! ```text
//!  http ──► app ──► route, auth ──► handlers ──► store ◄── gc
//!                                      └──► upstream ──► another registry
//! ```
//!
//! [`main`] is what the executable calls. The rest is for the modules:
//!
//! - `http` accepts connections; blobs go from the page cache to the socket without passing through here
//! - `route`, `name`, `document`, `handlers::ranges` make checked values of what clients send
//! - `store` is the folders and files, safe against being killed at any moment
//! - `gc` removes what nobody needs while all else goes on
//! - `auth` knows passwords, tokens and rules; `upstream` fetches what is another registry's

#![forbid(unsafe_code)]

mod app;
mod auth;
mod config;
mod document;
pub mod fuzzing;
mod gc;
mod handlers;
mod http;
mod metrics;
mod name;
mod refusal;
mod route;
mod start;
mod store;
mod upstream;

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use config::Request;

/// From this size on blocks of the heap are given back when they are freed, in bytes.
const LARGE: i32 = 1 << 20;

/// Runs `corten registry` with the arguments after it.
///
/// Returns 0 when all went well, 125 for a command line that cannot be read, else 1.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    corten_sys::heap::keep_small(LARGE);
    let request = match config::parse(args) {
        Ok(request) => request,
        Err(message) => {
            complain(&message);
            return ExitCode::from(125);
        }
    };
    let done = match request {
        Request::Say(text) => Ok(text),
        Request::Serve(invocation) => start::run(&invocation).map(|()| String::new()),
        Request::Collect(collect) => start::collect(&collect),
        Request::Password(user) => password(&user),
    };
    match done {
        Ok(text) => {
            // Nobody reads it: nothing can be done about that.
            let _ = std::io::stdout().lock().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(message) => {
            complain(&format!("corten registry: {message}"));
            ExitCode::FAILURE
        }
    }
}

fn complain(text: &str) {
    // As above.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

fn password(user: &str) -> Result<String, String> {
    let mut password = String::new();
    let mut input = std::io::stdin().lock().take(4096);
    input
        .read_to_string(&mut password)
        .map_err(|error| format!("the password cannot be read: {error}"))?;
    auth::line(user, password.trim_end_matches(['\r', '\n'])).map(|line| line + "\n")
}
