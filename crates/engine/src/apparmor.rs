//! The AppArmor profile of containers (apparmor.d(5)): loaded at start-up where the kernel runs AppArmor and does not
//! know it yet, with apparmor_parser(8), which compiles it. The runtime puts processes under it.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// The profile's name.
pub(crate) const PROFILE: &str = "corten-default";

/// What a process has that no profile confines.
const UNCONFINED: &str = "unconfined";

const TEXT: &str = include_str!("apparmor.profile");

/// What the kernel's AppArmor does for containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AppArmor {
    /// The kernel does not run it.
    Absent,
    /// It has the profile.
    Ready,
    /// It does not have the profile: containers are only confined by profiles that are asked for.
    WithoutProfile(String),
}

impl AppArmor {
    /// Finds out, and loads the profile if it is missing.
    pub(crate) fn prepare() -> Self {
        let enabled = corten_sys::fs::read_to_string("/sys/module/apparmor/parameters/enabled");
        if !enabled.is_ok_and(|text| text.trim() == "Y") {
            return Self::Absent;
        }
        if is_loaded() {
            return Self::Ready;
        }
        match load() {
            Ok(()) => Self::Ready,
            Err(why) => {
                tracing::warn!(profile = PROFILE, why, "containers run without an AppArmor profile");
                Self::WithoutProfile(why)
            }
        }
    }

    /// The profile of a container that asks for one, or does not; none where AppArmor does not run.
    pub(crate) fn profile<'a>(&self, asked: Option<&'a str>, privileged: bool) -> Option<&'a str> {
        match (self, asked) {
            (Self::Absent, _) => None,
            (_, Some(asked)) => Some(asked),
            (Self::Ready, None) if !privileged => Some(PROFILE),
            (Self::Ready | Self::WithoutProfile(_), None) => Some(UNCONFINED),
        }
    }

    /// What the user should know.
    pub(crate) fn warning(&self) -> Option<String> {
        match self {
            Self::Absent | Self::Ready => None,
            Self::WithoutProfile(why) => Some(format!("WARNING: containers run without an AppArmor profile: {why}")),
        }
    }
}

/// Whether the kernel knows the profile.
fn is_loaded() -> bool {
    corten_sys::fs::read_to_string("/sys/kernel/security/apparmor/profiles")
        .is_ok_and(|list| list.lines().any(|line| line.split(' ').next() == Some(PROFILE)))
}

fn load() -> Result<(), String> {
    let mut parser = ["/usr/sbin/apparmor_parser", "/sbin/apparmor_parser", "apparmor_parser"]
        .into_iter()
        .find_map(|program| start(program).ok())
        .ok_or("there is no program apparmor_parser: install the package apparmor")?;
    let input = parser.stdin.take();
    let written = input.map_or(Ok(()), |mut input| input.write_all(TEXT.as_bytes()));
    let output = parser
        .wait_with_output()
        .map_err(|error| format!("apparmor_parser: {error}"))?;
    if output.status.success() {
        return written.map_err(|error| format!("apparmor_parser: {error}"));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("apparmor_parser: {}", said.trim().replace('\n', "; ")))
}

fn start(program: &str) -> std::io::Result<std::process::Child> {
    Command::new(program)
        .args(["--skip-cache", "--replace"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gets_which_profile() {
        let without = AppArmor::WithoutProfile("none".into());
        for (kernel, asked, privileged, expected) in [
            (&AppArmor::Ready, None, false, Some("corten-default")),
            (&AppArmor::Ready, None, true, Some("unconfined")),
            (&AppArmor::Ready, Some("own"), false, Some("own")),
            (&AppArmor::Ready, Some("own"), true, Some("own")),
            (&AppArmor::Ready, Some("unconfined"), false, Some("unconfined")),
            (&without, None, false, Some("unconfined")),
            (&without, Some("own"), false, Some("own")),
            (&AppArmor::Absent, None, false, None),
            (&AppArmor::Absent, Some("own"), false, None),
        ] {
            assert_eq!(kernel.profile(asked, privileged), expected, "{kernel:?} {asked:?}");
        }
        assert!(without.warning().unwrap().contains("none"));
    }

    #[test]
    fn the_text_is_the_profiles() {
        assert!(TEXT.contains(&format!("\nprofile {PROFILE} ")));
    }
}
