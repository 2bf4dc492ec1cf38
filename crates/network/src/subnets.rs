//! Which subnet a new network gets, and which addresses in it are taken.
//!
//! Pure data: the engine rebuilds a [`Subnet`] from its endpoint records on start.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::{Error, Kind, Result};

/// A range from which subnets of one size are cut (`default-address-pools` in `daemon.json`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressPool {
    /// The whole range.
    pub base: IpNet,
    /// Prefix length of the subnets.
    pub size: u8,
}

/// Returns Docker's default pools: 172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/16 in /20s.
pub fn default_pools() -> Vec<AddressPool> {
    let pool = |a, b, prefix, size| AddressPool {
        base: IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, 0, 0), prefix)),
        size,
    };
    vec![
        pool(172, 17, 16, 16),
        pool(172, 18, 16, 16),
        pool(172, 19, 16, 16),
        pool(172, 20, 14, 16),
        pool(172, 24, 14, 16),
        pool(172, 28, 14, 16),
        pool(192, 168, 16, 20),
    ]
}

/// Returns the pool of /64s for networks with IPv6 and no subnet given: a unique local /48
/// (RFC 4193) whose global id comes from a seed that is stable on this host.
pub fn unique_local_pool(seed: u64) -> AddressPool {
    let id = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    let address = [0xfd, id[0], id[1], id[2], id[3], id[4], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    AddressPool {
        base: IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from(address), 48)),
        size: 64,
    }
}

/// Chooses the first subnet of the pools that overlaps neither another network nor anything the
/// host uses.
///
/// # Errors
/// `Unavailable` with Docker's words when every subnet is taken.
pub fn choose_subnet(pools: &[AddressPool], in_use: &[IpNet], host: &[IpNet]) -> Result<IpNet> {
    let free = |subnet: &IpNet| !in_use.iter().chain(host).any(|other| overlap(subnet, other));
    pools
        .iter()
        .filter_map(|pool| pool.base.subnets(pool.size).ok())
        .find_map(|mut subnets| subnets.find(free))
        .ok_or_else(|| {
            Error::new(
                Kind::Unavailable,
                "all predefined address pools have been fully subnetted",
            )
            .hint("remove unused networks, give --subnet, or set default-address-pools")
        })
}

/// Checks a subnet that the user gave against the other networks.
///
/// # Errors
/// `Forbidden` with Docker's words when it overlaps one.
pub fn check_overlap(subnet: &IpNet, in_use: &[IpNet]) -> Result<()> {
    if in_use.iter().any(|other| overlap(subnet, other)) {
        return Err(Error::new(
            Kind::Forbidden,
            "invalid pool request: Pool overlaps with other one on this address space",
        ));
    }
    Ok(())
}

fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

/// The addresses of one subnet of one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// Name and id for messages, e.g. `bridge (0123…)`.
    network: String,
    range: IpNet,
    /// The part that automatic allocation uses (`--ip-range`).
    dynamic: IpNet,
    gateway: IpAddr,
    taken: BTreeSet<IpAddr>,
}

impl Subnet {
    /// Makes the allocator with the gateway (default: the first address) and auxiliary addresses
    /// taken.
    ///
    /// # Errors
    /// `Invalid` when the ip-range, the gateway or an auxiliary address is outside.
    pub fn new(
        network: impl Into<String>,
        range: IpNet,
        gateway: Option<IpAddr>,
        ip_range: Option<IpNet>,
        auxiliary: &[IpAddr],
    ) -> Result<Self> {
        let range = range.trunc();
        let dynamic = ip_range.map_or(range, |net| net.trunc());
        if !range.contains(&dynamic) {
            return Err(Error::new(
                Kind::Invalid,
                format!("no matching subnet for range {dynamic}"),
            ));
        }
        let gateway = match gateway {
            Some(gateway) if !range.contains(&gateway) => {
                return Err(Error::new(
                    Kind::Invalid,
                    format!("no matching subnet for gateway {gateway}"),
                ));
            }
            Some(gateway) => gateway,
            None => first_host(&dynamic, &range),
        };
        let mut subnet = Self {
            network: network.into(),
            range,
            dynamic,
            gateway,
            taken: BTreeSet::new(),
        };
        subnet.taken.insert(gateway);
        for address in auxiliary {
            if !range.contains(address) {
                return Err(Error::new(
                    Kind::Invalid,
                    format!("no matching subnet for aux-address {address}"),
                ));
            }
            subnet.taken.insert(*address);
        }
        Ok(subnet)
    }

