//! One logical line to one instruction.

use crate::error::{Error, Lines, Result};
use crate::flags::Flags;
use crate::heredoc::{self, Heredoc};
use crate::instruction::{
    Add, Argument, Check, Command, Copy, Device, From, Health, Instruction, Line, Network, Run, Security, Source,
};
use crate::source::LogicalLine;
use crate::{mounts, suggest, values};

/// All instructions, for suggestions.
const NAMES: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Reads a single instruction: a trigger of `ONBUILD`, a `--change`.
///
/// # Errors
/// When it is none.
pub fn instruction(text: &str, escape: char) -> Result<Instruction> {
    let physical: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let first = physical.first().map_or("", |line| line.trim()).to_owned();
    let mut at = 1;
    let announced = heredoc::announced(&first, escape);
    let heredocs = heredoc::read(announced, &physical, &mut at)?;
    let line = LogicalLine {
        // Without heredocs all lines are the instruction's.
        text: if heredocs.is_empty() {
            text.trim().to_owned()
        } else {
            first
        },
        lines: Lines { first: 1, last: 1 },
        heredocs,
        gaps: false,
    };
    parse(&line, escape)
}

pub(crate) fn parse(line: &LogicalLine, escape: char) -> Result<Instruction> {
    let (name, rest) = line.text.split_once(char::is_whitespace).unwrap_or((&line.text, ""));
    let (flags, rest) = Flags::take(rest, escape);
    let parser = Parser {
        name: name.to_ascii_uppercase(),
        flags,
        rest: rest.trim(),
        heredocs: &line.heredocs,
        escape,
    };
    let command = parser.command().map_err(|error| error.in_syntax(line.lines))?;
    Ok(Instruction {
        command,
        name: name.to_owned(),
        text: line.text.clone(),
        lines: line.lines,
    })
}

struct Parser<'a> {
    name: String,
    flags: Flags,
    rest: &'a str,
    heredocs: &'a [Heredoc],
    escape: char,
}

