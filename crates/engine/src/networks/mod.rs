//! Networks: which exist, who is on them, and what is published (Docker API, `/networks`).
//!
//! A network is one JSON file below `network/` in the data root. Who is on it is known from the
//! containers, which are [attached](Networks::attach) when they start and
//! [restored](Networks::restore) after a restart of the engine. The kernel's part is done by
//! [`corten_network::Fabric`]; without one (a kernel without nf_tables, say) the engine works with
//! `host` and `none` alone, and bridges answer why not.

mod configuration;
mod create;
mod default_bridge;
mod drivers;
mod endpoints;
mod neighbours;
mod places;
mod plan;
mod policy;
mod ports;
mod record;
mod relays;
mod remove;
mod restored;
mod settle;
mod succession;
mod wishes;
mod zones;

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use corten_api::{container::PortBinding, filters::Filters, network::Network as Description, time::Time};
use corten_network::{Fabric, FabricConfig, PublishedState, Subnet, Watch};
use corten_sys::fs;

pub use corten_network::Driver;
pub(crate) use endpoints::dns_names;
pub use endpoints::{AttachRequest, Attached, Hold, LinkNames, Place};
pub use places::{Gateway, Gateways};
pub use restored::Restored;
pub use succession::{Published, Publisher, TakenOver, holds};

use self::record::{Attachment, Record};
use crate::{
    error::{Error, Kind, Result},
    events::Events,
    name_pattern::NamePattern,
    settings::Settings,
};

/// A container's ports, as `80/tcp`, and where each is published.
pub type PortMap = BTreeMap<String, Option<Vec<PortBinding>>>;

/// How many network namespaces with a link are kept ready.
const READY: usize = 4;

/// The networks of the engine.
#[derive(Debug, Clone)]
pub struct Networks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Arc<Settings>,
    events: Events,
    root: PathBuf,
    /// The kernel's side, or why there is none.
    fabric: std::result::Result<Arc<Fabric>, String>,
    /// Guards the networks; never held while the kernel is asked for a link or a port.
    state: Mutex<State>,
    /// Guards the zones' files, so that the last to write one knows the latest. Taken before `state`.
    zones: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// By id.
    networks: BTreeMap<String, Network>,
    /// What running containers publish, until [`Networks::restored`] hands it on.
    published: Vec<PublishedState>,
    /// Containers that stand by for others: their ids, and those of the others.
    standbys: BTreeMap<String, String>,
    /// Puts rules back that others remove.
    watch: Option<Watch>,
}

#[derive(Debug)]
struct Network {
    record: Record,
    v4: Option<Subnet>,
    v6: Option<Subnet>,
    /// By container id.
    attachments: BTreeMap<String, Attachment>,
}

/// What others need to know of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkInfo {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How it is made.
    pub driver: Driver,
    /// Whether a user made it; such networks have names and aliases for containers.
    pub user_defined: bool,
}

impl NetworkInfo {
    /// Whether containers have links to it: not to `host` and `none`.
    pub fn has_links(&self) -> bool {
        !matches!(self.driver, Driver::Host | Driver::None)
    }
}

impl Networks {
    /// Reads the networks below the data root and plans the default bridge. The kernel's bridges
    /// and rules follow with [`Networks::restored`], in one step, so that ports which an earlier
    /// run published work without a gap. Blocks.
    ///
    /// # Errors
    /// `Internal` when the folder cannot be made or read, or the default bridge cannot be planned.
    pub fn open(settings: &Arc<Settings>, events: Events) -> Result<Self> {
        let root = settings.data_root.join("network");
        fs::create_dir_all_mode(&root, 0o700)?;
        let config = FabricConfig {
            rules4: settings.rules4,
            rules6: settings.rules6,
            forwarding: settings.forwarding,
            direct_routing: settings.direct_routing,
            ..FabricConfig::new(&settings.table, READY)
        };
        let fabric = Fabric::open(&config)
            .map(Arc::new)
            .map_err(|error| Error::from(error).report());
        if let Err(why) = &fabric {
            tracing::warn!(
                why,
                "bridge networks cannot be had; containers can use the networks host and none"
            );
        }
        let networks = Self(Arc::new(Inner {
            settings: Arc::clone(settings),
            events,
            root: root.clone(),
            fabric,
            state: Mutex::default(),
            zones: Mutex::default(),
        }));
        fs::create_dir_all_mode(networks.zones_root(), 0o700)?;
        for record in record::load(&root)? {
            networks.adopt(record);
        }
        networks.ensure_predefined()?;
        Ok(networks)
    }

