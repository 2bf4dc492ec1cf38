//! The engine's nftables table as a value: what [`State`] becomes, before it is rendered as text
//! or encoded for the kernel.
//!
//! ```text
//! prerouting raw     guard        nothing from the wire may claim to go to loopback
//! prerouting dstnat  prerouting   addressed to this host → published
//! output dstnat      output       addressed to this host → published
//!                    published    host address and port → container's, by six maps
//! forward            forward      into a bridge: answers, published ports, its own containers, and
//!                                 what its policy lets in
//! postrouting        postrouting  out of a bridge's subnet: the host's address
//! ```
//!
//! Publishing a port is adding a map element; the rules change with bridges only.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::elements::{Element, MapName, elements, openings};
use crate::{BridgePlan, GatewayMode, NeighbourLink, Neighbours, PortBinding, Protocol, Reach};

/// All that the table depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Bridges by name.
    pub(crate) bridges: BTreeMap<String, BridgePlan>,
    /// Published ports by owner.
    pub(crate) published: BTreeMap<String, Vec<PortBinding>>,
    /// What neighbours on a bridge that keeps them apart may do all the same, by owner.
    pub(crate) links: BTreeMap<String, Vec<NeighbourLink>>,
    /// The versions of IP that are none of ours.
    pub(crate) without: Without,
}

/// Versions of IP for which there shall be no rules (`--iptables=false`, `--ip6tables=false`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Without {
    pub(crate) ipv4: bool,
    pub(crate) ipv6: bool,
}

impl Without {
    pub(crate) fn all(self) -> bool {
        self.ipv4 && self.ipv6
    }

    pub(crate) fn has(self, is_ipv4: bool) -> bool {
        if is_ipv4 { self.ipv4 } else { self.ipv6 }
    }
}

impl State {
    /// The elements of an owner's bindings, in every map and set.
    pub(crate) fn elements(&self, bindings: &[PortBinding]) -> Vec<(MapName, Element)> {
        let mut ours = bindings.to_vec();
        ours.retain(|binding| !binding.is_relayed_only() && !self.without.has(binding.container_ip.is_ipv4()));
        let mut all = elements(&ours);
        if self
            .bridges
            .values()
            .any(|plan| plan.policy.opens_ports(true) || plan.policy.opens_ports(false))
        {
            all.extend(openings(&ours, |address| self.opens_ports_of(address)));
        }
        all
    }

    fn opens_ports_of(&self, container: IpAddr) -> bool {
        self.bridges.values().any(|plan| {
            plan.policy.opens_ports(container.is_ipv4()) && subnets(plan).any(|net| net.contains(&container))
        })
    }
}

/// The whole table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ruleset {
    pub(crate) table: String,
    pub(crate) maps: BTreeMap<MapName, Vec<Element>>,
    pub(crate) chains: Vec<Chain>,
}

/// A chain with its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) name: &'static str,
    /// Where packets enter, unless other chains jump here.
    pub(crate) base: Option<Base>,
    pub(crate) rules: Vec<Rule>,
}

/// A base chain's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) kind: ChainKind,
    pub(crate) hook: Hook,
    pub(crate) priority: Priority,
}

/// A base chain's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChainKind {
    Filter,
    Nat,
}

/// A base chain's hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    Prerouting,
    Forward,
    Output,
    Postrouting,
}

/// A base chain's priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    Raw,
    Destination,
    Filter,
    Source,
}

/// Conditions, all of which hold, and what happens then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) matches: Vec<Match>,
    pub(crate) action: Action,
}

/// A condition on a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Match {
    /// The interface it came in by.
    In(Is, String),
    /// The interface it goes out by.
    Out(Is, String),
    /// The source address is in the subnet.
    Source(IpNet),
    /// The destination address is in the subnet.
    Destination(IpNet),
    /// The destination is an address of this host.
    ToThisHost,
    /// The packet belongs to a connection that was let through before.
    Established,
    /// The connection's destination was translated.
    Translated,
    /// The packet is IPv4, or else IPv6.
    Ipv4(bool),
    /// It is a control message of IPv4, or else of IPv6.
    Icmp(bool),
    /// Destination address and port are in the set.
    Open(MapName),
    /// The protocol and its destination port.
    Port(Protocol, u16),
}

/// Equality or its opposite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Is {
    Equal,
    Different,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Accept,
    Drop,
    Jump(&'static str),
    Masquerade,
    /// Give it the source address.
    Source(IpAddr),
    /// Translate the destination as the map says; go on when it says nothing.
    Translate(MapName),
}