impl Parser<'_> {
    fn command(&self) -> Result<Command> {
        if !NAMES.contains(&self.name.as_str()) {
            let message = format!("unknown instruction: {}", self.name);
            return Err(Error::new(suggest::with_suggestion(message, &self.name, NAMES)));
        }
        if !matches!(self.name.as_str(), "FROM" | "RUN" | "COPY" | "ADD" | "HEALTHCHECK") {
            self.flags.accept(&[], &[])?;
        }
        Ok(match self.name.as_str() {
            "FROM" => Command::From(self.from()?),
            "RUN" => Command::Run(self.run()?),
            "CMD" => Command::Cmd(self.line()),
            "ENTRYPOINT" => Command::Entrypoint(self.some()?.line()),
            "COPY" => Command::Copy(self.copy()?),
            "ADD" => Command::Add(self.add()?),
            "ENV" => Command::Env(values::pairs("ENV", self.rest, self.escape)?.0),
            "LABEL" => Command::Label(values::pairs("LABEL", self.rest, self.escape)?.0),
            "ARG" => Command::Arg(self.arguments()?),
            "EXPOSE" => Command::Expose(self.some()?.rest.to_owned()),
            "USER" => Command::User(self.one()?),
            "WORKDIR" => Command::Workdir(self.one()?),
            "STOPSIGNAL" => Command::Stopsignal(self.one()?),
            "MAINTAINER" => Command::Maintainer(self.one()?),
            "VOLUME" => Command::Volume(self.volume()?),
            "HEALTHCHECK" => Command::Healthcheck(self.healthcheck()?),
            "ONBUILD" => Command::Onbuild(self.onbuild()?),
            _ => Command::Shell(self.shell()?),
        })
    }

    /// This, if anything follows the name.
    fn some(&self) -> Result<&Self> {
        if self.rest.is_empty() {
            return Err(Error::new(format!("{} requires at least one argument", self.name)));
        }
        Ok(self)
    }

    fn one(&self) -> Result<String> {
        if self.rest.is_empty() {
            return Err(Error::new(format!("{} requires exactly one argument", self.name)));
        }
        Ok(self.rest.to_owned())
    }

    fn line(&self) -> Line {
        match values::json_list(self.rest) {
            Some(words) => Line::Exec(words),
            None => Line::Shell(self.rest.to_owned()),
        }
    }

    fn from(&self) -> Result<From> {
        self.flags.accept(&["platform"], &[])?;
        let words = values::words(self.rest);
        let (image, name) = match words.as_slice() {
            [image] => (image, None),
            [image, keyword, name] if keyword.eq_ignore_ascii_case("as") => (image, Some(name.to_ascii_lowercase())),
            _ => return Err(Error::new("FROM requires either one or three arguments")),
        };
        if let Some(name) = &name {
            let mut chars = name.chars();
            let good = chars.next().is_some_and(|c| c.is_ascii_lowercase())
                && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
            if !good {
                let message = format!(
                    "invalid name for build stage: {name:?}, name can't start with a number or contain symbols"
                );
                return Err(Error::new(message));
            }
        }
        Ok(From {
            image: image.clone(),
            platform: self.flags.text("platform")?,
            name,
        })
    }

    fn run(&self) -> Result<Run> {
        self.flags.accept(&["network", "security"], &["mount", "device"])?;
        let network = match self.flags.text("network")?.as_deref() {
            None | Some("default") => Network::Default,
            Some("none") => Network::None,
            Some("host") => Network::Host,
            Some(other) => return Err(unsupported("network mode", other, &["default", "none", "host"])),
        };
        let security = match self.flags.text("security")?.as_deref() {
            None | Some("sandbox") => Security::Sandbox,
            Some("insecure") => Security::Insecure,
            Some(other) => return Err(unsupported("security mode", other, &["sandbox", "insecure"])),
        };
        let mounts = self.flags.all("mount")?;
        let devices = self.flags.all("device")?;
        Ok(Run {
            line: self.some()?.line(),
            heredocs: self.heredocs.to_vec(),
            mounts: mounts.iter().map(|text| mounts::parse(text)).collect::<Result<_>>()?,
            network,
            security,
            devices: devices.iter().map(|text| device(text)).collect::<Result<_>>()?,
        })
    }

    fn copy(&self) -> Result<Copy> {
        self.flags
            .accept(&["from", "chown", "chmod", "link", "parents"], &["exclude"])?;
        let mut copy = self.transfer()?;
        copy.from = self.flags.text("from")?;
        copy.parents = self.flags.switch("parents")?.unwrap_or(false);
        Ok(copy)
    }

    fn add(&self) -> Result<Add> {
        let known = ["chown", "chmod", "link", "keep-git-dir", "checksum", "unpack"];
        self.flags.accept(&known, &["exclude"])?;
        Ok(Add {
            copy: self.transfer()?,
            checksum: self.flags.text("checksum")?,
            keep_git_dir: self.flags.switch("keep-git-dir")?.unwrap_or(false),
            unpack: self.flags.switch("unpack")?,
        })
    }

    /// What COPY and ADD have in common.
    fn transfer(&self) -> Result<Copy> {
        let mut words = values::json_list(self.rest).unwrap_or_else(|| values::words(self.rest));
        if words.len() < 2 {
            let message = format!(
                "{} requires at least two arguments, but only one was provided. Destination could not be determined",
                self.name
            );
            return Err(Error::new(message));
        }
        let destination = words.pop().unwrap_or_default();
        if heredoc::marker(&destination).is_some() {
            return Err(Error::new(format!(
                "{} cannot accept a heredoc as a destination",
                self.name
            )));
        }
        let mut heredocs = self.heredocs.iter();
        let sources = words.into_iter().map(|word| match heredoc::marker(&word) {
            Some(_) => heredocs.next().cloned().map_or(Source::Path(word), Source::Text),
            None => Source::Path(word),
        });
        Ok(Copy {
            sources: sources.collect(),
            destination,
            chown: self.flags.text("chown")?,
            chmod: self.flags.text("chmod")?,
            link: self.flags.switch("link")?.unwrap_or(false),
            excludes: self.flags.all("exclude")?,
            ..Copy::default()
        })
    }

    fn arguments(&self) -> Result<Vec<Argument>> {
        let words = values::quoted_words(self.some()?.rest, self.escape);
        let arguments = words.into_iter().map(|word| match word.split_once('=') {
            Some(("", _)) => Err(Error::new("ARG names can not be blank")),
            Some((name, value)) => Ok(Argument {
                name: name.to_owned(),
                default: Some(value.to_owned()),
            }),
            None => Ok(Argument {
                name: word,
                default: None,
            }),
        });
        arguments.collect()
    }

    fn volume(&self) -> Result<Vec<String>> {
        let paths = values::json_list(self.some()?.rest).unwrap_or_else(|| values::words(self.rest));
        if paths.iter().any(|path| path.trim().is_empty()) {
            return Err(Error::new("VOLUME specified can not be an empty string"));
        }
        Ok(paths)
    }

    fn shell(&self) -> Result<Vec<String>> {
        match values::json_list(self.rest) {
            Some(words) if words.is_empty() => Err(Error::new("SHELL requires at least one argument")),
            Some(words) => Ok(words),
            None if self.rest.is_empty() => Err(Error::new("SHELL requires at least one argument")),
            None => Err(Error::new("SHELL requires the arguments to be in JSON form")),
        }
    }

    fn onbuild(&self) -> Result<String> {
        let trigger = self.some()?.rest;
        let name = trigger
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_ascii_uppercase();
        match name.as_str() {
            "ONBUILD" => return Err(Error::new("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")),
            "MAINTAINER" | "FROM" => return Err(Error::new(format!("{name} isn't allowed as an ONBUILD trigger"))),
            _ => {}
        }
        let mut text = trigger.to_owned();
        for heredoc in self.heredocs {
            text.push('\n');
            text.push_str(&heredoc.content);
            text.push_str(&heredoc.name);
        }
        // What is wrong with it is better told now than in the child's build.
        instruction(&text, self.escape)?;
        Ok(text)
    }

    fn healthcheck(&self) -> Result<Check> {
        self.flags.accept(
            &["interval", "timeout", "start-period", "start-interval", "retries"],
            &[],
        )?;
        let (kind, rest) = self
            .some()?
            .rest
            .split_once(char::is_whitespace)
            .unwrap_or((self.rest, ""));
        match kind.to_ascii_uppercase().as_str() {
            "NONE" if rest.is_empty() => return Ok(Check::None),
            "NONE" => return Err(Error::new("HEALTHCHECK NONE takes no arguments")),
            "CMD" if rest.trim().is_empty() => return Err(Error::new("Missing command after HEALTHCHECK CMD")),
            "CMD" => {}
            other => return Err(Error::new(format!("Unknown type {other:?} in HEALTHCHECK (try CMD)"))),
        }
        let test = match values::json_list(rest) {
            Some(words) => [vec!["CMD".to_owned()], words].concat(),
            None => vec!["CMD-SHELL".to_owned(), rest.trim().to_owned()],
        };
        let retries = match self.flags.text("retries")?.filter(|text| !text.is_empty()) {
            None => 0,
            Some(text) => match text.parse::<i32>() {
                Ok(count) if count < 0 => {
                    return Err(Error::new(format!("--retries cannot be negative ({count})")));
                }
                Ok(count) => i64::from(count),
                Err(_) => return Err(Error::new(format!("invalid number of retries: {text}"))),
            },
        };
        Ok(Check::Test(Health {
            test,
            interval: self.duration("interval")?,
            timeout: self.duration("timeout")?,
            start_period: self.duration("start-period")?,
            start_interval: self.duration("start-interval")?,
            retries,
        }))
    }

    fn duration(&self, flag: &str) -> Result<i64> {
        let Some(text) = self.flags.text(flag)?.filter(|text| !text.is_empty()) else {
            return Ok(0);
        };
        let nanoseconds = duration(&text).ok_or_else(|| Error::new(format!("time: invalid duration {text:?}")))?;
        if nanoseconds != 0 && nanoseconds < 1_000_000 {
            return Err(Error::new(format!("Interval {flag:?} cannot be less than 1ms")));
        }
        Ok(nanoseconds)
    }
}

