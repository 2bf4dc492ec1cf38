//! `ps`.

use corten_api::container::{Port, Summary};
use corten_oci::reference::Reference;

use super::{ago, ellipsis, join_labels, labelled_row, local_time, short_id, shown_id};
use corten_template::Value;

use crate::opts::{
    quote,
    size::{float, human_digits},
};

/// The default table.
pub(crate) const TABLE: &str =
    "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";
/// The default table with sizes.
pub(crate) const TABLE_WITH_SIZE: &str =
    "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}\t{{.Size}}";

/// `raw` without the id.
pub(crate) const RAW: &str = "image: {{.Image}}\ncommand: {{.Command}}\ncreated_at: {{.CreatedAt}}\nstate:{{pad .State 1 0}}\nstatus:{{pad .Status 1 0}}\nnames: {{.Names}}\nlabels:{{pad .Labels 1 0}}\nports:{{pad .Ports 1 0}}\n";
/// `raw` without the id, with sizes.
pub(crate) const RAW_WITH_SIZE: &str = "image: {{.Image}}\ncommand: {{.Command}}\ncreated_at: {{.CreatedAt}}\nstate:{{pad .State 1 0}}\nstatus:{{pad .Status 1 0}}\nnames: {{.Names}}\nlabels:{{pad .Labels 1 0}}\nports:{{pad .Ports 1 0}}\nsize: {{.Size}}\n";

