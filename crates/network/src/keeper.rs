//! A port on each bridge that is always up.
//!
//! A bridge without a running port has no carrier, and when its first container comes the kernel
//! may take a second to open its queue: packets to the container are lost until then. So each
//! bridge gets a link into a namespace where nobody is. It goes with the engine; while the engine
//! is down, bridges run as long as they have containers.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

use crate::links::{self, LinkChange, PortMode};
use crate::netlink::{Connection, Messages};
use crate::{Result, pool};

/// The empty namespace and the links into it.
#[derive(Debug)]
pub(crate) struct Keeper {
    prefix: String,
    home: Option<(OwnedFd, Connection)>,
    /// Host ends by bridge.
    links: BTreeMap<String, String>,
}

impl Keeper {
    /// Makes a keeper whose links' names are told by the prefix of the engine's other links.
    pub(crate) fn new(prefix: &str) -> Self {
        let prefix = prefix.replacen("veth", "keep", 1);
        Self {
            prefix,
            home: None,
            links: BTreeMap::new(),
        }
    }

    /// Gives the bridge a port, if it has none from here.
    pub(crate) fn keep(&mut self, host: &mut Connection, bridge: &str, index: u32) -> Result<()> {
        if let Some(name) = self.links.get(bridge)
            && links::find(host, name)?.is_some_and(|link| link.master == Some(index))
        {
            return Ok(());
        }
        let name = pool::new_ifname(&self.prefix);
        let (netns, inside) = self.home()?;
        let (port, _) = pool::add_link(host, &name, inside, &name, netns.as_fd())?;
        let mut batch = Messages::new();
        let change = LinkChange {
            master: Some(index),
            ..Default::default()
        };
        links::change_link(&mut batch, port, &change, &name);
        let quiet = PortMode {
            quiet: true,
            ..Default::default()
        };
        links::change_port(&mut batch, port, quiet, &name);
        host.request(&batch)?;
        inside.rest();
        self.links.insert(bridge.to_owned(), name);
        Ok(())
    }

    /// Forgets the bridge and returns its port, to be removed.
    pub(crate) fn forget(&mut self, bridge: &str) -> Option<String> {
        self.links.remove(bridge)
    }

    fn home(&mut self) -> Result<&mut (OwnedFd, Connection)> {
        let home = match self.home.take() {
            Some(home) => home,
            None => {
                let (netns, inside) = pool::fresh_namespace()?;
                (netns, inside?)
            }
        };
        Ok(self.home.insert(home))
    }
}
