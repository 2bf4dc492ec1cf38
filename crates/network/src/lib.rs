//! Bridges, endpoints, addresses, the firewall, published ports and names, by netlink alone.
//!
//! The engine decides which networks exist, which container is on which, and keeps the records;
//! this crate makes the kernel agree. [`Fabric`] is the handle; [`Subnet`], [`choose_subnet`] and
//! the functions in [`resolver`] and [`hosts`] are pure. Everything is synchronous: call it from
//! blocking threads.
//!
//! ```no_run
//! use corten_network::{BridgePlan, Fabric, FabricConfig};
//!
//! let fabric = Fabric::open(&FabricConfig::new("corten", 4))?;
//! fabric.ensure_bridge(&BridgePlan {
//!     ipv4: vec!["172.17.0.1/16".parse()?],
//!     ..BridgePlan::new("corten0")
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod bridges;
mod conntrack;
mod endpoints;
mod error;
mod fabric;
mod firewall;
pub mod hosts;
mod keeper;
mod links;
mod names;
mod netlink;
mod parents;
mod plan;
mod policy;
mod pool;
mod ports;
pub mod resolver;
pub mod sockets;
mod subnets;
mod sysctls;
mod watch;

pub use error::{Error, Kind, Result};
pub use fabric::{Fabric, FabricConfig, Verdict, isolated_namespace};
pub use names::{NAME_SERVER, NameSockets, name_sockets};
pub use plan::{
    BridgePlan, Driver, Endpoint, EndpointPlan, HostPorts, Link, LinkSetting, MacAddress, NeighbourLink, Neighbours,
    PortBinding, PortRequest, Protocol, PublishedState, Reach, Reserved,
};
pub use policy::{GatewayMode, IpvlanFlag, IpvlanMode, MacvlanMode, Medium, Policy};
pub use subnets::{AddressPool, Subnet, check_overlap, choose_subnet, default_pools, unique_local_pool};
pub use watch::Watch;
