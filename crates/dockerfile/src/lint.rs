//! Checks of style and likely mistakes (docs.docker.com/reference/build-checks).

use std::collections::BTreeSet;

use crate::error::Lines;
use crate::ignore::Ignore;
use crate::instruction::{Command, Line, Source};
use crate::source::Source as File;
use crate::stages::{Dockerfile, Stage};
use crate::variables;

/// A check's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule(&'static str);

impl Rule {
    /// As Docker writes it: `FromAsCasing`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0
    }

    /// As in addresses: `from-as-casing`.
    #[must_use]
    pub fn slug(self) -> String {
        let mut slug = String::new();
        let mut before = '-';
        for c in self.0.chars() {
            // Runs of capitals are one word: `JSONArgs`.
            if c.is_ascii_uppercase() && before.is_ascii_lowercase() {
                slug.push('-');
            }
            slug.push(c.to_ascii_lowercase());
            before = c;
        }
        slug.replace("jsonargs", "json-args")
    }
}

/// What could be better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The check.
    pub rule: Rule,
    /// What is wrong.
    pub message: String,
    /// Where.
    pub lines: Lines,
}

/// All warnings, in the order of lines; those that the file itself asks to skip left out.
pub(crate) fn check(file: &Dockerfile, source: &File) -> Vec<Warning> {
    let mut found = Findings::default();
    casing(file, &mut found);
    for line in source.logical.iter().filter(|line| line.gaps) {
        found.add("NoEmptyContinuation", "Empty continuation line", line.lines);
    }
    let mut names = BTreeSet::new();
    for stage in &file.stages {
        stage_name(stage, &mut names, &mut found);
        instructions(stage, &mut found);
    }
    variables::check(file, &mut found);
    descriptions(file, source, &mut found);
    for instruction in &file.arguments {
        secrets(&instruction.command, instruction.lines, &mut found);
    }
    found.0.sort_by_key(|warning| warning.lines.first);
    skip(found.0, file.directives.check.as_deref())
}

impl Dockerfile {
    /// What is said of a base image that is for another platform than what is built; nothing when the file asks
    /// to skip the check.
    #[must_use]
    pub fn platform_warning(&self, image: &str, found: &str, expected: &str, lines: Lines) -> Option<Warning> {
        let mut findings = Findings::default();
        let message =
            format!("Base image {image} was pulled with platform {found:?}, expected {expected:?} for current build");
        findings.add("InvalidBaseImagePlatform", message, lines);
        skip(findings.0, self.directives.check.as_deref()).pop()
    }
}

/// Whether the file wants the build to fail when there are warnings: `check=error=true`.
pub(crate) fn insists(directive: Option<&str>) -> bool {
    let mut parts = directive.unwrap_or_default().split(';');
    parts.any(|part| part.trim().eq_ignore_ascii_case("error=true"))
}

/// Whether the file asks for a check that is still being tried out: `check=experimental=Rule`.
fn is_tried(directive: Option<&str>, rule: &str) -> bool {
    let parts = directive.unwrap_or_default().split(';');
    let names = parts.filter_map(|part| part.trim().strip_prefix("experimental="));
    names
        .flat_map(|names| names.split(','))
        .any(|name| name.trim() == "all" || name.trim().eq_ignore_ascii_case(rule))
}

/// Comments right above ARG and FROM that do not begin with the name of what they describe.
fn descriptions(file: &Dockerfile, source: &File, found: &mut Findings) {
    const RULE: &str = "InvalidDefinitionDescription";
    if !is_tried(file.directives.check.as_deref(), RULE) {
        return;
    }
    for one in all(file) {
        let name = match &one.command {
            Command::From(from) => from.name.clone(),
            Command::Arg(list) => list.first().map(|argument| argument.name.clone()),
            _ => None,
        };
        let above = one.lines.first.checked_sub(1).filter(|line| *line > 0);
        let comment = above.and_then(|line| source.comments.get(&line));
        if let (Some(name), Some(comment)) = (name, comment)
            && !comment.starts_with(&format!("{name} "))
        {
            let what = if one.command.name() == "ARG" { "arg" } else { "stage" };
            let message = format!(
                "Comment for {} should follow the format: `# <{what} name> <description>`. If this is not intended to be a description comment, add an empty line or comment between the instruction and the comment.",
                if what == "arg" { "arg" } else { "build stage" }
            );
            found.add(RULE, message, one.lines);
        }
    }
}

