//! Removing networks.

use std::collections::BTreeMap;

use corten_api::{filters::Filters, network::Pruned};
use corten_sys::fs;

use super::{
    Network, Networks, State,
    record::{self, Record},
};
use crate::error::{Error, Kind, Result};

impl Networks {
    /// Removes a network that nobody is on. Blocks.
    ///
    /// # Errors
    /// As [`Networks::find`]; `Forbidden` when it is predefined or in use.
    pub fn remove(&self, name_or_id: &str) -> Result<()> {
        let network = {
            let mut state = self.state();
            let network = state.find(name_or_id)?;
            network.check_removable()?;
            state.check_unused(&network.record)?;
            let id = network.record.id.clone();
            state.networks.remove(&id)
        };
        let Some(network) = network else {
            return Ok(());
        };
        if let (Some(bridge), Ok(fabric)) = (&network.record.bridge, &self.0.fabric)
            && let Err(error) = fabric.remove_bridge(&bridge.plan.name)
        {
            self.state().networks.insert(network.record.id.clone(), network);
            return Err(error.into());
        }
        fs::if_there(fs::remove_file(record::path(&self.0.root, &network.record.id)))?;
        fs::if_there(fs::remove_file(self.zone_path(&network.record.id)))?;
        self.emit_for(&network.record, "destroy", None);
        Ok(())
    }

    /// Removes the users' networks that nobody is on (filters `label`, `label!`, `until`), by name. Blocks.
    ///
    /// # Errors
    /// `Invalid` for other filters and times that are none.
    pub fn prune(&self, filters: &Filters) -> Result<Pruned> {
        filters.accept(&["label", "label!", "until"])?;
        let until = crate::time_filter::until(filters)?;
        let mut candidates: Vec<_> = self
            .state()
            .networks
            .values()
            .filter(|network| !network.record.predefined && network.attachments.is_empty())
            .filter(|network| network.record.configuration.is_none())
            .filter(|network| filters.labels(&network.record.labels))
            .filter(|network| until.is_none_or(|until| network.record.created < until))
            .map(|network| (network.record.name.clone(), network.record.id.clone()))
            .collect();
        candidates.sort_unstable();
        let mut deleted = Vec::new();
        for (name, id) in candidates {
            match self.remove(&id) {
                Ok(()) => deleted.push(name),
                Err(error) => tracing::warn!(network = name, error = error.report(), "the network is kept"),
            }
        }
        self.0.events.emit(
            "network",
            "prune",
            "",
            BTreeMap::from([("reclaimed".to_owned(), "0".to_owned())]),
        );
        Ok(Pruned {
            networks_deleted: Some(deleted),
        })
    }
}

impl State {
    /// Checks that no network has its configuration from this one.
    fn check_unused(&self, record: &Record) -> Result<()> {
        let mut others = self.networks.values().map(|network| &network.record);
        if record.configuration.is_some() && others.any(|other| other.config_from == record.name) {
            return Err(Error::new(
                Kind::Forbidden,
                format!("configuration network \"{}\" is in use", record.name),
            ));
        }
        Ok(())
    }
}

impl Network {
    fn check_removable(&self) -> Result<()> {
        let name = &self.record.name;
        if self.record.predefined {
            return Err(Error::new(
                Kind::Forbidden,
                format!("{name} is a pre-defined network and cannot be removed"),
            ));
        }
        if self.attachments.is_empty() {
            return Ok(());
        }
        let who: Vec<_> = self
            .attachments
            .values()
            .map(|a| {
                format!(
                    "name:\"{}\" id:\"{}\"",
                    a.container_name,
                    crate::identifiers::short(&a.endpoint_id)
                )
            })
            .collect();
        Err(Error::new(
            Kind::Forbidden,
            format!(
                "error while removing network: network {name} has active endpoints ({})",
                who.join(", ")
            ),
        ))
    }
}