    /// Takes the lowest free address, as Docker does.
    ///
    /// # Errors
    /// `Unavailable` when none is left.
    pub fn allocate(&mut self) -> Result<IpAddr> {
        let free = self.lowest_free().ok_or_else(|| {
            let version = if self.range.addr().is_ipv4() { 4 } else { 6 };
            Error::new(
                Kind::Unavailable,
                format!(
                    "no available IPv{version} addresses on this network's address pools: {}",
                    self.network
                ),
            )
        })?;
        self.taken.insert(free);
        Ok(free)
    }

    /// Takes the given address (`--ip`, and endpoint records on start).
    ///
    /// # Errors
    /// `Invalid` when it is outside, `Forbidden` when it is taken.
    pub fn request(&mut self, address: IpAddr) -> Result<()> {
        if !self.range.contains(&address) {
            return Err(Error::new(
                Kind::Invalid,
                format!("Invalid address {address}: It does not belong to any of this network's subnets"),
            ));
        }
        if self.reserved(address) || !self.taken.insert(address) {
            return Err(Error::new(Kind::Forbidden, "Address already in use"));
        }
        Ok(())
    }

    /// Gives an address back. The gateway stays taken.
    pub fn release(&mut self, address: IpAddr) {
        if address != self.gateway {
            self.taken.remove(&address);
        }
    }

    /// Returns the gateway's address.
    pub fn gateway(&self) -> IpAddr {
        self.gateway
    }

    /// Returns the gateway's address with the prefix length, as a bridge wants it.
    pub fn gateway_net(&self) -> IpNet {
        self.with_prefix(self.gateway)
    }

    /// Returns the subnet.
    pub fn range(&self) -> IpNet {
        self.range
    }

    /// Returns an address with the subnet's prefix length, as an endpoint wants it.
    pub fn with_prefix(&self, address: IpAddr) -> IpNet {
        IpNet::new_assert(address, self.range.prefix_len())
    }

    fn lowest_free(&self) -> Option<IpAddr> {
        // Taken addresses ascend, so the first gap is the lowest free one.
        let mut candidate = self.dynamic.network();
        let last = self.dynamic.broadcast();
        loop {
            if !self.reserved(candidate) && !self.taken.contains(&candidate) {
                return Some(candidate);
            }
            if candidate == last {
                return None;
            }
            candidate = successor(candidate);
        }
    }

    /// The network's own address and IPv4's broadcast are nobody's, except in subnets too small.
    fn reserved(&self, address: IpAddr) -> bool {
        let small = self.range.max_prefix_len() - self.range.prefix_len() < 2;
        !small && (address == self.range.network() || (address.is_ipv4() && address == self.range.broadcast()))
    }
}

fn first_host(dynamic: &IpNet, range: &IpNet) -> IpAddr {
    let base = dynamic.network();
    let small = range.max_prefix_len() - range.prefix_len() < 2;
    if base == range.network() && !small {
        successor(base)
    } else {
        base
    }
}

