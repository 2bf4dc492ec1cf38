//! Instruction sets whose system calls one kernel answers.

use super::tables;
use crate::error::{Error, Kind, Result};

/// What marks the numbers of [`Arch::X32`], which shares its audit word with [`Arch::X86_64`].
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// An instruction set, as seccomp tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Arch {
    X86_64,
    X86,
    X32,
    Aarch64,
    Arm,
}

impl Arch {
    /// The one this program is built for.
    pub(super) const NATIVE: Self = if cfg!(target_arch = "aarch64") {
        Self::Aarch64
    } else {
        Self::X86_64
    };

    #[cfg(test)]
    pub(super) const ALL: [Self; 5] = [Self::X86_64, Self::X86, Self::X32, Self::Aarch64, Self::Arm];

    /// Reads libseccomp's name; none for one that no processor of ours executes, for which a filter
    /// would never be asked.
    pub(super) fn parse(name: &str) -> Result<Option<Self>> {
        const FOREIGN: [&str; 17] = [
            "MIPS",
            "MIPS64",
            "MIPS64N32",
            "MIPSEL",
            "MIPSEL64",
            "MIPSEL64N32",
            "PPC",
            "PPC64",
            "PPC64LE",
            "S390",
            "S390X",
            "PARISC",
            "PARISC64",
            "RISCV64",
            "LOONGARCH64",
            "M68K",
            "SH",
        ];
        let arch = match name.strip_prefix("SCMP_ARCH_").unwrap_or_default() {
            "X86_64" => Self::X86_64,
            "X86" => Self::X86,
            "X32" => Self::X32,
            "AARCH64" => Self::Aarch64,
            "ARM" => Self::Arm,
            "NATIVE" => Self::NATIVE,
            foreign if FOREIGN.contains(&foreign) => return Ok(None),
            _ => {
                let message = format!("invalid seccomp architecture \"{name}\"");
                return Err(Error::new(Kind::Invalid, message));
            }
        };
        Ok(Some(arch))
    }

    /// Its word in `struct seccomp_data` (`AUDIT_ARCH_…`, `linux/audit.h`).
    pub(super) fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// How wide an argument is.
    pub(super) fn argument_bits(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 | Self::Aarch64 => 64,
            Self::X86 | Self::Arm => 32,
        }
    }

    /// The number of a call, with what marks it; none where there is no such call.
    #[cfg(test)]
    pub(super) fn number(self, name: &str) -> Option<u32> {
        self.pick(find(name)?)
    }

    /// This instruction set's number among a call's.
    pub(super) fn pick(self, numbers: &Numbers) -> Option<u32> {
        let (column, mark) = match self {
            Self::X86_64 => (0, 0),
            Self::X86 => (1, 0),
            Self::X32 => (2, X32_BIT),
            Self::Aarch64 => (3, 0),
            Self::Arm => (4, 0),
        };
        let number = numbers[column];
        (number != tables::NO).then_some(number | mark)
    }
}

/// A call's numbers on all instruction sets.
pub(super) type Numbers = [u32; 5];

/// Looks up a call; none for a name that no instruction set has.
pub(super) fn find(name: &str) -> Option<&'static Numbers> {
    let at = tables::CALLS.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
    Some(&tables::CALLS[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_numbers_are_the_headers() {
        assert!(tables::CALLS.is_sorted_by_key(|(name, _)| *name));
        let numbers = |name| Arch::ALL.map(|arch| arch.number(name));
        assert_eq!(numbers("read"), [Some(0), Some(3), Some(X32_BIT), Some(63), Some(3)]);
        assert_eq!(numbers("rt_sigaction")[2], Some(X32_BIT | 512));
        assert_eq!(numbers("fork"), [Some(57), Some(2), Some(X32_BIT | 57), None, Some(2)]);
        assert_eq!(numbers("clock_gettime64"), [None, Some(403), None, None, Some(403)]);
        assert_eq!(numbers("cacheflush")[4], Some(0x000f_0002));
        assert_eq!(
            numbers("openat2"),
            [Some(437), Some(437), Some(X32_BIT | 437), Some(437), Some(437)]
        );
        assert_eq!(numbers("nonsense"), [None; 5]);
    }
}
