//! The runtime's commands as a program of their own, for tests without the whole of Corten.

use std::process::ExitCode;

fn main() -> ExitCode {
    corten_runtime::commands::main(std::env::args_os().skip(1))
}
