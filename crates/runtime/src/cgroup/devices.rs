//! Which devices a container may use: rules of the runtime specification, made plain.
//!
//! Rules are read in order and the last that matches wins, for each of read, write and mknod by
//! itself. Version 1 takes them as writes to `devices.allow` and `devices.deny`, version 2 as a
//! program (see [`super::device_program`]).

use std::fmt;

use corten_oci::runtime::DeviceCgroup;

use crate::error::{Error, Kind, Result};

/// What decides about devices: a word for all of them and the exceptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Whether what no rule matches is allowed.
    pub(crate) allow: bool,
    /// The exceptions; later ones win.
    pub(crate) rules: Vec<Rule>,
}

/// One exception.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) allow: bool,
    pub(crate) class: Class,
    /// All when none.
    pub(crate) major: Option<u32>,
    /// All when none.
    pub(crate) minor: Option<u32>,
    pub(crate) access: Access,
}

/// Character or block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Character,
    Block,
}

/// A set of read, write and mknod, in the bits of `BPF_DEVCG_ACC_…` (`linux/bpf.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access(pub(crate) u8);

impl Access {
    const MKNOD: u8 = 1;
    const READ: u8 = 2;
    const WRITE: u8 = 4;
    pub(crate) const ALL: Self = Self(Self::MKNOD | Self::READ | Self::WRITE);

    fn parse(letters: &str) -> Option<Self> {
        let bit = |letter| match letter {
            'r' => Some(Self::READ),
            'w' => Some(Self::WRITE),
            'm' => Some(Self::MKNOD),
            _ => None,
        };
        letters
            .chars()
            .try_fold(0, |bits, letter| Some(bits | bit(letter)?))
            .map(Self)
    }
}

/// What every container may use, whatever its rules: making nodes (a node alone gives no access), the
/// devices the specification promises (config-linux.md "Default Devices"), terminals and, as with
/// runc, `/dev/net/tun`.
const ALWAYS: [(Option<u32>, Option<u32>, Access); 10] = [
    (None, None, Access(Access::MKNOD)),
    (Some(1), Some(3), Access::ALL),
    (Some(1), Some(5), Access::ALL),
    (Some(1), Some(7), Access::ALL),
    (Some(1), Some(8), Access::ALL),
    (Some(1), Some(9), Access::ALL),
    (Some(5), Some(0), Access::ALL),
    (Some(5), Some(2), Access::ALL),
    (Some(136), None, Access::ALL),
    (Some(10), Some(200), Access::ALL),
];

impl Policy {
    /// Reads the specification's rules, and adds what every container may use.
    pub(crate) fn parse(rules: &[DeviceCgroup]) -> Result<Self> {
        let mut policy = Self {
            allow: false,
            rules: Vec::new(),
        };
        for rule in rules {
            policy.add(rule)?;
        }
        if !policy.allow || !policy.rules.is_empty() {
            policy.rules.push(Rule {
                allow: true,
                class: Class::Block,
                major: None,
                minor: None,
                access: Access(Access::MKNOD),
            });
            let character = |(major, minor, access)| Rule {
                allow: true,
                class: Class::Character,
                major,
                minor,
                access,
            };
            policy.rules.extend(ALWAYS.map(character));
        }
        policy.drop_idle();
        Ok(policy)
    }

    fn add(&mut self, rule: &DeviceCgroup) -> Result<()> {
        let access = rule.access.as_deref().filter(|access| !access.is_empty());
        let access = access
            .map_or(Some(Access::ALL), Access::parse)
            .ok_or_else(|| invalid(rule, "access"))?;
        let (major, minor) = (
            number(rule.major).ok_or_else(|| invalid(rule, "major number"))?,
            number(rule.minor).ok_or_else(|| invalid(rule, "minor number"))?,
        );
        let classes: &[Class] = match rule.kind.as_deref() {
            None | Some("" | "a") => &[Class::Character, Class::Block],
            Some("c" | "u") => &[Class::Character],
            Some("b") => &[Class::Block],
            Some(_) => return Err(invalid(rule, "type")),
        };
        if classes.len() == 2 && access == Access::ALL && major.is_none() && minor.is_none() {
            self.allow = rule.allow;
            self.rules.clear();
            return Ok(());
        }
        let rules = classes.iter().map(|&class| Rule {
            allow: rule.allow,
            class,
            major,
            minor,
            access,
        });
        self.rules.extend(rules);
        Ok(())
    }

