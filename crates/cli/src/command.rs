//! What a command is: one table feeds the parser, the help texts and completion.
//!
//! A command's place in the tree and its names are in the [`Entry`] that leads to it, since the same
//! command is reached in several ways (`ps`, `container ls`).

use crate::{cli::Cli, error::Result, flags::Matches};

/// What runs when a command is chosen.
pub(crate) type Run = fn(&Cli, &Matches) -> Result<()>;

/// A command or a group of commands.
pub(crate) struct Command {
    /// What follows its name in the usage line; empty for groups.
    pub(crate) arguments: &'static str,
    /// What it does, in a few words.
    pub(crate) about: &'static str,
    /// Every way to call it, without the program's name; empty when there is only one.
    pub(crate) paths: &'static [&'static str],
    /// How many arguments it takes.
    pub(crate) arity: Arity,
    /// Its flags.
    pub(crate) flags: &'static [&'static [Flag]],
    /// Whether flags may come after arguments.
    pub(crate) interspersed: bool,
    /// What it does.
    pub(crate) action: Action,
}

/// What a command does.
pub(crate) enum Action {
    /// Runs.
    Run(Run),
    /// Leads to other commands.
    Group(&'static [Entry]),
    /// Is refused whatever its arguments are: why, and what to do instead.
    Refused(&'static str),
}

/// A name and where it leads.
pub(crate) struct Entry {
    /// The name and its synonyms in this place.
    pub(crate) names: &'static [&'static str],
    /// The heading that it stands under in help; empty to hide it.
    pub(crate) section: &'static str,
    /// What it is.
    pub(crate) command: &'static Command,
}

/// How many arguments a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arity {
    /// Any number.
    Any,
    /// None at all.
    None,
    /// Just so many.
    Exactly(usize),
    /// So many or more.
    AtLeast(usize),
    /// So many or fewer.
    AtMost(usize),
    /// From so many to so many.
    Between(usize, usize),
}

/// Refuses a value, in the words for the user.
pub(crate) type Check = fn(&str) -> std::result::Result<(), String>;

/// A flag.
#[derive(Clone, Copy)]
pub(crate) struct Flag {
    /// Its name, without dashes.
    pub(crate) long: &'static str,
    /// Its letter.
    pub(crate) short: Option<char>,
    /// What its value is called in help; empty for switches.
    pub(crate) kind: &'static str,
    /// Whether it is a switch.
    pub(crate) switch: bool,
    /// Refuses bad values.
    pub(crate) check: Option<Check>,
    /// Its value when it is not given.
    pub(crate) default: &'static str,
    /// What help says about that, when it is not the value itself.
    pub(crate) shown_default: &'static str,
    /// What it does.
    pub(crate) about: &'static str,
    /// Whether help leaves it out.
    pub(crate) hidden: bool,
    /// The flag that it is another name of.
    pub(crate) same_as: Option<&'static str>,
    /// What to say to those who still use it.
    pub(crate) deprecated: Option<&'static str>,
    /// Whether only an engine on Windows knows it.
    pub(crate) windows: bool,
}

impl Flag {
    const fn new(long: &'static str, kind: &'static str, about: &'static str) -> Self {
        Self {
            long,
            short: None,
            kind,
            switch: false,
            check: None,
            default: "",
            shown_default: "",
            about,
            hidden: false,
            same_as: None,
            deprecated: None,
            windows: false,
        }
    }

    /// A switch, off by default.
    pub(crate) const fn switch(long: &'static str, about: &'static str) -> Self {
        let mut flag = Self::new(long, "", about);
        flag.switch = true;
        flag.default = "false";
        flag.check = Some(crate::opts::number::check_bool);
        flag
    }

    /// A switch, on by default.
    pub(crate) const fn switch_on(long: &'static str, about: &'static str) -> Self {
        let mut flag = Self::switch(long, about);
        flag.default = "true";
        flag.shown_default = "true";
        flag
    }

    /// A text.
    pub(crate) const fn string(long: &'static str, about: &'static str) -> Self {
        Self::new(long, "string", about)
    }

    /// A number.
    pub(crate) const fn int(long: &'static str, about: &'static str) -> Self {
        Self::new(long, "int", about).checked(crate::opts::number::check_int)
    }

    /// Texts; the flag may be repeated.
    pub(crate) const fn list(long: &'static str, about: &'static str) -> Self {
        Self::new(long, "list", about)
    }

    /// A value of another kind.
    pub(crate) const fn value(long: &'static str, kind: &'static str, check: Check, about: &'static str) -> Self {
        Self::new(long, kind, about).checked(check)
    }

