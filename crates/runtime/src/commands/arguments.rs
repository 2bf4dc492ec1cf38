//! Flags as runc knows them: `--name value`, `--name=value`, `-n value`, one dash or two.

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::context::invalid;
use crate::error::Result;

/// A flag that a command takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flag {
    /// Its long name.
    pub(super) name: &'static str,
    /// Its one-letter name, or nothing.
    pub(super) short: &'static str,
    /// Whether it has a value.
    pub(super) takes: Takes,
    /// What it is for.
    pub(super) help: &'static str,
}

/// Whether a flag has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// It is there or not.
    Nothing,
    /// One; the last counts.
    Value,
}

/// Declares a flag without a value.
pub(super) const fn switch(name: &'static str, short: &'static str, help: &'static str) -> Flag {
    Flag {
        name,
        short,
        takes: Takes::Nothing,
        help,
    }
}

/// Declares a flag with a value.
pub(super) const fn value(name: &'static str, short: &'static str, help: &'static str) -> Flag {
    Flag {
        name,
        short,
        takes: Takes::Value,
        help,
    }
}

/// Where flags may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Before the first argument that is none; the rest belongs to another command.
    First,
    /// Anywhere before `--`.
    Mixed,
}

/// Arguments, sorted.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    flags: BTreeMap<&'static str, Vec<String>>,
    /// What is no flag.
    pub(super) rest: Vec<String>,
}

impl Parsed {
    /// Sorts a command's arguments.
    pub(super) fn new(args: impl IntoIterator<Item = OsString>, known: &[Flag], order: Order) -> Result<Self> {
        let mut parsed = Self::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let arg = text(arg)?;
            let Some(flag) = arg.strip_prefix('-').filter(|flag| !flag.is_empty()) else {
                parsed.rest.push(arg);
                if order == Order::First {
                    break;
                }
                continue;
            };
            if flag == "-" {
                break;
            }
            parsed.add(flag.strip_prefix('-').unwrap_or(flag), known, &mut args)?;
        }
        for arg in args {
            parsed.rest.push(text(arg)?);
        }
        Ok(parsed)
    }

    fn add(&mut self, word: &str, known: &[Flag], args: &mut impl Iterator<Item = OsString>) -> Result<()> {
        let (name, given) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word, None),
        };
        let is = |flag: &&Flag| flag.name == name || (!flag.short.is_empty() && flag.short == name);
        let flag = known.iter().find(is);
        let flag = flag.ok_or_else(|| invalid(format!("flag provided but not defined: -{name}")))?;
        let value = match (flag.takes, given) {
            (_, Some(value)) => value,
            (Takes::Nothing, None) => "true".into(),
            (Takes::Value, None) => match args.next() {
                Some(value) => text(value)?,
                None => return Err(invalid(format!("flag needs an argument: -{name}"))),
            },
        };
        self.flags.entry(flag.name).or_default().push(value);
        Ok(())
    }

    /// Whether a switch is on.
    pub(super) fn has(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value != "false" && value != "0")
    }

    /// The last value of a flag.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.flags.get(name)?.last().map(String::as_str)
    }

    /// All values of a flag.
    pub(super) fn values(&self, name: &str) -> &[String] {
        self.flags.get(name).map_or(&[], Vec::as_slice)
    }

    /// A flag's value as a number.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let wrong = |_| invalid(format!("invalid value {value:?} for flag -{name}"));
        value.parse().map(Some).map_err(wrong)
    }

    /// The container's id, the first argument.
    pub(super) fn id(&self, command: &str) -> Result<&str> {
        let missing = || invalid(format!("{command:?} requires the container's id"));
        self.rest.first().map(String::as_str).ok_or_else(missing)
    }
}

fn text(arg: OsString) -> Result<String> {
    arg.into_string()
        .map_err(|arg| invalid(format!("argument {arg:?} isn't UTF-8")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[value("bundle", "b", ""), switch("detach", "d", "")];

    fn parse(line: &str, order: Order) -> Result<Parsed> {
        Parsed::new(line.split_whitespace().map(OsString::from), FLAGS, order)
    }

    #[test]
    fn flags_are_found_in_every_form() {
        for line in [
            "-b x id",
            "--bundle x id",
            "--bundle=x id",
            "-bundle=y -b=x id",
            "id -b x",
        ] {
            let parsed = parse(line, Order::Mixed).unwrap();
            assert_eq!(parsed.value("bundle"), Some("x"), "{line}");
            assert_eq!(parsed.id("run").unwrap(), "id", "{line}");
            assert!(!parsed.has("detach"));
        }
    }

    #[test]
    fn what_follows_belongs_to_the_program() {
        let parsed = parse("-d id -b x -- y", Order::First).unwrap();
        assert_eq!(parsed.rest, ["id", "-b", "x", "--", "y"]);
        assert!(parsed.has("detach"));
        assert!(!parse("-d=false id", Order::First).unwrap().has("detach"));
    }

    #[test]
    fn mistakes_are_told() {
        for line in ["--nope", "-b", "--detach=1 --x=y"] {
            assert!(parse(line, Order::Mixed).is_err(), "{line}");
        }
    }
}