/// The headings.
pub(crate) const HEADINGS: [(&str, &str); 14] = [
    ("ID", "CONTAINER ID"),
    ("Names", "NAMES"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Ports", "PORTS"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Size", "SIZE"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
];

/// A row.
pub(crate) fn row(container: &Summary, truncate: bool) -> Value {
    let command = if truncate {
        ellipsis(&container.command, 20)
    } else {
        container.command.clone()
    };
    let mounts: Vec<_> = container
        .mounts
        .iter()
        .map(|m| if m.name.is_empty() { &m.source } else { &m.name })
        .map(|name| if truncate { ellipsis(name, 15) } else { name.clone() })
        .collect();
    let networks: Vec<_> = container.network_settings.networks.keys().cloned().collect();
    let local = container.mounts.iter().filter(|m| m.driver == "local").count();
    labelled_row(
        "*formatter.ContainerContext",
        vec![
            ("Command", quote(&command).into()),
            ("CreatedAt", local_time(container.created).into()),
            ("ID", shown_id(&container.id, truncate).into()),
            ("Image", image(container, truncate).into()),
            ("Labels", join_labels(&container.labels).into()),
            ("LocalVolumes", local.to_string().into()),
            ("Mounts", mounts.join(",").into()),
            ("Names", names(container, truncate).into()),
            ("Networks", networks.join(",").into()),
            ("Platform", Value::NilPointer("*v1.Platform")),
            ("Ports", ports(&container.ports).into()),
            ("RunningFor", ago(container.created).into()),
            ("Size", size(container).into()),
            ("State", container.state.as_str().into()),
            ("Status", container.status.as_str().into()),
        ],
        &container.labels,
    )
}

fn names(container: &Summary, truncate: bool) -> String {
    let names: Vec<_> = container
        .names
        .iter()
        .map(|name| name.strip_prefix('/').unwrap_or(name))
        // Names with a slash in them are links.
        .filter(|name| !truncate || !name.contains('/'))
        .collect();
    names.join(",")
}

/// The image as it was asked for, without digest; its id when that is all there is.
fn image(container: &Summary, truncate: bool) -> String {
    if container.image.is_empty() {
        return "<no image>".to_owned();
    }
    if !truncate {
        return container.image.clone();
    }
    if short_id(&container.image_id) == short_id(&container.image) {
        return short_id(&container.image_id).to_owned();
    }
    match container.image.parse::<Reference>() {
        Ok(reference) if reference.digest().is_some() => match reference.tag() {
            Some(tag) => format!("{}:{tag}", reference.repository().familiar()),
            None => container.image.clone(),
        },
        _ => container.image.clone(),
    }
}

fn size(container: &Summary) -> String {
    let human = |bytes: Option<i64>| human_digits(float(bytes.unwrap_or(0)), 3);
    let own = human(container.size_rw);
    if container.size_root_fs.unwrap_or(0) > 0 {
        format!("{own} (virtual {})", human(container.size_root_fs))
    } else {
        own
    }
}

/// Adjacent ports of the same kind.
struct Group {
    ip: String,
    protocol: String,
    first: u16,
    last: u16,
}

impl Group {
    fn show(&self) -> String {
        let range = if self.first == self.last {
            self.first.to_string()
        } else {
            format!("{}-{}", self.first, self.last)
        };
        if self.ip.is_empty() {
            format!("{range}/{}", self.protocol)
        } else {
            format!("{}->{range}/{}", host_port(&self.ip, &range), self.protocol)
        }
    }
}

/// `address:port`, with brackets around IPv6 addresses.
pub(crate) fn host_port(ip: &str, port: &str) -> String {
    if ip.contains(':') {
        format!("[{ip}]:{port}")
    } else {
        format!("{ip}:{port}")
    }
}

/// `0.0.0.0:80->80/tcp, 81-82/tcp`.
pub(crate) fn ports(ports: &[Port]) -> String {
    let mut ports = ports.to_vec();
    ports.sort_by(|a, b| {
        let key = |p: &Port| (p.private_port, p.ip.clone(), p.public_port, p.protocol.clone());
        key(a).cmp(&key(b))
    });
    let (mut shown, mut groups, mut mappings) = (Vec::new(), Vec::<Group>::new(), Vec::new());
    for port in ports {
        if !port.ip.is_empty() && port.public_port != port.private_port {
            let host = host_port(&port.ip, &port.public_port.to_string());
            mappings.push(format!("{host}->{}/{}", port.private_port, port.protocol));
            continue;
        }
        let same = groups
            .iter_mut()
            .find(|g| g.ip == port.ip && g.protocol == port.protocol);
        match same {
            Some(group) if group.last.checked_add(1) == Some(port.private_port) => group.last = port.private_port,
            Some(group) => {
                shown.push(group.show());
                (group.first, group.last) = (port.private_port, port.private_port);
            }
            None => groups.push(Group {
                ip: port.ip,
                protocol: port.protocol,
                first: port.private_port,
                last: port.private_port,
            }),
        }
    }
    shown.extend(groups.iter().map(Group::show));
    shown.extend(mappings);
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_ports() {
        let port = |ip: &str, private, public, protocol: &str| Port {
            ip: ip.into(),
            private_port: private,
            public_port: public,
            protocol: protocol.into(),
        };
        let check = |list: &[Port], expected: &str| assert_eq!(ports(list), expected);
        check(
            &[port("::", 80, 18098, "tcp"), port("0.0.0.0", 80, 18098, "tcp")],
            "0.0.0.0:18098->80/tcp, [::]:18098->80/tcp",
        );
        check(
            &[port("", 81, 0, "tcp"), port("", 80, 0, "tcp"), port("", 53, 0, "udp")],
            "53/udp, 80-81/tcp",
        );
        check(
            &[
                port("0.0.0.0", 80, 80, "tcp"),
                port("0.0.0.0", 81, 81, "tcp"),
                port("0.0.0.0", 90, 90, "tcp"),
            ],
            "0.0.0.0:80-81->80-81/tcp, 0.0.0.0:90->90/tcp",
        );
    }

    #[test]
    fn shows_images() {
        let container = |image: &str| Summary {
            image: image.into(),
            image_id: "sha256:0123456789abcdef".into(),
            ..Summary::default()
        };
        let check = |name: &str, expected: &str| assert_eq!(image(&container(name), true), expected);
        check("busybox", "busybox");
        check("0123456789ab", "0123456789ab");
        check(&format!("a/b:1@sha256:{}", "0".repeat(64)), "a/b:1");
        check("", "<no image>");
    }
}
