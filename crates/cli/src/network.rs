//! `network …`.

use std::collections::BTreeMap;

use corten_api::network::{
    ConfigReference, ConnectRequest, CreateRequest, DisconnectRequest, EndpointIpam, EndpointSettings, Ipam, IpamConfig,
};

use crate::{
    cli::Cli,
    command::{Arity, Command, Entry, Flag},
    container::list::FORMAT_HELP,
    error::{Error, Result},
    flags::Matches,
    formatter::{BuiltIn, Format, natural_order, network as rows},
    inspect,
    opts::{self, address, environment, filter},
    prune,
};

/// `network`.
pub(crate) static GROUP: Command = Command::group(
    "Manage networks",
    &[
        Entry::new(&["connect"], &CONNECT),
        Entry::new(&["create"], &CREATE),
        Entry::new(&["disconnect"], &DISCONNECT),
        Entry::new(&["inspect"], &inspect::NETWORK),
        Entry::new(&["ls", "list"], &LIST),
        Entry::new(&["prune"], &prune::NETWORKS),
        Entry::new(&["rm", "remove"], &REMOVE),
    ],
);

static LIST: Command = Command::new("[OPTIONS]", "List networks", list)
    .paths(&["network ls", "network list"])
    .arity(Arity::None)
    .flags(&[&[
        Flag::filter("Show only what fits the condition").short('f'),
        Flag::string("format", FORMAT_HELP),
        Flag::switch("no-trunc", "Show IDs in full"),
        Flag::switch("quiet", "Show only IDs").short('q'),
    ]]);

static CREATE: Command = Command::new("[OPTIONS] NETWORK", "Make a network", create)
    .arity(Arity::Exactly(1))
    .flags(&[&[
        Flag::switch("attachable", "Let any container join it"),
        Flag::map("aux-address", "Address that others use (name=address)"),
        Flag::string("config-from", "Network to take the configuration from"),
        Flag::switch("config-only", "Make only a configuration"),
        Flag::string("driver", "Driver of the network")
            .short('d')
            .default("bridge"),
        Flag::strings("gateway", "Gateway of a subnet"),
        Flag::switch("ingress", "Make it the cluster's way in"),
        Flag::switch("internal", "Give it no way out"),
        Flag::strings("ip-range", "Part of a subnet that containers get addresses from"),
        Flag::string("ipam-driver", "Driver that gives out addresses").default("default"),
        Flag::map("ipam-opt", "Option for that driver"),
        Flag::switch_on("ipv4", "Give out IPv4 addresses"),
        Flag::switch("ipv6", "Give out IPv6 addresses"),
        Flag::list("label", "Metadata to set").checked(environment::check_label),
        Flag::map("opt", "Option for the driver").short('o'),
        Flag::string("scope", "How far the network reaches"),
        Flag::strings("subnet", "Subnet in CIDR notation"),
    ]]);

static REMOVE: Command = Command::new("NETWORK [NETWORK...]", "Remove networks", remove)
    .paths(&["network rm", "network remove"])
    .arity(Arity::AtLeast(1))
    .flags(&[&[Flag::switch("force", "Say nothing if it is not there").short('f')]]);

static CONNECT: Command = Command::new(
    "[OPTIONS] NETWORK CONTAINER",
    "Connect a container to a network",
    connect,
)
.arity(Arity::Exactly(2))
.flags(&[&[
    Flag::strings("alias", "Further name of the container in the network"),
    Flag::strings("driver-opt", "Option for the driver"),
    Flag::int("gw-priority", "How much its gateway is preferred"),
    Flag::string("ip", "IPv4 address (for example \"172.30.100.104\")"),
    Flag::string("ip6", "IPv6 address (for example \"2001:db8::33\")"),
    Flag::list("link", "Container to make known under a name").checked(address::check_link),
    Flag::strings("link-local-ip", "Link-local address"),
]]);

static DISCONNECT: Command = Command::new(
    "[OPTIONS] NETWORK CONTAINER",
    "Disconnect a container from a network",
    disconnect,
)
.arity(Arity::Exactly(2))
.flags(&[&[Flag::switch("force", "Disconnect it whatever its state").short('f')]]);

