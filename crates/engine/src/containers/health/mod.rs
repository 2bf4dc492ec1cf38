//! Health checks: a command that runs in the container again and again, and what its exit codes say of it
//! (Docker API, definition `HealthConfig`).
//!
//! [`Check`] is what is asked for, [`Health`] what is known, changed by [`Health::note`] alone; `monitor`
//! waits and probes, `probe` runs one command. What is known lies in the bundle, so that the next engine
//! goes on where this one ended; with the machine it is gone, as the run it tells of.

mod monitor;
mod probe;

use std::{path::Path, time::Duration};

use corten_api::container::{self, Config, HealthProbe, Healthcheck};
use corten_oci::image;
use serde::{Deserialize, Serialize};

use super::record::Record;
use crate::error::{Error, Result};

/// Docker's values for what is left open.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: i64 = 3;
/// How many probes are remembered.
const REMEMBERED: usize = 5;
/// The shortest time that makes sense, in nanoseconds: 1 ms.
const SHORTEST: i64 = 1_000_000;
/// The file in the bundle.
const FILE: &str = "health.json";
/// What a shell-form command runs in.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// What a container's health check is, nothing left open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Check {
    command: Vec<String>,
    interval: Duration,
    timeout: Duration,
    start_period: Duration,
    start_interval: Duration,
    retries: i64,
}

/// What is known of a container's health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Health {
    status: Status,
    failing_streak: i64,
    log: Vec<HealthProbe>,
    /// The exec of the probe that runs.
    #[serde(default)]
    probe: Option<String>,
}

/// What the probes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Starting,
    Healthy,
    Unhealthy,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl Check {
    /// The check of a container; none when it has none.
    pub(super) fn of(config: &Config) -> Option<Self> {
        let check = config.healthcheck.as_ref()?;
        let (kind, rest) = check.test.split_first()?;
        let command = match kind.as_str() {
            "CMD" => rest.to_vec(),
            "CMD-SHELL" => {
                let own = config.shell.clone().filter(|shell| !shell.is_empty());
                let shell = own.unwrap_or_else(|| SHELL.map(str::to_owned).to_vec());
                [shell.as_slice(), rest].concat()
            }
            _ => return None,
        };
        let or = |value: i64, default: Duration| match u64::try_from(value) {
            Ok(0) | Err(_) => default,
            Ok(nanoseconds) => Duration::from_nanos(nanoseconds),
        };
        Some(Self {
            command,
            interval: or(check.interval, INTERVAL),
            timeout: or(check.timeout, TIMEOUT),
            start_period: or(check.start_period, Duration::ZERO),
            start_interval: or(check.start_interval, START_INTERVAL),
            retries: if check.retries > 0 { check.retries } else { RETRIES },
        })
    }

    /// The pause before the next probe of a container that has run for so long.
    fn pause(&self, health: &Health, ran: Duration) -> Duration {
        if ran < self.start_period && health.status == Status::Starting {
            self.start_interval
        } else {
            self.interval
        }
    }
}

impl Health {
    /// What is known at a container's start; probes of its last run are remembered.
    fn starting(before: Option<&Self>) -> Self {
        Self {
            status: Status::Starting,
            failing_streak: 0,
            log: before.map(|before| before.log.clone()).unwrap_or_default(),
            probe: None,
        }
    }

    /// Takes in how a probe ended, which began when the container had run for so long. Returns whether the status
    /// is another now.
    fn note(&mut self, check: &Check, probe: HealthProbe, ran: Duration) -> bool {
        let before = self.status;
        let worked = probe.exit_code == 0;
        self.probe = None;
        if self.log.len() >= REMEMBERED {
            self.log.drain(..=self.log.len() - REMEMBERED);
        }
        self.log.push(probe);
        if worked {
            self.failing_streak = 0;
            self.status = Status::Healthy;
        } else if self.status != Status::Starting || ran >= check.start_period {
            self.failing_streak += 1;
            if self.failing_streak >= check.retries {
                self.status = Status::Unhealthy;
            }
        }
        before != self.status
    }

    /// Whether probes have failed so often that the container is taken to be broken. One that is only not
    /// probed at the moment is shown as unhealthy, and is not.
    pub(super) fn is_failing(&self) -> bool {
        self.status == Status::Unhealthy && self.failing_streak > 0
    }

