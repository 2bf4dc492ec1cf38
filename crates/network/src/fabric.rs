//! The engine's handle on the host's network.

mod attach;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use corten_sys::netlink::Protocol;
use corten_sys::netns;
use ipnet::IpNet;

use crate::firewall::{Firewall, Without, guests};
use crate::keeper::Keeper;
use crate::links::{self, LinkState, PortMode};
use crate::netlink::{Connection, Messages};
use crate::pool::{self, Pool};
use crate::ports::{self, PortTable};
use crate::watch::Watch;
use crate::{
    BridgePlan, Error, Kind, Medium, NeighbourLink, Neighbours, PortBinding, PortRequest, PublishedState, Reserved,
    Result, bridges, conntrack, parents, sysctls,
};

/// Where and how a [`Fabric`] works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FabricConfig {
    /// Name of the engine's own nftables table (family `inet`), e.g. `corten`; one per engine on
    /// a host. Host ends of links carry a hash of it in their names.
    pub table: String,
    /// How many namespaces with a link to keep ready. 0 makes each one when it is asked for.
    pub pool_size: usize,
    /// Whether there are to be rules for IPv4; without, ports cannot be published and nothing is
    /// masqueraded or kept apart.
    pub rules4: bool,
    /// The same for IPv6.
    pub rules6: bool,
    /// Whether to switch the kernel's forwarding on.
    pub forwarding: bool,
    /// Whether published ports are open to other machines at containers' own addresses too.
    pub direct_routing: bool,
}

impl FabricConfig {
    /// With rules and forwarding.
    pub fn new(table: impl Into<String>, pool_size: usize) -> Self {
        Self {
            table: table.into(),
            pool_size,
            rules4: true,
            rules6: true,
            forwarding: true,
            direct_routing: false,
        }
    }
}

/// What [`Fabric::verify_or_restore`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All rules are there.
    Intact,
    /// Something was missing (`nft flush ruleset`, a firewall's restart) and is back.
    Restored,
}

/// Bridges, endpoints and published ports in the network namespace in which it was opened.
///
/// All methods block (well under a millisecond on the way of a container's start), may be called
/// from any thread, and speak to the namespace of [`Fabric::open`] whatever the thread's own.
/// Nothing is undone when it is dropped, except that ready-made namespaces vanish: containers
/// stay linked and reachable while the engine is down.
#[derive(Debug)]
pub struct Fabric {
    /// The host's namespace.
    home: OwnedFd,
    prefix: String,
    /// What links that were made beneath networks are known by.
    alias: String,
    forwarding: bool,
    direct_routing: bool,
    /// Guards the socket to rtnetlink.
    routes: Mutex<Connection>,
    /// Guards the table and the state it shows.
    firewall: Mutex<Firewall>,
    /// Guards who has which host port.
    ports: Mutex<PortTable>,
    /// Guards how endpoints are attached to the known networks, by the names in their plans.
    bridges: Mutex<BTreeMap<String, Place>>,
    /// Guards the links that keep the bridges running.
    keeper: Mutex<Keeper>,
    pool: Pool,
    /// Whether there is IPv6.
    ipv6: OnceLock<bool>,
}

/// How endpoints are attached to a network.
#[derive(Debug, Clone)]
enum Place {
    /// To a bridge, which goes with the network unless it was there before.
    Bridge { port: Port, adopted: bool },
    /// On a link of the host.
    Parent(Medium),
}

/// What a new port of a bridge needs.
#[derive(Debug, Clone, Copy)]
struct Port {
    bridge: u32,
    mode: PortMode,
}

impl Fabric {
    /// Opens sockets, checks the kernel, puts the (empty) table up if there is none yet, and
    /// starts filling the pool.
    ///
    /// An earlier engine's table is left as it is until [`Fabric::restore`] replaces it, so that
    /// published ports work without a gap. Call `restore` before anything else that changes rules:
    /// those write the table from what this engine knows.
    ///
    /// # Errors
    /// `Forbidden` without `CAP_NET_ADMIN`; `Unsupported` when the kernel lacks nf_tables, NAT,
    /// bridges or veth, with the modules to load as advice.
    pub fn open(config: &FabricConfig) -> Result<Self> {
        let home = netns::current().map_err(|error| Error::from_io("cannot open the network namespace", error))?;
        let routes = Connection::open(Protocol::Route)?;
        let without = Without {
            ipv4: !config.rules4,
            ipv6: !config.rules6,
        };
        let mut firewall = Firewall::open(&config.table, without)?;
        firewall.adopt_or_create()?;
        let prefix = pool::link_prefix(&config.table);
        let keeper = Keeper::new(&prefix);
        let pool = Pool::start(config.pool_size, prefix.clone())?;
        Ok(Self {
            home,
            prefix,
            alias: format!("{}: made for networks", config.table),
            forwarding: config.forwarding,
            direct_routing: config.direct_routing,
            routes: Mutex::new(routes),
            firewall: Mutex::new(firewall),
            ports: Mutex::default(),
            bridges: Mutex::default(),
            keeper: Mutex::new(keeper),
            pool,
            ipv6: OnceLock::new(),
        })
    }

