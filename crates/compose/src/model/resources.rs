//! Top-level resources: networks, volumes, secrets, configs, models.

use super::{Decode, Options, Part, Render, Strings, model};
use crate::{
    Node,
    error::Result,
    output::{Format, Output},
};

model! {
    /// A network (Compose specification, `networks`).
    pub struct Network {
        /// Its name on the engine.
        "name" name: String,
        /// Its driver.
        "driver" driver: String,
        /// Options for the driver.
        "driver_opts" driver_opts: Options,
        /// How addresses are given out.
        "ipam" ipam: Part<IpamConfig>,
        /// Whether it exists outside of the project.
        "external" external: bool,
        /// Whether it has no way out.
        "internal" internal: bool,
        /// Whether any container may join it.
        "attachable" attachable: bool,
        /// Its labels.
        "labels" labels: Options,
        /// Whether it has IPv4.
        "enable_ipv4" enable_ipv4: Option<bool>,
        /// Whether it has IPv6.
        "enable_ipv6" enable_ipv6: Option<bool>,
    }
}

model! {
    /// How a network gives out addresses.
    pub struct IpamConfig {
        /// Who gives them out.
        "driver" driver: String,
        /// From which ranges.
        "config" config: Vec<IpamPool>,
    }
}

model! {
    /// A range of addresses.
    pub struct IpamPool {
        /// All of them.
        "subnet" subnet: String,
        /// The way out.
        "gateway" gateway: String,
        /// Those that containers get.
        "ip_range" ip_range: String,
        /// Those that others use.
        "aux_addresses" aux_addresses: Options,
    }
}

model! {
    /// A volume (Compose specification, `volumes`).
    pub struct Volume {
        /// Its name on the engine.
        "name" name: String,
        /// Its driver.
        "driver" driver: String,
        /// Options for the driver.
        "driver_opts" driver_opts: Options,
        /// Whether it exists outside of the project.
        "external" external: bool,
        /// Its labels.
        "labels" labels: Options,
    }
}

model! {
    /// A file of which only the source is written.
    pub struct FileObject {
        /// Its name.
        "name" name: String,
        /// The file.
        "file" file: String,
        /// The variable with its content.
        "environment" environment: String,
        /// Its content.
        "content" content: String,
        /// Whether it exists outside of the project.
        "external" external: bool,
        /// Its labels.
        "labels" labels: Options,
        /// Its driver.
        "driver" driver: String,
        /// Options for the driver.
        "driver_opts" driver_opts: Options,
        /// What fills it in as a template.
        "template_driver" template_driver: String,
    }
}

/// The key under which the loader keeps a secret's content.
pub(crate) const SECRET_CONTENT: &str = "x-#value";

/// A secret (Compose specification, `secrets`). Its content is never written.
#[derive(Clone, Default, PartialEq)]
pub struct Secret(pub FileObject);

/// A config (Compose specification, `configs`). What came from a variable is not written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConfigObject(pub FileObject);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret")
            .field("name", &self.0.name)
            .finish_non_exhaustive()
    }
}

impl std::ops::Deref for Secret {
    type Target = FileObject;

    fn deref(&self) -> &FileObject {
        &self.0
    }
}

impl std::ops::Deref for ConfigObject {
    type Target = FileObject;

    fn deref(&self) -> &FileObject {
        &self.0
    }
}

impl Decode for Secret {
    fn decode(node: &Node) -> Result<Self> {
        let mut object = FileObject::decode(node)?;
        if let Some(content) = object.extensions.remove(SECRET_CONTENT) {
            object.content = content.value.to_text();
        }
        Ok(Self(object))
    }
}

impl Render for Secret {
    fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    fn render(&self, format: Format) -> Output {
        without_content(&self.0).render(format)
    }
}

impl Decode for ConfigObject {
    fn decode(node: &Node) -> Result<Self> {
        FileObject::decode(node).map(Self)
    }
}

impl Render for ConfigObject {
    fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    fn render(&self, format: Format) -> Output {
        if self.0.environment.is_empty() {
            self.0.render(format)
        } else {
            without_content(&self.0).render(format)
        }
    }
}

fn without_content(object: &FileObject) -> FileObject {
    FileObject {
        content: String::new(),
        ..object.clone()
    }
}

model! {
    /// A language model (Compose specification, `models`).
    pub struct Model {
        /// Its name.
        "name" name: String,
        /// The image that holds it.
        "model" model: String,
        /// How many tokens it sees.
        "context_size" context_size: i64,
        /// Flags for what runs it.
        "runtime_flags" runtime_flags: Strings,
    }
}
