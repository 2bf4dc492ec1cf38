//! The executable: hands over to the command line, the engine, the runtime or the registry.
//!
//! It goes by the name that it was called by (`cortend` or `dockerd`, `corten-runtime`, `docker`), else by
//! its first argument (`daemon`, `runtime`, `registry`); everything else is for the command line.

#![forbid(unsafe_code)]

mod embedded;

use std::{env, ffi::OsString, path::Path, process::ExitCode};

/// The part of the program that was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    CommandLine,
    Daemon,
    Runtime,
    Registry,
}

/// Chooses a part; also tells how many arguments name it.
fn choose(args: &[OsString]) -> (Part, usize) {
    let name = args
        .first()
        .and_then(|a| Path::new(a).file_name())
        .and_then(|n| n.to_str());
    match name {
        Some("cortend" | "dockerd") => return (Part::Daemon, 1),
        Some("corten-runtime") => return (Part::Runtime, 1),
        Some("docker") => return (Part::CommandLine, 0),
        _ => {}
    }
    match args.get(1).and_then(|a| a.to_str()) {
        Some("daemon") => (Part::Daemon, 2),
        Some("runtime") => (Part::Runtime, 2),
        Some("registry") => (Part::Registry, 2),
        _ => (Part::CommandLine, 0),
    }
}

fn main() -> ExitCode {
    let args: Vec<OsString> = env::args_os().collect();
    let (part, names) = choose(&args);
    let mut rest = args.into_iter().skip(names);
    match part {
        Part::Daemon => corten_daemon::main(rest, embedded::SHIM, embedded::INIT),
        Part::Runtime => corten_runtime::commands::main(rest),
        Part::Registry => corten_registry::main(rest),
        Part::CommandLine => {
            let args: Vec<String> = rest.by_ref().map(|a| a.to_string_lossy().into_owned()).collect();
            corten_cli::main(&args)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_by_name_then_by_argument() {
        let check = |line: &str, expected| {
            let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(choose(&args), expected, "{line}");
        };
        check("/usr/bin/corten ps", (Part::CommandLine, 0));
        check("corten daemon --debug", (Part::Daemon, 2));
        check("/x/cortend --debug", (Part::Daemon, 1));
        check("dockerd", (Part::Daemon, 1));
        check("corten-runtime state x", (Part::Runtime, 1));
        check("corten runtime state x", (Part::Runtime, 2));
        check("corten registry serve", (Part::Registry, 2));
        check("docker daemon", (Part::CommandLine, 0));
    }
}
