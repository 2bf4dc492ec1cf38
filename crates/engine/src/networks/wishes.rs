//! What a container asks for on a network, and Docker's rules for it.

use std::net::IpAddr;

use corten_api::network::EndpointSettings;
use corten_network::{LinkSetting, MacAddress};
use ipnet::IpNet;

use super::{Network, Networks};
use crate::error::{Error, Result};

/// The option that names a container's link.
/// The option with settings of the kernel for a container's link.
const SYSCTLS: &str = "com.docker.network.endpoint.sysctls";
const IFNAME: &str = "com.docker.network.endpoint.ifname";
const LINK_LOCAL_PREFIX4: u8 = 16;
const LINK_LOCAL_PREFIX6: u8 = 64;

/// A container's wishes, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wishes {
    pub(super) v4: Option<IpAddr>,
    pub(super) v6: Option<IpAddr>,
    pub(super) link_local: Vec<IpNet>,
    pub(super) mac: Option<MacAddress>,
    pub(super) ifname: Option<String>,
    pub(super) settings: Vec<LinkSetting>,
}

impl Wishes {
    /// Reads an endpoint's settings; `mac` is the container's own wish for a link address, if any.
    pub(super) fn read(settings: &EndpointSettings, mac: &str) -> Result<Self> {
        let mut complaints = Vec::new();
        let wishes = Self::read_all(settings, &mut complaints);
        refuse(complaints)?;
        let mac = [settings.mac_address.as_str(), mac]
            .into_iter()
            .find(|mac| !mac.is_empty());
        let mac = mac.map(str::parse::<MacAddress>).transpose()?;
        Ok(Self { mac, ..wishes })
    }

    fn read_all(settings: &EndpointSettings, complaints: &mut Vec<String>) -> Self {
        let link_settings = link_settings(settings, complaints);
        let Some(ipam) = &settings.ipam_config else {
            return Self {
                ifname: ifname(settings),
                settings: link_settings,
                ..Self::default()
            };
        };
        let mut address = |text: &str, what: &str, fits: fn(&IpAddr) -> bool| {
            if text.is_empty() {
                return None;
            }
            let address = text
                .parse()
                .ok()
                .filter(|address: &IpAddr| fits(address) && !address.is_unspecified());
            if address.is_none() {
                complaints.push(format!("invalid {what} address: {text}"));
            }
            address
        };
        let v4 = address(&ipam.ipv4_address, "IPv4", IpAddr::is_ipv4);
        let v6 = address(&ipam.ipv6_address, "IPv6", IpAddr::is_ipv6);
        let local = ipam.link_local_ips.iter();
        let local = local
            .filter_map(|text| address(text, "link-local IP", |_| true))
            .collect::<Vec<_>>();
        let with_prefix = |address: IpAddr| {
            let prefix = if address.is_ipv4() {
                LINK_LOCAL_PREFIX4
            } else {
                LINK_LOCAL_PREFIX6
            };
            IpNet::new(address, prefix).ok()
        };
        Self {
            v4,
            v6,
            link_local: local.into_iter().filter_map(with_prefix).collect(),
            mac: None,
            ifname: ifname(settings),
            settings: link_settings,
        }
    }
}

fn ifname(settings: &EndpointSettings) -> Option<String> {
    let options = settings.driver_opts.as_ref()?;
    options.get(IFNAME).filter(|name| !name.is_empty()).cloned()
}

/// Reads `net.ipv4.conf.IFNAME.log_martians=1,…`.
fn link_settings(settings: &EndpointSettings, complaints: &mut Vec<String>) -> Vec<LinkSetting> {
    let options = settings.driver_opts.as_ref();
    let Some(text) = options.and_then(|options| options.get(SYSCTLS)) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for one in text.split(',') {
        match link_setting(one) {
            Ok(setting) => all.push(setting),
            Err(complaint) => complaints.push(complaint),
        }
    }
    all
}

