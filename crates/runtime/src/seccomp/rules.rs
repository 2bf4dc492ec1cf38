//! A seccomp configuration, resolved to numbers for one instruction set.
//!
//! What wins when several rules name a call: of those with conditions the first whose conditions
//! hold, then the first without conditions, then the default. (The specification doesn't say;
//! libseccomp lets a rule without conditions swallow the others, so that a profile's exceptions to it
//! are lost.) A call newer than every call that the configuration names fails with `ENOSYS` instead
//! of the default error, as with runc: C libraries take `EPERM` from a call they try first for a
//! refusal, and `ENOSYS` for an old kernel.

use corten_oci::runtime::{Seccomp, SeccompAction, SeccompArg, SeccompOperator};

use super::arch::{Arch, Numbers};
use crate::error::{Error, Kind, Result};

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
/// The largest error number a system call can give (`MAX_ERRNO`).
const LAST_ERRNO: u32 = 4095;

/// What a filter answers (`SECCOMP_RET_…`, seccomp(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Verdict(pub(super) u32);

impl Verdict {
    pub(super) const KILL_PROCESS: Self = Self(0x8000_0000);
    pub(super) const ALLOW: Self = Self(0x7fff_0000);
    pub(super) const NO_SUCH_CALL: Self = Self(0x0005_0000 | ENOSYS);

    fn of(action: SeccompAction, errno: Option<u32>) -> Result<Self> {
        let invalid = |message: String| Err(Error::new(Kind::Invalid, message));
        let word = match action {
            SeccompAction::Kill | SeccompAction::KillThread => 0,
            SeccompAction::KillProcess => Self::KILL_PROCESS.0,
            SeccompAction::Trap => 0x0003_0000,
            SeccompAction::Errno => 0x0005_0000,
            SeccompAction::Trace => 0x7ff0_0000,
            SeccompAction::Log => 0x7ffc_0000,
            SeccompAction::Allow => Self::ALLOW.0,
            SeccompAction::Notify => {
                let message = "cannot apply the seccomp profile: SCMP_ACT_NOTIFY is not supported";
                return Err(Error::new(Kind::Unsupported, message));
            }
        };
        let (takes_errno, last) = match action {
            SeccompAction::Errno => (true, LAST_ERRNO),
            SeccompAction::Trace => (true, u32::from(u16::MAX)),
            _ => (false, 0),
        };
        match errno {
            None if takes_errno => Ok(Self(word | EPERM)),
            None => Ok(Self(word)),
            Some(_) if !takes_errno => invalid(
                "invalid seccomp profile: only SCMP_ACT_ERRNO and SCMP_ACT_TRACE take an error number".to_owned(),
            ),
            Some(errno) if errno > last => invalid(format!("invalid seccomp profile: no such error number {errno}")),
            Some(errno) => Ok(Self(word | errno)),
        }
    }
}

/// All rules for one instruction set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) arch: Arch,
    /// In the order of their numbers.
    pub(super) calls: Vec<(u32, Treatment)>,
    /// For calls not in `calls`.
    pub(super) default: Treatment,
    /// For calls above the last in `calls`.
    pub(super) newer: Treatment,
}

/// What is done with one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Treatment {
    /// Conditions, all of which must hold, and their verdicts; the first wins.
    pub(super) cases: Vec<(Vec<Condition>, Verdict)>,
    /// When none holds.
    pub(super) otherwise: Verdict,
}

impl Treatment {
    /// The same verdict whatever the arguments.
    pub(super) const fn always(verdict: Verdict) -> Self {
        Self {
            cases: Vec::new(),
            otherwise: verdict,
        }
    }
}

/// A comparison of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Condition {
    /// 0 to 5.
    pub(super) argument: u32,
    pub(super) operator: SeccompOperator,
    /// The mask for [`SeccompOperator::MaskedEqual`].
    pub(super) value: u64,
    /// What [`SeccompOperator::MaskedEqual`] compares with.
    pub(super) datum: u64,
}

