//! The container process's capabilities (capabilities(7); config.md "Linux Process", `capabilities`).
//!
//! The order that works, in the child: [`Capabilities::limit_bounding`] while still privileged, then
//! set groups and ids, then [`Capabilities::apply`], then execute.
//!
//! As the specification wants it, what this kernel doesn't know and what the runtime itself may not
//! have is left out, not refused; [`Capabilities::unknown`] says which names meant nothing.

use std::io;

use corten_oci::{capability, runtime};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};

/// The five sets of a process, ready to be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    bounding: CapabilitySet,
    effective: CapabilitySet,
    permitted: CapabilitySet,
    inheritable: CapabilitySet,
    ambient: CapabilitySet,
    unknown: Vec<String>,
}

impl Capabilities {
    /// Reads the names of a configuration.
    #[must_use]
    pub fn resolve(spec: &runtime::Capabilities) -> Self {
        let mut unknown = Vec::new();
        let mut set = |names: &[String]| {
            let mut set = CapabilitySet::empty();
            for name in names {
                match capability::number(name) {
                    Some(number) => set |= single(number),
                    None if unknown.contains(name) => {}
                    None => unknown.push(name.clone()),
                }
            }
            set
        };
        Self {
            bounding: set(&spec.bounding),
            effective: set(&spec.effective),
            permitted: set(&spec.permitted),
            inheritable: set(&spec.inheritable),
            ambient: set(&spec.ambient),
            unknown,
        }
    }

    /// The names that are no capabilities, which are left out.
    #[must_use]
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// Takes everything else out of the bounding set, and keeps the permitted set across the change of
    /// user ids that follows.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SETPCAP`, when something must go.
    pub fn limit_bounding(&self) -> io::Result<()> {
        for one in known().filter(|&one| !self.bounding.contains(one)) {
            match rustix::thread::capability_is_in_bounding_set(one) {
                Ok(true) => rustix::thread::remove_capability_from_bounding_set(one)?,
                Ok(false) => {}
                // The kernel is older than the capability, and than those after it.
                Err(Errno::INVAL) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(rustix::thread::set_keep_capabilities(true)?)
    }

    /// Sets the other four sets of the calling thread, and lets the permitted set go at the next change
    /// of user ids.
    ///
    /// # Errors
    /// `EPERM` when the effective or ambient set asks for what the permitted or inheritable one lacks.
    pub fn apply(&self) -> io::Result<()> {
        rustix::thread::set_keep_capabilities(false)?;
        let granted = rustix::thread::capabilities(None)?.permitted;
        let sets = CapabilitySets {
            effective: self.effective & granted,
            permitted: self.permitted & granted,
            inheritable: self.inheritable & granted,
        };
        rustix::thread::set_capabilities(None, sets)?;
        self.raise_ambient(self.ambient & granted)
    }

    fn raise_ambient(&self, wanted: CapabilitySet) -> io::Result<()> {
        match rustix::thread::clear_ambient_capability_set() {
            // Before Linux 4.3 there is no ambient set.
            Err(Errno::INVAL) if wanted.is_empty() => return Ok(()),
            result => result?,
        }
        for one in known().filter(|&one| wanted.contains(one)) {
            rustix::thread::configure_capability_in_ambient_set(one, true)?;
        }
        Ok(())
    }
}

/// Every capability by itself, in the order of its number.
fn known() -> impl Iterator<Item = CapabilitySet> {
    (0_u8..).take(capability::ALL.len()).map(single)
}

fn single(number: u8) -> CapabilitySet {
    CapabilitySet::from_bits_retain(1 << number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_sets() {
        let spec = runtime::Capabilities {
            bounding: vec!["CAP_CHOWN".into(), "CAP_CHECKPOINT_RESTORE".into(), "CAP_NEW".into()],
            effective: vec!["CAP_KILL".into(), "chown".into()],
            ambient: vec!["CAP_NEW".into()],
            ..Default::default()
        };
        let sets = Capabilities::resolve(&spec);
        assert_eq!(sets.bounding.bits(), 1 | 1 << 40);
        assert_eq!(sets.effective, CapabilitySet::KILL);
        assert_eq!(sets.unknown(), ["CAP_NEW", "chown"]);
    }

    #[test]
    fn a_thread_is_left_with_what_was_asked_for() {
        let spec = runtime::Capabilities {
            bounding: vec!["CAP_CHOWN".into(), "CAP_KILL".into()],
            effective: vec!["CAP_CHOWN".into()],
            permitted: vec!["CAP_CHOWN".into(), "CAP_KILL".into()],
            inheritable: vec!["CAP_KILL".into()],
            ambient: vec!["CAP_KILL".into()],
        };
        // Capabilities belong to threads, so this one takes the test's along when it ends.
        std::thread::spawn(move || {
            let sets = Capabilities::resolve(&spec);
            sets.limit_bounding().unwrap();
            assert!(rustix::thread::get_keep_capabilities().unwrap());
            sets.apply().unwrap();
            assert!(!rustix::thread::get_keep_capabilities().unwrap());
            let now = rustix::thread::capabilities(None).unwrap();
            assert_eq!(now.effective, CapabilitySet::CHOWN);
            assert_eq!(now.permitted, CapabilitySet::CHOWN | CapabilitySet::KILL);
            assert_eq!(now.inheritable, CapabilitySet::KILL);
            let bounding = rustix::thread::capability_is_in_bounding_set;
            assert!(bounding(CapabilitySet::KILL).unwrap());
            assert!(!bounding(CapabilitySet::SYS_ADMIN).unwrap());
            assert!(rustix::thread::capability_is_in_ambient_set(CapabilitySet::KILL).unwrap());
            assert!(!rustix::thread::capability_is_in_ambient_set(CapabilitySet::CHOWN).unwrap());
        })
        .join()
        .unwrap();
    }
}