fn list(cli: &Cli, m: &Matches) -> Result<()> {
    let given = match m.get("format") {
        "" if !m.on("quiet") => cli.config().networks_format.as_str(),
        given => given,
    };
    let format = Format::choose(
        given,
        m.on("quiet"),
        &BuiltIn {
            table: rows::TABLE,
            quiet: "{{.ID}}",
            raw_id: "network_id",
            raw: "name: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n",
        },
    );
    let filters = filter::parse(&m.all("filter"));
    let mut networks = cli.wait(async { Ok(cli.client()?.networks(&filters).await?) })?;
    networks.sort_by(|a, b| natural_order(&a.name, &b.name));
    let list: Vec<_> = networks.iter().map(|n| rows::row(n, !m.on("no-trunc"))).collect();
    cli.print(&format.render(&rows::HEADINGS, &list)?);
    Ok(())
}

fn create(cli: &Cli, m: &Matches) -> Result<()> {
    let request = request(m)?;
    let created = cli.wait(async { Ok(cli.client()?.create_network(&request).await?) })?;
    if !created.warning.is_empty() {
        cli.err(&format!("WARNING: {}", created.warning));
    }
    cli.out(&created.id);
    Ok(())
}

fn request(m: &Matches) -> std::result::Result<CreateRequest, String> {
    let ipam_options = opts::pairs(&m.all("ipam-opt"));
    let config = ipam(
        &m.strings("subnet"),
        &m.strings("ip-range"),
        &m.strings("gateway"),
        &opts::pairs(&m.all("aux-address")),
    )?;
    let switch = |flag: &str| m.given(flag).then(|| m.on(flag));
    Ok(CreateRequest {
        name: m.arg(0).to_owned(),
        driver: m.get("driver").to_owned(),
        scope: m.get("scope").to_owned(),
        internal: m.on("internal"),
        attachable: m.on("attachable"),
        ingress: m.on("ingress"),
        config_only: m.on("config-only"),
        config_from: m.opt("config-from").map(|name| ConfigReference {
            network: name.to_owned(),
        }),
        ipam: Some(Ipam {
            driver: m.get("ipam-driver").to_owned(),
            options: Some(ipam_options),
            config: Some(config),
        }),
        enable_ipv4: switch("ipv4"),
        enable_ipv6: switch("ipv6"),
        options: opts::pairs(&m.all("opt")),
        labels: opts::pairs(&m.all("label")),
    })
}

/// Whether a subnet has an address or a smaller subnet in it.
fn contains(subnet: &str, inner: &str) -> bool {
    let parse = |text: &str| -> Option<(u128, u32, bool)> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: std::net::IpAddr = address.parse().ok()?;
        let (bits, width, v4) = match address {
            std::net::IpAddr::V4(a) => (u128::from(a.to_bits()), 32, true),
            std::net::IpAddr::V6(a) => (a.to_bits(), 128, false),
        };
        let prefix = prefix.map_or(Some(width), |p| p.parse().ok().filter(|p| *p <= width))?;
        Some((bits << (128 - width), prefix, v4))
    };
    let (Some((subnet, prefix, v4)), Some((inner, inner_prefix, inner_v4))) = (parse(subnet), parse(inner)) else {
        return false;
    };
    let shift = 128 - prefix;
    v4 == inner_v4 && inner_prefix >= prefix && (shift == 128 || subnet >> shift == inner >> shift)
}

