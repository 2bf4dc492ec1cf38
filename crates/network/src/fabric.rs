//! The engine's handle on the host's network.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use corten_sys::netlink::Protocol;
use corten_sys::netns;
use ipnet::IpNet;

use crate::firewall::{Firewall, guests};
use crate::keeper::Keeper;
use crate::links::{self, LinkChange, LinkState, PortMode};
use crate::netlink::{Connection, Messages};
use crate::pool::{self, Pool, Ready};
use crate::ports::{self, PortTable};
use crate::watch::Watch;
use crate::{
    BridgePlan, Endpoint, EndpointPlan, Error, Kind, Link, Neighbours, PortBinding, PortRequest, PublishedState,
    Reserved, Result, bridges, conntrack, endpoints, sysctls,
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
    /// Guards the socket to rtnetlink.
    routes: Mutex<Connection>,
    /// Guards the table and the state it shows.
    firewall: Mutex<Firewall>,
    /// Guards who has which host port.
    ports: Mutex<PortTable>,
    /// Guards the known bridges' indices and port modes.
    bridges: Mutex<BTreeMap<String, Port>>,
    /// Guards the links that keep the bridges running.
    keeper: Mutex<Keeper>,
    pool: Pool,
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
        let mut firewall = Firewall::open(&config.table)?;
        firewall.adopt_or_create()?;
        let prefix = pool::link_prefix(&config.table);
        let keeper = Keeper::new(&prefix);
        let pool = Pool::start(config.pool_size, prefix.clone())?;
        Ok(Self {
            home,
            prefix,
            routes: Mutex::new(routes),
            firewall: Mutex::new(firewall),
            ports: Mutex::default(),
            bridges: Mutex::default(),
            keeper: Mutex::new(keeper),
            pool,
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
        let mut firewall = lock(&self.firewall);
        firewall.set_bridge(plan)?;
        set_guests(&mut firewall)
    }

    /// Removes a bridge and its rules. A bridge that is gone already is no error.
    pub fn remove_bridge(&self, name: &str) -> Result<()> {
        lock(&self.bridges).remove(name);
        {
            let mut firewall = lock(&self.firewall);
            firewall.remove_bridge(name)?;
            set_guests(&mut firewall)?;
        }
        self.remove_link(name)
    }

    /// Lists the subnets the host uses already: its addresses and routes, except default routes
    /// and those of the bridges named. For [`crate::choose_subnet`].
    pub fn host_subnets(&self, except_bridges: &[String]) -> Result<Vec<IpNet>> {
        let mut routes = lock(&self.routes);
        let own: Vec<u32> = links::list(&mut routes)?
            .into_iter()
            .filter(|link| except_bridges.contains(&link.name))
            .map(|link| link.index)
            .collect();
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

    /// Gives a namespace with a first link to the bridge, taken from the pool.
    ///
    /// # Errors
    /// `NotFound` for a bridge that [`Fabric::ensure_bridge`] has not seen.
    pub fn attach(&self, bridge: &str, plan: &EndpointPlan) -> Result<Endpoint> {
        links::check_name(&plan.ifname)?;
        let port = self.port(bridge)?;
        let mut ready = match self.pool.take() {
            Some(ready) => ready,
            None => pool::prepare(&mut lock(&self.routes), &self.prefix)?,
        };
        self.plug(&ready.host_ifname, ready.host_index, port, plan)?;
        let netns = ready.netns.as_fd();
        endpoints::configure(&mut ready.inside, netns, ready.index, pool::FIRST, plan)?;
        let Ready { netns, host_ifname, .. } = ready;
        Ok(Endpoint {
            netns,
            link: link(host_ifname, plan),
        })
    }

    /// Adds a link to a namespace that exists (`docker network connect`, further `--network`s).
    pub fn attach_existing(&self, netns: BorrowedFd<'_>, bridge: &str, plan: &EndpointPlan) -> Result<Link> {
        links::check_name(&plan.ifname)?;
        let port = self.port(bridge)?;
        let inside = netns::run_in(netns, || Connection::open(Protocol::Route));
        let mut inside = inside.map_err(|error| Error::from_io("cannot enter the container's network", error))??;
        let host_ifname = pool::new_ifname(&self.prefix);
        let (host_index, index) =
            pool::add_link(&mut lock(&self.routes), &host_ifname, &mut inside, &plan.ifname, netns)?;
        let result = self
            .plug(&host_ifname, host_index, port, plan)
            .and_then(|()| endpoints::configure(&mut inside, netns, index, &plan.ifname, plan));
        match result {
            Ok(()) => Ok(link(host_ifname, plan)),
            Err(error) => {
                // The first error tells more than one of cleaning up.
                let _ = self.detach(&host_ifname);
                Err(error)
            }
        }
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

    /// Removes links of this engine's that no record names (background work, 20 ms each), and
    /// returns their names.
    pub fn remove_strays(&self, known: &[String]) -> Result<Vec<String>> {
        let strays: Vec<_> = self
            .link_states()?
            .into_iter()
            .filter(|link| !known.contains(&link.name))
            .collect();
        for stray in &strays {
            delete(&mut lock(&self.routes), stray)?;
        }
        Ok(strays.into_iter().map(|link| link.name).collect())
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
        for host_ip in &request.host_ips {
            check_addresses(*host_ip, request.container_ip)?;
        }
        self.at_home(|| {
            let ephemeral = sysctls::ephemeral_ports();
            ports::reserve(&mut lock(&self.ports), owner, request, ephemeral)
        })?
    }

    /// Makes the bindings work, in one transaction, in place of what the owner published before.
    /// For UDP, connections that clients kept up while the port was closed are forgotten soon
    /// after.
    pub fn publish(&self, owner: &str, bindings: &[PortBinding]) -> Result<()> {
        for binding in bindings {
            check_addresses(binding.host_ip, binding.container_ip)?;
        }
        lock(&self.firewall).publish(owner, bindings)?;
        let mut table = lock(&self.ports);
        bindings.iter().for_each(|binding| table.claim(owner, binding));
        drop(table);
        self.forget_connections(bindings);
        Ok(())
    }

    /// Takes back all the owner's bindings and reservations. Unknown owners are no error.
    pub fn unpublish(&self, owner: &str) -> Result<()> {
        let result = lock(&self.firewall).unpublish(owner);
        lock(&self.ports).release(owner);
        self.forget_connections(&result?);
        Ok(())
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
                .for_each(|binding| table.claim(&state.owner, binding));
        }
        *lock(&self.ports) = table;
        let mut firewall = lock(&self.firewall);
        firewall.restore(plans, published)?;
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
        let names: Vec<String> = std::mem::take(&mut *lock(&self.bridges)).into_keys().collect();
        {
            let mut firewall = lock(&self.firewall);
            firewall.remove()?;
            set_guests(&mut firewall)?;
        }
        *lock(&self.ports) = PortTable::default();
        names.iter().try_for_each(|name| self.remove_link(name))
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

    fn ensure_link(&self, plan: &BridgePlan) -> Result<()> {
        let mut routes = lock(&self.routes);
        let mut keeper = lock(&self.keeper);
        let set = |settings: &[sysctls::Setting]| self.at_home(|| sysctls::apply(settings))?;
        let bridge = bridges::ensure(&mut routes, plan, &mut keeper, set)?;
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
        lock(&self.bridges).insert(plan.name.clone(), Port { bridge, mode });
        Ok(())
    }

    fn remove_link(&self, bridge: &str) -> Result<()> {
        let mut routes = lock(&self.routes);
        if let Some(name) = lock(&self.keeper).forget(bridge)
            && let Some(link) = links::find(&mut routes, &name)?
        {
            delete(&mut routes, &link)?;
        }
        match links::find(&mut routes, bridge)? {
            Some(link) => delete(&mut routes, &link),
            None => Ok(()),
        }
    }

    fn port(&self, bridge: &str) -> Result<Port> {
        lock(&self.bridges)
            .get(bridge)
            .copied()
            .ok_or_else(|| Error::new(Kind::NotFound, format!("bridge {bridge} does not exist")))
    }

    /// Connects the host end to the bridge.
    fn plug(&self, name: &str, index: u32, port: Port, plan: &EndpointPlan) -> Result<()> {
        let mut batch = Messages::new();
        let change = LinkChange {
            up: Some(true),
            mtu: (plan.mtu != endpoints::DEFAULT_MTU).then_some(plan.mtu),
            master: Some(port.bridge),
            ..Default::default()
        };
        links::change_link(&mut batch, index, &change, name);
        if port.mode != PortMode::default() {
            links::change_port(&mut batch, index, port.mode, name);
        }
        lock(&self.routes).request(&batch)?;
        Ok(())
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

    /// Forgets stale connections, in the background: the kernel's table takes some 10 ms to walk.
    /// They are a nuisance, no reason to fail: the log says what happened.
    fn forget_connections(&self, bindings: &[PortBinding]) {
        let mut udp = bindings.to_vec();
        udp.retain(|binding| binding.protocol == crate::Protocol::Udp);
        if udp.is_empty() {
            return;
        }
        let work = move |home: OwnedFd| match forget(home.as_fd(), &udp) {
            Ok(count) => tracing::debug!(count, "forgot stale udp connections"),
            Err(error) => tracing::warn!(%error, "cannot forget stale udp connections"),
        };
        let spawned = self.home.try_clone().and_then(|home| {
            let thread = std::thread::Builder::new().name("conntrack".to_owned());
            thread.stack_size(256 * 1024).spawn(move || work(home))
        });
        if let Err(error) = spawned {
            tracing::warn!(%error, "cannot forget stale udp connections");
        }
    }
}

/// Moves the calling thread into the namespace and forgets its connections to the bindings.
fn forget(home: BorrowedFd<'_>, bindings: &[PortBinding]) -> Result<usize> {
    netns::enter(home).map_err(|error| Error::from_io("cannot enter the host's network", error))?;
    let addresses = links::addresses(&mut Connection::open(Protocol::Route)?)?;
    let host: Vec<IpAddr> = addresses.iter().map(|(_, net)| net.addr()).collect();
    conntrack::forget(bindings, &host)
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

fn link(host_ifname: String, plan: &EndpointPlan) -> Link {
    Link {
        host_ifname,
        ifname: plan.ifname.clone(),
        mac: plan.mac,
    }
}

fn check_addresses(host: IpAddr, container: IpAddr) -> Result<()> {
    if host.is_ipv6() && host.is_loopback() {
        return Err(Error::new(
            Kind::Unsupported,
            "cannot publish to ::1: the kernel translates nothing that comes from there",
        )
        .hint("publish to 127.0.0.1"));
    }
    if host.is_ipv4() == container.is_ipv4() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Unsupported,
        format!("cannot publish {host} to {container}: address translation keeps the IP version"),
    )
    .hint("publish an IPv4 address for IPv4, and give the network IPv6 for the other"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded is changed after the kernel agreed, in single steps: a panic leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