/// Sources of COPY and ADD that `.dockerignore` leaves out.
pub(crate) fn ignored_copies(file: &Dockerfile, ignore: &Ignore) -> Vec<Warning> {
    let mut found = Findings::default();
    for one in file.stages.iter().flat_map(|stage| &stage.instructions) {
        let copy = match &one.command {
            Command::Copy(copy) if copy.from.is_none() => copy,
            Command::Add(add) => &add.copy,
            _ => continue,
        };
        for source in &copy.sources {
            let Source::Path(path) = source else { continue };
            let clean = path.trim_start_matches("./").trim_matches('/');
            let is_plain = !path.contains(['$', '*', '?', '[']) && !path.contains("://");
            if is_plain && !clean.is_empty() && clean != "." && ignore.excludes(clean) {
                let message = format!(
                    "Attempting to {} file {path:?} that is excluded by .dockerignore",
                    one.command.name()
                );
                found.add("CopyIgnoredFile", message, one.lines);
            }
        }
    }
    skip(found.0, file.directives.check.as_deref())
}

#[derive(Default)]
pub(crate) struct Findings(Vec<Warning>);

impl Findings {
    pub(crate) fn add(&mut self, rule: &'static str, message: impl Into<String>, lines: Lines) {
        let message = message.into();
        let rule = Rule(rule);
        self.0.push(Warning { rule, message, lines });
    }
}

/// `check=skip=Rule,Rule;error=true`
fn skip(mut warnings: Vec<Warning>, directive: Option<&str>) -> Vec<Warning> {
    for part in directive.unwrap_or_default().split(';') {
        if let Some(names) = part.trim().strip_prefix("skip=") {
            let names: Vec<&str> = names.split(',').map(str::trim).collect();
            let skipped = |rule: Rule| {
                names
                    .iter()
                    .any(|name| name.eq_ignore_ascii_case("all") || name.eq_ignore_ascii_case(rule.0))
            };
            warnings.retain(|warning| !skipped(warning.rule));
        }
    }
    warnings
}

fn all(file: &Dockerfile) -> impl Iterator<Item = &crate::Instruction> {
    let staged = file
        .stages
        .iter()
        .flat_map(|stage| std::iter::once(&stage.begin).chain(&stage.instructions));
    file.arguments.iter().chain(staged)
}

fn casing(file: &Dockerfile, found: &mut Findings) {
    let is_upper = |name: &str| name.chars().all(|c| c.is_ascii_uppercase());
    let is_lower = |name: &str| name.chars().all(|c| c.is_ascii_lowercase());
    let upper = all(file).filter(|one| is_upper(&one.name)).count();
    let lower = all(file).filter(|one| is_lower(&one.name)).count();
    let (wanted, fits): (&str, fn(&str) -> bool) = if lower > upper {
        ("lowercase", |name| name.chars().all(|c| c.is_ascii_lowercase()))
    } else {
        ("uppercase", |name| name.chars().all(|c| c.is_ascii_uppercase()))
    };
    for one in all(file).filter(|one| !fits(&one.name)) {
        let message = format!(
            "Command '{}' should match the case of the command majority ({wanted})",
            one.name
        );
        found.add("ConsistentInstructionCasing", message, one.lines);
    }
}

fn stage_name(stage: &Stage, names: &mut BTreeSet<String>, found: &mut Findings) {
    let lines = stage.begin.lines;
    let words: Vec<&str> = stage.begin.text.split_whitespace().collect();
    if let [.., keyword, written] = words.as_slice()
        && stage.from.name.is_some()
    {
        let same =
            keyword.chars().all(|c| c.is_ascii_uppercase()) == stage.begin.name.chars().all(|c| c.is_ascii_uppercase());
        if !same {
            let message = format!("'{keyword}' and '{}' keywords' casing do not match", stage.begin.name);
            found.add("FromAsCasing", message, lines);
        }
        if written.chars().any(|c| c.is_ascii_uppercase()) {
            let message = format!("Stage name '{written}' should be lowercase");
            found.add("StageNameCasing", message, lines);
        }
    }
    if let Some(name) = &stage.from.name {
        if matches!(name.as_str(), "scratch" | "context") {
            let message = format!("Stage name should not use the same name as reserved stage {name:?}");
            found.add("ReservedStageName", message, lines);
        }
        if !names.insert(name.clone()) {
            let message = format!("Duplicate stage name {name:?}, stage names should be unique");
            found.add("DuplicateStageName", message, lines);
        }
    }
    match stage.from.platform.as_deref() {
        Some("$TARGETPLATFORM" | "${TARGETPLATFORM}") => {
            let platform = stage.from.platform.as_deref().unwrap_or_default();
            let message = format!(
                "Setting platform to predefined {platform} in FROM is redundant as this is the default behavior"
            );
            found.add("RedundantTargetPlatform", message, lines);
        }
        Some(constant) if !constant.contains('$') => {
            let message = format!("FROM --platform flag should not use constant value {constant:?}");
            found.add("FromPlatformFlagConstDisallowed", message, lines);
        }
        _ => {}
    }
}

