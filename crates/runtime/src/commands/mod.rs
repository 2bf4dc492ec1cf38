//! The runtime as commands, with runc's grammar, files and words (runc(8)).
//!
//! A container is a folder below `--root`; see [`record`]. Each command reads it, asks the kernel how
//! things stand, does one thing, and ends.

mod arguments;
mod console;
mod execute;
mod features;
mod inspect;
mod lifecycle;
mod limits;
mod record;
mod sealed;
mod template;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use self::arguments::{Flag, Order, Parsed, switch, value};
use self::record::Root;
use crate::context::invalid;
use crate::error::{Error, Kind, Result};

/// The name errors begin with.
const NAME: &str = "corten-runtime";
/// Where containers are kept unless told otherwise.
const DEFAULT_ROOT: &str = "/run/corten-runtime";

const GLOBAL: &[Flag] = &[
    value("root", "", "folder of the containers' state"),
    value("log", "", "file that errors are appended to"),
    value("log-format", "", "text or json"),
    switch("debug", "", "log each command"),
    switch("systemd-cgroup", "", "not supported"),
    value(
        "rootless",
        "",
        "true, false or auto: go on without cgroups that cannot be made",
    ),
    switch("help", "h", "show this help"),
    switch("version", "v", "show the version"),
];

/// What every command gets.
#[derive(Debug)]
struct Context {
    root: Root,
    rootless: bool,
    log: Log,
}

/// Where errors go beside standard error.
#[derive(Debug)]
struct Log {
    path: Option<PathBuf>,
    json: bool,
    debug: bool,
}

/// A command.
struct Command {
    name: &'static str,
    usage: &'static str,
    flags: &'static [Flag],
    order: Order,
    run: fn(&Context, Parsed) -> Result<i32>,
}

const COMMANDS: &[Command] = &[
    lifecycle::CREATE,
    lifecycle::DELETE,
    inspect::EVENTS,
    execute::EXEC,
    features::FEATURES,
    lifecycle::KILL,
    inspect::LIST,
    limits::PAUSE,
    inspect::PS,
    limits::RESUME,
    lifecycle::RUN,
    template::SPEC,
    lifecycle::START,
    inspect::STATE,
    limits::UPDATE,
];

/// Runs a command line, the program's name already taken off, and returns its exit code: that of the
/// container's process for `run` and `exec`, 1 for errors (255 for those of `exec`).
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let code = match global(args) {
        Ok(code) => code,
        Err(error) => {
            tell(&format!("{NAME}: {}\n", error.chain()));
            1
        }
    };
    ExitCode::from(u8::try_from(code).unwrap_or(255))
}

fn global(args: impl IntoIterator<Item = OsString>) -> Result<i32> {
    let mut options = Parsed::new(args, GLOBAL, Order::First)?;
    let context = Context::new(&options)?;
    if options.has("version") {
        return print(&format!(
            "{NAME} version {}\nspec: {}\n",
            env!("CARGO_PKG_VERSION"),
            corten_oci::runtime::VERSION
        ));
    }
    if options.has("help") || options.rest.is_empty() || options.rest[0] == "help" {
        return print(&help());
    }
    let name = options.rest.remove(0);
    let command = COMMANDS.iter().find(|command| command.name == name);
    let command = command.ok_or_else(|| invalid(format!("no such command {name:?}; see {NAME} --help")))?;
    let args = std::mem::take(&mut options.rest);
    if args
        .iter()
        .take_while(|arg| *arg != "--")
        .take(1)
        .any(|arg| arg == "--help" || arg == "-h")
    {
        return print(&command_help(command));
    }
    context.debug(&name, &args);
    let parsed = Parsed::new(args.into_iter().map(OsString::from), command.flags, command.order);
    let outcome = parsed.and_then(|parsed| (command.run)(&context, parsed));
    outcome.or_else(|error| {
        let text = describe(&name, &error);
        tell(&format!("{text}\n"));
        if let Some(hint) = error.hint() {
            tell(&format!("hint: {hint}\n"));
        }
        context.log.write("error", &text)?;
        Ok(if name == "exec" { 255 } else { 1 })
    })
}