    /// Creates the bridge or adopts one of that name, and makes its address, MTU, forwarding
    /// sysctls and rules as planned. Bridges of an earlier engine run are known again only after
    /// this call (or [`Fabric::restore`]).
    ///
    /// # Errors
    /// `Conflict` when an interface of that name is no bridge; `Invalid` for impossible names.
    pub fn ensure_bridge(&self, plan: &BridgePlan) -> Result<()> {
        self.ensure_link(plan)?;
        if plan.medium != Medium::Bridge {
            return Ok(());
        }
        let mut firewall = lock(&self.firewall);
        firewall.set_bridge(&self.as_configured(plan))?;
        set_guests(&mut firewall)
    }

    /// Returns the plan with what this engine's configuration adds.
    fn as_configured(&self, plan: &BridgePlan) -> BridgePlan {
        let mut plan = plan.clone();
        plan.policy.direct = self.direct_routing;
        plan
    }

    /// Returns the addresses that a bridge has already, link-local ones left out; `None` when no
    /// bridge of that name exists.
    pub fn bridge_addresses(&self, name: &str) -> Result<Option<Vec<IpNet>>> {
        let mut routes = lock(&self.routes);
        let Some(link) = links::find(&mut routes, name)?.filter(|link| link.kind == "bridge") else {
            return Ok(None);
        };
        let all = links::addresses(&mut routes)?.into_iter();
        let own = all.filter(|(index, net)| *index == link.index && !bridges::is_link_local(net));
        Ok(Some(own.map(|(_, net)| net).collect()))
    }

    /// Removes a bridge and its rules. A bridge that is gone already is no error.
    pub fn remove_bridge(&self, name: &str) -> Result<()> {
        let place = lock(&self.bridges).remove(name);
        {
            let mut firewall = lock(&self.firewall);
            firewall.remove_bridge(name)?;
            set_guests(&mut firewall)?;
        }
        self.remove_link(name, place.as_ref())
    }

    /// Lists the subnets the host uses already: its addresses and routes, except default routes
    /// and those of the bridges named. For [`crate::choose_subnet`].
    pub fn host_subnets(&self, except_bridges: &[String]) -> Result<Vec<IpNet>> {
        let mut routes = lock(&self.routes);
        let mut own = Vec::new();
        for name in except_bridges {
            own.extend(self.index_of(&mut routes, name)?);
        }
        let mut found = links::addresses(&mut routes)?;
        found.extend(links::routes(&mut routes)?);
        let mut subnets: Vec<IpNet> = found
            .into_iter()
            .filter(|(link, _)| !own.contains(link))
            .map(|(_, net)| net.trunc())
            .collect();
        subnets.sort();
        subnets.dedup();
        Ok(subnets)
    }

    /// Removes one link from a container that goes on running (`docker network disconnect`).
    /// Takes some 20 ms; never needed when the container exits. Gone already is no error.
    pub fn detach(&self, host_ifname: &str) -> Result<()> {
        let mut routes = lock(&self.routes);
        let Some(link) = links::find(&mut routes, host_ifname)? else {
            return Ok(());
        };
        delete(&mut routes, &link)
    }

    /// Lists the host ends of this engine's links that exist, ready-made ones left out.
    pub fn links(&self) -> Result<Vec<String>> {
        Ok(self.link_states()?.into_iter().map(|link| link.name).collect())
    }

    /// Lists this engine's links on bridges that no record names, to be [detached](Fabric::detach).
    pub fn strays(&self, known: &[String]) -> Result<Vec<String>> {
        let mut links = self.links()?;
        links.retain(|link| !known.contains(link));
        Ok(links)
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
        let mut all = self.reserve_all(owner, std::slice::from_ref(request))?;
        all.pop()
            .ok_or_else(|| Error::new(Kind::Internal, "a port was reserved and not told"))
    }

