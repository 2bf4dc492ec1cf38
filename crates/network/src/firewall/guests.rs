//! Rules in other people's tables.
//!
//! In nftables a packet must be let through by every table, so where `iptables` (by its nftables
//! back end) drops forwarded packets by policy, as Docker makes it, containers would be cut off.
//! Two rules a bridge at the head of `FORWARD` of `ip filter` and `ip6 filter` let its traffic
//! through to our own `forward` chain, which judges it. They carry a comment by which they are
//! found again, and look as if `iptables` had written them.
//!
//! Other chains that drop by policy are the administrator's: [`obstacles`] names them. The older
//! `iptables-legacy` is out of netlink's sight.

use super::Firewall;
use super::encode::{self, META_IIFNAME, META_OIFNAME, NFPROTO_INET, NFPROTO_IPV4, NFPROTO_IPV6, Transaction};
use crate::netlink::{Connection, Messages, Reply, flags};
use crate::{Error, Kind, Result};

const TABLE: &str = "filter";
const CHAIN: &str = "FORWARD";
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const HOOK_NUMBER: u16 = 1;
const HOOK_FORWARD: u32 = 2;
const RULE_HANDLE: u16 = 3;
const COMMENT: u8 = 0;

/// Makes our rules in `FORWARD` the ones for the bridges known; returns whether they were not.
pub(crate) fn set(firewall: &mut Firewall) -> Result<bool> {
    let table = firewall.table.clone();
    let mut changed = false;
    for family in [NFPROTO_IPV4, NFPROTO_IPV6] {
        if !chain_exists(&mut firewall.connection, family)? {
            continue;
        }
        let present = ours(&mut firewall.connection, family, &table)?;
        let is_ours = !firewall.state.without.has(family == NFPROTO_IPV4);
        let bridges = firewall.state.bridges.keys().filter(|_| is_ours);
        let bridges: Vec<_> = bridges.map(String::as_str).collect();
        let wanted: Vec<_> = bridges.iter().map(|bridge| comment(&table, bridge)).collect();
        // Two rules each, for in and out.
        let right = present.len() == wanted.len() * 2 && present.iter().all(|(_, comment)| wanted.contains(comment));
        if !right {
            replace(&mut firewall.connection, family, &table, &present, &bridges)?;
            changed = true;
        }
    }
    Ok(changed)
}

/// Names the base chains at the forward hook whose policy is to drop, our table's and those that
/// [`set`] opens left out.
pub(crate) fn obstacles(firewall: &mut Firewall) -> Result<Vec<String>> {
    let mut ask = Messages::new();
    ask.push(encode::GETCHAIN, flags::DUMP, "list nftables chains", |message| {
        message.header(&[0; 4]);
    });
    let chains = firewall.connection.dump(&ask)?;
    Ok(chains.iter().filter_map(obstacle).collect())
}

fn obstacle(chain: &Reply) -> Option<String> {
    const DROP: u32 = 0;
    let find = |kind| chain.attributes(4).find(|attribute| attribute.kind == kind);
    let hook = find(CHAIN_HOOK)?.nested().find(|one| one.kind == HOOK_NUMBER)?.be32();
    if hook != HOOK_FORWARD || find(CHAIN_POLICY)?.be32() != DROP {
        return None;
    }
    let (table, name) = (find(CHAIN_TABLE)?.string(), find(CHAIN_NAME)?.string());
    let family = match *chain.payload.first()? {
        NFPROTO_INET => "inet",
        NFPROTO_IPV4 => "ip",
        NFPROTO_IPV6 => "ip6",
        _ => return None,
    };
    let opened = family != "inet" && (table, name) == (TABLE, CHAIN);
    (!opened).then(|| format!("{family} {table} {name}"))
}

fn chain_exists(connection: &mut Connection, family: u8) -> Result<bool> {
    let mut ask = Messages::new();
    ask.push(encode::GETCHAIN, flags::ACK, "look up chain FORWARD", |message| {
        message.header(&[family, 0, 0, 0]);
        message.string(CHAIN_TABLE, TABLE);
        message.string(CHAIN_NAME, CHAIN);
    });
    match connection.request(&ask) {
        Ok(replies) => {
            let attributes = replies.iter().flat_map(|reply| reply.attributes(4));
            Ok(attributes.into_iter().any(|attribute| attribute.kind == CHAIN_HOOK))
        }
        Err(error) if error.kind() == Kind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Lists handle and comment of our rules.
fn ours(connection: &mut Connection, family: u8, table: &str) -> Result<Vec<(u64, String)>> {
    let mut ask = Messages::new();
    ask.push(
        encode::GETRULE,
        flags::DUMP,
        "list the rules of chain FORWARD",
        |message| {
            message.header(&[family, 0, 0, 0]);
            message.string(encode::RULE_TABLE, TABLE);
            message.string(encode::RULE_CHAIN, CHAIN);
        },
    );
    let prefix = comment(table, "");
    let rules = connection.dump(&ask)?;
    let mine = rules.iter().filter_map(read_rule);
    Ok(mine.filter(|(_, comment)| comment.starts_with(&prefix)).collect())
}

fn read_rule(rule: &Reply) -> Option<(u64, String)> {
    let find = |kind| rule.attributes(4).find(|attribute| attribute.kind == kind);
    let handle = u64::from_be_bytes(find(RULE_HANDLE)?.value.try_into().ok()?);
    // User data is a list of type, length and value; comments end with a zero.
    let [COMMENT, _, text @ .., 0] = find(encode::RULE_USERDATA)?.value else {
        return None;
    };
    Some((handle, String::from_utf8(text.to_vec()).ok()?))
}

fn comment(table: &str, bridge: &str) -> String {
    format!("{table}: {bridge}")
}

fn replace(
    connection: &mut Connection,
    family: u8,
    table: &str,
    present: &[(u64, String)],
    bridges: &[&str],
) -> Result<()> {
    let mut transaction = Transaction::new();
    for (handle, _) in present {
        let purpose = "remove a rule from chain FORWARD".to_owned();
        transaction.push(encode::DELRULE, 0, family, purpose, |message| {
            message.string(encode::RULE_TABLE, TABLE);
            message.string(encode::RULE_CHAIN, CHAIN);
            message.bytes(RULE_HANDLE, &handle.to_be_bytes());
        });
    }
    for bridge in bridges {
        for interface in [META_OIFNAME, META_IIFNAME] {
            insert(&mut transaction, family, interface, bridge, &comment(table, bridge));
        }
    }
    let (messages, acknowledged) = transaction.finish();
    connection.transact(&messages, acknowledged).map_err(|error| {
        Error::new(
            error.kind(),
            "cannot let containers through chain FORWARD of table filter",
        )
        .because(error)
    })
}

fn insert(transaction: &mut Transaction, family: u8, interface: u32, bridge: &str, comment: &str) {
    let purpose = format!("let bridge {bridge} through chain FORWARD");
    transaction.push(encode::NEWRULE, flags::CREATE, family, purpose, |message| {
        message.string(encode::RULE_TABLE, TABLE);
        message.string(encode::RULE_CHAIN, CHAIN);
        message.nested(encode::RULE_EXPRESSIONS, |list| {
            let mut name = bridge.as_bytes().to_vec();
            name.push(0);
            encode::meta(list, interface, 1);
            encode::equals(list, &name);
            encode::expression(list, "counter", |_| {});
            encode::accept(list);
        });
        let mut data = vec![COMMENT, u8::try_from(comment.len() + 1).unwrap_or(u8::MAX)];
        data.extend(comment.bytes());
        data.push(0);
        message.bytes(encode::RULE_USERDATA, &data);
    });
}
