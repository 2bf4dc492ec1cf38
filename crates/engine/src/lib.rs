//! What the engine does: containers, exec, images, networks, volumes and events; owns the state, knows no HTTP.
//!
//! [`Engine::open`] takes up what lies in the data root and what runs; the services that it hands
//! out each have just what they need:
//!
//! ```text
//!   Events ◄── Volumes, Networks, Images ◄── Containers ◄── System
//! ```

#![forbid(unsafe_code)]

mod apparmor;
pub mod builds;
mod cdi;
pub mod containers;
mod crash;
pub mod error;
pub mod events;
mod identifiers;
pub mod images;
mod name_pattern;
pub mod networks;
pub mod pipe;
pub mod settings;
pub mod system;
pub mod time_filter;
pub mod volumes;

use std::sync::Arc;

pub use corten_store::PathStat;

pub use self::error::{Error, Kind, Result};
use self::{
    builds::Builds, containers::Containers, events::Events, images::Images, networks::Networks, settings::Settings,
    system::System, volumes::Volumes,
};

/// A container engine on one data root and one exec root.
#[derive(Debug, Clone)]
pub struct Engine(Arc<Services>);

#[derive(Debug)]
struct Services {
    settings: Arc<Settings>,
    events: Events,
    volumes: Volumes,
    networks: Networks,
    images: Images,
    containers: Containers,
    builds: Builds,
    system: System,
}

impl Engine {
    /// Takes up everything in the roots; returns when all that runs is known again.
    ///
    /// # Errors
    /// When a root cannot be used or the kernel lacks something that every container needs.
    pub async fn open(settings: Settings) -> Result<Self> {
        let settings = Arc::new(settings);
        let events = Events::new();
        let (volumes, networks, images, store, cache) = {
            let (settings, events) = (Arc::clone(&settings), events.clone());
            error::blocking(move || {
                let store = Arc::new(corten_store::Store::open(
                    &settings.data_root,
                    corten_store::Options::default(),
                )?);
                let cache = Builds::cache_of(&settings, &store)?;
                let volumes = Volumes::open(&settings, events.clone())?;
                let networks = Networks::open(&settings, events.clone())?;
                let images = Images::open(&settings, Arc::clone(&store), events)?;
                Ok((volumes, networks, images, store, cache))
            })
            .await?
        };
        let containers = Containers::open(
            Arc::clone(&settings),
            Arc::clone(&store),
            images.clone(),
            volumes.clone(),
            networks.clone(),
            events.clone(),
        )
        .await?;
        let builds = Builds::new(
            Arc::clone(&settings),
            cache,
            store,
            images.clone(),
            containers.clone(),
            events.clone(),
        );
        let system = System::new(
            Arc::clone(&settings),
            events.clone(),
            containers.clone(),
            images.clone(),
            networks.clone(),
            volumes.clone(),
            builds.clone(),
        );
        Ok(Self(Arc::new(Services {
            settings,
            events,
            volumes,
            networks,
            images,
            containers,
            builds,
            system,
        })))
    }

    /// The settings it was opened with.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.0.settings
    }

    /// Containers and execs.
    pub fn containers(&self) -> &Containers {
        &self.0.containers
    }

    /// Building images.
    pub fn builds(&self) -> &Builds {
        &self.0.builds
    }

    /// Images.
    pub fn images(&self) -> &Images {
        &self.0.images
    }

    /// Networks.
    pub fn networks(&self) -> &Networks {
        &self.0.networks
    }

    /// Volumes.
    pub fn volumes(&self) -> &Volumes {
        &self.0.volumes
    }

    /// What happens.
    pub fn events(&self) -> &Events {
        &self.0.events
    }

    /// The engine itself.
    pub fn system(&self) -> &System {
        &self.0.system
    }
}