    /// Leaves out rules that change nothing: each is a write, or some instructions at every open.
    fn drop_idle(&mut self) {
        let mut kept: Vec<Rule> = Vec::with_capacity(self.rules.len());
        for rule in self.rules.drain(..) {
            let before = kept.iter().rev().find(|earlier| earlier.overlaps(&rule));
            let idle = match before {
                Some(earlier) => earlier.allow == rule.allow && earlier.covers(&rule),
                None => rule.allow == self.allow,
            };
            if !idle {
                kept.push(rule);
            }
        }
        self.rules = kept;
    }

    /// The writes that bring a v1 cgroup to this policy: file and value.
    ///
    /// # Errors
    /// `Unsupported` for an exception to an exception, which version 1 cannot hold.
    pub(crate) fn writes(&self) -> Result<Vec<(&'static str, String)>> {
        let file = |allow| if allow { "devices.allow" } else { "devices.deny" };
        let mut writes = vec![(file(self.allow), "a".to_owned())];
        for (index, rule) in self.rules.iter().enumerate() {
            let inexpressible = rule.allow == self.allow
                && self.rules[..index].iter().any(|earlier| {
                    earlier.allow != self.allow && earlier.overlaps(rule) && !earlier.same_devices(rule)
                });
            if inexpressible {
                let message = format!(
                    "device rule \"{rule}\" is an exception to a wider rule before it, which cgroup v1 cannot hold"
                );
                return Err(Error::new(Kind::Unsupported, message));
            }
            writes.push((file(rule.allow), rule.to_string()));
        }
        Ok(writes)
    }
}

impl Rule {
    fn same_devices(&self, other: &Self) -> bool {
        (self.class, self.major, self.minor) == (other.class, other.major, other.minor)
    }

    /// Whether some use of some device is matched by both.
    fn overlaps(&self, other: &Self) -> bool {
        let meet = |one: Option<u32>, two: Option<u32>| one.is_none() || two.is_none() || one == two;
        self.class == other.class
            && meet(self.major, other.major)
            && meet(self.minor, other.minor)
            && self.access.0 & other.access.0 != 0
    }

    /// Whether every use matched by the other is matched by this one.
    fn covers(&self, other: &Self) -> bool {
        let holds = |one: Option<u32>, two: Option<u32>| one.is_none() || one == two;
        self.class == other.class
            && holds(self.major, other.major)
            && holds(self.minor, other.minor)
            && other.access.0 & !self.access.0 == 0
    }
}

/// The kernel's spelling: `c 1:3 rwm`.
impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = match self.class {
            Class::Character => 'c',
            Class::Block => 'b',
        };
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
        write!(formatter, "{class} {}:{} ", number(self.major), number(self.minor))?;
        for (bit, letter) in [(Access::READ, "r"), (Access::WRITE, "w"), (Access::MKNOD, "m")] {
            if self.access.0 & bit != 0 {
                formatter.write_str(letter)?;
            }
        }
        Ok(())
    }
}

/// A device number; none for all of them (absent or -1), nothing for what is no number.
fn number(value: Option<i64>) -> Option<Option<u32>> {
    match value {
        None | Some(-1) => Some(None),
        Some(value) => u32::try_from(value)
            .ok()
            .filter(|&value| i32::try_from(value).is_ok())
            .map(Some),
    }
}