/// The words of runc, on which its callers match.
fn describe(command: &str, error: &Error) -> String {
    let chain = error.chain();
    match (command, error.kind()) {
        ("create" | "run", Kind::Conflict) => format!("{NAME} {command} failed: {chain}"),
        ("create" | "run", Kind::CommandNotFound | Kind::CommandNotExecutable) => {
            format!("{NAME} {command} failed: unable to start container process: error during container init: {chain}")
        }
        ("create" | "run", _) => {
            format!("{NAME} {command} failed: unable to start container process: {chain}")
        }
        ("exec", Kind::CommandNotFound | Kind::CommandNotExecutable) => {
            format!("exec failed: unable to start container process: {chain}")
        }
        ("exec", _) => format!("exec failed: {chain}"),
        _ => chain,
    }
}

impl Context {
    fn new(options: &Parsed) -> Result<Self> {
        if options.has("systemd-cgroup") {
            let message = "--systemd-cgroup is not supported: cgroups are made directly";
            return Err(Error::new(Kind::Unsupported, message));
        }
        let root = options.value("root").unwrap_or(DEFAULT_ROOT);
        let json = match options.value("log-format") {
            None | Some("text") => false,
            Some("json") => true,
            Some(format) => return Err(invalid(format!("invalid log-format: {format}"))),
        };
        let rootless = match options.value("rootless") {
            None | Some("auto") => !rustix::process::geteuid().is_root(),
            Some("true") => true,
            Some("false") => false,
            Some(word) => return Err(invalid(format!("invalid value {word:?} for flag -rootless"))),
        };
        let path = options.value("log").filter(|path| !path.is_empty()).map(PathBuf::from);
        let root =
            std::path::absolute(root).map_err(|error| invalid(format!("invalid root {root:?}")).with_source(error))?;
        Ok(Self {
            root: Root::new(root),
            rootless,
            log: Log {
                path,
                json,
                debug: options.has("debug"),
            },
        })
    }

    fn debug(&self, command: &str, args: &[String]) {
        if self.log.debug {
            // A log that cannot be written is told when there is an error to log.
            let _ = self.log.write("debug", &format!("{command} {args:?}"));
        }
    }
}

impl Log {
    fn write(&self, level: &str, message: &str) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let message = serde_json::Value::from(message);
        let time = record::now();
        let line = if self.json {
            format!("{{\"level\":\"{level}\",\"msg\":{message},\"time\":\"{time}\"}}\n")
        } else {
            format!("time=\"{time}\" level={level} msg={message}\n")
        };
        let mut options = std::fs::OpenOptions::new();
        options.append(true).create(true);
        corten_sys::fs::open_with(&options, path)
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .map_err(|error| Error::new(Kind::Internal, "cannot write the log").with_source(error))
    }
}

fn print(text: &str) -> Result<i32> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| Error::new(Kind::Internal, "cannot write the output").with_source(error))?;
    Ok(0)
}

fn tell(text: &str) {
    // Without standard error there is nobody to tell.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

fn help() -> String {
    let mut text = format!("Usage: {NAME} [flags] command [flags] [arguments]\n\nCommands:\n");
    for command in COMMANDS {
        text.push_str(&format!("  {:<9} {}\n", command.name, command.usage));
    }
    text.push_str("\nFlags:\n");
    text.push_str(&flags_help(GLOBAL));
    text
}

fn command_help(command: &Command) -> String {
    let flags = flags_help(command.flags);
    format!("Usage: {NAME} {} {}\n\nFlags:\n{flags}", command.name, command.usage)
}

fn flags_help(flags: &[Flag]) -> String {
    let line = |flag: &Flag| {
        let short = if flag.short.is_empty() {
            String::new()
        } else {
            format!("-{}, ", flag.short)
        };
        let name = match flag.takes {
            arguments::Takes::Nothing => format!("{short}--{}", flag.name),
            arguments::Takes::Value => format!("{short}--{} VALUE", flag.name),
        };
        format!("  {name:<28} {}\n", flag.help)
    };
    flags.iter().map(line).collect()
}