fn link_setting(text: &str) -> std::result::Result<LinkSetting, String> {
    let parts: Vec<&str> = text.splitn(5, '.').collect();
    // The command line of Docker makes small letters of it.
    let [
        "net",
        family @ ("ipv4" | "ipv6" | "mpls"),
        kind,
        "IFNAME" | "ifname",
        rest,
    ] = parts[..]
    else {
        return Err(format!(
            "unrecognised network interface sysctl '{text}'; represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' \
             must be 'ipv4', 'ipv6' or 'mpls'"
        ));
    };
    let Some((name, value)) = rest.split_once('=') else {
        return Err(format!("expected sysctl '{text}' to have format name=value"));
    };
    let is_plain =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_plain(kind) || !is_plain(name) {
        return Err(format!("expected sysctl '{text}' to have format net.X.Y.IFNAME.Z"));
    }
    Ok(LinkSetting {
        family: family.to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        value: value.to_owned(),
    })
}

impl Networks {
    /// Checks an endpoint's settings, also against the network if there is one of that name.
    ///
    /// # Errors
    /// `Invalid` with all complaints, in Docker's words.
    pub fn check_endpoint(&self, network: &str, settings: &EndpointSettings) -> Result<()> {
        let mut complaints = Vec::new();
        let state = self.state();
        let found = state.find(network).ok();
        let name = found.map_or(network, |network| network.record.name.as_str());
        let ipam = settings.ipam_config.as_ref();
        let is_fixed = ipam.is_some_and(|ipam| !ipam.ipv4_address.is_empty() || !ipam.ipv6_address.is_empty());
        if matches!(name, "bridge" | "default" | "host" | "none") {
            if is_fixed {
                complaints.push("user specified IP address is supported on user defined networks only".to_owned());
            }
            if settings.aliases.as_ref().is_some_and(|aliases| !aliases.is_empty()) {
                complaints.push("network-scoped aliases are only supported for user-defined networks".to_owned());
            }
        }
        let wishes = Wishes::read_all(settings, &mut complaints);
        if let Some(network) = found {
            complaints.extend(network.outside(&wishes));
        }
        drop(state);
        refuse(complaints)
    }
}

impl Network {
    /// Complaints about addresses that the network has not, or does not give on demand.
    fn outside(&self, wishes: &Wishes) -> Vec<String> {
        let mut complaints = Vec::new();
        let ranges = self.record.bridge.as_ref().map(|bridge| (&bridge.v4, &bridge.v6));
        for address in [wishes.v4, wishes.v6].into_iter().flatten() {
            if !self.contains(address) && !self.was_configured(address) {
                complaints.push(format!("no configured subnet contains IP address {address}"));
                continue;
            }
            let range = ranges.and_then(|(v4, v6)| if address.is_ipv4() { v4.as_ref() } else { v6.as_ref() });
            if range.is_some_and(|range| !range.chosen_by_user) {
                complaints.push(
                    "user specified IP address is supported only when connecting to networks with user configured subnets"
                        .to_owned(),
                );
            }
        }
        complaints
    }

    /// Whether the network was made with a subnet for an address, though it may not have its family: then the
    /// wish is kept, and not fulfilled, as Docker does.
    fn was_configured(&self, address: IpAddr) -> bool {
        let configs = self.record.ipam.config.iter().flatten();
        let mut subnets = configs.filter_map(|config| config.subnet.parse::<IpNet>().ok());
        subnets.any(|subnet| subnet.contains(&address))
    }
}

fn refuse(complaints: Vec<String>) -> Result<()> {
    match complaints.as_slice() {
        [] => Ok(()),
        all => Err(Error::invalid(format!(
            "invalid endpoint settings:\n{}",
            all.join("\n")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_links_are_read() {
        let setting = link_setting("net.ipv4.conf.IFNAME.log_martians=1").unwrap();
        assert_eq!((setting.name.as_str(), setting.value.as_str()), ("log_martians", "1"));
        assert!(link_setting("net.ipv6.neigh.ifname.proxy_delay=7").is_ok());
        for bad in [
            "net.ipv4.conf.eth0.log_martians=1",
            "kernel.shm_rmid_forced=1",
            "net.core.conf.IFNAME.x=1",
        ] {
            let complaint = link_setting(bad).unwrap_err();
            assert!(
                complaint.starts_with("unrecognised network interface sysctl"),
                "{complaint}"
            );
        }
        for bad in [
            "net.ipv4...=1",
            "net.ipv4.conf.IFNAME.x",
            "net.ipv4...IFNAME.x=1",
            "net.ipv4.conf.IFNAME.a/b=1",
        ] {
            assert!(link_setting(bad).is_err(), "{bad}");
        }
    }
}