impl Condition {
    fn parse(spec: &SeccompArg, arch: Arch) -> Result<Self> {
        if spec.index > 5 {
            let message = format!("invalid seccomp profile: system calls have no argument {}", spec.index);
            return Err(Error::new(Kind::Invalid, message));
        }
        let width = if arch.argument_bits() == 32 {
            u64::from(u32::MAX)
        } else {
            u64::MAX
        };
        Ok(Self {
            argument: spec.index,
            operator: spec.op,
            value: spec.value & width,
            datum: spec.value_two.unwrap_or(0) & width,
        })
    }
}

impl Rules {
    /// Resolves a configuration; `names` are the numbers of the names in it, rule by rule.
    pub(super) fn resolve(spec: &Seccomp, names: &[Vec<&Numbers>], arch: Arch) -> Result<Self> {
        let default = Verdict::of(spec.default_action, spec.default_errno_ret)?;
        let lets_pass = matches!(spec.default_action, SeccompAction::Allow | SeccompAction::Log);
        let mut parsed = Vec::with_capacity(spec.syscalls.len());
        let mut named = Vec::with_capacity(512);
        for (index, (rule, names)) in spec.syscalls.iter().zip(names).enumerate() {
            let verdict = Verdict::of(rule.action, rule.errno_ret)?;
            parsed.push((verdict, cases(&rule.args, arch)?));
            named.extend(names.iter().filter_map(|numbers| Some((arch.pick(numbers)?, index))));
        }
        named.sort_unstable();
        let calls = named.chunk_by(|one, next| one.0 == next.0).map(|rules| {
            let rules_of = || rules.iter().map(|&(_, index)| &parsed[index]);
            let plain = rules_of().find(|(_, cases)| cases.is_empty());
            let mut treatment = Treatment::always(plain.map_or(default, |(verdict, _)| *verdict));
            for (verdict, cases) in rules_of() {
                treatment
                    .cases
                    .extend(cases.iter().map(|case| (case.clone(), *verdict)));
            }
            (rules[0].0, treatment)
        });
        Ok(Self {
            arch,
            calls: calls.collect(),
            default: Treatment::always(default),
            newer: Treatment::always(if lets_pass { default } else { Verdict::NO_SUCH_CALL }),
        })
    }

    /// Judges a call directly; what the compiled program must agree with.
    #[cfg(test)]
    pub(super) fn judge(&self, number: u32, arguments: &[u64; 6]) -> Verdict {
        let Some((_, treatment)) = self.calls.iter().find(|(own, _)| *own == number) else {
            let newer = self.calls.last().is_none_or(|(last, _)| number > *last);
            return if newer {
                self.newer.otherwise
            } else {
                self.default.otherwise
            };
        };
        let holds = |condition: &Condition| {
            let argument = arguments[condition.argument as usize];
            let value = condition.value;
            match condition.operator {
                SeccompOperator::NotEqual => argument != value,
                SeccompOperator::Less => argument < value,
                SeccompOperator::LessOrEqual => argument <= value,
                SeccompOperator::Equal => argument == value,
                SeccompOperator::GreaterOrEqual => argument >= value,
                SeccompOperator::Greater => argument > value,
                SeccompOperator::MaskedEqual => argument & value == condition.datum,
            }
        };
        let case = treatment
            .cases
            .iter()
            .find(|(conditions, _)| conditions.iter().all(holds));
        case.map_or(treatment.otherwise, |(_, verdict)| *verdict)
    }
}

/// The alternatives that a rule's conditions stand for.
///
/// Conditions on different arguments must all hold. Several on the same argument are alternatives:
/// libseccomp cannot combine them, so runc splits them, and profiles have come to rely on it.
fn cases(args: &[SeccompArg], arch: Arch) -> Result<Vec<Vec<Condition>>> {
    let conditions: Vec<_> = args
        .iter()
        .map(|arg| Condition::parse(arg, arch))
        .collect::<Result<_>>()?;
    let repeated = conditions.iter().enumerate().any(|(index, condition)| {
        conditions[..index]
            .iter()
            .any(|earlier| earlier.argument == condition.argument)
    });
    Ok(if conditions.is_empty() {
        Vec::new()
    } else if repeated {
        conditions.into_iter().map(|condition| vec![condition]).collect()
    } else {
        vec![conditions]
    })
}