    /// Finds a network by name, id, or the beginning of an id.
    ///
    /// # Errors
    /// `NotFound` when there is none; `Invalid` when the beginning fits several.
    pub fn find(&self, name_or_id: &str) -> Result<NetworkInfo> {
        let state = self.state();
        Ok(state.find(name_or_id)?.info())
    }

    /// Lists networks (filters `name`, `id`, `driver`, `scope`, `type`, `label`, `label!`,
    /// `dangling`); without the containers on them, as Docker.
    ///
    /// # Errors
    /// `Invalid` for other filters.
    pub fn list(&self, filters: &Filters) -> Result<Vec<Description>> {
        filters.accept(&["name", "id", "driver", "scope", "type", "label", "label!", "dangling"])?;
        let dangling = filters
            .has("dangling")
            .then(|| filters.switch("dangling", false))
            .transpose()
            .map_err(|_| {
                Error::invalid(
                    "invalid value for filter 'dangling', must be \"true\" (or \"1\"), or \"false\" (or \"0\")",
                )
            })?;
        if let Some(other) = filters
            .values("type")
            .find(|kind| !matches!(*kind, "custom" | "builtin"))
        {
            return Err(Error::internal(format!("invalid filter: 'type'='{other}'")));
        }
        let patterns = |name| filters.values(name).map(NamePattern::new).collect::<Vec<_>>();
        let (names, ids) = (patterns("name"), patterns("id"));
        let fits =
            |patterns: &[NamePattern], text: &str| patterns.is_empty() || patterns.iter().any(|p| p.matches(text));
        let state = self.state();
        let mut found: Vec<_> = state
            .networks
            .values()
            .filter(|network| fits(&names, &network.record.name) && fits(&ids, &network.record.id))
            .filter(|network| filters.exact("driver", network.record.driver_name()))
            .filter(|network| filters.exact("scope", "local") && filters.labels(&network.record.labels))
            .filter(|network| filters.exact("type", if network.record.predefined { "builtin" } else { "custom" }))
            .filter(|network| dangling.is_none_or(|wanted| network.is_dangling() == wanted))
            .map(|network| network.record.describe())
            .collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Describes a network with the containers on it.
    ///
    /// # Errors
    /// As [`Networks::find`].
    pub fn inspect(&self, name_or_id: &str) -> Result<Description> {
        let state = self.state();
        let network = state.find(name_or_id)?;
        let mut description = network.record.describe();
        description.containers = network
            .attachments
            .iter()
            .map(|(id, attachment)| (id.clone(), attachment.describe()))
            .collect();
        Ok(description)
    }

    /// The addresses that `host-gateway` stands for: the default bridge's own.
    pub fn host_gateways(&self) -> Vec<IpAddr> {
        let state = self.state();
        let Ok(network) = state.find("bridge") else {
            return Vec::new();
        };
        network.v4.iter().chain(&network.v6).map(Subnet::gateway).collect()
    }

    /// Other firewalls' rules that stand in the way, and why there are no bridges if there are none. Blocks.
    pub fn warnings(&self) -> Vec<String> {
        match &self.0.fabric {
            Ok(fabric) => fabric.obstacles().unwrap_or_default(),
            Err(why) => vec![format!("WARNING: bridge networks cannot be had: {why}")],
        }
    }

    /// Takes a network of an earlier run over.
    fn adopt(&self, record: Record) {
        let name = record.name.clone();
        match Network::new(record) {
            Ok(network) => {
                self.state().networks.insert(network.record.id.clone(), network);
            }
            Err(error) => tracing::error!(
                network = name,
                error = error.report(),
                "the network's record is left aside"
            ),
        }
    }

    /// Makes `host`, `none` and the default bridge, as the settings say.
    fn ensure_predefined(&self) -> Result<()> {
        for (name, driver) in [("host", Driver::Host), ("none", Driver::None)] {
            if self.find(name).is_err() {
                self.keep(plan::predefined(name, driver))?;
            }
        }
        let earlier = self.state().find("bridge").ok().map(|network| network.record.clone());
        let (Ok(fabric), true) = (&self.0.fabric, self.0.settings.bridge != "none") else {
            if let Some(record) = earlier {
                self.state().networks.remove(&record.id);
            }
            return Ok(());
        };
        let subnets = self.state().subnets_except(earlier.as_ref());
        let host = fabric.host_subnets(&self.state().bridges_with(&self.0.settings.bridge))?;
        let link = fabric.bridge_addresses(&self.0.settings.bridge)?;
        let around = default_bridge::Surroundings {
            in_use: &subnets,
            host: &host,
            link: link.as_deref(),
        };
        self.keep(default_bridge::plan(&self.0.settings, earlier, &around)?)
    }

    fn keep(&self, record: Record) -> Result<()> {
        let id = record.id.clone();
        self.state().networks.insert(id.clone(), Network::new(record)?);
        self.save(&id)
    }

    fn save(&self, id: &str) -> Result<()> {
        let record = self.state().find(id)?.record.clone();
        record::save(&self.0.root, &record)
    }

    fn fabric(&self) -> Result<&Arc<Fabric>> {
        self.0.fabric.as_ref().map_err(|why| {
            Error::new(Kind::Unavailable, format!("bridge networks cannot be had: {why}"))
                .hint("use the network host or none")
        })
    }

    /// Tells listeners what happened to a container on a network.
    pub(crate) fn tell(&self, id: &str, action: &str, container: &str) {
        self.emit(id, action, Some(container));
    }

    fn emit(&self, id: &str, action: &str, container: Option<&str>) {
        let record = self.state().networks.get(id).map(|network| network.record.clone());
        if let Some(record) = record {
            self.emit_for(&record, action, container);
        }
    }

    fn emit_for(&self, record: &Record, action: &str, container: Option<&str>) {
        let mut attributes = BTreeMap::from([
            ("name".to_owned(), record.name.clone()),
            ("type".to_owned(), record.driver_name().to_owned()),
        ]);
        attributes.extend(container.map(|id| ("container".to_owned(), id.to_owned())));
        self.0.events.emit("network", action, &record.id, attributes);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn find(&self, text: &str) -> Result<&Network> {
        let missing = || Error::not_found(format!("network {text} not found"));
        if text.is_empty() {
            return Err(missing());
        }
        if let Some(network) = self.networks.get(text) {
            return Ok(network);
        }
        // `default` is what the API calls the default bridge in `NetworkMode`.
        let name = if text == "default" { "bridge" } else { text };
        if let Some(network) = self.networks.values().find(|network| network.record.name == name) {
            return Ok(network);
        }
        let mut begun = self
            .networks
            .values()
            .filter(|network| network.record.id.starts_with(text));
        match (begun.next(), begun.next()) {
            (Some(network), None) => Ok(network),
            (None, _) => Err(missing()),
            (Some(_), Some(_)) => {
                let count = begun.count() + 2;
                Err(Error::invalid(format!(
                    "network {text} is ambiguous ({count} matches found based on ID prefix)"
                )))
            }
        }
    }

    fn bridges(&self) -> Vec<String> {
        let bridges = self
            .networks
            .values()
            .filter_map(|network| network.record.bridge.as_ref());
        bridges.map(|bridge| bridge.plan.name.clone()).collect()
    }

    fn bridges_with(&self, more: &str) -> Vec<String> {
        let mut bridges = self.bridges();
        bridges.push(more.to_owned());
        bridges
    }

    fn subnets(&self) -> Vec<ipnet::IpNet> {
        self.subnets_except(None)
    }

    fn subnets_except(&self, record: Option<&Record>) -> Vec<ipnet::IpNet> {
        self.networks
            .values()
            .filter(|network| record.is_none_or(|record| record.id != network.record.id))
            .flat_map(|network| network.v4.iter().chain(&network.v6).map(Subnet::range))
            .collect()
    }
}

impl Network {
    fn new(record: Record) -> Result<Self> {
        let (v4, v6) = record.subnets()?;
        Ok(Self {
            record,
            v4,
            v6,
            attachments: BTreeMap::new(),
        })
    }

    fn info(&self) -> NetworkInfo {
        NetworkInfo {
            id: self.record.id.clone(),
            name: self.record.name.clone(),
            driver: self.record.driver,
            user_defined: !self.record.predefined,
        }
    }

    fn is_dangling(&self) -> bool {
        !self.record.predefined && self.attachments.is_empty()
    }
}

impl From<corten_network::Error> for Error {
    fn from(error: corten_network::Error) -> Self {
        let mut converted = Self::new(error.kind(), error.message());
        if let Some(hint) = error.advice() {
            converted = converted.hint(hint);
        }
        match std::error::Error::source(&error) {
            Some(cause) => converted.source(crate::error::Cause(cause.to_string())),
            None => converted,
        }
    }
}

/// The present, for records.
fn now() -> Time {
    Time::now()
}

#[cfg(test)]
mod tests;