    /// Docker's word for the status.
    pub(super) fn word(&self) -> &'static str {
        self.status.name()
    }

    /// The status as lists show it.
    pub(super) fn in_list(&self) -> &'static str {
        match self.status {
            Status::Starting => "health: starting",
            other => other.name(),
        }
    }

    /// As inspections show it.
    pub(super) fn to_api(&self) -> container::Health {
        container::Health {
            status: self.status.name().to_owned(),
            failing_streak: self.failing_streak,
            log: self.log.clone(),
        }
    }

    /// Reads what an earlier engine knew.
    pub(super) fn read(bundle: &Path) -> Option<Self> {
        let bytes = corten_sys::fs::read(bundle.join(FILE)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    fn write(&self, bundle: &Path) -> Result<()> {
        let bytes = serde_json::to_vec(self).map_err(|e| Error::internal("cannot write a health").source(e))?;
        Ok(corten_sys::fs::write_atomic(bundle.join(FILE), bytes)?)
    }
}

/// An image's check in the API's terms.
pub(crate) fn of_image(check: &image::Healthcheck) -> Healthcheck {
    Healthcheck {
        test: check.test.clone(),
        interval: check.interval,
        timeout: check.timeout,
        start_period: check.start_period,
        start_interval: check.start_interval,
        retries: check.retries,
    }
}

/// Takes from the image what the user left open.
pub(super) fn merge(own: &mut Option<Healthcheck>, image: Option<&image::Healthcheck>) {
    let Some(image) = image.map(of_image) else { return };
    let Some(own) = own else {
        *own = Some(image);
        return;
    };
    if own.test.is_empty() {
        own.test = image.test;
    }
    for (own, image) in [
        (&mut own.interval, image.interval),
        (&mut own.timeout, image.timeout),
        (&mut own.start_period, image.start_period),
        (&mut own.start_interval, image.start_interval),
        (&mut own.retries, image.retries),
    ] {
        if *own == 0 {
            *own = image;
        }
    }
}

/// Refuses checks that make no sense.
pub(super) fn validate(config: &Config) -> Result<()> {
    let Some(check) = &config.healthcheck else {
        return Ok(());
    };
    if check.retries < 0 {
        return Err(Error::invalid("Retries in Healthcheck cannot be negative"));
    }
    let times = [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ];
    match times.iter().find(|(_, time)| *time != 0 && *time < SHORTEST) {
        Some((name, _)) => Err(Error::invalid(format!("{name} in Healthcheck cannot be less than 1ms"))),
        None => Ok(()),
    }
}

/// What the user should know of a new container.
pub(super) fn warning(record: &Record) -> Option<String> {
    let by_health = record.host_config.restart_policy.name == super::ended::ON_UNHEALTHY;
    (by_health && Check::of(&record.config).is_none()).then(|| {
        "The container has no health check: the restart policy on-unhealthy sees only failing exits.".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> Check {
        Check {
            command: vec!["true".into()],
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(30),
            start_period: Duration::from_secs(10),
            start_interval: Duration::from_secs(1),
            retries: 2,
        }
    }

    fn after(codes: &[(i32, u64)]) -> (Health, Vec<&'static str>) {
        let mut health = Health::starting(None);
        let mut told = Vec::new();
        for &(exit_code, ran) in codes {
            let probe = HealthProbe {
                exit_code,
                ..HealthProbe::default()
            };
            if health.note(&check(), probe, Duration::from_secs(ran)) {
                told.push(health.word());
            }
        }
        (health, told)
    }

    #[test]
    fn failures_count_after_the_start_period() {
        let verdict = |codes: &[(i32, u64)], status: &str, streak: i64, told: &[&str]| {
            let (health, heard) = after(codes);
            assert_eq!((health.word(), health.failing_streak), (status, streak), "{codes:?}");
            assert_eq!(heard, told, "{codes:?}");
        };
        verdict(&[], "starting", 0, &[]);
        verdict(&[(1, 1), (1, 2), (1, 3)], "starting", 0, &[]);
        verdict(&[(1, 11)], "starting", 1, &[]);
        verdict(&[(1, 11), (1, 12)], "unhealthy", 2, &["unhealthy"]);
        verdict(&[(0, 1), (1, 2)], "healthy", 1, &["healthy"]);
        verdict(&[(0, 1), (1, 2), (-1, 3)], "unhealthy", 2, &["healthy", "unhealthy"]);
        verdict(&[(1, 11), (0, 12), (1, 13)], "healthy", 1, &["healthy"]);
        verdict(&[(1, 11), (1, 12), (0, 13)], "healthy", 0, &["unhealthy", "healthy"]);
    }

    #[test]
    fn the_last_five_are_remembered() {
        let codes: Vec<(i32, u64)> = (0..9).map(|code| (code, 11)).collect();
        let (health, _) = after(&codes);
        let log: Vec<i32> = health.log.iter().map(|probe| probe.exit_code).collect();
        assert_eq!(log, [4, 5, 6, 7, 8]);
    }

    #[test]
    fn probes_come_faster_while_it_starts() {
        let health = Health::starting(None);
        assert_eq!(check().pause(&health, Duration::ZERO), Duration::from_secs(1));
        assert_eq!(check().pause(&health, Duration::from_secs(10)), Duration::from_secs(30));
        let (healthy, _) = after(&[(0, 1)]);
        assert_eq!(check().pause(&healthy, Duration::from_secs(1)), Duration::from_secs(30));
    }

    #[test]
    fn commands_are_plain_or_the_shells() {
        let command = |test: &[&str], shell: Option<&[&str]>| {
            let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
            let config = Config {
                healthcheck: Some(Healthcheck {
                    test: owned(test),
                    ..Healthcheck::default()
                }),
                shell: shell.map(owned),
                ..Config::default()
            };
            Check::of(&config).map(|check| check.command.join(" "))
        };
        assert_eq!(command(&["CMD", "a", "b"], None).as_deref(), Some("a b"));
        assert_eq!(command(&["CMD-SHELL", "a b"], None).as_deref(), Some("/bin/sh -c a b"));
        assert_eq!(
            command(&["CMD-SHELL", "a"], Some(&["bash", "-ec"])).as_deref(),
            Some("bash -ec a")
        );
        assert_eq!(command(&["NONE"], None), None);
        assert_eq!(command(&["BOGUS", "a"], None), None);
        assert_eq!(command(&[], None), None);
    }

    #[test]
    fn the_image_gives_what_is_left_open() {
        let image = image::Healthcheck {
            test: vec!["CMD".into(), "image".into()],
            interval: 5,
            retries: 7,
            ..image::Healthcheck::default()
        };
        let mut own = Some(Healthcheck {
            interval: 9,
            ..Healthcheck::default()
        });
        merge(&mut own, Some(&image));
        let own = own.unwrap();
        assert_eq!((own.test[1].as_str(), own.interval, own.retries), ("image", 9, 7));
    }
}
