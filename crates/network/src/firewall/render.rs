//! The table as text, as `nft list table` prints it: for people and for tests.

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use ipnet::IpNet;

use super::elements::{Element, MapName};
use super::ruleset::{Action, Base, Chain, ChainKind, Hook, Is, Match, Priority, Rule, Ruleset};

impl fmt::Display for Ruleset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table inet {} {{", self.table)?;
        for (name, elements) in &self.maps {
            map(f, *name, elements)?;
            writeln!(f)?;
        }
        let chains: Vec<_> = self.chains.iter().map(chain).collect();
        writeln!(f, "{}}}", chains.join("\n"))
    }
}

fn map(f: &mut fmt::Formatter<'_>, name: MapName, elements: &[Element]) -> fmt::Result {
    let address = if name.is_ipv4() { "ipv4_addr" } else { "ipv6_addr" };
    let host = if name.has_address() {
        format!("{address} . ")
    } else {
        String::new()
    };
    let target = if name.is_range() { "" } else { " . inet_service" };
    if name.is_set() {
        writeln!(f, "\tset {} {{", name.name())?;
        writeln!(f, "\t\ttype inet_proto . {host}inet_service")?;
    } else {
        writeln!(f, "\tmap {} {{", name.name())?;
        writeln!(f, "\t\ttype inet_proto . {host}inet_service : {address}{target}")?;
    }
    if name.is_range() {
        writeln!(f, "\t\tflags interval")?;
    }
    if !elements.is_empty() {
        let list: Vec<_> = elements.iter().map(|element| entry(name, element)).collect();
        writeln!(f, "\t\telements = {{ {} }}", list.join(",\n\t\t\t     "))?;
    }
    writeln!(f, "\t}}")
}

fn entry(name: MapName, element: &Element) -> String {
    let mut text = format!("{} . ", element.protocol);
    // Writing to a string cannot fail.
    if name.has_address() {
        let _ = write!(text, "{} . ", addresses(element.host));
    }
    let _ = write!(text, "{}", span(element.ports));
    if !name.is_set() {
        let _ = write!(text, " : {}", element.container);
    }
    if let Some(port) = element.container_port {
        let _ = write!(text, " . {port}");
    }
    text
}

fn addresses((first, last): (IpAddr, IpAddr)) -> String {
    let all = IpNet::new_assert(first, 0);
    if first == all.network() && last == all.broadcast() {
        return all.to_string();
    }
    span((first, last))
}

fn span<T: fmt::Display + PartialEq>((first, last): (T, T)) -> String {
    if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    }
}

fn chain(chain: &Chain) -> String {
    let mut text = format!("\tchain {} {{\n", chain.name);
    if let Some(Base { kind, hook, priority }) = chain.base {
        let kind = match kind {
            ChainKind::Filter => "filter",
            ChainKind::Nat => "nat",
        };
        let (hook, priority) = (hook_name(hook), priority_name(hook, priority));
        let _ = writeln!(text, "\t\ttype {kind} hook {hook} priority {priority}; policy accept;");
    }
    for rule in &chain.rules {
        let _ = writeln!(text, "\t\t{}", rule_text(rule));
    }
    text + "\t}\n"
}

fn hook_name(hook: Hook) -> &'static str {
    match hook {
        Hook::Prerouting => "prerouting",
        Hook::Forward => "forward",
        Hook::Output => "output",
        Hook::Postrouting => "postrouting",
    }
}

fn priority_name(hook: Hook, priority: Priority) -> &'static str {
    match (hook, priority) {
        (_, Priority::Raw) => "raw",
        (Hook::Output, Priority::Destination) => "-100",
        (_, Priority::Destination) => "dstnat",
        (_, Priority::Filter) => "filter",
        (_, Priority::Source) => "srcnat",
    }
}

fn rule_text(rule: &Rule) -> String {
    // The protocol is left out where an address in the map's key implies it.
    let implied = matches!(rule.action, Action::Translate(map) if map.has_address());
    let shown = rule
        .matches
        .iter()
        .filter(|one| !(implied && matches!(one, Match::Ipv4(_))));
    let mut words: Vec<String> = shown.map(condition).collect();
    words.push(action(&rule.action));
    words.join(" ")
}

fn condition(condition: &Match) -> String {
    match condition {
        Match::In(is, name) => format!("iifname {}\"{name}\"", negation(*is)),
        Match::Out(is, name) => format!("oifname {}\"{name}\"", negation(*is)),
        Match::Source(net) => format!("{} saddr {}", protocol(net.addr()), subnet(net)),
        Match::Destination(net) => format!("{} daddr {}", protocol(net.addr()), subnet(net)),
        Match::ToThisHost => "fib daddr type local".to_owned(),
        Match::Established => "ct state established,related".to_owned(),
        Match::Translated => "ct status dnat".to_owned(),
        Match::Ipv4(true) => "meta nfproto ipv4".to_owned(),
        Match::Ipv4(false) => "meta nfproto ipv6".to_owned(),
        Match::Icmp(true) => "meta l4proto icmp".to_owned(),
        Match::Icmp(false) => "meta l4proto ipv6-icmp".to_owned(),
        Match::Port(protocol, port) => format!("{protocol} dport {port}"),
        Match::Open(set) => {
            let family = if set.is_ipv4() { "ip" } else { "ip6" };
            format!("meta l4proto . {family} daddr . th dport @{}", set.name())
        }
    }
}

fn negation(is: Is) -> &'static str {
    match is {
        Is::Equal => "",
        Is::Different => "!= ",
    }
}

fn subnet(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() {
        net.addr().to_string()
    } else {
        net.to_string()
    }
}

fn protocol(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "ip" } else { "ip6" }
}

fn action(action: &Action) -> String {
    match action {
        Action::Accept => "accept".to_owned(),
        Action::Drop => "drop".to_owned(),
        Action::Jump(chain) => format!("jump {chain}"),
        Action::Masquerade => "masquerade".to_owned(),
        Action::Source(address) => format!("snat {} to {address}", protocol(*address)),
        Action::Translate(map) => {
            let family = if map.is_ipv4() { "ip" } else { "ip6" };
            let address = if map.has_address() {
                format!(". {family} daddr ")
            } else {
                String::new()
            };
            format!("dnat {family} to meta l4proto {address}. th dport map @{}", map.name())
        }
    }
}
