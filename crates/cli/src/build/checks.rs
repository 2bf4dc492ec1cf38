//! `--check` and `--call`: what can be said of a Dockerfile without building it.

use corten_dockerfile::{Command, Dockerfile, excerpt};

use super::context::Source;
use crate::{
    cli::Cli,
    error::{Error, Result},
};

fn parsed(text: &str) -> Result<Dockerfile> {
    Dockerfile::parse(text.as_bytes()).map_err(|error| Error::new(format!("failed to solve: {error}")))
}

/// A Dockerfile's text, if the context can be read here.
fn text(source: &Source) -> Result<String> {
    match source {
        Source::Archive { .. } | Source::Remote { .. } => Err(Error::new(
            "--call needs a Dockerfile of this machine: a folder or standard input",
        )),
        source => source.dockerfile(),
    }
}

/// Checks a Dockerfile.
pub(super) fn check(cli: &Cli, source: &Source) -> Result<()> {
    let text = text(source)?;
    let file = parsed(&text)?;
    let mut warnings = file.warnings.clone();
    warnings.extend(file.ignored_copies(&source.ignore()));
    warnings.sort_by_key(|warning| warning.lines.first);
    let count = warnings.len();
    if count == 0 {
        cli.out("Check complete, no warnings found.");
        return Ok(());
    }
    let noun = if count == 1 { "warning has" } else { "warnings have" };
    cli.out(&format!("Check complete, {count} {noun} been found!"));
    for warning in &warnings {
        let rule = warning.rule;
        cli.print(&format!(
            "\nWARNING: {} - https://docs.docker.com/go/dockerfile/rule/{}/\n{}\n{}",
            rule.name(),
            rule.slug(),
            warning.message,
            excerpt(source.name(), &text, warning.lines)
        ));
    }
    Err(Error::silent(1))
}

/// The stages that can be built.
pub(super) fn targets(cli: &Cli, source: &Source) -> Result<()> {
    let text = text(source)?;
    let file = parsed(&text)?;
    let lines: Vec<&str> = text.lines().collect();
    cli.out(&aligned("TARGET", "DESCRIPTION"));
    for (number, stage) in file.stages.iter().enumerate() {
        let name = stage.from.name.clone().unwrap_or_else(|| format!("({number})"));
        let last = if number + 1 == file.stages.len() {
            " (default)"
        } else {
            ""
        };
        let about = described(&lines, stage.begin.lines.first, stage.from.name.as_deref());
        cli.out(aligned(&format!("{name}{last}"), &about).trim_end());
    }
    Ok(())
}

/// The arguments of a target.
pub(super) fn outline(cli: &Cli, source: &Source, target: &str) -> Result<()> {
    let text = text(source)?;
    let file = parsed(&text)?;
    let target = file
        .target(target)
        .map_err(|error| Error::new(format!("failed to solve: {error}")))?;
    let lines: Vec<&str> = text.lines().collect();
    let stage = &file.stages[target];
    let name = stage.from.name.as_deref().unwrap_or("(default)");
    cli.out(&format!("TARGET:      {name}\n"));
    cli.out(&format!("{:20}{:20}DESCRIPTION", "BUILD ARG", "VALUE"));
    for instruction in file.arguments.iter().chain(&stage.instructions) {
        let Command::Arg(list) = &instruction.command else {
            continue;
        };
        for argument in list {
            let value = argument.default.as_deref().unwrap_or_default();
            let about = described(&lines, instruction.lines.first, Some(&argument.name));
            let line = format!("{:20}{value:20}{about}", argument.name);
            cli.out(line.trim_end());
        }
    }
    Ok(())
}

fn aligned(left: &str, right: &str) -> String {
    format!("{left:20}{right}")
}

/// The comment above a line, when it begins with the name of what it is about.
fn described(lines: &[&str], line: usize, name: Option<&str>) -> String {
    let above = line.checked_sub(2).and_then(|at| lines.get(at));
    let comment = above.and_then(|text| text.trim().strip_prefix('#')).map(str::trim);
    match (comment, name) {
        (Some(text), Some(name)) => text
            .strip_prefix(name)
            .filter(|rest| rest.starts_with(' '))
            .map_or_else(String::new, |rest| rest.trim().to_owned()),
        _ => String::new(),
    }
}
