//! The table as netlink messages (`linux/netfilter/nf_tables.h`).
//!
//! Registers: keys are put together from register 1 on in slots of four bytes, and the map's
//! answer overwrites them there, as `nft` itself lays them out.

use std::net::IpAddr;

use ipnet::IpNet;

use super::elements::{Element, MapName};
use super::ruleset::{Action, Base, Chain, ChainKind, Hook, Is, Match, Priority, Rule, Ruleset};
use crate::links::octets;
use crate::netlink::{Message, Messages, flags};

pub(crate) const NFPROTO_INET: u8 = 1;
pub(crate) const NFPROTO_IPV4: u8 = 2;
pub(crate) const NFPROTO_IPV6: u8 = 10;

const SUBSYSTEM: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
pub(crate) const NEWTABLE: u16 = SUBSYSTEM;
pub(crate) const GETTABLE: u16 = SUBSYSTEM | 1;
pub(crate) const DELTABLE: u16 = SUBSYSTEM | 2;
pub(crate) const NEWCHAIN: u16 = SUBSYSTEM | 3;
pub(crate) const GETCHAIN: u16 = SUBSYSTEM | 4;
pub(crate) const NEWRULE: u16 = SUBSYSTEM | 6;
pub(crate) const GETRULE: u16 = SUBSYSTEM | 7;
pub(crate) const DELRULE: u16 = SUBSYSTEM | 8;
pub(crate) const NEWSET: u16 = SUBSYSTEM | 9;
pub(crate) const NEWSETELEM: u16 = SUBSYSTEM | 12;
pub(crate) const GETSETELEM: u16 = SUBSYSTEM | 13;
pub(crate) const DELSETELEM: u16 = SUBSYSTEM | 14;
pub(crate) const NEWGEN: u16 = SUBSYSTEM | 15;
pub(crate) const GETGEN: u16 = SUBSYSTEM | 16;

pub(crate) const TABLE_NAME: u16 = 1;
const SET_ELEM_LIST_TABLE: u16 = 1;
const SET_ELEM_LIST_SET: u16 = 2;
pub(crate) const SET_ELEM_LIST_ELEMENTS: u16 = 3;
pub(crate) const RULE_TABLE: u16 = 1;
pub(crate) const RULE_CHAIN: u16 = 2;
pub(crate) const RULE_EXPRESSIONS: u16 = 4;
pub(crate) const RULE_USERDATA: u16 = 7;
const LIST_ELEM: u16 = 1;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;

const REGISTER: u32 = 1;
/// The 32-bit registers' number for slot n of register 1 is this plus n.
const SLOTS: u32 = 8;
const VERDICT: u32 = 0;
/// Elements in one message: an attribute holds 64 KiB, an element takes under 150 bytes.
const ELEMENTS_PER_MESSAGE: usize = 256;

/// A batch that the kernel takes as a whole.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) messages: Messages,
}

impl Transaction {
    pub(crate) fn new() -> Self {
        let mut messages = Messages::new();
        messages.push(BATCH_BEGIN, 0, "change nftables", |message| {
            message.header(&[0, 0, 0, 10]);
        });
        Self { messages }
    }

