//! Reads arguments as Docker's command line does (the rules of Go's pflag), with its error texts.

use crate::command::{Arity, Command, Flag};

/// What was given.
#[derive(Debug, Clone, Default)]
pub(crate) struct Matches {
    values: Vec<(&'static str, String)>,
    defaults: Vec<(&'static str, &'static str)>,
    /// The arguments that are no flags.
    pub(crate) args: Vec<String>,
    /// How the command was called: `docker container ls`.
    pub(crate) path: String,
    /// Remarks on deprecated flags.
    pub(crate) remarks: Vec<String>,
    /// Whether help was asked for.
    pub(crate) help: bool,
    /// The flags of the group that the command is in.
    pub(crate) group: Option<Box<Matches>>,
}

impl Matches {
    /// Whether the flag was given.
    pub(crate) fn given(&self, long: &str) -> bool {
        self.values.iter().any(|(name, _)| *name == long)
    }

    /// The flag's last value, or its default.
    pub(crate) fn get(&self, long: &str) -> &str {
        match self.values.iter().rev().find(|(name, _)| *name == long) {
            Some((_, value)) => value,
            None => self
                .defaults
                .iter()
                .find(|(name, _)| *name == long)
                .map_or("", |(_, value)| value),
        }
    }

    /// The flag's value if it was given.
    pub(crate) fn opt(&self, long: &str) -> Option<&str> {
        self.given(long).then(|| self.get(long))
    }

    /// Whether the switch is on.
    pub(crate) fn on(&self, long: &str) -> bool {
        crate::opts::number::parse_bool(self.get(long)).unwrap_or(false)
    }