    /// Returns whether programs here can listen at `::1`; found out once.
    pub fn has_ipv6(&self) -> bool {
        let find_out = || std::net::TcpListener::bind((std::net::Ipv6Addr::LOCALHOST, 0)).is_ok();
        *self.ipv6.get_or_init(|| self.at_home(find_out).unwrap_or(false))
    }

    /// Reserves many host ports in one go, in order; those reserved before a refusal stay so until
    /// [`Fabric::unpublish`].
    ///
    /// # Errors
    /// As [`Fabric::reserve`].
    pub fn reserve_all(&self, owner: &str, requests: &[PortRequest]) -> Result<Vec<Reserved>> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        self.at_home(|| {
            let host = ports::Host {
                ephemeral: sysctls::ephemeral_ports(),
                only6: sysctls::are_ipv6_sockets_apart(),
            };
            let mut table = lock(&self.ports);
            let reserve = |request| ports::reserve(&mut table, owner, request, host);
            requests.iter().map(reserve).collect()
        })?
    }

    /// Makes the bindings work, in one transaction, in place of what the owner published before; those
    /// that are [relayed](PortBinding::is_relayed_only) are somebody else's work.
    /// For UDP, connections that clients kept up while the port was closed are forgotten soon
    /// after.
    pub fn publish(&self, owner: &str, bindings: &[PortBinding]) -> Result<()> {
        lock(&self.firewall).publish(owner, bindings)?;
        let mut table = lock(&self.ports);
        let bound = bindings.iter().filter(|binding| binding.host_port != 0);
        bound.for_each(|binding| table.claim(owner, binding));
        drop(table);
        self.forget_connections(bindings);
        Ok(())
    }

    /// Makes the bindings of several owners work in one transaction, in place of what they published
    /// before: a port that passes from one to another is at no instant nobody's. Reservations go along. What
    /// clients of UDP send next goes to the new owner, as connections to the old one are forgotten.
    pub fn publish_together(&self, all: &[(&str, &[PortBinding])]) -> Result<()> {
        lock(&self.firewall).publish_together(all)?;
        let mut table = lock(&self.ports);
        all.iter().for_each(|(owner, _)| table.release(owner));
        for (owner, bindings) in all {
            let bound = bindings.iter().filter(|binding| binding.host_port != 0);
            bound.for_each(|binding| table.claim(owner, binding));
        }
        drop(table);
        let udp: Vec<_> = all.iter().flat_map(|(_, bindings)| datagrams(bindings)).collect();
        if !udp.is_empty() {
            // The old owner may end as soon as this is done.
            tell_forgotten(self.at_home(|| forget(&udp)).flatten());
        }
        Ok(())
    }

    /// Takes back all the owner's bindings and reservations. Unknown owners are no error.
    pub fn unpublish(&self, owner: &str) -> Result<()> {
        let result = lock(&self.firewall).unpublish(owner);
        lock(&self.ports).release(owner);
        self.forget_connections(&result?);
        Ok(())
    }

    /// Lets a container through to others on a bridge that keeps neighbours apart, in place of what it was
    /// let through to before. Where bridged packets do not pass the IP hooks (without `br_netfilter`) they
    /// stay apart.
    pub fn open_neighbours(&self, owner: &str, links: Vec<NeighbourLink>) -> Result<()> {
        lock(&self.firewall).link(owner, links)
    }

    /// Takes back what the owner was let through to, and who was let through to its addresses.
    pub fn close_neighbours(&self, owner: &str, addresses: &[IpAddr]) -> Result<()> {
        lock(&self.firewall).unlink(owner, addresses)
    }

    /// Takes over at start: makes all bridges as planned, and the whole table in one transaction
    /// from them and what running containers publish. Replaces what was known before.
    pub fn restore(&self, plans: &[BridgePlan], published: Vec<PublishedState>) -> Result<()> {
        for plan in plans {
            self.ensure_link(plan)?;
        }
        let mut table = PortTable::default();
        for state in &published {
            state
                .bindings
                .iter()
                .filter(|binding| binding.host_port != 0)
                .for_each(|binding| table.claim(&state.owner, binding));
        }
        *lock(&self.ports) = table;
        let bridges = plans.iter().filter(|plan| plan.medium == Medium::Bridge);
        let bridges: Vec<_> = bridges.map(|plan| self.as_configured(plan)).collect();
        let mut firewall = lock(&self.firewall);
        firewall.restore(&bridges, published)?;
        set_guests(&mut firewall)
    }

    /// Checks that the kernel still has the rules and puts them back if not. Costs one short
    /// question when nothing in nftables has changed since the last time.
    pub fn verify_or_restore(&self) -> Result<Verdict> {
        let mut firewall = lock(&self.firewall);
        if firewall.unchanged()? {
            return Ok(Verdict::Intact);
        }
        let verdict = firewall.verify_or_restore()?;
        let reopened = firewall.is_ours() && guests::set(&mut firewall)?;
        Ok(if reopened { Verdict::Restored } else { verdict })
    }

    /// Starts a thread that runs [`Fabric::verify_or_restore`] whenever someone else changes
    /// nftables; dropping the watch ends it.
    pub fn watch(self: &Arc<Self>) -> Result<Watch> {
        let own = lock(&self.firewall).port();
        self.at_home(|| Watch::start(Arc::downgrade(self), own))?
    }

    /// Removes the table, the bridges known and everything in other tables. For tests and
    /// uninstalling; an engine that stops leaves all in place.
    pub fn teardown(&self) -> Result<()> {
        let places = std::mem::take(&mut *lock(&self.bridges));
        {
            let mut firewall = lock(&self.firewall);
            firewall.remove()?;
            set_guests(&mut firewall)?;
        }
        *lock(&self.ports) = PortTable::default();
        places
            .iter()
            .try_for_each(|(name, place)| self.remove_link(name, Some(place)))
    }

    /// Names other firewalls' chains that drop forwarded packets by policy and that this crate
    /// does not open by itself, for a warning at start. `iptables`'s own `FORWARD` is opened for
    /// each bridge by two rules with a comment.
    pub fn obstacles(&self) -> Result<Vec<String>> {
        guests::obstacles(&mut lock(&self.firewall))
    }

    /// Returns how many ready-made namespaces there are at the moment.
    pub fn ready(&self) -> usize {
        self.pool.stock()
    }

    /// Returns the nftables table as it is meant to be, for people.
    pub fn ruleset(&self) -> String {
        lock(&self.firewall).to_string()
    }

    /// Finds a bridge's index: from memory if it is known, as there may be very many links.
    fn index_of(&self, routes: &mut Connection, name: &str) -> Result<Option<u32>> {
        let known = lock(&self.bridges).get(name).cloned();
        match known {
            Some(Place::Bridge { port, .. }) => Ok(Some(port.bridge)),
            // These have no link of their own, and no name that could be one.
            Some(Place::Parent(_)) => Ok(None),
            None if links::check_name(name).is_err() => Ok(None),
            None => Ok(links::find(routes, name)?.map(|link| link.index)),
        }
    }

    fn ensure_link(&self, plan: &BridgePlan) -> Result<()> {
        let mut routes = lock(&self.routes);
        if plan.medium != Medium::Bridge {
            parents::ensure(&mut routes, &plan.medium, &self.alias)?;
            lock(&self.bridges).insert(plan.name.clone(), Place::Parent(plan.medium.clone()));
            return Ok(());
        }
        let mut keeper = lock(&self.keeper);
        let set = |settings: &[sysctls::Setting]| self.at_home(|| sysctls::apply(settings))?;
        let bridge = bridges::ensure(&mut routes, plan, &mut keeper, set, self.forwarding)?;
        drop((keeper, routes));
        let filtered = self.at_home(sysctls::bridge_netfilter)?;
        let mode = PortMode {
            // Where bridged packets pass the IP hooks, a container's connection to itself by the
            // host's address is turned round inside the bridge; otherwise it goes through IP.
            hairpin: filtered,
            // And there the forward chain keeps neighbours apart, but for published ports.
            isolated: !filtered && plan.neighbours == Neighbours::Isolated,
            quiet: false,
        };
        let place = Place::Bridge {
            port: Port { bridge, mode },
            adopted: plan.policy.adopted,
        };
        lock(&self.bridges).insert(plan.name.clone(), place);
        Ok(())
    }

    fn remove_link(&self, bridge: &str, place: Option<&Place>) -> Result<()> {
        if let Some(Place::Parent(medium)) = place {
            return self.remove_parent(medium);
        }
        let mut routes = lock(&self.routes);
        let kept = lock(&self.keeper).forget(bridge);
        let link = match place {
            Some(Place::Bridge { adopted: true, .. }) => None,
            _ => links::find(&mut routes, bridge)?,
        };
        let removed = link.map_or(Ok(()), |link| delete(&mut routes, &link));
        drop(routes);
        kept.into_iter().for_each(|name| self.remove_later(name));
        removed
    }

    /// Removes a link beneath a network that is gone, if it was made here and no other needs it.
    fn remove_parent(&self, medium: &Medium) -> Result<()> {
        let Some(parent) = medium.parent() else {
            return Ok(());
        };
        let uses = |place: &Place| matches!(place, Place::Parent(other) if other.parent() == Some(parent));
        if lock(&self.bridges).values().any(uses) {
            return Ok(());
        }
        let mut routes = lock(&self.routes);
        match parents::made(&mut routes, parent, &self.alias)? {
            Some(link) => delete(&mut routes, &link),
            None => Ok(()),
        }
    }

    fn link_states(&self) -> Result<Vec<LinkState>> {
        let ready = self.pool.host_ifnames();
        let mut all = links::list(&mut lock(&self.routes))?;
        all.retain(|link| {
            let ours = link.kind == "veth" && link.name.starts_with(&self.prefix);
            // One that the pool is just making has no bridge yet.
            ours && link.master.is_some() && !ready.contains(&link.name)
        });
        Ok(all)
    }

    /// Runs work in the host's namespace: at once when the thread is there, else on another.
    fn at_home<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let elsewhere = |error| Error::from_io("cannot enter the host's network", error);
        if netns::is_current(self.home.as_fd()).map_err(elsewhere)? {
            return Ok(work());
        }
        netns::run_in(self.home.as_fd(), work).map_err(elsewhere)
    }

    /// Removes a link that nobody misses, in the background: it takes some 20 ms.
    fn remove_later(&self, name: String) {
        let work = move |home: OwnedFd| {
            let removed = netns::enter(home.as_fd())
                .map_err(|error| Error::from_io("cannot enter the host's network", error))
                .and_then(|()| Connection::open(Protocol::Route))
                .and_then(|mut routes| match links::find(&mut routes, &name)? {
                    Some(link) => delete(&mut routes, &link),
                    None => Ok(()),
                });
            if let Err(error) = removed {
                tracing::warn!(link = name, %error, "cannot remove a link");
            }
        };
        self.in_background("links", work);
    }

    /// Forgets stale connections, in the background: the kernel's table takes some 10 ms to walk.
    /// They are a nuisance, no reason to fail: the log says what happened.
    fn forget_connections(&self, bindings: &[PortBinding]) {
        let udp = datagrams(bindings);
        if udp.is_empty() {
            return;
        }
        self.in_background("conntrack", move |home| {
            let entered = netns::enter(home.as_fd());
            let entered = entered.map_err(|error| Error::from_io("cannot enter the host's network", error));
            tell_forgotten(entered.and_then(|()| forget(&udp)));
        });
    }

    /// Does work that nobody waits for on a thread of its own, which may enter the host's namespace.
    fn in_background(&self, name: &str, work: impl FnOnce(OwnedFd) + Send + 'static) {
        let spawned = self.home.try_clone().and_then(|home| {
            let thread = std::thread::Builder::new().name(name.to_owned());
            thread.stack_size(256 * 1024).spawn(move || work(home))
        });
        if let Err(error) = spawned {
            tracing::warn!(name, %error, "cannot work in the background");
        }
    }
}