    /// Appends one operation on an object of a family.
    pub(crate) fn push(
        &mut self,
        kind: u16,
        flag: u16,
        family: u8,
        purpose: String,
        fill: impl FnOnce(&mut Message<'_>),
    ) {
        self.messages.push(kind, flag, purpose, |message| {
            message.header(&[family, 0, 0, 0]);
            fill(message);
        });
    }

    /// Ends the batch; returns it with the number of the message that will be acknowledged.
    pub(crate) fn finish(mut self) -> (Messages, u32) {
        self.messages.acknowledge_last();
        let acknowledged = self.messages.last();
        self.messages.push(BATCH_END, 0, "change nftables", |message| {
            message.header(&[0, 0, 0, 10]);
        });
        (self.messages, acknowledged)
    }
}

/// Appends the removal of the table, there or not.
pub(crate) fn delete_table(transaction: &mut Transaction, table: &str) {
    for (kind, flag) in [(NEWTABLE, flags::CREATE), (DELTABLE, 0)] {
        let purpose = format!("delete nftables table {table}");
        transaction.push(kind, flag, NFPROTO_INET, purpose, |message| {
            message.string(TABLE_NAME, table);
        });
    }
}

/// Appends the whole table, in place of one that may be there.
pub(crate) fn replace_table(transaction: &mut Transaction, ruleset: &Ruleset) {
    delete_table(transaction, &ruleset.table);
    let purpose = format!("create nftables table {}", ruleset.table);
    transaction.push(NEWTABLE, flags::CREATE, NFPROTO_INET, purpose, |message| {
        message.string(TABLE_NAME, &ruleset.table);
    });
    for (number, name) in (1..).zip(MapName::ALL) {
        add_map(transaction, &ruleset.table, name, number);
    }
    for chain in &ruleset.chains {
        add_chain(transaction, &ruleset.table, chain);
    }
    for chain in &ruleset.chains {
        for rule in &chain.rules {
            add_rule(transaction, &ruleset.table, chain.name, rule);
        }
    }
    for (name, elements) in &ruleset.maps {
        change_elements(transaction, &ruleset.table, *name, elements, Change::Add);
    }
}

/// Whether elements come or go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Add,
    Remove,
}

/// Appends elements of one map coming or going.
pub(crate) fn change_elements(
    transaction: &mut Transaction,
    table: &str,
    map: MapName,
    elements: &[Element],
    change: Change,
) {
    let (kind, flag, verb) = match change {
        Change::Add => (NEWSETELEM, flags::CREATE, "publish"),
        Change::Remove => (DELSETELEM, 0, "unpublish"),
    };
    for chunk in elements.chunks(ELEMENTS_PER_MESSAGE) {
        let purpose = format!("{verb} ports in nftables table {table}");
        transaction.push(kind, flag, NFPROTO_INET, purpose, |message| {
            message.string(SET_ELEM_LIST_TABLE, table);
            message.string(SET_ELEM_LIST_SET, map.name());
            message.nested(SET_ELEM_LIST_ELEMENTS, |list| {
                for element in chunk {
                    list.nested(LIST_ELEM, |entry| add_element(entry, map, element, change));
                }
            });
        });
    }
}

fn add_element(message: &mut Message<'_>, map: MapName, element: &Element, change: Change) {
    const KEY: u16 = 1;
    const DATA: u16 = 2;
    const KEY_END: u16 = 10;
    let key = |host: IpAddr, port: u16| {
        let mut bytes = vec![element.protocol.number(), 0, 0, 0];
        if map.has_address() {
            bytes.extend(octets(host));
        }
        bytes.extend(port_slot(port));
        bytes
    };
    let value = |message: &mut Message<'_>, kind, bytes: &[u8]| {
        message.nested(kind, |data| data.bytes(DATA_VALUE, bytes));
    };
    value(message, KEY, &key(element.host.0, element.ports.0));
    if map.is_range() {
        value(message, KEY_END, &key(element.host.1, element.ports.1));
    }
    if change == Change::Add && !map.is_set() {
        let mut target = octets(element.container);
        target.extend(element.container_port.into_iter().flat_map(port_slot));
        value(message, DATA, &target);
    }
}

