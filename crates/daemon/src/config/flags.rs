//! The command line of `corten daemon`, with the grammar of Go's flags.

use std::{ffi::OsString, fmt::Write};

use clap::{Arg, ArgAction, Command, error::ContextKind, error::ContextValue, error::ErrorKind};

use super::{ConfigError, OPTIONS, Type, Value, Values};

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// To run with these flags.
    Run(Values),
    /// To check the configuration.
    Validate(Values),
    /// To print the help.
    Help,
    /// To print the version.
    Version,
}

/// Reads the arguments, without the program's name.
pub(super) fn parse(args: impl Iterator<Item = OsString>) -> Result<Request, ConfigError> {
    let matches = command().try_get_matches_from(args).map_err(|error| usage(&error))?;
    let mut values = Values::new();
    for option in OPTIONS.iter().filter(|option| !option.flag.is_empty()) {
        let Some(texts) = matches.get_many::<String>(option.flag) else {
            continue;
        };
        let texts: Vec<String> = texts.cloned().collect();
        let value = Value::from_flag(option.kind, &texts).map_err(|(text, why)| {
            let letter = option.short.map(|letter| format!("-{letter}, ")).unwrap_or_default();
            refusal(format!(
                "invalid argument \"{text}\" for \"{letter}--{}\" flag: {why}",
                option.flag
            ))
        })?;
        values.insert(option.name(), value);
    }
    let mut is_set = |name: &'static str| values.remove(name) == Some(Value::Bool(true));
    let (help, version, validate) = (is_set("help"), is_set("version"), is_set("validate"));
    Ok(match (help, version, validate) {
        (true, _, _) => Request::Help,
        (_, true, _) => Request::Version,
        (_, _, true) => Request::Validate(values),
        _ => Request::Run(values),
    })
}

fn command() -> Command {
    let mut command = Command::new("corten daemon")
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true);
    for option in OPTIONS.iter().filter(|option| !option.flag.is_empty()) {
        let mut arg = Arg::new(option.flag)
            .long(option.flag)
            .action(ArgAction::Append)
            .allow_hyphen_values(true);
        if let Some(letter) = option.short {
            arg = arg.short(letter);
        }
        if option.kind == Type::Bool {
            arg = arg.num_args(0..=1).require_equals(true).default_missing_value("true");
        }
        command = command.arg(arg);
    }
    command
}

/// dockerd's words for a command line that cannot be read.
fn usage(error: &clap::Error) -> ConfigError {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(" "),
        _ => String::new(),
    };
    let argument = text(ContextKind::InvalidArg);
    let name = argument.split([' ', '=']).next().unwrap_or_default().to_owned();
    match error.kind() {
        ErrorKind::UnknownArgument if !name.starts_with('-') => ConfigError {
            message: "\"corten daemon\" accepts no arguments.\nSee 'corten daemon --help'.".to_owned(),
            code: 1,
        },
        ErrorKind::UnknownArgument if !name.starts_with("--") => {
            let letter = name.chars().nth(1).unwrap_or(' ');
            refusal(format!("unknown shorthand flag: '{letter}' in {name}"))
        }
        ErrorKind::UnknownArgument => refusal(format!("unknown flag: {name}")),
        ErrorKind::InvalidValue | ErrorKind::NoEquals | ErrorKind::WrongNumberOfValues => {
            refusal(format!("flag needs an argument: {name}"))
        }
        _ => refusal(error.to_string()),
    }
}

fn refusal(message: String) -> ConfigError {
    ConfigError {
        message: format!("{message}\nSee 'corten daemon --help'."),
        code: 125,
    }
}

/// The help.
pub(crate) fn help() -> String {
    let mut text = "\nUsage:  corten daemon [OPTIONS]\n\nRun the engine that keeps containers, images, networks \
                    and volumes.\n\nOptions:\n"
        .to_owned();
    for option in OPTIONS.iter().filter(|option| !option.flag.is_empty()) {
        let letter = option
            .short
            .map_or_else(|| "    ".to_owned(), |letter| format!("-{letter}, "));
        let kind = match option.kind {
            Type::Bool => "",
            Type::Text => "string",
            Type::Number => "int",
            Type::Bytes => "bytes",
            Type::List => "list",
            Type::Map => "map",
            Type::Maps => "mapmap",
            Type::Pools => "pool-options",
            Type::Ulimits => "ulimit",
        };
        let note = match option.support {
            super::Support::None => " (not supported)",
            _ => "",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  {letter}--{:<36}{}{note}",
            format!("{} {kind}", option.flag),
            option.help
        );
    }
    text
}
