//! Containers' links: made, connected, and taken away from inside.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use corten_sys::netlink::Protocol;
use corten_sys::netns;

use super::{Fabric, Place, Port, delete, lock};
use crate::links::{self, LinkChange, PortMode};
use crate::netlink::{Connection, Messages};
use crate::pool::{self, Ready};
use crate::{Endpoint, EndpointPlan, Error, Kind, Link, Medium, Result, endpoints, parents};

impl Fabric {
    /// Gives a namespace with a first link to the bridge, taken from the pool; one made for the
    /// purpose where the network is no bridge.
    ///
    /// # Errors
    /// `NotFound` for a bridge that [`Fabric::ensure_bridge`] has not seen.
    pub fn attach(&self, bridge: &str, plan: &EndpointPlan) -> Result<Endpoint> {
        links::check_name(&plan.ifname)?;
        let port = match self.place(bridge)? {
            Place::Bridge { port, .. } => port,
            Place::Parent(medium) => {
                let (netns, inside) = pool::fresh_namespace()?;
                let link = self.add_sublink(netns.as_fd(), &mut inside?, &medium, plan)?;
                return Ok(Endpoint { netns, link });
            }
        };
        let mut ready = match self.pool.take() {
            Some(ready) => ready,
            None => pool::prepare(&mut lock(&self.routes), &self.prefix)?,
        };
        self.plug(&ready.host_ifname, ready.host_index, port, plan)?;
        let netns = ready.netns.as_fd();
        let what = (plan, &Medium::Bridge);
        endpoints::configure(&mut ready.inside, netns, ready.index, pool::FIRST, what)?;
        let Ready { netns, host_ifname, .. } = ready;
        Ok(Endpoint {
            netns,
            link: link(host_ifname, plan),
        })
    }

    /// Adds a link to a namespace that exists (`docker network connect`, further `--network`s).
    pub fn attach_existing(&self, netns: BorrowedFd<'_>, bridge: &str, plan: &EndpointPlan) -> Result<Link> {
        links::check_name(&plan.ifname)?;
        let place = self.place(bridge)?;
        let inside = netns::run_in(netns, || Connection::open(Protocol::Route));
        let mut inside = inside.map_err(|error| Error::from_io("cannot enter the container's network", error))??;
        let port = match place {
            Place::Bridge { port, .. } => port,
            Place::Parent(medium) => return self.add_sublink(netns, &mut inside, &medium, plan),
        };
        let host_ifname = pool::new_ifname(&self.prefix);
        let (host_index, index) =
            pool::add_link(&mut lock(&self.routes), &host_ifname, &mut inside, &plan.ifname, netns)?;
        let what = (plan, &Medium::Bridge);
        let result = self
            .plug(&host_ifname, host_index, port, plan)
            .and_then(|()| endpoints::configure(&mut inside, netns, index, &plan.ifname, what));
        match result {
            Ok(()) => Ok(link(host_ifname, plan)),
            Err(error) => {
                // The first error tells more than one of cleaning up.
                let _ = self.detach(&host_ifname);
                Err(error)
            }
        }
    }

    /// Makes a container's link on a link of the host.
    fn add_sublink(
        &self,
        netns: BorrowedFd<'_>,
        inside: &mut Connection,
        medium: &Medium,
        plan: &EndpointPlan,
    ) -> Result<Link> {
        let index = parents::add_link(&mut lock(&self.routes), medium, inside, &plan.ifname, netns)?;
        endpoints::configure(inside, netns, index, &plan.ifname, (plan, medium)).inspect_err(|_| {
            let mut batch = Messages::new();
            links::delete_link(&mut batch, index, &plan.ifname);
            // The first error tells more than one of cleaning up.
            let _ = inside.request(&batch);
        })?;
        Ok(link(String::new(), plan))
    }

    /// Removes a link by its name in the container's namespace, which goes on; the way for links
    /// without an end here. Gone already is no error.
    pub fn detach_inside(&self, netns: BorrowedFd<'_>, ifname: &str) -> Result<()> {
        let inside = netns::run_in(netns, || Connection::open(Protocol::Route));
        let mut inside = inside.map_err(|error| Error::from_io("cannot enter the container's network", error))??;
        match links::find(&mut inside, ifname)? {
            Some(link) => delete(&mut inside, &link),
            None => Ok(()),
        }
    }

    /// Leads what a container sends elsewhere through one of its links, in place of another.
    pub fn route(&self, netns: BorrowedFd<'_>, bridge: &str, ifname: &str, gateway: IpAddr) -> Result<()> {
        let medium = match self.place(bridge)? {
            Place::Bridge { .. } => Medium::Bridge,
            Place::Parent(medium) => medium,
        };
        let inside = netns::run_in(netns, || Connection::open(Protocol::Route));
        let mut inside = inside.map_err(|error| Error::from_io("cannot enter the container's network", error))??;
        endpoints::route(&mut inside, ifname, gateway, &medium)
    }

    fn place(&self, bridge: &str) -> Result<Place> {
        lock(&self.bridges)
            .get(bridge)
            .cloned()
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
}

fn link(host_ifname: String, plan: &EndpointPlan) -> Link {
    Link {
        host_ifname,
        ifname: plan.ifname.clone(),
        mac: plan.mac,
    }
}