/// The bindings of UDP ports.
fn datagrams(bindings: &[PortBinding]) -> Vec<PortBinding> {
    let udp = bindings
        .iter()
        .filter(|binding| binding.protocol == crate::Protocol::Udp);
    udp.copied().collect()
}

/// Forgets the connections to the bindings of the calling thread's namespace.
fn forget(bindings: &[PortBinding]) -> Result<usize> {
    let addresses = links::addresses(&mut Connection::open(Protocol::Route)?)?;
    let host: Vec<IpAddr> = addresses.iter().map(|(_, net)| net.addr()).collect();
    conntrack::forget(bindings, &host)
}

fn tell_forgotten(result: Result<usize>) {
    match result {
        Ok(count) => tracing::debug!(count, "forgot stale udp connections"),
        Err(error) => tracing::warn!(%error, "cannot forget stale udp connections"),
    }
}

/// Makes a namespace with only `lo`, up: what `--network none` is, where the runtime does not make
/// it itself. Close the descriptor when the container runs.
pub fn isolated_namespace() -> Result<OwnedFd> {
    let (netns, inside) = pool::fresh_namespace()?;
    inside?;
    Ok(netns)
}

/// Opens the firewall for all bridges known.
fn set_guests(firewall: &mut Firewall) -> Result<()> {
    guests::set(firewall).map(drop)
}

fn delete(routes: &mut Connection, link: &LinkState) -> Result<()> {
    let mut batch = Messages::new();
    links::delete_link(&mut batch, link.index, &link.name);
    match routes.request(&batch) {
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        result => result.map(drop),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded is changed after the kernel agreed, in single steps: a panic leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
