//! Volumes as answers show them.

use std::{collections::BTreeSet, sync::Arc};

use corten_api::{
    filters::Filters,
    volume::{UsageData, Volume},
};

use super::{
    Entry, LOCAL, Volumes, missing,
    plugins::{Plugin, Told},
    record::Record,
    usage,
};
use crate::{error::Result, name_pattern::NamePattern};

impl Volumes {
    /// Describes a volume. Blocks when a plugin has it, or none of ours has the name.
    ///
    /// # Errors
    /// `NotFound` when there is none of that name.
    pub fn get(&self, name: &str) -> Result<Volume> {
        let known = self.volumes().get(name).map(|entry| self.describe(entry));
        match known {
            Some(volume) if volume.driver == LOCAL => Ok(volume),
            Some(volume) => {
                let plugin = self
                    .0
                    .plugins
                    .get(&volume.driver)
                    .map_err(|error| error.context(format!("get {name}")))?;
                Ok(with_plugins_words(volume, &plugin))
            }
            None => {
                let (driver, plugin, told) = self.told_by_plugins(name).ok_or_else(|| missing(name))?;
                Ok(of_plugin(driver, &plugin, told))
            }
        }
    }

    /// Lists volumes by name (filters `name`, `driver`, `label`, `label!`, `dangling`). Blocks.
    ///
    /// # Errors
    /// `Invalid` for other filters.
    pub fn list(&self, filters: &Filters) -> Result<Vec<Volume>> {
        filters.accept(&["name", "driver", "label", "label!", "dangling"])?;
        let dangling = filters
            .has("dangling")
            .then(|| filters.switch("dangling", false))
            .transpose()?;
        let names: Vec<_> = filters.values("name").map(NamePattern::new).collect();
        let none = std::collections::BTreeMap::new();
        let fits = |volume: &Volume, unused: bool| {
            (names.is_empty() || names.iter().any(|name| name.matches(&volume.name)))
                && filters.exact("driver", &volume.driver)
                && filters.labels(volume.labels.as_ref().unwrap_or(&none))
                && dangling.is_none_or(|dangling| unused == dangling)
        };
        let mut all: Vec<Volume> = self
            .volumes()
            .values()
            .map(|entry| (self.describe(entry), entry.users.is_empty()))
            .filter(|(volume, unused)| fits(volume, *unused))
            .map(|(volume, _)| volume)
            .collect();
        let known: BTreeSet<String> = self.volumes().keys().cloned().collect();
        for (driver, plugin) in self.0.plugins.all() {
            let told = match plugin.list() {
                Ok(told) => told,
                Err(error) => {
                    tracing::warn!(
                        plugin = driver,
                        error = error.report(),
                        "a plugin does not list its volumes"
                    );
                    continue;
                }
            };
            for told in told {
                match all
                    .iter_mut()
                    .find(|volume| volume.name == told.name && volume.driver == driver)
                {
                    Some(volume) => volume.mountpoint.clone_from(&told.mountpoint),
                    None if known.contains(&told.name) => {}
                    None => {
                        let volume = of_plugin(driver.clone(), &plugin, told);
                        if fits(&volume, true) {
                            all.push(volume);
                        }
                    }
                }
            }
        }
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    /// Lists all volumes with their sizes and numbers of users (`GET /system/df`). Blocks.
    pub fn usage(&self) -> Vec<Volume> {
        let counted: Vec<_> = self
            .volumes()
            .values()
            .filter(|entry| entry.record.driver == LOCAL)
            .map(|entry| (self.describe(entry), entry.users.len()))
            .collect();
        counted
            .into_iter()
            .map(|(mut volume, users)| {
                let size = usage::of(&self.data(&volume.name))
                    .ok()
                    .and_then(|size| i64::try_from(size).ok());
                volume.usage_data = Some(UsageData {
                    ref_count: i64::try_from(users).unwrap_or(i64::MAX),
                    size: size.unwrap_or(-1),
                });
                volume
            })
            .collect()
    }

    /// A volume that only a plugin knows.
    pub(super) fn told_by_plugins(&self, name: &str) -> Option<(String, Arc<Plugin>, Told)> {
        let mut plugins = self.0.plugins.all().into_iter();
        plugins.find_map(|(driver, plugin)| {
            let told = plugin.describe(name).ok()?;
            Some((driver, plugin, told))
        })
    }

    pub(super) fn describe(&self, entry: &Entry) -> Volume {
        let mut volume = self.describe_record(&entry.record);
        if let (true, Some(path)) = (volume.driver != LOCAL, &entry.mountpoint) {
            volume.mountpoint = path.display().to_string();
        }
        volume
    }

    pub(super) fn describe_record(&self, record: &Record) -> Volume {
        let mountpoint = match record.driver.as_str() {
            LOCAL => self.data(&record.name).display().to_string(),
            _ => String::new(),
        };
        Volume {
            created_at: record.created_at.clone(),
            driver: record.driver.clone(),
            labels: record.labels.clone().filter(|labels| !labels.is_empty()),
            mountpoint,
            name: record.name.clone(),
            options: record.options.clone(),
            scope: LOCAL.to_owned(),
            status: None,
            usage_data: None,
        }
    }
}

/// Adds what a plugin tells of its volume now; without an answer the volume is told as it is known.
pub(super) fn with_plugins_words(mut volume: Volume, plugin: &Plugin) -> Volume {
    volume.scope.clone_from(&plugin.scope);
    if let Ok(told) = plugin.describe(&volume.name) {
        volume.mountpoint = told.mountpoint;
        volume.status = told.status.filter(|status| !status.is_empty());
        if !told.created_at.is_empty() {
            volume.created_at = told.created_at;
        }
    }
    volume
}

fn of_plugin(driver: String, plugin: &Plugin, told: Told) -> Volume {
    Volume {
        created_at: told.created_at,
        driver,
        mountpoint: told.mountpoint,
        name: told.name,
        scope: plugin.scope.clone(),
        status: told.status.filter(|status| !status.is_empty()),
        ..Volume::default()
    }
}