    /// `name=value` pairs; the flag may be repeated.
    pub(crate) const fn map(long: &'static str, about: &'static str) -> Self {
        Self::new(long, "map", about).shown("map[]")
    }

    /// Comma-separated texts; the flag may be repeated.
    pub(crate) const fn strings(long: &'static str, about: &'static str) -> Self {
        Self::new(long, "strings", about)
    }

    /// A list filter.
    pub(crate) const fn filter(about: &'static str) -> Self {
        Self::new("filter", "filter", about).checked(crate::opts::filter::check)
    }

    pub(crate) const fn short(mut self, letter: char) -> Self {
        self.short = Some(letter);
        self
    }

    pub(crate) const fn checked(mut self, check: Check) -> Self {
        self.check = Some(check);
        self
    }

    pub(crate) const fn default(mut self, value: &'static str) -> Self {
        self.default = value;
        self.shown_default = value;
        self
    }

    /// What help shows as the default.
    pub(crate) const fn shown(mut self, text: &'static str) -> Self {
        self.shown_default = text;
        self
    }

    pub(crate) const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    pub(crate) const fn same_as(mut self, other: &'static str) -> Self {
        self.same_as = Some(other);
        self.hidden = true;
        self
    }

    pub(crate) const fn deprecated(mut self, text: &'static str) -> Self {
        self.deprecated = Some(text);
        self.hidden = true;
        self
    }

    /// Only an engine on Windows knows it.
    pub(crate) const fn windows(mut self) -> Self {
        self.windows = true;
        self.hidden = true;
        self
    }

    /// How messages name it: `-f, --filter` or `--filter`.
    pub(crate) fn display(&self) -> String {
        match self.short {
            Some(letter) => format!("-{letter}, --{}", self.long),
            None => format!("--{}", self.long),
        }
    }
}

impl Command {
    /// A command with flags anywhere and any number of arguments.
    pub(crate) const fn new(arguments: &'static str, about: &'static str, run: Run) -> Self {
        Self {
            arguments,
            about,
            paths: &[],
            arity: Arity::Any,
            flags: &[],
            interspersed: true,
            action: Action::Run(run),
        }
    }

    /// A group of commands.
    pub(crate) const fn group(about: &'static str, entries: &'static [Entry]) -> Self {
        Self {
            arguments: "",
            about,
            paths: &[],
            arity: Arity::None,
            flags: &[],
            interspersed: false,
            action: Action::Group(entries),
        }
    }

    /// A command of Docker's that is not there: why, and what to do instead.
    pub(crate) const fn refused(about: &'static str, why: &'static str) -> Self {
        Self {
            arguments: "",
            about,
            paths: &[],
            arity: Arity::Any,
            flags: &[],
            interspersed: false,
            action: Action::Refused(why),
        }
    }

    pub(crate) const fn paths(mut self, paths: &'static [&'static str]) -> Self {
        self.paths = paths;
        self
    }

    pub(crate) const fn arity(mut self, arity: Arity) -> Self {
        self.arity = arity;
        self
    }

    pub(crate) const fn flags(mut self, flags: &'static [&'static [Flag]]) -> Self {
        self.flags = flags;
        self
    }

    /// Flags end at the first argument.
    pub(crate) const fn flags_first(mut self) -> Self {
        self.interspersed = false;
        self
    }

    /// Every flag.
    pub(crate) fn all_flags(&self) -> impl Iterator<Item = &'static Flag> {
        self.flags.iter().flat_map(|group| group.iter())
    }

    /// The flag of that name.
    pub(crate) fn flag(&self, long: &str) -> Option<&'static Flag> {
        self.all_flags().find(|f| f.long == long)
    }

    /// The entries of a group.
    pub(crate) fn entries(&self) -> &'static [Entry] {
        match self.action {
            Action::Group(entries) => entries,
            Action::Run(_) | Action::Refused(_) => &[],
        }
    }

    /// Finds a command of a group.
    pub(crate) fn find(&self, name: &str) -> Option<&'static Entry> {
        self.entries().iter().find(|e| e.names.contains(&name))
    }
}

impl Entry {
    /// A command that help shows under "Commands".
    pub(crate) const fn new(names: &'static [&'static str], command: &'static Command) -> Self {
        Self {
            names,
            section: "Commands",
            command,
        }
    }

    /// Puts it under another heading.
    pub(crate) const fn section(mut self, section: &'static str) -> Self {
        self.section = section;
        self
    }
}