    /// Every value of a flag that may be repeated.
    pub(crate) fn all(&self, long: &str) -> Vec<&str> {
        self.values
            .iter()
            .filter(|(name, _)| *name == long)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// Every value of a flag with comma-separated texts.
    pub(crate) fn strings(&self, long: &str) -> Vec<String> {
        self.all(long)
            .into_iter()
            .filter(|v| !v.is_empty())
            .flat_map(|v| crate::opts::csv::fields(v).unwrap_or_else(|_| vec![v.to_owned()]))
            .collect()
    }

    /// The flag's value as a number; 0 when it was not given.
    pub(crate) fn int(&self, long: &str) -> i64 {
        crate::opts::number::parse_int(self.get(long)).unwrap_or(0)
    }

    /// The flag's value in bytes; 0 when it was not given.
    pub(crate) fn bytes(&self, long: &str) -> i64 {
        crate::opts::size::parse(self.get(long)).unwrap_or(0)
    }

    /// The flags of the group that the command is in; its own when it is in none.
    pub(crate) fn parent(&self) -> &Self {
        self.group.as_deref().unwrap_or(self)
    }

    /// The flags that were given, as words that give them again.
    pub(crate) fn words(&self) -> Vec<String> {
        let given = self.values.iter();
        given.map(|(name, value)| format!("--{name}={value}")).collect()
    }

    /// The argument there, or nothing.
    pub(crate) fn arg(&self, index: usize) -> &str {
        self.args.get(index).map_or("", String::as_str)
    }
}

/// Takes arguments apart by a command's flags.
///
/// # Errors
/// The text for the user, without the usage line.
pub(crate) fn parse(command: &Command, path: String, args: &[String]) -> Result<Matches, String> {
    let mut parser = Parser {
        command,
        matches: Matches {
            path,
            defaults: command
                .all_flags()
                .filter(|f| !f.default.is_empty())
                .map(|f| (f.long, f.default))
                .collect(),
            ..Matches::default()
        },
    };
    let mut rest = args;
    while let Some((arg, after)) = rest.split_first() {
        rest = after;
        match arg.as_str() {
            "--" => {
                parser.matches.args.extend_from_slice(rest);
                break;
            }
            long if long.starts_with("--") => rest = parser.long(long, rest)?,
            short if short.len() > 1 && short.starts_with('-') => rest = parser.shorts(short, rest)?,
            _ => {
                parser.matches.args.push(arg.clone());
                if !command.interspersed {
                    parser.matches.args.extend_from_slice(rest);
                    break;
                }
            }
        }
        if parser.matches.help {
            break;
        }
    }
    Ok(parser.matches)
}

struct Parser<'a> {
    command: &'a Command,
    matches: Matches,
}

impl Parser<'_> {
    /// `--name`, `--name=value`, `--name value`.
    fn long<'a>(&mut self, arg: &str, rest: &'a [String]) -> Result<&'a [String], String> {
        let text = &arg[2..];
        if text.starts_with('-') || text.starts_with('=') {
            return Err(format!("bad flag syntax: {arg}"));
        }
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let Some(flag) = self.command.flag(name) else {
            if name == "help" {
                self.matches.help = value.is_none_or(|v| v == "true");
                return Ok(rest);
            }
            return Err(format!("unknown flag: --{name}"));
        };
        if flag.long == "help" {
            self.matches.help = true;
            return Ok(rest);
        }
        match (value, flag.switch) {
            (Some(value), _) => self.set(flag, value)?,
            (None, true) => self.set(flag, "true")?,
            (None, false) => {
                let Some((value, rest)) = rest.split_first() else {
                    return Err(format!("flag needs an argument: --{name}"));
                };
                self.set(flag, value)?;
                return Ok(rest);
            }
        }
        Ok(rest)
    }

    /// `-a`, `-abc`, `-ovalue`, `-o=value`, `-o value`.
    fn shorts<'a>(&mut self, arg: &str, rest: &'a [String]) -> Result<&'a [String], String> {
        let mut letters = arg[1..].chars();
        while let Some(letter) = letters.next() {
            let shown = format!("-{letter}{}", letters.as_str());
            let Some(flag) = self.command.all_flags().find(|f| f.short == Some(letter)) else {
                if letter == 'h' {
                    self.matches
                        .remarks
                        .push("Flag shorthand -h has been deprecated, use --help".to_owned());
                    self.matches.help = true;
                    return Ok(rest);
                }
                return Err(format!("unknown shorthand flag: '{letter}' in {shown}"));
            };
            let after = letters.as_str();
            if let Some(value) = after.strip_prefix('=') {
                self.set(flag, value)?;
                return Ok(rest);
            }
            if flag.switch {
                self.set(flag, "true")?;
                continue;
            }
            if !after.is_empty() {
                self.set(flag, after)?;
                return Ok(rest);
            }
            let Some((value, rest)) = rest.split_first() else {
                return Err(format!("flag needs an argument: '{letter}' in {shown}"));
            };
            self.set(flag, value)?;
            return Ok(rest);
        }
        Ok(rest)
    }

    fn set(&mut self, flag: &'static Flag, value: &str) -> Result<(), String> {
        if let Some(check) = flag.check {
            check(value).map_err(|error| {
                format!(
                    "invalid argument {} for \"{}\" flag: {error}",
                    crate::opts::quote(value),
                    flag.display()
                )
            })?;
        }
        if let Some(text) = flag.deprecated {
            self.matches
                .remarks
                .push(format!("Flag --{} has been deprecated, {text}", flag.long));
        }
        self.matches
            .values
            .push((flag.same_as.unwrap_or(flag.long), value.to_owned()));
        Ok(())
    }
}

/// Checks the number of arguments.
///
/// # Errors
/// The text for the user, with the usage line.
pub(crate) fn check_arity(program: &str, command: &Command, matches: &Matches) -> Result<(), String> {
    let count = matches.args.len();
    let plural = |n: usize| if n == 1 { "argument" } else { "arguments" };
    let (fits, wants, hint) = match command.arity {
        Arity::Any => return Ok(()),
        Arity::None => (count == 0, "accepts no arguments".to_owned(), "Run"),
        Arity::Exactly(n) => (count == n, format!("requires {n} {}", plural(n)), "Run"),
        Arity::AtLeast(n) => (count >= n, format!("requires at least {n} {}", plural(n)), "See"),
        // Docker's own spelling, which scripts and golden texts know.
        Arity::AtMost(n) => (count <= n, format!("requires at most {n} {}", plural(n)), "SRun"),
        Arity::Between(min, max) => (
            (min..=max).contains(&count),
            format!("requires at least {min} and at most {max} {}", plural(max)),
            "Run",
        ),
    };
    if fits {
        return Ok(());
    }
    let path = &matches.path;
    Err(format!(
        "{program}: '{path}' {wants}\n\nUsage:  {}\n\n{hint} '{path} --help' for more information",
        usage(path, command)
    ))
}

