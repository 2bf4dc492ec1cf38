//! What an engine that died in the middle of a change has left: links that nobody knows, routes that lead
//! through them.

use std::os::fd::BorrowedFd;

use corten_network::Driver;

use super::{AttachRequest, Networks, State, wishes::Wishes};
use crate::error::{Error, Result};

impl State {
    /// What the host's ends of all containers' links on bridges are called.
    fn known_links(&self) -> Vec<String> {
        let bridges = self
            .networks
            .values()
            .filter(|network| network.record.driver == Driver::Bridge);
        let attachments = bridges.flat_map(|network| network.attachments.values());
        attachments.map(|attachment| attachment.link.host.clone()).collect()
    }
}

impl Networks {
    /// The name that a container's link to a network would get now.
    ///
    /// # Errors
    /// As [`Networks::attach`] for names that are taken.
    pub fn link_name(&self, request: &AttachRequest<'_>) -> Result<String> {
        let state = self.state();
        let used = state.link_names(request.container_id);
        let wishes = Wishes::read(request.settings, request.mac)?;
        state.find(request.network)?.link_name(wishes.ifname.as_deref(), &used)
    }

    /// Makes a container's namespace agree with what is known of its networks, after a change of one link
    /// that may have been cut off. Takes some 20 ms if the link is there and should not be.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn settle(&self, container_id: &str, netns: BorrowedFd<'_>, link: &str) -> Result<()> {
        let fabric = self.fabric()?;
        let (names, gateways) = {
            let state = self.state();
            (state.link_names(container_id), state.gateways(container_id))
        };
        if !names.iter().any(|name| name == link) {
            fabric.detach_inside(netns, link)?;
        }
        for gateway in gateways.routes() {
            fabric.route(netns, &gateway.bridge, &gateway.ifname, gateway.address)?;
        }
        Ok(())
    }

    /// Removes links on bridges that belong to no container known, in the background. Only those that are
    /// there now: call it before the first [`Networks::attach`].
    pub(super) fn remove_strays(&self) {
        let Ok(fabric) = self.fabric() else {
            return;
        };
        let known = self.state().known_links();
        if known.iter().any(String::is_empty) {
            // One that runs since before links were noted: any could be its own.
            return;
        }
        let strays = match fabric.strays(&known) {
            Ok(strays) => strays,
            Err(error) => {
                let error = Error::from(error).report();
                return tracing::warn!(error, "cannot look for links that nobody has");
            }
        };
        if strays.is_empty() {
            return;
        }
        let fabric = std::sync::Arc::clone(fabric);
        let work = move || {
            for stray in strays {
                tracing::info!(link = stray, "removing a link that no container has");
                if let Err(error) = fabric.detach(&stray) {
                    tracing::warn!(link = stray, error = Error::from(error).report(), "the link is left");
                }
            }
        };
        let thread = std::thread::Builder::new().name("strays".to_owned());
        if let Err(error) = thread.stack_size(256 * 1024).spawn(work) {
            tracing::warn!(%error, "links that no container has are left");
        }
    }
}