/// `NAME[,required[=bool]]`, where the name may be given as `name=NAME`.
fn device(text: &str) -> Result<Device> {
    let mut device = Device::default();
    for field in text.split(',').map(str::trim) {
        let (key, value) = field.split_once('=').unwrap_or((field, ""));
        match key.to_lowercase().as_str() {
            "required" => {
                device.required = match value {
                    "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
                    "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
                    other => return Err(Error::new(format!("invalid value for required: {other}"))),
                };
            }
            "name" if !value.is_empty() => value.clone_into(&mut device.name),
            _ if key.contains('/') && device.name.is_empty() => field.clone_into(&mut device.name),
            _ => return Err(Error::new(format!("unexpected key {key:?} in {text:?}"))),
        }
    }
    match device.name.is_empty() {
        true => Err(Error::new(format!("invalid device {text:?}: it has no name"))),
        false => Ok(device),
    }
}

fn unsupported(what: &str, value: &str, known: &[&str]) -> Error {
    let message = format!("unsupported {what} {value:?}");
    Error::new(suggest::with_suggestion(message, value, known.iter().copied()))
}

/// Nanoseconds of a duration as Go writes them: `1h30m`, `1.5s`.
fn duration(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let (mut rest, mut total) = (text, 0_f64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        rest = &rest[digits..];
        let units = [
            ("ns", 1.0),
            ("us", 1e3),
            ("µs", 1e3),
            ("ms", 1e6),
            ("s", 1e9),
            ("m", 60e9),
            ("h", 3600e9),
        ];
        // The longer unit first: `ms` before `m`.
        let (unit, scale) = units
            .iter()
            .filter(|(unit, _)| rest.starts_with(unit))
            .max_by_key(|(unit, _)| unit.len())?;
        total += number * scale;
        rest = &rest[unit.len()..];
    }
    // Go's durations end at 292 years.
    #[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
    (total < 9.2e18).then_some(total as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Command {
        instruction(text, '\\').unwrap().command
    }

    fn refuse(text: &str, message: &str) {
        let error = instruction(text, '\\').unwrap_err().to_string();
        let plain = error
            .strip_prefix("dockerfile parse error on line 1: ")
            .unwrap_or(&error);
        assert_eq!(plain, message, "{text}");
    }

    #[test]
    fn commands_have_two_forms() {
        assert_eq!(
            read("CMD [\"a\", \"b c\"]"),
            Command::Cmd(Line::Exec(vec!["a".into(), "b c".into()]))
        );
        assert_eq!(read("CMD ['a']"), Command::Cmd(Line::Shell("['a']".into())));
        assert_eq!(
            read("entrypoint top -b"),
            Command::Entrypoint(Line::Shell("top -b".into()))
        );
        assert_eq!(
            read("SHELL [\"/bin/bash\",\"-c\"]"),
            Command::Shell(vec!["/bin/bash".into(), "-c".into()])
        );
        refuse("SHELL bash", "SHELL requires the arguments to be in JSON form");
    }

    #[test]
    fn stages_begin() {
        let Command::From(from) = read("FROM --platform=$BUILDPLATFORM a:1 as Base") else {
            panic!()
        };
        assert_eq!((from.image.as_str(), from.name.as_deref()), ("a:1", Some("base")));
        assert_eq!(from.platform.as_deref(), Some("$BUILDPLATFORM"));
        refuse("FROM", "FROM requires either one or three arguments");
        refuse("FROM a b", "FROM requires either one or three arguments");
        assert!(instruction("FROM a AS 1x", '\\').is_err());
    }

    #[test]
    fn copies_have_sources_and_flags() {
        let Command::Copy(copy) = read("COPY --from=b --chown=1:2 --link --exclude=*.o --exclude=x a b/ /dst/") else {
            panic!()
        };
        assert_eq!(copy.sources, [Source::Path("a".into()), Source::Path("b/".into())]);
        assert_eq!(
            (copy.destination.as_str(), copy.link, copy.excludes.len()),
            ("/dst/", true, 2)
        );
        let Command::Copy(text) = read("COPY <<one <<\"two\" /d/\n$a\none\n$b\ntwo") else {
            panic!()
        };
        assert!(matches!(&text.sources[1], Source::Text(two) if two.content == "$b\n" && !two.expand));
        let Command::Add(add) = read("ADD --checksum=sha256:00 --unpack=false http://x/y /z") else {
            panic!()
        };
        assert_eq!((add.unpack, add.checksum.as_deref()), (Some(false), Some("sha256:00")));
        refuse("COPY --nosuch=1 a /", "unknown flag: --nosuch");
        refuse("COPY --frm=1 a /", "unknown flag: --frm (did you mean from?)");
        refuse(
            "COPY a",
            "COPY requires at least two arguments, but only one was provided. Destination could not be determined",
        );
    }

    #[test]
    fn runs_have_mounts_network_and_security() {
        let Command::Run(run) = read("RUN --mount=type=cache,target=/c --network=none --security=insecure make") else {
            panic!()
        };
        assert_eq!(
            (run.network, run.security, run.mounts.len()),
            (Network::None, Security::Insecure, 1)
        );
        refuse(
            "RUN --network=hots x",
            "unsupported network mode \"hots\" (did you mean host?)",
        );
        refuse("RUN", "RUN requires at least one argument");
    }

    #[test]
    fn health_checks() {
        let Command::Healthcheck(Check::Test(health)) =
            read("HEALTHCHECK --interval=1m30s --timeout=500ms --retries=5 CMD curl -f /")
        else {
            panic!()
        };
        assert_eq!(health.test, ["CMD-SHELL", "curl -f /"]);
        assert_eq!(
            (health.interval, health.timeout, health.retries),
            (90_000_000_000, 500_000_000, 5)
        );
        assert_eq!(read("healthcheck none"), Command::Healthcheck(Check::None));
        refuse("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments");
        refuse("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD");
        refuse("HEALTHCHECK FOO x", "Unknown type \"FOO\" in HEALTHCHECK (try CMD)");
        refuse(
            "HEALTHCHECK --interval=1ns CMD x",
            "Interval \"interval\" cannot be less than 1ms",
        );
    }

    #[test]
    fn the_others() {
        assert_eq!(
            read("ARG A B=2"),
            Command::Arg(vec![
                Argument {
                    name: "A".into(),
                    default: None
                },
                Argument {
                    name: "B".into(),
                    default: Some("2".into())
                }
            ])
        );
        assert_eq!(read("VOLUME [\"/a b\"]"), Command::Volume(vec!["/a b".into()]));
        assert_eq!(read("VOLUME /a /b"), Command::Volume(vec!["/a".into(), "/b".into()]));
        assert_eq!(read("ONBUILD RUN x"), Command::Onbuild("RUN x".into()));
        refuse(
            "ONBUILD ONBUILD RUN x",
            "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
        );
        refuse("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger");
        refuse("RUNN echo", "unknown instruction: RUNN (did you mean RUN?)");
        refuse("NOPE x", "unknown instruction: NOPE (did you mean COPY?)");
        refuse("USER", "USER requires exactly one argument");
        refuse("ENV A", "ENV must have two arguments");
    }
}
