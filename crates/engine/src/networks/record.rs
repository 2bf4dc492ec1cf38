//! What is kept of a network (`network/<id>.json`), and what is known of who is on it.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
};

use corten_api::{
    network::{ConfigReference, Endpoint, Ipam, Network as Description},
    time::Time,
};
use corten_network::{BridgePlan, Driver, MacAddress, Reach, Subnet};
use corten_sys::fs;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{LinkNames, configuration::Configuration};
use crate::error::{Error, Result};

/// A network, as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) created: Time,
    pub(super) driver: Driver,
    /// Whether it is there without anybody having made it.
    pub(super) predefined: bool,
    pub(super) internal: bool,
    pub(super) attachable: bool,
    /// Address management as the API shows it: what the user asked for, or what was chosen.
    pub(super) ipam: Ipam,
    pub(super) options: BTreeMap<String, String>,
    pub(super) labels: BTreeMap<String, String>,
    /// The bridge, unless the network is `host` or `none`, or only a configuration.
    pub(super) bridge: Option<Bridge>,
    /// What makes it a configuration for other networks.
    #[serde(default)]
    pub(super) configuration: Option<Configuration>,
    /// The name of the network that it has its configuration from.
    #[serde(default)]
    pub(super) config_from: String,
}

/// A network's bridge and its addresses.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Bridge {
    pub(super) plan: BridgePlan,
    pub(super) v4: Option<Range>,
    pub(super) v6: Option<Range>,
    /// The host's address for published ports without one.
    pub(super) host_ip: Option<IpAddr>,
    /// Containers' default gateway, where it is not the bridge itself.
    #[serde(default)]
    pub(super) route4: Option<IpAddr>,
    /// The same for IPv6.
    #[serde(default)]
    pub(super) route6: Option<IpAddr>,
    /// What containers' links are called, before their number; `eth` without.
    #[serde(default)]
    pub(super) link_prefix: Option<String>,
}

/// Addresses of one family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Range {
    pub(super) subnet: IpNet,
    pub(super) gateway: Option<IpAddr>,
    pub(super) ip_range: Option<IpNet>,
    pub(super) auxiliary: Vec<IpAddr>,
    /// Whether the user chose the subnet; only then may containers ask for addresses.
    pub(super) chosen_by_user: bool,
}

impl Range {
    /// An empty register of the range's addresses.
    pub(super) fn open(&self, network: &str) -> Result<Subnet> {
        Ok(Subnet::new(
            network,
            self.subnet,
            self.gateway,
            self.ip_range,
            &self.auxiliary,
        )?)
    }
}

/// A container's place on a network.
#[derive(Debug, Clone, Default)]
pub(super) struct Attachment {
    pub(super) endpoint_id: String,
    pub(super) container_name: String,
    pub(super) mac: Option<MacAddress>,
    pub(super) v4: Option<IpNet>,
    pub(super) v6: Option<IpNet>,
    /// Names by which others on the network know it, its own first.
    pub(super) names: Vec<String>,
    /// Names that it does not answer to as long as it stands by for another.
    pub(super) hidden: Vec<String>,
    /// How much its gateway is preferred.
    pub(super) priority: i64,
    /// Its link.
    pub(super) link: LinkNames,
}

impl Attachment {
    /// As `GET /networks/{id}` shows it.
    pub(super) fn describe(&self) -> Endpoint {
        let text = |net: Option<IpNet>| net.map(|net| net.to_string()).unwrap_or_default();
        Endpoint {
            name: self.container_name.clone(),
            endpoint_id: self.endpoint_id.clone(),
            mac_address: self.mac.map(|mac| mac.to_string()).unwrap_or_default(),
            ipv4_address: text(self.v4),
            ipv6_address: text(self.v6),
        }
    }
}

impl Record {
    /// As `GET /networks` shows it.
    pub(super) fn describe(&self) -> Description {
        let bridge = self.bridge.as_ref();
        let (ipv4, ipv6) = match self.configuration {
            Some(configuration) => (configuration.ipv4, configuration.ipv6),
            None => (
                bridge.is_none_or(|bridge| bridge.v4.is_some()),
                bridge.is_some_and(|bridge| bridge.v6.is_some()),
            ),
        };
        Description {
            name: self.name.clone(),
            id: self.id.clone(),
            created: self.created,
            scope: "local".to_owned(),
            driver: self.driver_name().to_owned(),
            enable_ipv4: ipv4,
            enable_ipv6: ipv6,
            ipam: self.ipam.clone(),
            internal: self.internal,
            attachable: self.attachable,
            options: self.options.clone(),
            labels: self.labels.clone(),
            config_only: self.configuration.is_some(),
            config_from: ConfigReference {
                network: self.config_from.clone(),
            },
            ..Description::default()
        }
    }

    /// The driver as the API names it.
    pub(super) fn driver_name(&self) -> &'static str {
        super::drivers::name(self.driver)
    }

    /// Whether containers get a default route on it.
    pub(super) fn is_routed(&self) -> bool {
        self.bridge
            .as_ref()
            .is_some_and(|bridge| bridge.plan.reach != Reach::Internal)
    }

    /// Whether containers' ports are published on it.
    pub(super) fn publishes(&self) -> bool {
        self.driver == Driver::Bridge && self.is_routed()
    }

    /// Empty registers of its addresses.
    pub(super) fn subnets(&self) -> Result<(Option<Subnet>, Option<Subnet>)> {
        let Some(bridge) = &self.bridge else {
            return Ok((None, None));
        };
        let open = |range: &Option<Range>| range.as_ref().map(|range| range.open(&self.name)).transpose();
        Ok((open(&bridge.v4)?, open(&bridge.v6)?))
    }
}

/// The file of a network.
pub(super) fn path(root: &Path, id: &str) -> PathBuf {
    root.join(format!("{id}.json"))
}

/// Writes a network's file.
pub(super) fn save(root: &Path, record: &Record) -> Result<()> {
    let json = serde_json::to_vec_pretty(record)
        .map_err(|error| Error::internal(format!("cannot write network {}", record.name)).source(error))?;
    let path = path(root, &record.id);
    // What is there already needs no room: an engine must start on a full disk, too.
    if fs::read(&path).is_ok_and(|kept| kept == json) {
        return Ok(());
    }
    Ok(fs::write_atomic(path, json)?)
}

/// Reads all networks' files. A damaged one is set aside under a name of its own.
pub(super) fn load(root: &Path) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for item in fs::read_dir(root)? {
        let path = item?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        match serde_json::from_slice::<Record>(&fs::read(&path)?) {
            Ok(record) => records.push(record),
            Err(error) => {
                let aside = path.with_extension("json.damaged");
                tracing::error!(path = %path.display(), %error, "a network's record is damaged and set aside");
                fs::rename(&path, &aside)?;
            }
        }
    }
    records.sort_by_key(|record| record.created);
    Ok(records)
}