const PUBLISHED: &str = "published";

/// Makes the table of a state.
pub(crate) fn ruleset(table: &str, state: &State) -> Ruleset {
    let mut maps: BTreeMap<MapName, Vec<Element>> = MapName::ALL.into_iter().map(|name| (name, Vec::new())).collect();
    for bindings in state.published.values() {
        for (name, element) in state.elements(bindings) {
            maps.entry(name).or_default().push(element);
        }
    }
    for list in maps.values_mut() {
        list.sort();
    }
    let bridges = || state.bridges.values();
    let mut forward = vec![rule([Match::Established], Action::Accept)];
    let foreign = [true, false].into_iter().filter(|is_ipv4| state.without.has(*is_ipv4));
    forward.extend(foreign.map(|is_ipv4| rule([Match::Ipv4(is_ipv4)], Action::Accept)));
    forward.extend(bridges().flat_map(|bridge| {
        let links = state.links.values().flatten().filter(|link| link.bridge == bridge.name);
        forward_rules(bridge, &state.bridges, links)
    }));
    let chains = vec![
        Chain {
            name: PUBLISHED,
            base: None,
            rules: published_rules(),
        },
        base(
            "guard",
            ChainKind::Filter,
            Hook::Prerouting,
            Priority::Raw,
            guard_rules(state.without),
        ),
        base(
            "prerouting",
            ChainKind::Nat,
            Hook::Prerouting,
            Priority::Destination,
            to_published(),
        ),
        base(
            "output",
            ChainKind::Nat,
            Hook::Output,
            Priority::Destination,
            from_this_host(),
        ),
        base("forward", ChainKind::Filter, Hook::Forward, Priority::Filter, forward),
        base(
            "postrouting",
            ChainKind::Nat,
            Hook::Postrouting,
            Priority::Source,
            bridges()
                .flat_map(|bridge| postrouting_rules(bridge, state.without))
                .collect(),
        ),
    ];
    Ruleset {
        table: table.to_owned(),
        maps,
        chains,
    }
}

fn base(name: &'static str, kind: ChainKind, hook: Hook, priority: Priority, rules: Vec<Rule>) -> Chain {
    Chain {
        name,
        base: Some(Base { kind, hook, priority }),
        rules,
    }
}

fn rule(matches: impl Into<Vec<Match>>, action: Action) -> Rule {
    Rule {
        matches: matches.into(),
        action,
    }
}

/// Bridges accept packets to 127.0.0.0/8 (`route_localnet`, without which loopback could not reach
/// published ports), and translation comes before the kernel's own check on other interfaces:
/// so what the wire sends to loopback, only an attacker could mean.
fn guard_rules(without: Without) -> Vec<Rule> {
    let from_wire = |net| {
        rule(
            [Match::In(Is::Different, "lo".into()), Match::Destination(net)],
            Action::Drop,
        )
    };
    let nets = [loopback4(), loopback6()].into_iter();
    nets.filter(|net| !without.has(net.addr().is_ipv4()))
        .map(from_wire)
        .collect()
}

fn to_published() -> Vec<Rule> {
    vec![rule([Match::ToThisHost], Action::Jump(PUBLISHED))]
}

/// IPv6 has no `route_localnet`: packets from `::1` do not leave the host, whatever their
/// destination becomes. They are left alone, to be refused at once.
fn from_this_host() -> Vec<Rule> {
    let mut rules = vec![rule([Match::Destination(loopback6())], Action::Accept)];
    rules.extend(to_published());
    rules
}

fn published_rules() -> Vec<Rule> {
    let translate = |name: MapName| rule([Match::Ipv4(name.is_ipv4())], Action::Translate(name));
    MapName::ALL
        .into_iter()
        .filter(|name| !name.is_set())
        .map(translate)
        .collect()
}