fn port_slot(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

fn add_map(transaction: &mut Transaction, table: &str, map: MapName, number: u32) {
    const FLAG_INTERVAL: u32 = 0x4;
    const FLAG_MAP: u32 = 0x8;
    const FLAG_CONCAT: u32 = 0x80;
    let key = Key::of(map);
    let address_length = if map.is_ipv4() { 4 } else { 16 };
    let (data_type, data_length) = if map.is_range() {
        (key.address_type, address_length)
    } else {
        (concatenated(&[key.address_type, TYPE_PORT]), address_length + 4)
    };
    let flag = FLAG_CONCAT | if map.is_set() { 0 } else { FLAG_MAP } | if map.is_range() { FLAG_INTERVAL } else { 0 };
    let purpose = format!("create map {} in nftables table {table}", map.name());
    transaction.push(NEWSET, flags::CREATE, NFPROTO_INET, purpose, |message| {
        message.string(1, table);
        message.string(2, map.name());
        message.be32(3, flag);
        message.be32(4, concatenated(&key.types));
        message.be32(5, key.lengths.iter().map(|length| length.next_multiple_of(4)).sum());
        if !map.is_set() {
            message.be32(6, data_type);
            message.be32(7, data_length);
        }
        message.nested(9, |description| {
            description.nested(2, |fields| {
                for length in &key.lengths {
                    fields.nested(LIST_ELEM, |field| field.be32(1, *length));
                }
            });
        });
        message.be32(10, number);
    });
}

/// The numbers by which `nft` knows how to print keys.
const TYPE_IPV4: u32 = 7;
const TYPE_IPV6: u32 = 8;
const TYPE_PROTOCOL: u32 = 12;
const TYPE_PORT: u32 = 13;

/// The fields of a map's key.
#[derive(Debug)]
struct Key {
    address_type: u32,
    types: Vec<u32>,
    lengths: Vec<u32>,
}

impl Key {
    fn of(map: MapName) -> Self {
        let (address_type, address_length) = if map.is_ipv4() { (TYPE_IPV4, 4) } else { (TYPE_IPV6, 16) };
        let (mut types, mut lengths) = (vec![TYPE_PROTOCOL], vec![1]);
        if map.has_address() {
            types.push(address_type);
            lengths.push(address_length);
        }
        types.push(TYPE_PORT);
        lengths.push(2);
        Self {
            address_type,
            types,
            lengths,
        }
    }
}

fn concatenated(types: &[u32]) -> u32 {
    types.iter().fold(0, |all, kind| (all << 6) | kind)
}

fn add_chain(transaction: &mut Transaction, table: &str, chain: &Chain) {
    const ACCEPT: u32 = 1;
    let purpose = format!("create chain {} in nftables table {table}", chain.name);
    transaction.push(NEWCHAIN, flags::CREATE, NFPROTO_INET, purpose, |message| {
        message.string(1, table);
        message.string(3, chain.name);
        if let Some(Base { kind, hook, priority }) = chain.base {
            message.nested(4, |place| {
                place.be32(1, hook_number(hook));
                place.bytes(2, &priority_number(priority).to_be_bytes());
            });
            message.be32(5, ACCEPT);
            message.string(
                7,
                match kind {
                    ChainKind::Filter => "filter",
                    ChainKind::Nat => "nat",
                },
            );
        }
    });
}

fn hook_number(hook: Hook) -> u32 {
    match hook {
        Hook::Prerouting => 0,
        Hook::Forward => 2,
        Hook::Output => 3,
        Hook::Postrouting => 4,
    }
}

fn priority_number(priority: Priority) -> i32 {
    match priority {
        Priority::Raw => -300,
        Priority::Destination => -100,
        Priority::Filter => 0,
        Priority::Source => 100,
    }
}

fn add_rule(transaction: &mut Transaction, table: &str, chain: &str, rule: &Rule) {
    let purpose = format!("add a rule to chain {chain} of nftables table {table}");
    let flag = flags::CREATE | flags::APPEND;
    transaction.push(NEWRULE, flag, NFPROTO_INET, purpose, |message| {
        message.string(RULE_TABLE, table);
        message.string(RULE_CHAIN, chain);
        message.nested(RULE_EXPRESSIONS, |list| {
            for condition in &rule.matches {
                add_match(list, condition);
            }
            add_action(list, &rule.action);
        });
    });
}

pub(crate) fn expression(list: &mut Message<'_>, name: &str, fill: impl FnOnce(&mut Message<'_>)) {
    list.nested(LIST_ELEM, |expression| {
        expression.string(1, name);
        expression.nested(2, fill);
    });
}

const META_NFPROTO: u32 = 15;
pub(crate) const META_L4PROTO: u32 = 16;
pub(crate) const META_IIFNAME: u32 = 6;
pub(crate) const META_OIFNAME: u32 = 7;