fn successor(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits().wrapping_add(1))),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits().wrapping_add(1))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn subnets_avoid_networks_and_the_host() {
        let pools = default_pools();
        let check = |in_use: &[&str], host: &[&str], expected: &str| {
            let nets = |list: &[&str]| list.iter().map(|text| net(text)).collect::<Vec<_>>();
            let chosen = choose_subnet(&pools, &nets(in_use), &nets(host)).unwrap();
            assert_eq!(chosen, net(expected), "{in_use:?} {host:?}");
        };
        check(&[], &[], "172.17.0.0/16");
        check(&["172.17.0.0/16"], &[], "172.18.0.0/16");
        check(&["172.17.0.0/16"], &["172.18.5.0/24", "10.0.0.0/8"], "172.19.0.0/16");
        check(&["172.16.0.0/12"], &[], "192.168.0.0/20");
        check(
            &["172.16.0.0/12", "192.168.3.0/24"],
            &["192.168.17.0/24"],
            "192.168.32.0/20",
        );
        check(
            &[],
            &["172.17.0.0/16", "172.18.0.0/15", "172.20.0.0/16"],
            "172.21.0.0/16",
        );
        let error = choose_subnet(&pools, &[net("172.16.0.0/12"), net("192.168.0.0/16")], &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "all predefined address pools have been fully subnetted"
        );
        let v6 = choose_subnet(&[unique_local_pool(7)], &[], &[]).unwrap();
        assert_eq!((v6.prefix_len(), v6.addr().to_string().starts_with("fd")), (64, true));
    }

    #[test]
    fn overlaps_are_refused_in_docker_s_words() {
        let error = check_overlap(&net("10.99.0.0/24"), &[net("10.99.0.0/16")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid pool request: Pool overlaps with other one on this address space"
        );
        assert!(check_overlap(&net("10.98.0.0/24"), &[net("10.99.0.0/16")]).is_ok());
    }

    #[test]
    fn lowest_free_address_first() {
        let mut subnet = Subnet::new("bridge (id)", net("10.0.0.0/29"), None, None, &[ip("10.0.0.4")]).unwrap();
        assert_eq!(subnet.gateway_net().to_string(), "10.0.0.1/29");
        let taken: Vec<String> = (0..4).map(|_| subnet.allocate().unwrap().to_string()).collect();
        assert_eq!(taken, ["10.0.0.2", "10.0.0.3", "10.0.0.5", "10.0.0.6"]);
        let error = subnet.allocate().unwrap_err();
        assert_eq!(
            error.to_string(),
            "no available IPv4 addresses on this network's address pools: bridge (id)"
        );
        subnet.release(ip("10.0.0.3"));
        subnet.release(ip("10.0.0.1"));
        assert_eq!(subnet.allocate().unwrap(), ip("10.0.0.3"));
    }

    #[test]
    fn requests_are_checked() {
        let mut subnet = Subnet::new("n", net("10.95.0.0/24"), None, None, &[]).unwrap();
        subnet.request(ip("10.95.0.77")).unwrap();
        let message = |result: Result<()>| result.unwrap_err().to_string();
        assert_eq!(message(subnet.request(ip("10.95.0.77"))), "Address already in use");
        assert_eq!(message(subnet.request(ip("10.95.0.1"))), "Address already in use");
        assert_eq!(message(subnet.request(ip("10.95.0.255"))), "Address already in use");
        assert_eq!(
            message(subnet.request(ip("10.96.0.1"))),
            "Invalid address 10.96.0.1: It does not belong to any of this network's subnets"
        );
    }

    #[test]
    fn ranges_limit_only_automatic_addresses() {
        let mut subnet = Subnet::new(
            "n",
            net("10.0.0.0/16"),
            Some(ip("10.0.0.254")),
            Some(net("10.0.5.0/30")),
            &[],
        )
        .unwrap();
        let taken: Vec<String> = (0..4).map(|_| subnet.allocate().unwrap().to_string()).collect();
        assert_eq!(taken, ["10.0.5.0", "10.0.5.1", "10.0.5.2", "10.0.5.3"]);
        assert!(subnet.allocate().is_err());
        subnet.request(ip("10.0.9.9")).unwrap();
        let outside = Subnet::new("n", net("10.98.0.0/24"), Some(ip("10.97.0.1")), None, &[]);
        assert_eq!(
            outside.unwrap_err().to_string(),
            "no matching subnet for gateway 10.97.0.1"
        );
    }

    #[test]
    fn ipv6_starts_at_two() {
        let mut subnet = Subnet::new("n", net("fd00:1::/64"), None, None, &[]).unwrap();
        assert_eq!(subnet.gateway(), ip("fd00:1::1"));
        assert_eq!(subnet.allocate().unwrap(), ip("fd00:1::2"));
    }
}
