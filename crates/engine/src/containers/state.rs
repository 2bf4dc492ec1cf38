//! A container's state: one enum whose variants carry what exists in that state, changed by one function.

use corten_api::{container, time::Time};
use corten_shim::protocol::Exit;
use serde::{Deserialize, Serialize};

/// What a container is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// It was made and has never run; or its first start failed.
    Created(Ended),
    /// Its first process runs.
    Running(Running),
    /// Its processes are frozen.
    Paused(Running),
    /// It has ended and will be started again.
    Restarting(Ended),
    /// It has ended.
    Exited(Ended),
    /// It is being removed.
    Removing(Ended),
    /// It could not be removed.
    Dead(Ended),
}

/// What is known of a container that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    /// The first process, as the host counts.
    pub(crate) pid: i32,
    /// Field 22 of its `/proc/<pid>/stat`.
    pub(crate) start_time: u64,
    /// Since when it runs.
    pub(crate) started_at: Time,
    /// When it last ended before.
    pub(crate) finished_at: Time,
    /// Whether the kernel killed one of its processes for lack of memory.
    pub(crate) oom_killed: bool,
}

/// What is known of a container that does not run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    /// Its exit code.
    pub(crate) code: i32,
    /// Why it could not start.
    pub(crate) error: String,
    /// Whether the kernel killed one of its processes for lack of memory.
    pub(crate) oom_killed: bool,
    /// When it last started.
    pub(crate) started_at: Time,
    /// When it last ended.
    pub(crate) finished_at: Time,
}

/// What can happen to a container.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// Its first process was executed.
    Started {
        /// As the host counts.
        pid: i32,
        /// Field 22 of its `/proc/<pid>/stat`.
        start_time: u64,
        /// When.
        at: Time,
    },
    /// It could not be started.
    StartFailed {
        /// The exit code that stands for the reason.
        code: i32,
        /// The reason.
        error: String,
    },
    /// Its processes were frozen.
    Paused,
    /// They were thawed.
    Resumed,
    /// The kernel killed one of its processes for lack of memory.
    OutOfMemory,
    /// Its first process ended.
    Exited(Exit),
    /// It will be started again.
    WillRestart,
    /// It will not be started again after all.
    RestartCancelled,
    /// Its removal began.
    Removing,
    /// Its removal failed.
    RemovalFailed {
        /// The reason.
        error: String,
    },
}

/// A change that makes no sense in the present state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Impossible;

impl Default for State {
    fn default() -> Self {
        Self::Created(Ended::default())
    }
}

impl State {
    /// Changes the state by what has happened; the only function that does.
    pub(crate) fn apply(&mut self, change: Change) -> Result<(), Impossible> {
        let next = match (&*self, change) {
            (
                Self::Created(ended) | Self::Exited(ended) | Self::Restarting(ended),
                Change::Started { pid, start_time, at },
            ) => Self::Running(Running {
                pid,
                start_time,
                started_at: at,
                finished_at: ended.finished_at,
                oom_killed: false,
            }),
            (Self::Created(ended), Change::StartFailed { code, error }) => Self::Created(Ended {
                code,
                error,
                ..ended.clone()
            }),
            (Self::Exited(ended) | Self::Restarting(ended), Change::StartFailed { code, error }) => {
                Self::Exited(Ended {
                    code,
                    error,
                    ..ended.clone()
                })
            }
            (Self::Running(running), Change::Paused) => Self::Paused(running.clone()),
            (Self::Paused(running), Change::Resumed) => Self::Running(running.clone()),
            (Self::Running(running), Change::OutOfMemory) => Self::Running(Running {
                oom_killed: true,
                ..running.clone()
            }),
            (Self::Paused(running), Change::OutOfMemory) => Self::Paused(Running {
                oom_killed: true,
                ..running.clone()
            }),
            (Self::Running(running) | Self::Paused(running), Change::Exited(exit)) => Self::Exited(Ended {
                code: exit.code,
                error: String::new(),
                oom_killed: exit.oom_killed || running.oom_killed,
                started_at: running.started_at,
                finished_at: Time::from_nanoseconds(exit.at),
            }),
            (Self::Exited(ended), Change::WillRestart) => Self::Restarting(ended.clone()),
            (Self::Restarting(ended), Change::RestartCancelled) => Self::Exited(ended.clone()),
            (
                Self::Created(ended) | Self::Exited(ended) | Self::Restarting(ended) | Self::Dead(ended),
                Change::Removing,
            ) => Self::Removing(ended.clone()),
            (Self::Removing(ended), Change::RemovalFailed { error }) => Self::Dead(Ended { error, ..ended.clone() }),
            _ => return Err(Impossible),
        };
        *self = next;
        Ok(())
    }

    /// What runs, paused or not.
    pub(crate) fn running(&self) -> Option<&Running> {
        match self {
            Self::Running(running) | Self::Paused(running) => Some(running),
            Self::Created(_) | Self::Restarting(_) | Self::Exited(_) | Self::Removing(_) | Self::Dead(_) => None,
        }
    }

