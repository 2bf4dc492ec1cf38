//! The command line: commands, flags, formats and progress.
//!
//! One table ([`command`]) declares every command; it feeds the parser, the help texts and completion.
//! A command talks to the engine through `corten-client` and writes what Docker's command line writes:
//! the same words, tables, exit statuses and streams.
//!
//! ```text
//!   arguments ── flags ──► Matches ── command ──► client calls ──► formatter ──► standard output
//! ```
//!
//! ```
//! let status = corten_cli::main(&["corten".to_owned(), "--version".to_owned()]);
//! assert_eq!(status, std::process::ExitCode::SUCCESS);
//! ```

#![forbid(unsafe_code)]

mod build;
mod cli;
mod command;
mod completion;
mod compose;
mod config;
mod container;
mod context;
mod credentials;
mod error;
mod flags;
mod formatter;
mod help;
mod image;
mod imagetools;
mod inspect;
mod interrupts;
mod manifest;
mod network;
mod opts;
mod output_file;
mod plugin;
mod progress;
mod prune;
mod refused;
mod registry;
mod remote;
mod schema;
mod session;
mod signals;
mod system;
mod target;
mod terminal;
mod tree;
mod volume;

use std::process::ExitCode;

use cli::Cli;
use command::{Action, Command, Entry};
use error::{Error, Result};
use flags::Matches;

/// Runs the command line `args`, whose first element is the name that the program was called by; called
/// `docker`, it answers as `docker`.
pub fn main(args: &[String]) -> ExitCode {
    let (name, rest) = args
        .split_first()
        .map_or(("corten", args), |(name, rest)| (name.as_str(), rest));
    let program = match name.rsplit('/').next() {
        Some("docker") => "docker",
        _ => "corten",
    };
    match run(program, rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.message.is_empty() {
                // There is nowhere left to say that it failed.
                let _ = std::io::Write::write_fmt(&mut std::io::stderr().lock(), format_args!("{}\n", error.message));
            }
            ExitCode::from(error.status)
        }
    }
}

/// Fills a Go template in with a JSON document, as `inspect --format` does with an object of no known type.
///
/// # Errors
/// What is wrong with the template or the document, in the words of Go's `text/template`.
pub fn render_template(template: &str, document: &[u8]) -> std::result::Result<String, String> {
    let data = corten_template::Json::parse(document)?.to_value();
    corten_template::Template::parse(template)?.execute(
        &data,
        corten_template::Missing::Error,
        corten_template::Mode::Rows,
    )
}

/// The usage hint after an error about flags.
fn flag_error(path: &str, command: &Command, error: &str) -> Error {
    let usage = flags::usage(path, command);
    Error::with_status(
        125,
        format!("{error}\n\nUsage:  {usage}\n\nRun '{path} --help' for more information"),
    )
}

fn run(program: &'static str, args: &[String]) -> Result<()> {
    let root = &tree::ROOT;
    let globals = flags::parse(root, program.to_owned(), args).map_err(|e| flag_error(program, root, &e))?;
    if let Some(second) = globals.all("host").get(1) {
        let error = format!(
            "invalid argument {} for \"-H, --host\" flag: specify only one -H",
            opts::quote(second)
        );
        return Err(flag_error(program, root, &error));
    }
    let level = globals.get("log-level");
    if !matches!(
        level,
        "debug" | "info" | "warn" | "warning" | "error" | "fatal" | "panic" | "trace"
    ) {
        return Err(Error::new(format!("Unable to parse logging level: {level}")));
    }
    let rest = globals.args.clone();
    let (help, version) = (globals.help, globals.on("version"));
    let cli = Cli::new(program, globals);
    if version && rest.is_empty() {
        cli.out(&system::version::line(program));
        return Ok(());
    }
    let root_help = || help::root(program, root, terminal::help_width());
    if help {
        cli.print(&root_help());
        return Ok(());
    }
    match rest.split_first() {
        None => {
            cli.err(root_help().trim_end_matches('\n'));
            Ok(())
        }
        Some((name, rest)) if name == "help" => show_help(&cli, rest),
        Some((name, rest)) => {
            let Some(entry) = root.find(name) else {
                return Err(Error::new(format!(
                    "{program}: unknown command: {program} {name}\n\nRun '{program} --help' for more information"
                )));
            };
            dispatch(&cli, format!("{program} {name}"), entry, rest, None)
        }
    }
}

/// `help [COMMAND...]`.
fn show_help(cli: &Cli, words: &[String]) -> Result<()> {
    let mut command = &tree::ROOT;
    let mut path = cli.program.to_owned();
    for word in words {
        let Some(entry) = command.find(word) else {
            return Err(Error::new(format!("unknown help topic: {word}")));
        };
        command = entry.command;
        path.push(' ');
        path.push_str(word);
    }
    let width = terminal::help_width();
    cli.print(&if words.is_empty() {
        help::root(cli.program, command, width)
    } else {
        help::command(cli.program, &path, command, width)
    });
    Ok(())
}

/// Runs a command, or finds it in its group.
fn dispatch(
    cli: &Cli,
    path: String,
    entry: &'static Entry,
    args: &[String],
    group_flags: Option<&Matches>,
) -> Result<()> {
    let command = entry.command;
    if let Action::Refused(why) = command.action
        && !args.iter().any(|word| word == "--help" || word == "-h")
    {
        let words = path.split_once(' ').map_or(path.as_str(), |(_, words)| words);
        return Err(Error::new(format!("{words} is not supported: {why}")));
    }
    let mut matches = flags::parse(command, path.clone(), args).map_err(|e| flag_error(&path, command, &e))?;
    matches.group = group_flags.cloned().map(Box::new);
    for remark in std::mem::take(&mut matches.remarks) {
        cli.out(&remark);
    }
    if matches.help {
        cli.print(&help::command(
            cli.program,
            &matches.path,
            command,
            terminal::help_width(),
        ));
        return Ok(());
    }
    let Action::Run(run) = command.action else {
        return group(cli, command, &matches);
    };
    flags::check_arity(cli.program, command, &matches).map_err(Error::new)?;
    refuse_windows(command, &matches)?;
    run(cli, &matches)
}

/// Refuses flags that only an engine on Windows knows, in Docker's words.
fn refuse_windows(command: &Command, matches: &Matches) -> Result<()> {
    let given = command
        .all_flags()
        .filter(|flag| flag.windows && matches.given(flag.long));
    let errors: Vec<_> = given
        .map(|flag| {
            format!(
                "\"--{}\" is only supported on a Docker daemon running on windows, but the Docker daemon is running on linux",
                flag.long
            )
        })
        .collect();
    if errors.is_empty() {
        return Ok(());
    }
    Err(Error::new(errors.join("\n")))
}

/// A group called with or without the name of one of its commands.
fn group(cli: &Cli, command: &'static Command, matches: &Matches) -> Result<()> {
    let (program, path) = (cli.program, &matches.path);
    let Some((name, rest)) = matches.args.split_first() else {
        let text = help::command(program, path, command, terminal::help_width());
        cli.err(text.trim_end_matches('\n'));
        return Ok(());
    };
    match command.find(name) {
        Some(entry) => dispatch(cli, format!("{path} {}", entry.names[0]), entry, rest, Some(matches)),
        None => Err(Error::new(format!(
            "{program}: unknown command: {path} {name}\n\nUsage:  {path}\n\nRun '{path} --help' for more information"
        ))),
    }
}