fn forward_rules<'a>(
    bridge: &BridgePlan,
    all: &BTreeMap<String, BridgePlan>,
    links: impl Iterator<Item = &'a NeighbourLink>,
) -> Vec<Rule> {
    let into = || Match::Out(Is::Equal, bridge.name.clone());
    let from = || Match::In(Is::Equal, bridge.name.clone());
    let mut rules = Vec::new();
    match bridge.neighbours {
        Neighbours::Open => rules.push(rule([from(), into()], Action::Accept)),
        Neighbours::Isolated => {
            rules.push(rule([from(), into(), Match::Translated], Action::Accept));
            let open = |link: &NeighbourLink| {
                let (source, target) = (Match::Source(link.from.into()), Match::Destination(link.to.into()));
                let port = Match::Port(link.protocol, link.port);
                rule([from(), into(), source, target, port], Action::Accept)
            };
            rules.extend(links.map(open));
            rules.push(rule([from(), into()], Action::Drop));
        }
    }
    match bridge.reach {
        Reach::Internal => rules.push(rule([from()], Action::Drop)),
        Reach::Masqueraded | Reach::Routed => {
            rules.push(rule([into(), Match::Translated], Action::Accept));
            rules.extend(openings_of(bridge, all));
        }
    }
    rules.push(rule([into()], Action::Drop));
    rules
}

/// What a bridge's policy lets in besides published ports of the host.
fn openings_of(bridge: &BridgePlan, all: &BTreeMap<String, BridgePlan>) -> Vec<Rule> {
    let into = || Match::Out(Is::Equal, bridge.name.clone());
    let policy = &bridge.policy;
    let mut rules = Vec::new();
    let families = [
        (true, MapName::Open4, bridge.ipv4.is_empty()),
        (false, MapName::Open6, bridge.ipv6.is_empty()),
    ];
    for (is_ipv4, set, _) in families.into_iter().filter(|(_, _, is_absent)| !is_absent) {
        let open = || Match::Open(set);
        let mode = policy.gateway(is_ipv4);
        if mode == GatewayMode::Routed || policy.direct {
            rules.push(rule([into(), open()], Action::Accept));
        } else {
            let trusted = policy.trusted.iter();
            rules
                .extend(trusted.map(|name| rule([Match::In(Is::Equal, name.clone()), into(), open()], Action::Accept)));
        }
        match mode {
            GatewayMode::Routed => rules.push(rule([into(), Match::Icmp(is_ipv4)], Action::Accept)),
            GatewayMode::NatUnprotected => {
                // Other networks of ours stay apart all the same.
                let others = all.keys().filter(|name| **name != bridge.name);
                let apart = |name: &String| rule([Match::In(Is::Equal, name.clone()), into()], Action::Drop);
                rules.extend(others.map(apart));
                rules.push(rule([into(), Match::Ipv4(is_ipv4)], Action::Accept));
            }
            GatewayMode::Nat | GatewayMode::Isolated => {}
        }
    }
    rules
}

fn postrouting_rules(bridge: &BridgePlan, without: Without) -> Vec<Rule> {
    let into = || Match::Out(Is::Equal, bridge.name.clone());
    let outside = || Match::Out(Is::Different, bridge.name.clone());
    let translates = |is_ipv4| {
        let mode = bridge.policy.gateway(is_ipv4);
        !without.has(is_ipv4) && matches!(mode, GatewayMode::Nat | GatewayMode::NatUnprotected)
    };
    let mut rules = Vec::new();
    for subnet in subnets(bridge).filter(|subnet| translates(subnet.addr().is_ipv4())) {
        if bridge.reach == Reach::Masqueraded {
            let source = match subnet {
                IpNet::V4(_) => bridge.policy.source4.map(IpAddr::V4),
                IpNet::V6(_) => bridge.policy.source6.map(IpAddr::V6),
            };
            let action = source.map_or(Action::Masquerade, Action::Source);
            rules.push(rule([Match::Source(subnet), outside()], action));
        }
        // A container that reaches itself or a neighbour by the host's address must get the answer
        // from there too, not straight across the bridge.
        rules.push(rule(
            [Match::Source(subnet), into(), Match::Translated],
            Action::Masquerade,
        ));
    }
    if !bridge.ipv4.is_empty() && translates(true) {
        let from_loopback = Match::Source(loopback4());
        rules.push(rule([from_loopback, into(), Match::Translated], Action::Masquerade));
    }
    rules
}

/// The bridge's subnets, IPv4 first.
fn subnets(bridge: &BridgePlan) -> impl Iterator<Item = IpNet> + '_ {
    let v4 = bridge.ipv4.iter().map(|net| IpNet::V4(net.trunc()));
    v4.chain(bridge.ipv6.iter().map(|net| IpNet::V6(net.trunc())))
}

fn loopback4() -> IpNet {
    IpNet::new_assert(IpAddr::from([127, 0, 0, 0]), 8)
}

fn loopback6() -> IpNet {
    IpNet::new_assert(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), 128)
}
