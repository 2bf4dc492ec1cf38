//! Who uses a volume: containers that have it, and those that have it mounted.

use std::{path::PathBuf, sync::PoisonError};

use super::{LOCAL, Volumes, missing, options};
use crate::{
    error::{Kind, Result},
    identifiers,
};

/// A volume that stays mounted as long as this lives.
#[derive(Debug)]
pub struct Held {
    volumes: Volumes,
    name: String,
    user: String,
    /// Where its files are.
    pub path: PathBuf,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.volumes.unmount(&self.name, &self.user);
    }
}

impl Volumes {
    /// Counts a container as user, and tells where the files are, or will be once it is mounted; a
    /// plugin's volume has no place before.
    ///
    /// # Errors
    /// `NotFound` when there is no such volume.
    pub fn acquire(&self, name: &str, container_id: &str) -> Result<PathBuf> {
        let mut volumes = self.volumes();
        let entry = volumes.get_mut(name).ok_or_else(|| missing(name))?;
        entry.users.insert(container_id.to_owned());
        Ok(match entry.record.driver.as_str() {
            LOCAL => self.data(name),
            _ => entry.mountpoint.clone().unwrap_or_default(),
        })
    }

    /// Counts a container as user no more. Unknown volumes and containers are no error.
    pub fn release(&self, name: &str, container_id: &str) {
        self.unmount(name, container_id);
        if let Some(entry) = self.volumes().get_mut(name) {
            entry.users.remove(container_id);
        }
    }

    /// Mounts a volume for a user of it, if its options or its plugin want that, and tells where its
    /// files are. Doing it again is fine. Blocks.
    ///
    /// # Errors
    /// `NotFound` when there is no such volume; what the file system or the plugin says.
    pub fn mount(&self, name: &str, user: &str) -> Result<PathBuf> {
        let turn = self.turn(name);
        let _held = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let data = self.data(name);
        let (record, mounted) = {
            let volumes = self.volumes();
            let entry = volumes.get(name).ok_or_else(|| missing(name))?;
            match (&entry.mountpoint, entry.mounts.contains(user)) {
                (Some(path), true) => return Ok(path.clone()),
                _ => (entry.record.clone(), entry.mounted),
            }
        };
        let path = match record.driver.as_str() {
            LOCAL => {
                if let (Some(options), false) = (&record.options, mounted) {
                    options::mount(options, &data)
                        .map_err(|error| error.context(format!("error while mounting volume '{}'", data.display())))?;
                }
                data
            }
            driver => self
                .0
                .plugins
                .get(driver)
                .and_then(|plugin| plugin.mount(name, user))
                .map_err(|error| error.context(format!("error while mounting volume '{name}'")))?,
        };
        let mut volumes = self.volumes();
        let entry = volumes.get_mut(name).ok_or_else(|| missing(name))?;
        entry.mounted = record.driver == LOCAL && record.options.as_ref().is_some_and(options::needs_mount);
        entry.mounts.insert(user.to_owned());
        entry.mountpoint = Some(path.clone());
        Ok(path)
    }

    /// Takes up a mount of a container that an earlier engine had started.
    pub fn restored(&self, name: &str, user: &str) {
        let local_unmounted = {
            let mut volumes = self.volumes();
            let Some(entry) = volumes.get_mut(name) else { return };
            entry.mounts.insert(user.to_owned());
            if entry.record.driver == LOCAL {
                entry.mountpoint = Some(self.data(name));
            }
            let wants = entry.record.options.as_ref().is_some_and(options::needs_mount);
            entry.record.driver == LOCAL && wants && !entry.mounted
        };
        if local_unmounted {
            tracing::warn!(volume = name, "a volume in use is not mounted any more");
        }
    }

    /// Unmounts a volume unless others use it; returns whether the user had it mounted. What cannot be
    /// unmounted is logged, and tried again when the volume is removed.
    pub fn unmount(&self, name: &str, user: &str) -> bool {
        let turn = self.turn(name);
        let _held = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (driver, last) = {
            let mut volumes = self.volumes();
            let Some(entry) = volumes.get_mut(name) else {
                return false;
            };
            if !entry.mounts.remove(user) {
                return false;
            }
            (entry.record.driver.clone(), entry.mounts.is_empty() && entry.mounted)
        };
        let unmounted = match driver.as_str() {
            LOCAL if last => options::unmount(&self.data(name)),
            LOCAL => Ok(()),
            driver => self.0.plugins.get(driver).and_then(|plugin| plugin.unmount(name, user)),
        };
        match unmounted {
            Ok(()) if driver == LOCAL && last => {
                if let Some(entry) = self.volumes().get_mut(name) {
                    entry.mounted = false;
                }
            }
            Ok(()) => {}
            Err(error) => tracing::warn!(volume = name, error = error.report(), "cannot unmount a volume"),
        }
        true
    }

    /// Mounts a volume for as long as the result lives. Blocks.
    ///
    /// # Errors
    /// As [`mount`](Self::mount).
    pub fn hold(&self, name: &str) -> Result<Held> {
        let user = identifiers::random();
        let path = self.mount(name, &user)?;
        Ok(Held {
            volumes: self.clone(),
            name: name.to_owned(),
            user,
            path,
        })
    }

    /// Unmounts what an earlier engine had mounted and nobody uses now.
    pub fn settle(&self) {
        let idle: Vec<String> = {
            let volumes = self.volumes();
            let idle = volumes
                .values()
                .filter(|entry| entry.mounted && entry.mounts.is_empty());
            idle.map(|entry| entry.record.name.clone()).collect()
        };
        for name in idle {
            match options::unmount(&self.data(&name)) {
                Ok(()) => {
                    if let Some(entry) = self.volumes().get_mut(&name) {
                        entry.mounted = false;
                    }
                }
                Err(error) => tracing::warn!(volume = name, error = error.report(), "cannot unmount an idle volume"),
            }
        }
    }

    /// Takes away a volume that was made for a container which was not. Others' are left alone.
    pub(crate) fn discard(&self, name: &str) -> Result<()> {
        if !self.is_anonymous(name) {
            return Ok(());
        }
        match self.remove(name, true) {
            Err(error) if error.kind() == Kind::Conflict => Ok(()),
            other => other,
        }
    }
}
