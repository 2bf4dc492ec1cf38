//! `--volumes-from`: the mounts of other containers.

use corten_api::container::HostConfig;

use super::{
    Inner,
    mounts::{Needs, Wanted, access_mode},
};
use crate::error::{Error, Result};

impl Inner {
    /// The mounts of the containers that a request names; of several at one place the last.
    ///
    /// # Errors
    /// `NotFound` for a container, `Invalid` for a mode, in Docker's words.
    pub(super) fn volumes_from(&self, host: &HostConfig) -> Result<Vec<Wanted>> {
        let mut all: Vec<Wanted> = Vec::new();
        for text in host.volumes_from.iter().flatten() {
            let (name, writable) = parse(text)?;
            let other = self.find(name)?.record();
            for mut record in other.mounts {
                let needs = match record.point.kind.as_str() {
                    "volume" => Needs::Volume {
                        driver: record.point.driver.clone(),
                        options: Default::default(),
                        labels: Default::default(),
                    },
                    "bind" => Needs::HostPath { create: true },
                    _ => continue,
                };
                record.point.rw &= writable;
                record.fill = false;
                // It came from elsewhere: this container does not take it away.
                record.named = true;
                all.retain(|known| known.record.point.destination != record.point.destination);
                all.push(Wanted { record, needs });
            }
        }
        Ok(all)
    }
}

/// Reads `container[:mode]`.
fn parse(text: &str) -> Result<(&str, bool)> {
    if text.is_empty() {
        return Err(Error::invalid("volumes-from specification cannot be an empty string"));
    }
    match text.split_once(':') {
        None => Ok((text, true)),
        Some((name, mode)) => Ok((name, access_mode(mode)?)),
    }
}
