//! The table of options: dockerd's flags and `daemon.json` keys, which values they take, and how
//! far this engine follows them.
//!
//! Everything else is made from this table: the flags, their help, the keys of the file, the
//! checks for conflicts. An option that dockerd knows and this engine does not follow is refused
//! with a sentence, unless it asks for what happens anyway.

mod table;

pub(crate) use table::OPTIONS;

/// What an option's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    /// `true` or `false`; the flag alone means true.
    Bool,
    /// Text.
    Text,
    /// A whole number.
    Number,
    /// A number of bytes: `64m`.
    Bytes,
    /// Texts; the flag may be repeated.
    List,
    /// `name=value`; the flag may be repeated.
    Map,
    /// `group=name=value`; the flag may be repeated.
    Maps,
    /// `base=CIDR,size=BITS`; the flag may be repeated.
    Pools,
    /// `name=soft[:hard]`; the flag may be repeated.
    Ulimits,
}

/// How far the engine follows an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Support {
    /// It does what it says.
    Full,
    /// Only these values (as Go prints them) can be had.
    Only(&'static [&'static str], &'static str),
    /// It is accepted, and the reason why it changes nothing is logged.
    NoEffect(&'static str),
    /// dockerd had it once.
    Removed(&'static str),
    /// It cannot be had at all.
    None,
}

/// One option.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OptionSpec {
    /// The flag's long name; empty for keys without one.
    pub(crate) flag: &'static str,
    /// The flag's letter.
    pub(crate) short: Option<char>,
    /// The key in `daemon.json`; empty for flags without one.
    pub(crate) key: &'static str,
    /// What its value is.
    pub(crate) kind: Type,
    /// Whether the engine follows it.
    pub(crate) support: Support,
    /// Whether `SIGHUP` applies a new value.
    pub(crate) reload: bool,
    /// What it is for.
    pub(crate) help: &'static str,
}

/// The option with a key, by which values are kept.
pub(crate) fn by_key(key: &str) -> Option<&'static OptionSpec> {
    OPTIONS.iter().find(|option| option.key == key)
}

impl OptionSpec {
    /// The name that values are kept under: the key, or the flag for flags without one.
    pub(crate) fn name(&self) -> &'static str {
        if self.key.is_empty() { self.flag } else { self.key }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique() {
        let flags: Vec<_> = OPTIONS.iter().map(|o| o.flag).filter(|flag| !flag.is_empty()).collect();
        assert_eq!(flags.len(), flags.iter().collect::<BTreeSet<_>>().len());
        let keys: Vec<_> = OPTIONS.iter().map(|o| o.key).filter(|key| !key.is_empty()).collect();
        assert_eq!(keys.len(), keys.iter().collect::<BTreeSet<_>>().len());
        assert_eq!(flags.len(), 87, "dockerd 28.5.2 has 87 flags");
    }
}