fn invalid(rule: &DeviceCgroup, what: &str) -> Error {
    Error::new(Kind::Invalid, format!("invalid device rule {rule:?}: bad {what}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(json: &str) -> Policy {
        Policy::parse(&serde_json::from_str::<Vec<DeviceCgroup>>(json).unwrap()).unwrap()
    }

    /// Judges one use by the rules as the specification words them.
    pub(crate) fn judge(allow: bool, rules: &[Rule], class: Class, major: u32, minor: u32, access: u8) -> bool {
        [Access::READ, Access::WRITE, Access::MKNOD]
            .iter()
            .filter(|&&bit| access & bit != 0)
            .all(|&bit| {
                let one = Rule {
                    allow: true,
                    class,
                    major: Some(major),
                    minor: Some(minor),
                    access: Access(bit),
                };
                rules
                    .iter()
                    .rev()
                    .find(|rule| rule.covers(&one))
                    .map_or(allow, |rule| rule.allow)
            })
    }

    pub(crate) fn any_rule() -> impl Strategy<Value = Rule> {
        let number = || prop_oneof![Just(None), (0_u32..3).prop_map(Some)];
        (any::<bool>(), any::<bool>(), number(), number(), 1_u8..8).prop_map(|(allow, block, major, minor, access)| {
            Rule {
                allow,
                class: if block { Class::Block } else { Class::Character },
                major,
                minor,
                access: Access(access),
            }
        })
    }

    #[test]
    fn an_ordinary_container() {
        let policy = parse(
            r#"[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":5,"access":"rwm"},
                {"allow":false,"type":"c","major":10,"minor":229,"access":"rwm"},
                {"allow":true,"type":"c","major":189,"access":"rw"}]"#,
        );
        let writes = policy.writes().unwrap();
        let writes: Vec<_> = writes.iter().map(|(file, value)| format!("{file} {value}")).collect();
        assert_eq!(
            writes,
            [
                "devices.deny a",
                "devices.allow c 1:5 rwm",
                "devices.allow c 189:* rw",
                "devices.allow b *:* m",
                "devices.allow c *:* m",
                "devices.allow c 1:3 rwm",
                "devices.allow c 1:5 rwm",
                "devices.allow c 1:7 rwm",
                "devices.allow c 1:8 rwm",
                "devices.allow c 1:9 rwm",
                "devices.allow c 5:0 rwm",
                "devices.allow c 5:2 rwm",
                "devices.allow c 136:* rwm",
                "devices.allow c 10:200 rwm",
            ]
        );
    }

    #[test]
    fn a_privileged_container() {
        let policy = parse(r#"[{"allow":false,"access":"rwm"},{"allow":true,"access":"rwm"}]"#);
        assert_eq!(policy.writes().unwrap(), [("devices.allow", "a".to_owned())]);
    }

    #[test]
    fn refuses_what_cannot_be() {
        for bad in [
            r#"[{"allow":true,"type":"x"}]"#,
            r#"[{"allow":true,"type":"c","access":"rx"}]"#,
            r#"[{"allow":true,"type":"c","major":-2}]"#,
            r#"[{"allow":true,"type":"c","minor":4294967296}]"#,
        ] {
            assert!(Policy::parse(&serde_json::from_str::<Vec<DeviceCgroup>>(bad).unwrap()).is_err());
        }
        let nested = parse(
            r#"[{"allow":true,"type":"b","access":"rwm"},{"allow":false,"type":"b","major":8,"minor":0,"access":"w"}]"#,
        );
        assert_eq!(nested.writes().unwrap_err().kind(), Kind::Unsupported);
    }

    proptest! {
        #[test]
        fn leaving_out_idle_rules_changes_nothing(
            allow: bool, rules in proptest::collection::vec(any_rule(), 0..8),
            block: bool, major in 0_u32..4, minor in 0_u32..4, access in 1_u8..8,
        ) {
            let class = if block { Class::Block } else { Class::Character };
            let mut policy = Policy { allow, rules: rules.clone() };
            policy.drop_idle();
            prop_assert_eq!(
                judge(allow, &rules, class, major, minor, access),
                judge(allow, &policy.rules, class, major, minor, access)
            );
        }
    }
}