    /// How it ended, when it does not run.
    pub(crate) fn ended(&self) -> Option<&Ended> {
        match self {
            Self::Running(_) | Self::Paused(_) => None,
            Self::Created(ended)
            | Self::Restarting(ended)
            | Self::Exited(ended)
            | Self::Removing(ended)
            | Self::Dead(ended) => Some(ended),
        }
    }

    /// Docker's word for the state.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Created(_) => "created",
            Self::Running(_) => "running",
            Self::Paused(_) => "paused",
            Self::Restarting(_) => "restarting",
            Self::Exited(_) => "exited",
            Self::Removing(_) => "removing",
            Self::Dead(_) => "dead",
        }
    }

    /// Docker's flags and times.
    pub(crate) fn to_api(&self) -> container::State {
        let mut state = container::State {
            status: self.name().to_owned(),
            running: self.running().is_some() || matches!(self, Self::Restarting(_)),
            paused: matches!(self, Self::Paused(_)),
            restarting: matches!(self, Self::Restarting(_)),
            dead: matches!(self, Self::Dead(_)),
            ..Default::default()
        };
        if let Some(running) = self.running() {
            state.pid = running.pid;
            state.oom_killed = running.oom_killed;
            state.started_at = running.started_at;
            state.finished_at = running.finished_at;
        }
        if let Some(ended) = self.ended() {
            state.exit_code = ended.code;
            state.error.clone_from(&ended.error);
            state.oom_killed = ended.oom_killed;
            state.started_at = ended.started_at;
            state.finished_at = ended.finished_at;
        }
        state
    }

    /// The sentence that `ps` shows.
    pub(crate) fn status(&self, now: Time) -> String {
        let since = |time: Time| human_duration(now.seconds().saturating_sub(time.seconds()));
        match self {
            Self::Created(_) => "Created".to_owned(),
            Self::Running(running) => format!("Up {}", since(running.started_at)),
            Self::Paused(running) => format!("Up {} (Paused)", since(running.started_at)),
            Self::Restarting(ended) => format!("Restarting ({}) {} ago", ended.code, since(ended.finished_at)),
            Self::Exited(ended) if ended.finished_at.is_zero() => "Created".to_owned(),
            Self::Exited(ended) => format!("Exited ({}) {} ago", ended.code, since(ended.finished_at)),
            Self::Removing(_) => "Removal In Progress".to_owned(),
            Self::Dead(_) => "Dead".to_owned(),
        }
    }
}

/// A duration as Docker tells it to people.
pub(crate) fn human_duration(seconds: i64) -> String {
    let minutes = seconds / 60;
    // Rounded to the nearest hour, as Docker does.
    let hours = (seconds + 1800) / 3600;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", hours / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started() -> Change {
        Change::Started {
            pid: 7,
            start_time: 1,
            at: Time::from_nanoseconds(5_000_000_000),
        }
    }

    fn exited(code: i32) -> Change {
        Change::Exited(Exit {
            code,
            at: 9_000_000_000,
            oom_killed: false,
        })
    }

    fn after(changes: &[Change]) -> State {
        let mut state = State::default();
        for change in changes {
            state
                .apply(change.clone())
                .unwrap_or_else(|_| panic!("{change:?} in {state:?}"));
        }
        state
    }

    #[test]
    fn lives_as_docker_says() {
        let check = |changes: &[Change], name: &str, running: bool, code: i32| {
            let api = after(changes).to_api();
            assert_eq!((api.status.as_str(), api.running, api.exit_code), (name, running, code));
        };
        check(&[], "created", false, 0);
        check(&[started()], "running", true, 0);
        check(&[started(), Change::Paused], "paused", true, 0);
        check(
            &[started(), Change::Paused, Change::Resumed, exited(3)],
            "exited",
            false,
            3,
        );
        check(&[started(), exited(3), Change::WillRestart], "restarting", true, 3);
        check(
            &[started(), exited(3), Change::WillRestart, started()],
            "running",
            true,
            0,
        );
        check(
            &[Change::StartFailed {
                code: 127,
                error: "x".into(),
            }],
            "created",
            false,
            127,
        );
        check(&[started(), exited(0), Change::Removing], "removing", false, 0);
    }

    #[test]
    fn refuses_what_cannot_be() {
        let check = |changes: &[Change], impossible: Change| {
            assert_eq!(after(changes).apply(impossible), Err(Impossible));
        };
        check(&[], exited(0));
        check(&[], Change::Paused);
        check(&[started()], started());
        check(&[started()], Change::Removing);
        check(&[started(), exited(0)], Change::Resumed);
    }

    #[test]
    fn tells_durations_as_docker() {
        let check = |seconds, expected: &str| assert_eq!(human_duration(seconds), expected);
        check(0, "Less than a second");
        check(1, "1 second");
        check(59, "59 seconds");
        check(60, "About a minute");
        check(120, "2 minutes");
        check(3600, "About an hour");
        check(7200, "2 hours");
        check(172_800, "2 days");
        check(1_209_600, "2 weeks");
        check(5_184_000, "2 months");
        check(63_072_000, "2 years");
    }
}