fn add_match(list: &mut Message<'_>, condition: &Match) {
    match condition {
        Match::In(is, name) => interface(list, META_IIFNAME, *is, name),
        Match::Out(is, name) => interface(list, META_OIFNAME, *is, name),
        Match::Source(net) => subnet(list, net, Field::Source),
        Match::Destination(net) => subnet(list, net, Field::Destination),
        Match::ToThisHost => to_this_host(list),
        Match::Established => {
            const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
            conntrack(list, 0, ESTABLISHED_OR_RELATED);
        }
        Match::Translated => {
            const DESTINATION_TRANSLATED: u32 = 1 << 5;
            conntrack(list, 2, DESTINATION_TRANSLATED);
        }
        Match::Ipv4(is_ipv4) => {
            let family = if *is_ipv4 { NFPROTO_IPV4 } else { NFPROTO_IPV6 };
            meta(list, META_NFPROTO, REGISTER);
            compare(list, Is::Equal, &[family]);
        }
        Match::Icmp(is_ipv4) => {
            const ICMP: u8 = 1;
            const ICMP6: u8 = 58;
            add_match(list, &Match::Ipv4(*is_ipv4));
            meta(list, META_L4PROTO, REGISTER);
            compare(list, Is::Equal, &[if *is_ipv4 { ICMP } else { ICMP6 }]);
        }
        Match::Port(protocol, port) => {
            meta(list, META_L4PROTO, REGISTER);
            compare(list, Is::Equal, &[protocol.number()]);
            payload(list, TRANSPORT_HEADER, 2, 2, REGISTER);
            compare(list, Is::Equal, &port.to_be_bytes());
        }
        Match::Open(set) => {
            add_match(list, &Match::Ipv4(set.is_ipv4()));
            load_key(list, *set);
            expression(list, "lookup", |lookup| {
                lookup.string(1, set.name());
                lookup.be32(2, REGISTER);
            });
        }
    }
}

fn interface(list: &mut Message<'_>, key: u32, is: Is, name: &str) {
    let mut padded = [0; 16];
    for (to, from) in padded.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    meta(list, key, REGISTER);
    compare(list, is, &padded);
}

/// An address in the packet's network header.
#[derive(Debug, Clone, Copy)]
enum Field {
    Source,
    Destination,
}

impl Field {
    /// Returns offset and length in the header.
    fn place(self, is_ipv4: bool) -> (u32, u32) {
        match (self, is_ipv4) {
            (Self::Source, true) => (12, 4),
            (Self::Destination, true) => (16, 4),
            (Self::Source, false) => (8, 16),
            (Self::Destination, false) => (24, 16),
        }
    }
}

fn subnet(list: &mut Message<'_>, net: &IpNet, field: Field) {
    add_match(list, &Match::Ipv4(net.addr().is_ipv4()));
    let (offset, length) = field.place(net.addr().is_ipv4());
    payload(list, NETWORK_HEADER, offset, length, REGISTER);
    if net.prefix_len() < net.max_prefix_len() {
        mask(list, &octets(net.netmask()));
    }
    compare(list, Is::Equal, &octets(net.network()));
}

fn to_this_host(list: &mut Message<'_>) {
    const RESULT_ADDRESS_TYPE: u32 = 3;
    const OF_DESTINATION: u32 = 2;
    const LOCAL: u32 = 2;
    expression(list, "fib", |fib| {
        fib.be32(1, REGISTER);
        fib.be32(2, RESULT_ADDRESS_TYPE);
        fib.be32(3, OF_DESTINATION);
    });
    compare(list, Is::Equal, &LOCAL.to_ne_bytes());
}

/// Matches when any of the bits is set.
fn conntrack(list: &mut Message<'_>, key: u32, bits: u32) {
    expression(list, "ct", |ct| {
        ct.be32(1, REGISTER);
        ct.be32(2, key);
    });
    mask(list, &bits.to_ne_bytes());
    compare(list, Is::Different, &[0; 4]);
}

pub(crate) fn meta(list: &mut Message<'_>, key: u32, register: u32) {
    expression(list, "meta", |meta| {
        meta.be32(1, register);
        meta.be32(2, key);
    });
}

const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

pub(crate) fn payload(list: &mut Message<'_>, base: u32, offset: u32, length: u32, register: u32) {
    expression(list, "payload", |payload| {
        payload.be32(1, register);
        payload.be32(2, base);
        payload.be32(3, offset);
        payload.be32(4, length);
    });
}

