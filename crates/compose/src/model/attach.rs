//! What a service's containers are connected to: networks, ports, mounts, files.

use super::{Bytes, Decode, FileMode, Options, Render, Strings, decode, model};
use crate::{
    Node,
    error::Result,
    output::{Format, Output},
};

model! {
    /// A service in a network.
    pub struct ServiceNetwork {
        /// Further names there.
        "aliases" aliases: Strings,
        /// Options for the driver.
        "driver_opts" driver_opts: Options,
        /// How much its gateway is preferred.
        "gw_priority" gw_priority: i64,
        /// The interface's name.
        "interface_name" interface_name: String,
        /// The IPv4 address.
        "ipv4_address" ipv4_address: String,
        /// The IPv6 address.
        "ipv6_address" ipv6_address: String,
        /// Link-local addresses.
        "link_local_ips" link_local_ips: Strings,
        /// The MAC address.
        "mac_address" mac_address: String,
        /// How early it is connected.
        "priority" priority: i64,
    }
}

model! {
    /// A published port.
    pub struct Port {
        /// What people call it.
        "name" name: String,
        /// `ingress` or `host`.
        "mode" mode: String,
        /// The host's address.
        "host_ip" host_ip: String,
        /// The container's port.
        "target" target: u32,
        /// The host's port or ports.
        "published" published: String,
        /// `tcp`, `udp` or `sctp`.
        "protocol" protocol: String,
        /// What is spoken over it.
        "app_protocol" app_protocol: String,
    }
}

model! {
    /// A mount.
    pub struct Mount {
        /// `bind`, `volume`, `tmpfs`, `image`, `npipe` or `cluster`.
        "type" kind: String,
        /// The path, volume or image.
        "source" source: String,
        /// The path in the container.
        "target" target: String,
        /// Whether it is read-only.
        "read_only" read_only: bool,
        /// How closely it must agree with the host.
        "consistency" consistency: String,
        /// Options of a bind mount.
        "bind" bind: Option<BindOptions>,
        /// Options of a volume.
        "volume" volume: Option<NamedVolumeOptions>,
        /// Options of a folder in memory.
        "tmpfs" tmpfs: Option<TmpfsOptions>,
        /// Options of an image.
        "image" image: Option<ImageOptions>,
    }
}

model! {
    /// Options of a bind mount.
    pub struct BindOptions {
        /// The label: `z` or `Z`.
        "selinux" selinux: String,
        /// How mounts inside are seen on either side.
        "propagation" propagation: String,
        /// Whether a path that is missing is made.
        "create_host_path" create_host_path: bool,
        /// Whether mounts inside come along, and how.
        "recursive" recursive: String,
    }
}

model! {
    /// Options of a mounted volume.
    pub struct NamedVolumeOptions {
        /// Labels of an anonymous volume.
        "labels" labels: Options,
        /// Whether it stays empty at first.
        "nocopy" nocopy: bool,
        /// The folder in the volume.
        "subpath" subpath: String,
    }
}

model! {
    /// Options of a folder in memory.
    pub struct TmpfsOptions {
        /// Its size.
        "size" size: Bytes,
        /// Its mode.
        "mode" mode: u32,
    }
}

model! {
    /// Options of a mounted image.
    pub struct ImageOptions {
        /// The folder in the image.
        "subpath" subpath: String,
    }
}

model! {
    /// A config or a secret in a container.
    pub struct FileMount {
        /// Which one.
        "source" source: String,
        /// Its path.
        "target" target: String,
        /// Its owner.
        "uid" uid: String,
        /// Its group.
        "gid" gid: String,
        /// Its mode.
        "mode" mode: Option<FileMode>,
    }
}

/// A file with variables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvFile {
    /// The file.
    pub path: String,
    /// Whether it must exist.
    pub required: bool,
    /// `raw` when its lines are taken as they are.
    pub format: String,
}

impl Decode for EnvFile {
    fn decode(node: &Node) -> Result<Self> {
        let mut file = Self::default();
        for (key, node) in decode::mapping(node)? {
            match key.as_str() {
                "path" => file.path = decode::field(node)?,
                "required" => file.required = decode::field(node)?,
                "format" => file.format = decode::field(node)?,
                _ => {}
            }
        }
        Ok(file)
    }
}

impl Render for EnvFile {
    fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    fn render(&self, format: Format) -> Output {
        // JSON writes a list of pointers, whose elements know how to write themselves; YAML the same.
        if self.required {
            return self.path.render(format);
        }
        let mut fields = vec![
            ("path".to_owned(), self.path.render(format)),
            ("required".to_owned(), self.required.render(format)),
        ];
        if format == Format::Json && !self.format.is_empty() {
            fields.push(("format".to_owned(), self.format.render(format)));
        }
        Output::Map(fields)
    }
}

/// The service that another one extends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extends {
    /// The file that it is in, when it is another one.
    pub file: String,
    /// Its name.
    pub service: String,
}

impl Decode for Extends {
    fn decode(node: &Node) -> Result<Self> {
        let mut extends = Self::default();
        for (key, node) in decode::mapping(node)? {
            match key.as_str() {
                "file" => extends.file = decode::field(node)?,
                "service" => extends.service = decode::field(node)?,
                _ => {}
            }
        }
        Ok(extends)
    }
}

impl Render for Extends {
    fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    fn render(&self, format: Format) -> Output {
        let fields = [("file", &self.file), ("service", &self.service)];
        let given = fields.into_iter().filter(|(_, value)| !value.is_empty());
        Output::Map(
            given
                .map(|(key, value)| (key.to_owned(), value.render(format)))
                .collect(),
        )
    }
}