/// The usage line.
pub(crate) fn usage(path: &str, command: &Command) -> String {
    if command.arguments.is_empty() {
        path.to_owned()
    } else {
        // Some commands are called in more than one way.
        let lines: Vec<_> = command.arguments.lines().map(|line| format!("{path} {line}")).collect();
        lines.join("\n\t")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::Cli, error::Result as Outcome};

    fn nothing(_: &Cli, _: &Matches) -> Outcome<()> {
        Ok(())
    }

    static TEST: Command = Command::new("[OPTIONS] IMAGE", "", nothing)
        .arity(Arity::AtLeast(1))
        .flags_first()
        .flags(&[&[
            Flag::switch("interactive", "").short('i'),
            Flag::switch("tty", "").short('t'),
            Flag::switch("rm", ""),
            Flag::list("publish", "").short('p'),
            Flag::list("env", "").short('e'),
            Flag::int("time", "")
                .same_as("timeout")
                .deprecated("use --timeout instead"),
            Flag::int("timeout", "").short('T').default("10"),
        ]]);

    fn args(line: &str) -> Vec<String> {
        line.split(' ').filter(|a| !a.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn reads_flags_as_pflag() {
        let m = parse(
            &TEST,
            "x".into(),
            &args("-itp80:80 --rm=false --env= -p=1 --publish 2 img -x -- y"),
        )
        .unwrap();
        assert!(m.on("interactive") && m.on("tty") && !m.on("rm") && m.given("rm"));
        assert_eq!(m.all("publish"), ["80:80", "1", "2"]);
        assert_eq!(m.all("env"), [""]);
        assert_eq!(m.args, ["img", "-x", "--", "y"]);
        assert_eq!(m.get("timeout"), "10");
        let m = parse(&TEST, "x".into(), &args("--time 5 -- -it")).unwrap();
        assert_eq!((m.int("timeout"), m.args.as_slice()), (5, &["-it".to_owned()][..]));
        assert_eq!(m.remarks, ["Flag --time has been deprecated, use --timeout instead"]);
    }

    #[test]
    fn refuses_in_pflags_words() {
        let check = |line: &str, expected: &str| {
            assert_eq!(parse(&TEST, "x".into(), &args(line)).unwrap_err(), expected, "{line}");
        };
        check("--nope", "unknown flag: --nope");
        check("-Z", "unknown shorthand flag: 'Z' in -Z");
        check("-iZt", "unknown shorthand flag: 'Z' in -Zt");
        check("--publish", "flag needs an argument: --publish");
        check("-ip", "flag needs an argument: 'p' in -p");
        check("--=", "bad flag syntax: --=");
        check(
            "--rm=foo",
            "invalid argument \"foo\" for \"--rm\" flag: strconv.ParseBool: parsing \"foo\": invalid syntax",
        );
        check(
            "-T x",
            "invalid argument \"x\" for \"-T, --timeout\" flag: strconv.ParseInt: parsing \"x\": invalid syntax",
        );
    }

    #[test]
    fn checks_arity() {
        let m = parse(&TEST, "docker x".into(), &[]).unwrap();
        assert_eq!(
            check_arity("docker", &TEST, &m).unwrap_err(),
            "docker: 'docker x' requires at least 1 argument\n\nUsage:  docker x [OPTIONS] IMAGE\n\nSee 'docker x --help' for more information"
        );
    }
}