fn mask(list: &mut Message<'_>, bits: &[u8]) {
    let length = u32::try_from(bits.len()).unwrap_or_default();
    expression(list, "bitwise", |bitwise| {
        bitwise.be32(1, REGISTER);
        bitwise.be32(2, REGISTER);
        bitwise.be32(3, length);
        bitwise.nested(4, |value| value.bytes(DATA_VALUE, bits));
        bitwise.nested(5, |value| value.bytes(DATA_VALUE, &vec![0; bits.len()]));
    });
}

fn compare(list: &mut Message<'_>, is: Is, with: &[u8]) {
    expression(list, "cmp", |cmp| {
        cmp.be32(1, REGISTER);
        cmp.be32(
            2,
            match is {
                Is::Equal => 0,
                Is::Different => 1,
            },
        );
        cmp.nested(3, |value| value.bytes(DATA_VALUE, with));
    });
}

fn add_action(list: &mut Message<'_>, action: &Action) {
    const DROP: i32 = 0;
    const ACCEPT: i32 = 1;
    const JUMP: i32 = -3;
    match action {
        Action::Accept => verdict(list, ACCEPT, None),
        Action::Drop => verdict(list, DROP, None),
        Action::Jump(chain) => verdict(list, JUMP, Some(chain)),
        Action::Masquerade => expression(list, "masq", |_| {}),
        Action::Source(address) => give_source(list, *address),
        Action::Translate(map) => translate(list, *map),
    }
}

fn verdict(list: &mut Message<'_>, code: i32, chain: Option<&str>) {
    expression(list, "immediate", |immediate| {
        immediate.be32(1, VERDICT);
        immediate.nested(2, |data| {
            data.nested(DATA_VERDICT, |verdict| {
                verdict.bytes(1, &code.to_be_bytes());
                if let Some(chain) = chain {
                    verdict.string(2, chain);
                }
            });
        });
    });
}

/// Appends what the guest rules in other tables end with.
pub(crate) fn accept(list: &mut Message<'_>) {
    add_action(list, &Action::Accept);
}

/// Appends a comparison of the value loaded last.
pub(crate) fn equals(list: &mut Message<'_>, with: &[u8]) {
    compare(list, Is::Equal, with);
}

fn give_source(list: &mut Message<'_>, address: IpAddr) {
    const SOURCE: u32 = 0;
    let family = if address.is_ipv4() { NFPROTO_IPV4 } else { NFPROTO_IPV6 };
    expression(list, "immediate", |immediate| {
        immediate.be32(1, REGISTER);
        immediate.nested(2, |data| data.bytes(DATA_VALUE, &octets(address)));
    });
    expression(list, "nat", |nat| {
        nat.be32(1, SOURCE);
        nat.be32(2, family.into());
        nat.be32(3, REGISTER);
    });
}

/// Puts a packet's key of the map into the registers.
fn load_key(list: &mut Message<'_>, map: MapName) {
    let is_ipv4 = map.is_ipv4();
    let mut slot = SLOTS + 1;
    meta(list, META_L4PROTO, REGISTER);
    if map.has_address() {
        let (offset, length) = Field::Destination.place(is_ipv4);
        payload(list, NETWORK_HEADER, offset, length, slot);
        slot += address_slots(is_ipv4);
    }
    payload(list, TRANSPORT_HEADER, 2, 2, slot);
}

fn address_slots(is_ipv4: bool) -> u32 {
    if is_ipv4 { 1 } else { 4 }
}

fn translate(list: &mut Message<'_>, map: MapName) {
    const DESTINATION: u32 = 1;
    let family = if map.is_ipv4() { NFPROTO_IPV4 } else { NFPROTO_IPV6 };
    load_key(list, map);
    expression(list, "lookup", |lookup| {
        lookup.string(1, map.name());
        lookup.be32(2, REGISTER);
        lookup.be32(3, REGISTER);
    });
    expression(list, "nat", |nat| {
        nat.be32(1, DESTINATION);
        nat.be32(2, family.into());
        nat.be32(3, REGISTER);
        if !map.is_range() {
            nat.be32(5, SLOTS + address_slots(map.is_ipv4()));
        }
    });
}
