//! Which published ports a container's shim passes on, because address translation cannot.

use std::net::SocketAddr;

use corten_network::{PortBinding, Protocol};
use corten_shim::protocol::{Relay, Target};

use crate::settings::Settings;

/// Whether a port's one socket may be for IPv4 and IPv6: a relay there is for IPv6 alone, because all of
/// IPv4 is translated.
pub(super) fn can_share(settings: &Settings) -> bool {
    settings.rules4
}

/// Plans the relays of one reservation, whose sockets are held from number `first` on: those to which
/// packets come that no rule translates. SCTP has none.
pub(super) fn plan(bindings: &[PortBinding], sockets: usize, first: usize, settings: &Settings) -> Vec<Relay> {
    let translated = bindings.iter().filter(|binding| binding.host_port != 0);
    let count = translated.clone().count();
    let step = usize::from(sockets > 1);
    if !settings.relays || sockets == 0 || (step == 1 && count != sockets) {
        return Vec::new();
    }
    let numbered = (0..)
        .map(|number| first + number * step)
        .zip(translated)
        .filter(|(_, binding)| is_needed(binding, settings));
    let relay = |(number, binding): (usize, &PortBinding)| {
        Some(Relay {
            socket: u32::try_from(number).ok()?,
            datagrams: binding.protocol == Protocol::Udp,
            to: SocketAddr::new(binding.container_ip, binding.container_port),
        })
    };
    numbered.filter_map(relay).collect()
}

/// Says where the relays of a container lead that has published ports before and is elsewhere now.
pub(super) fn targets(bindings: &[PortBinding], settings: &Settings) -> Vec<Target> {
    let translated = bindings
        .iter()
        .filter(|binding| binding.host_port != 0 && settings.relays);
    let target = |binding: &PortBinding| Target {
        host: SocketAddr::new(binding.host_ip, binding.host_port),
        datagrams: binding.protocol == Protocol::Udp,
        to: SocketAddr::new(binding.container_ip, binding.container_port),
    };
    translated
        .filter(|binding| is_needed(binding, settings))
        .map(target)
        .collect()
}

fn is_needed(binding: &PortBinding, settings: &Settings) -> bool {
    let rules = if binding.container_ip.is_ipv4() {
        settings.rules4
    } else {
        settings.rules6
    };
    // What comes to all IPv6 addresses comes to ::1, too.
    let has_loopback = binding.host_ip.is_ipv6() && binding.host_ip.is_unspecified();
    binding.protocol != Protocol::Sctp && (binding.is_relayed_only() || has_loopback || !rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(host: &str, container: &str) -> PortBinding {
        PortBinding {
            protocol: Protocol::Tcp,
            host_ip: host.parse().unwrap(),
            host_port: 80,
            container_ip: container.parse().unwrap(),
            container_port: 8080,
        }
    }

    #[test]
    fn what_the_kernel_cannot_translate_is_passed_on() {
        let root = tempfile::tempdir().unwrap();
        let mut settings = crate::settings::tests::below(root.path());
        let all = [
            binding("0.0.0.0", "172.17.0.2"),
            binding("::", "172.17.0.2"),
            binding("fd00::1", "fd00::2"),
            binding("::1", "fd00::2"),
        ];
        let seen = |settings: &Settings| {
            let all = plan(&all, 4, 10, settings);
            all.into_iter()
                .map(|relay| (relay.socket, relay.to.to_string()))
                .collect::<Vec<_>>()
        };
        let four = "172.17.0.2:8080".to_owned();
        assert_eq!(seen(&settings), [(11, four.clone()), (13, "[fd00::2]:8080".to_owned())]);
        let shared: Vec<_> = plan(&all[..2], 1, 10, &settings)
            .iter()
            .map(|relay| relay.socket)
            .collect();
        assert_eq!(shared, [10]);
        let moved = targets(&all, &settings);
        let hosts: Vec<_> = moved.iter().map(|target| target.host.to_string()).collect();
        assert_eq!(hosts, ["[::]:80", "[::1]:80"]);
        settings.rules4 = false;
        assert_eq!(seen(&settings)[0], (10, four));
        settings.relays = false;
        assert!(seen(&settings).is_empty());
    }
}
