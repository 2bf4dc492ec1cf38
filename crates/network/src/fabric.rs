//! The engine's handle on the host's network.

use std::net::IpAddr;
use std::os::fd::{BorrowedFd, OwnedFd};

use ipnet::IpNet;

use crate::{
    BridgePlan, Endpoint, EndpointPlan, Error, Kind, Link, PortBinding, PortRequest, PublishedState, Reserved, Result,
};

/// Where and how a [`Fabric`] works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FabricConfig {
    /// Name of the engine's own nftables table (family `inet`), e.g. `corten`; one per engine on
    /// a host. Host ends of links carry a hash of it in their names.
    pub table: String,
    /// How many namespaces with a link to keep ready. 0 makes each one when it is asked for.
    pub pool_size: usize,
}

/// What [`Fabric::verify_or_restore`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All rules are there.
    Intact,
    /// Something was missing (`nft flush ruleset`, a firewall's restart) and is back.
    Restored,
}

/// A restorer in the background; dropping it stops it.
#[derive(Debug)]
pub struct Watch;

/// Bridges, endpoints and published ports in the network namespace in which it was opened.
///
/// All methods block (well under a millisecond on the way of a container's start), may be called
/// from any thread, and speak to the namespace of [`Fabric::open`] whatever the thread's own.
/// Nothing is undone when it is dropped, except that ready-made namespaces vanish: containers
/// stay linked and reachable while the engine is down.
#[derive(Debug)]
pub struct Fabric;

impl Fabric {
    /// Opens sockets, checks the kernel, puts the (empty) table up in place of an earlier one if
    /// there is none yet, and starts filling the pool.
    ///
    /// An earlier engine's table is left as it is until [`Fabric::restore`] replaces it, so that
    /// published ports work without a gap.
    ///
    /// # Errors
    /// `Forbidden` without `CAP_NET_ADMIN`; `Unsupported` when the kernel lacks nf_tables, NAT,
    /// bridges or veth, with the module to load as advice.
    pub fn open(config: FabricConfig) -> Result<Self> {
        let _ = config;
        Err(pending())
    }

    /// Creates the bridge or adopts one of that name, and makes its address, MTU, forwarding
    /// sysctls and rules as planned. Bridges of an earlier engine run are known again only after
    /// this call; make it for each network at start, then [`Fabric::restore`].
    pub fn ensure_bridge(&self, plan: &BridgePlan) -> Result<()> {
        let _ = plan;
        Err(pending())
    }

    /// Removes a bridge and its rules. A bridge that is gone already is no error.
    pub fn remove_bridge(&self, name: &str) -> Result<()> {
        let _ = name;
        Err(pending())
    }

    /// Lists the subnets the host uses already: its addresses and routes, except default routes
    /// and those of the bridges named. For [`crate::choose_subnet`].
    pub fn host_subnets(&self, except_bridges: &[String]) -> Result<Vec<IpNet>> {
        let _ = except_bridges;
        Err(pending())
    }

    /// Gives a namespace with a first link to the bridge, taken from the pool.
    pub fn attach(&self, bridge: &str, plan: &EndpointPlan) -> Result<Endpoint> {
        let _ = (bridge, plan);
        Err(pending())
    }

    /// Adds a link to a namespace that exists (`docker network connect`, further `--network`s).
    pub fn attach_existing(&self, netns: BorrowedFd<'_>, bridge: &str, plan: &EndpointPlan) -> Result<Link> {
        let _ = (netns, bridge, plan);
        Err(pending())
    }

    /// Removes one link from a container that goes on running (`docker network disconnect`).
    /// Takes some 20 ms; never needed when the container exits. Gone already is no error.
    pub fn detach(&self, host_ifname: &str) -> Result<()> {
        let _ = host_ifname;
        Err(pending())
    }

    /// Lists the host ends of this engine's links that exist, ready-made ones left out.
    pub fn links(&self) -> Result<Vec<String>> {
        Err(pending())
    }

    /// Removes links of this engine's that no record names (background work, 20 ms each).
    pub fn remove_strays(&self, known: &[String]) -> Result<Vec<String>> {
        let _ = known;
        Err(pending())
    }

    /// Reserves a host port: in the table of this engine's containers, and by bound sockets
    /// against every other process. Undone by [`Fabric::unpublish`] for the owner, plus closing
    /// the sockets.
    ///
    /// # Errors
    /// `Conflict` with Docker's words: `Bind for 0.0.0.0:8080 failed: port is already allocated`
    /// when a container has it; `failed to bind host port for
    /// 0.0.0.0:8080:172.17.0.2:80/tcp: address already in use` when another process has.
    pub fn reserve(&self, owner: &str, request: &PortRequest) -> Result<Reserved> {
        let _ = (owner, request);
        Err(pending())
    }

    /// Makes the bindings work, in one transaction.
    pub fn publish(&self, owner: &str, bindings: &[PortBinding]) -> Result<()> {
        let _ = (owner, bindings);
        Err(pending())
    }

    /// Takes back all the owner's bindings and reservations. Unknown owners are no error.
    pub fn unpublish(&self, owner: &str) -> Result<()> {
        let _ = owner;
        Err(pending())
    }

    /// Takes over what running containers publish, at start: rebuilds the whole table in one
    /// transaction from the bridges known and these bindings.
    pub fn restore(&self, published: Vec<PublishedState>) -> Result<()> {
        let _ = published;
        Err(pending())
    }

    /// Checks that the kernel still has the rules and puts them back if not. Costs one short
    /// question when nothing in nftables has changed since the last time.
    pub fn verify_or_restore(&self) -> Result<Verdict> {
        Err(pending())
    }

    /// Starts a thread that runs [`Fabric::verify_or_restore`] whenever someone else changes
    /// nftables.
    pub fn watch(self: &std::sync::Arc<Self>) -> Result<Watch> {
        Err(pending())
    }

    /// Removes the table, the bridges known and everything in other tables. For tests and
    /// uninstalling; an engine that stops leaves all in place.
    pub fn teardown(&self) -> Result<()> {
        Err(pending())
    }

    /// Names other firewalls' chains that drop forwarded packets by policy and that this crate
    /// does not open by itself, for a warning at start.
    pub fn obstacles(&self) -> Result<Vec<String>> {
        Err(pending())
    }
}

/// Makes a namespace with only `lo`, up: what `--network none` is, when the runtime is not to
/// make it itself.
pub fn isolated_namespace() -> Result<OwnedFd> {
    Err(pending())
}

/// Returns whether an address is usable as the host side of a binding to the container's.
pub fn same_family(host: IpAddr, container: IpAddr) -> bool {
    host.is_ipv4() == container.is_ipv4()
}

fn pending() -> Error {
    Error::new(Kind::Unsupported, "network is not available yet")
}