fn instructions(stage: &Stage, found: &mut Findings) {
    let mut absolute = false;
    let has_shell = stage
        .instructions
        .iter()
        .any(|one| matches!(one.command, Command::Shell(_)));
    for one in &stage.instructions {
        match &one.command {
            Command::Maintainer(_) => found.add(
                "MaintainerDeprecated",
                "Maintainer instruction is deprecated in favor of using label",
                one.lines,
            ),
            Command::Env(_) | Command::Label(_) if is_legacy(&one.text) => {
                let name = one.command.name();
                let message =
                    format!("\"{name} key=value\" should be used instead of legacy \"{name} key value\" format");
                found.add("LegacyKeyValueFormat", message, one.lines);
            }
            Command::Cmd(Line::Shell(_)) | Command::Entrypoint(Line::Shell(_)) if !has_shell => {
                let message = format!(
                    "JSON arguments recommended for {} to prevent unintended behavior related to OS signals",
                    one.command.name()
                );
                found.add("JSONArgsRecommended", message, one.lines);
            }
            Command::Workdir(path) => {
                if !absolute && !path.starts_with(['/', '$']) {
                    let message =
                        format!("Relative workdir {path:?} can have unexpected results if the base image changes");
                    found.add("WorkdirRelativePath", message, one.lines);
                }
                absolute |= path.starts_with('/');
            }
            Command::Expose(words) => exposed(words, one.lines, found),
            _ => {}
        }
        secrets(&one.command, one.lines, found);
    }
    only_one(stage, found);
}

fn is_legacy(text: &str) -> bool {
    let first = text.split_whitespace().nth(1).unwrap_or_default();
    !first.is_empty() && !first.contains('=')
}

fn exposed(words: &str, lines: Lines, found: &mut Findings) {
    for word in words.split_whitespace() {
        if let Some((_, protocol)) = word.split_once('/')
            && protocol.chars().any(|c| c.is_ascii_uppercase())
        {
            let message = format!("Defined protocol '{word}' in EXPOSE should be lowercase");
            found.add("ExposeProtoCasing", message, lines);
        }
        if word.contains(':') && !word.contains('$') {
            let message =
                format!("EXPOSE instruction should not define an IP address or host-port mapping, found '{word}'");
            found.add("ExposeInvalidFormat", message, lines);
        }
    }
}

/// Only the last of these counts; BuildKit warns at those before.
fn only_one(stage: &Stage, found: &mut Findings) {
    for name in ["CMD", "ENTRYPOINT", "HEALTHCHECK"] {
        let of_name: Vec<_> = stage
            .instructions
            .iter()
            .filter(|one| one.command.name() == name)
            .collect();
        for one in of_name.iter().rev().skip(1).rev() {
            let message = format!(
                "Multiple {name} instructions should not be used in the same stage because only the last one will be used"
            );
            found.add("MultipleInstructionsDisallowed", message, one.lines);
        }
    }
}

fn secrets(command: &Command, lines: Lines, found: &mut Findings) {
    let names: Vec<&str> = match command {
        Command::Env(pairs) => pairs.iter().map(|(name, _)| name.as_str()).collect(),
        Command::Arg(arguments) => arguments.iter().map(|argument| argument.name.as_str()).collect(),
        _ => return,
    };
    for name in names.into_iter().filter(|name| sounds_secret(name)) {
        let message = format!(
            "Do not use ARG or ENV instructions for sensitive data ({} {name:?})",
            command.name()
        );
        found.add("SecretsUsedInArgOrEnv", message, lines);
    }
}

fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let words: Vec<&str> = name.split('_').collect();
    let secret = [
        "apikey",
        "auth",
        "credential",
        "credentials",
        "key",
        "password",
        "pword",
        "passwd",
        "secret",
        "token",
    ];
    words.iter().any(|word| secret.contains(word)) && !words.contains(&"public")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(file: &str) -> Vec<(String, usize)> {
        let file = Dockerfile::parse(file.as_bytes()).unwrap();
        let found = file.warnings.iter();
        found
            .map(|warning| (warning.rule.name().to_owned(), warning.lines.first))
            .collect()
    }

    fn check(file: &str, expected: &[(&str, usize)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, line)| ((*name).to_owned(), *line))
            .collect();
        assert_eq!(rules(file), expected, "{file}");
    }

    #[test]
    fn mistakes_are_found() {
        check(
            "FROM busybox as b\nMAINTAINER me\nENV A 1\nCMD echo hi\n",
            &[
                ("FromAsCasing", 1),
                ("MaintainerDeprecated", 2),
                ("LegacyKeyValueFormat", 3),
                ("JSONArgsRecommended", 4),
            ],
        );
        check(
            "FROM a AS Base\nrun x\n",
            &[("StageNameCasing", 1), ("ConsistentInstructionCasing", 2)],
        );
        check("FROM a AS x\nFROM b AS x\n", &[("DuplicateStageName", 2)]);
        check("FROM a AS scratch\n", &[("ReservedStageName", 1)]);
        check("FROM a\nRUN x \\\n\ny\n", &[("NoEmptyContinuation", 2)]);
        check(
            "FROM a\nWORKDIR x\nWORKDIR /a\nWORKDIR b\n",
            &[("WorkdirRelativePath", 2)],
        );
        check(
            "FROM a\nCMD [\"x\"]\nCMD [\"y\"]\n",
            &[("MultipleInstructionsDisallowed", 2)],
        );
        check(
            "FROM a\nARG GITHUB_TOKEN\nENV PUBLIC_KEY=x\n",
            &[("SecretsUsedInArgOrEnv", 2)],
        );
        check(
            "FROM --platform=linux/amd64 a\nEXPOSE 80/TCP 1:2\n",
            &[
                ("FromPlatformFlagConstDisallowed", 1),
                ("ExposeProtoCasing", 2),
                ("ExposeInvalidFormat", 2),
            ],
        );
        check("FROM busybox\nCMD [\"true\"]\n", &[]);
    }

    #[test]
    fn a_file_can_skip_checks() {
        check("# check=skip=JSONArgsRecommended\nFROM a\nCMD x\n", &[]);
        check("# check=skip=all;error=true\nFROM a as b\nCMD x\n", &[]);
    }

    #[test]
    fn variables_that_are_not_there() {
        let messages = |file: &str| -> Vec<String> {
            let file = Dockerfile::parse(file.as_bytes()).unwrap();
            file.warnings.into_iter().map(|warning| warning.message).collect()
        };
        assert_eq!(
            messages("ARG VARIANT=1\nFROM a:$VARAINT\n"),
            ["FROM argument 'VARAINT' is not declared (did you mean VARIANT?)"]
        );
        assert_eq!(
            messages("ARG TAG\nFROM busybox:$TAG\n"),
            ["Default value for ARG busybox:$TAG results in empty or invalid base image name"]
        );
        assert!(messages("ARG TAG=1\nFROM --platform=$BUILDPLATFORM busybox:${TAG}\n").is_empty());
        assert_eq!(
            messages("FROM scratch\nCOPY $nosuch /\n"),
            ["Usage of undefined variable '$nosuch'"]
        );
        assert_eq!(
            messages("FROM a\nARG VERSION=1\nENV V=$VERSOIN\n"),
            ["Usage of undefined variable '$VERSOIN' (did you mean $VERSION?)"]
        );
        // What the base image has is not known here.
        assert!(messages("FROM a\nENV V=$PYTHON_HOME\nWORKDIR $V\nUSER ${U:-x}\n").is_empty());
        assert!(messages("FROM scratch AS a\nENV V=1\nFROM a\nWORKDIR /$V\n").is_empty());
    }

    #[test]
    fn descriptions_are_checked_when_that_is_tried() {
        let text = "FROM a AS b\n# something else\nARG X=1\n# Y is good\nARG Y=1\n";
        check(text, &[]);
        let tried = format!("# check=experimental=InvalidDefinitionDescription\n{text}");
        check(&tried, &[("InvalidDefinitionDescription", 4)]);
    }

    #[test]
    fn rules_have_addresses() {
        assert_eq!(Rule("FromAsCasing").slug(), "from-as-casing");
        assert_eq!(Rule("JSONArgsRecommended").slug(), "json-args-recommended");
    }
}
