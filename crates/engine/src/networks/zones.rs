//! What containers' servers of names know: a file for each user's network, below the exec root.
//!
//! The shims read it for every question ([`corten_shim::names`]), so that names are answered while no
//! engine runs.

use std::{net::IpAddr, path::PathBuf, sync::PoisonError};

use corten_shim::names::zone::{self, Entry};
use corten_sys::fs;
use ipnet::IpNet;

use super::{Network, Networks, record::Attachment};

const ENDING: &str = "names";

impl Networks {
    /// The file of a network.
    pub fn zone_path(&self, network_id: &str) -> PathBuf {
        self.zones_root().join(format!("{network_id}.{ENDING}"))
    }

    pub(super) fn zones_root(&self) -> PathBuf {
        self.0.settings.exec_root.join("networks")
    }

    /// Writes a network's file as it is to be now. Names are no reason to fail: what cannot be written
    /// is logged.
    pub(super) fn write_zone(&self, network_id: &str) {
        let _latest = self.0.zones.lock().unwrap_or_else(PoisonError::into_inner);
        let text = {
            let state = self.state();
            let Some(network) = state.networks.get(network_id).filter(|network| network.has_names()) else {
                return;
            };
            zone::render(&network.attachments.values().map(entry).collect::<Vec<_>>())
        };
        if let Err(error) = fs::write_atomic(self.zone_path(network_id), text) {
            tracing::error!(network = network_id, %error, "cannot write the names on a network");
        }
    }

    /// Writes the files of all networks and removes those of networks that are gone.
    pub(super) fn write_zones(&self) {
        let ids: Vec<String> = self.state().networks.keys().cloned().collect();
        ids.iter().for_each(|id| self.write_zone(id));
        let Ok(entries) = fs::read_dir(self.zones_root()) else {
            return;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let id = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            if id.is_some_and(|id| ids.contains(&id)) {
                continue;
            }
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(%error, "cannot remove the names of a network that is gone");
            }
        }
    }

    /// Takes note of a container's new name. `names` gives its names on a network anew, from the old ones.
    pub fn renamed(&self, container_id: &str, name: &str) {
        let mut changed = Vec::new();
        {
            let mut state = self.state();
            for network in state.networks.values_mut() {
                let id = network.record.id.clone();
                let Some(attachment) = network.attachments.get_mut(container_id) else {
                    continue;
                };
                if let Some(own) = attachment.names.first_mut() {
                    name.clone_into(own);
                }
                name.clone_into(&mut attachment.container_name);
                changed.push(id);
            }
        }
        changed.iter().for_each(|id| self.write_zone(id));
    }
}

impl Network {
    /// Whether containers know each other by name here.
    pub(super) fn has_names(&self) -> bool {
        !self.record.predefined
    }
}

fn entry(attachment: &Attachment) -> Entry {
    let address = |net: Option<IpNet>| net.map(|net| net.addr());
    Entry {
        v4: address(attachment.v4).and_then(|ip| if let IpAddr::V4(ip) = ip { Some(ip) } else { None }),
        v6: address(attachment.v6).and_then(|ip| if let IpAddr::V6(ip) = ip { Some(ip) } else { None }),
        names: attachment.names.clone(),
    }
}