/// Puts ranges, gateways and reserved addresses to the subnets they belong to.
fn ipam(
    subnets: &[String],
    ranges: &[String],
    gateways: &[String],
    reserved: &BTreeMap<String, String>,
) -> std::result::Result<Vec<IpamConfig>, String> {
    if subnets.len() < ranges.len() || subnets.len() < gateways.len() {
        return Err("every ip-range or gateway must have a corresponding subnet".to_owned());
    }
    let mut configs: Vec<IpamConfig> = Vec::new();
    for subnet in subnets {
        if configs
            .iter()
            .any(|c| contains(&c.subnet, subnet) || contains(subnet, &c.subnet))
        {
            return Err("multiple overlapping subnet configuration is not supported".to_owned());
        }
        configs.push(IpamConfig {
            subnet: subnet.clone(),
            ..IpamConfig::default()
        });
    }
    for range in ranges {
        let config = configs
            .iter_mut()
            .find(|c| contains(&c.subnet, range))
            .ok_or_else(|| format!("no matching subnet for range {range}"))?;
        if !config.ip_range.is_empty() {
            return Err(format!(
                "cannot configure multiple ranges ({}, {range}) on the same subnet ({})",
                config.ip_range, config.subnet
            ));
        }
        config.ip_range.clone_from(range);
    }
    for gateway in gateways {
        let config = configs
            .iter_mut()
            .find(|c| contains(&c.subnet, gateway))
            .ok_or_else(|| format!("no matching subnet for gateway {gateway}"))?;
        if !config.gateway.is_empty() {
            return Err(format!(
                "cannot configure multiple gateways ({}, {gateway}) for the same subnet ({})",
                config.gateway, config.subnet
            ));
        }
        config.gateway.clone_from(gateway);
    }
    for (name, address) in reserved {
        let config = configs
            .iter_mut()
            .find(|c| contains(&c.subnet, address))
            .ok_or_else(|| format!("no matching subnet for aux-address {address}"))?;
        config.auxiliary_addresses.insert(name.clone(), address.clone());
    }
    Ok(configs)
}

fn remove(cli: &Cli, m: &Matches) -> Result<()> {
    cli.wait(async {
        let client = cli.client()?;
        let mut failed = false;
        for name in &m.args {
            match client.remove_network(name).await {
                Ok(()) => cli.out(name),
                // What is gone already is what the user wanted.
                Err(error) if m.on("force") && error.is_not_found() => {}
                Err(error) => {
                    cli.err(&error.to_string());
                    failed = true;
                }
            }
        }
        // The words of Docker, which scripts have seen.
        if failed {
            Err(Error::new("exit status 1"))
        } else {
            Ok(())
        }
    })
}

fn connect(cli: &Cli, m: &Matches) -> Result<()> {
    let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
    let ipam = EndpointIpam {
        ipv4_address: m.get("ip").to_owned(),
        ipv6_address: m.get("ip6").to_owned(),
        link_local_ips: m.strings("link-local-ip"),
    };
    let options = opts::pairs(&m.strings("driver-opt"));
    let request = ConnectRequest {
        container: m.arg(1).to_owned(),
        endpoint_config: Some(EndpointSettings {
            ipam_config: Some(ipam),
            links: some(m.all("link").into_iter().map(str::to_owned).collect()),
            aliases: some(m.strings("alias")),
            driver_opts: (!options.is_empty()).then_some(options),
            gw_priority: m.int("gw-priority"),
            ..EndpointSettings::default()
        }),
    };
    cli.wait(async { Ok(cli.client()?.connect_network(m.arg(0), &request).await?) })
}

fn disconnect(cli: &Cli, m: &Matches) -> Result<()> {
    let request = DisconnectRequest {
        container: m.arg(1).to_owned(),
        force: m.on("force"),
    };
    cli.wait(async { Ok(cli.client()?.disconnect_network(m.arg(0), &request).await?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_addresses_to_subnets() {
        let s = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        let none = BTreeMap::new();
        let configs = ipam(
            &s(&["10.1.0.0/16", "fd00::/64"]),
            &s(&["10.1.2.0/24"]),
            &s(&["fd00::1", "10.1.0.1"]),
            &none,
        );
        let configs = configs.unwrap();
        assert_eq!(
            (&*configs[0].ip_range, &*configs[0].gateway),
            ("10.1.2.0/24", "10.1.0.1")
        );
        assert_eq!(configs[1].gateway, "fd00::1");
        assert_eq!(
            ipam(&s(&["10.98.0.0/24"]), &[], &s(&["10.97.0.1"]), &none).unwrap_err(),
            "no matching subnet for gateway 10.97.0.1"
        );
        assert!(ipam(&s(&["10.0.0.0/8", "10.1.0.0/16"]), &[], &[], &none).is_err());
        assert!(ipam(&[], &[], &s(&["10.97.0.1"]), &none).is_err());
    }
}
