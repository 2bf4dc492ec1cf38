//! The engine's nftables table: published ports, translation, isolation.
//!
//! [`mod@ruleset`] says what the table is to be, `render` and `encode` turn it into text and messages,
//! [`Firewall`] keeps the kernel in agreement. [`guests`] are the few rules that go into other
//! people's tables.

mod elements;
pub(crate) mod encode;
pub(crate) mod guests;
mod render;
pub(crate) mod ruleset;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use corten_sys::netlink::Protocol;

use self::elements::{Element, MapName};
use self::encode::{Change, Transaction, change_elements, delete_table, replace_table};
pub(crate) use self::ruleset::Without;
use self::ruleset::{State, ruleset};
use crate::netlink::{Connection, Messages, Reply, flags};
use crate::{BridgePlan, Error, Kind, NeighbourLink, PortBinding, PublishedState, Result, Verdict};

/// `NFNLGRP_NFTABLES`, the group that hears of every change.
pub(crate) const CHANGES: u32 = 7;
/// Kept by the kernel until a transaction is over; a full table of some thousand ports fits.
const BUFFERS: i32 = 8 * 1024 * 1024;

/// The table in the kernel and the state it is to show.
#[derive(Debug)]
pub(crate) struct Firewall {
    connection: Connection,
    table: String,
    state: State,
    /// Whether the table is one of ours: an earlier engine's is right by definition.
    written: bool,
    /// The kernel's count of changes when the table was last known to be right.
    verified: Option<u32>,
}

impl Firewall {
    /// Connects, in the calling thread's network namespace, and finds out what the kernel can do.
    pub(crate) fn open(table: &str, without: Without) -> Result<Self> {
        check_table_name(table)?;
        let connection = Connection::open(Protocol::Netfilter)
            .map_err(|error| error.hint("the kernel needs nf_tables: run \"modprobe nf_tables nft_chain_nat\""))?;
        connection
            .socket()
            .enlarge_buffers(BUFFERS)
            .map_err(|error| Error::from_io("cannot configure the network", error).hint(PRIVILEGE))?;
        let mut firewall = Self {
            connection,
            table: table.to_owned(),
            state: State {
                without,
                ..State::default()
            },
            written: false,
            verified: None,
        };
        firewall.generation().map_err(explain)?;
        Ok(firewall)
    }

    /// Returns the port id that notifications of our own changes carry.
    pub(crate) fn port(&self) -> u32 {
        self.connection.socket().port()
    }

    /// Creates the table if it is not there, so that an earlier engine's goes on working.
    pub(crate) fn adopt_or_create(&mut self) -> Result<()> {
        let exists = self.table_exists()?;
        if self.state.without.all() {
            return if exists { self.remove() } else { Ok(()) };
        }
        if exists {
            Ok(())
        } else {
            self.replace().map_err(explain)
        }
    }

    /// Adds or changes a bridge. Rules change as a whole; published ports keep working meanwhile.
    pub(crate) fn set_bridge(&mut self, plan: &BridgePlan) -> Result<()> {
        let before = self.state.bridges.insert(plan.name.clone(), plan.clone());
        if before.as_ref() == Some(plan) && self.verify()? {
            return Ok(());
        }
        self.replace().inspect_err(|_| match before {
            Some(before) => drop(self.state.bridges.insert(plan.name.clone(), before)),
            None => drop(self.state.bridges.remove(&plan.name)),
        })
    }

    /// Removes a bridge's rules.
    pub(crate) fn remove_bridge(&mut self, name: &str) -> Result<()> {
        match self.state.bridges.remove(name) {
            Some(_) => self.replace(),
            None => Ok(()),
        }
    }

    /// Publishes the owner's ports in place of what it published before.
    pub(crate) fn publish(&mut self, owner: &str, bindings: &[PortBinding]) -> Result<()> {
        let before = self.state.published.insert(owner.to_owned(), bindings.to_vec());
        let old = self.state.elements(before.as_deref().unwrap_or_default());
        let new = self.state.elements(bindings);
        let result = self.change(&old, &new);
        if result.is_err() {
            match before {
                Some(before) => drop(self.state.published.insert(owner.to_owned(), before)),
                None => drop(self.state.published.remove(owner)),
            }
        }
        result
    }

    /// Publishes several owners' ports in place of what they published before, in one transaction.
    pub(crate) fn publish_together(&mut self, all: &[(&str, &[PortBinding])]) -> Result<()> {
        let before = self.state.published.clone();
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for (owner, bindings) in all {
            let earlier = self.state.published.insert((*owner).to_owned(), bindings.to_vec());
            old.extend(self.state.elements(&earlier.unwrap_or_default()));
            new.extend(self.state.elements(bindings));
        }
        let result = self.change(&old, &new);
        if result.is_err() {
            self.state.published = before;
        }
        result
    }

    /// Takes back what the owner published, and returns it.
    pub(crate) fn unpublish(&mut self, owner: &str) -> Result<Vec<PortBinding>> {
        let Some(bindings) = self.state.published.remove(owner) else {
            return Ok(Vec::new());
        };
        self.change(&self.state.elements(&bindings), &[])?;
        Ok(bindings)
    }

    /// Replaces all that was known and writes the whole table.
    pub(crate) fn restore(&mut self, bridges: &[BridgePlan], published: Vec<PublishedState>) -> Result<()> {
        self.state = State {
            bridges: bridges.iter().map(|plan| (plan.name.clone(), plan.clone())).collect(),
            published: published.into_iter().map(|one| (one.owner, one.bindings)).collect(),
            links: BTreeMap::new(),
            without: self.state.without,
        };
        self.replace()
    }

    /// Lets neighbours on bridges that keep them apart through to each other, in place of what the owner
    /// opened before.
    pub(crate) fn link(&mut self, owner: &str, links: Vec<NeighbourLink>) -> Result<()> {
        let before = match links.is_empty() {
            true => self.state.links.remove(owner),
            false => self.state.links.insert(owner.to_owned(), links),
        };
        match before.as_ref() == self.state.links.get(owner) {
            true => Ok(()),
            false => self.replace(),
        }
    }

    /// Closes what the owner has opened, and what leads to its addresses.
    pub(crate) fn unlink(&mut self, owner: &str, addresses: &[IpAddr]) -> Result<()> {
        let before = self.state.links.clone();
        self.state.links.remove(owner);
        self.state.links.retain(|_, links| {
            links.retain(|link| !addresses.contains(&link.to));
            !links.is_empty()
        });
        match before == self.state.links {
            true => Ok(()),
            false => self.replace(),
        }
    }

    /// Returns whether nothing in nftables changed since the table was last known to be right.
    pub(crate) fn unchanged(&mut self) -> Result<bool> {
        let generation = self.generation()?;
        Ok(self.verified == Some(generation))
    }

    /// Checks the table if anything in nftables changed, and writes it again if it is not right.
    pub(crate) fn verify_or_restore(&mut self) -> Result<Verdict> {
        if self.verify()? {
            return Ok(Verdict::Intact);
        }
        self.replace()?;
        Ok(Verdict::Restored)
    }

    /// Returns whether the table shows this engine's state, not an earlier one's.
    pub(crate) fn is_ours(&self) -> bool {
        self.written
    }

    /// Removes the table.
    pub(crate) fn remove(&mut self) -> Result<()> {
        let mut transaction = Transaction::new();
        delete_table(&mut transaction, &self.table);
        self.state = State {
            without: self.state.without,
            ..State::default()
        };
        self.written = false;
        self.commit(transaction)
    }

    fn replace(&mut self) -> Result<()> {
        if self.state.without.all() {
            return Ok(());
        }
        let mut transaction = Transaction::new();
        replace_table(&mut transaction, &ruleset(&self.table, &self.state));
        self.commit(transaction)?;
        self.written = true;
        Ok(())
    }

    /// Changes elements; when the kernel's table is not what we think, writes all of it.
    fn change(&mut self, old: &[(MapName, Element)], new: &[(MapName, Element)]) -> Result<()> {
        let mut transaction = Transaction::new();
        for (list, change) in [(old, Change::Remove), (new, Change::Add)] {
            for map in MapName::ALL {
                let of_map: Vec<_> = list
                    .iter()
                    .filter(|(name, _)| *name == map)
                    .map(|(_, one)| *one)
                    .collect();
                change_elements(&mut transaction, &self.table, map, &of_map, change);
            }
        }
        if (old.is_empty() && new.is_empty()) || self.state.without.all() {
            return Ok(());
        }
        match self.commit(transaction) {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::warn!(table = self.table, %error, "rewriting the nftables table");
                self.replace()
            }
        }
    }

    fn commit(&mut self, transaction: Transaction) -> Result<()> {
        let (messages, acknowledged) = transaction.finish();
        let before = self.generation()?;
        self.connection.transact(&messages, acknowledged)?;
        // One change since then was this one: what was right before is right now.
        let now = self.generation()?;
        if self.verified == Some(before) && now == before.wrapping_add(1) {
            self.verified = Some(now);
        }
        Ok(())
    }

    fn generation(&mut self) -> Result<u32> {
        const GENERATION_ID: u16 = 1;
        let mut ask = Messages::new();
        ask.push(encode::GETGEN, flags::ACK, "ask for the state of nftables", |message| {
            message.header(&[0; 4]);
        });
        let replies = self.connection.request(&ask)?;
        let id = replies
            .iter()
            .flat_map(|reply| reply.attributes(4))
            .find(|one| one.kind == GENERATION_ID);
        id.map(|id| id.be32())
            .ok_or_else(|| Error::new(Kind::Internal, "nftables does not say which generation it is"))
    }

    fn table_exists(&mut self) -> Result<bool> {
        let mut ask = Messages::new();
        let purpose = format!("look up nftables table {}", self.table);
        let table = self.table.clone();
        ask.push(encode::GETTABLE, flags::ACK, purpose, |message| {
            message.header(&[encode::NFPROTO_INET, 0, 0, 0]);
            message.string(encode::TABLE_NAME, &table);
        });
        match self.connection.request(&ask) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == Kind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Compares the numbers of rules and elements with the plan's: enough to see what was flushed.
    fn verify(&mut self) -> Result<bool> {
        if self.state.without.all() {
            return Ok(true);
        }
        let generation = self.generation()?;
        if self.verified == Some(generation) {
            return Ok(true);
        }
        if !self.table_exists()? {
            return Ok(false);
        }
        if !self.written {
            return Ok(true);
        }
        let plan = ruleset(&self.table, &self.state);
        let rules: usize = plan.chains.iter().map(|chain| chain.rules.len()).sum();
        if self.count_rules()? != rules {
            return Ok(false);
        }
        for (map, elements) in &plan.maps {
            if self.count_elements(*map)? != Some(elements.len()) {
                return Ok(false);
            }
        }
        self.verified = Some(generation);
        Ok(true)
    }

    fn count_rules(&mut self) -> Result<usize> {
        let table = self.table.clone();
        let mut ask = Messages::new();
        ask.push(encode::GETRULE, flags::DUMP, "list nftables rules", |message| {
            message.header(&[encode::NFPROTO_INET, 0, 0, 0]);
            message.string(encode::RULE_TABLE, &table);
        });
        Ok(self.connection.dump(&ask)?.len())
    }

    /// Counts a map's elements; `None` when the map is gone.
    fn count_elements(&mut self, map: MapName) -> Result<Option<usize>> {
        let table = self.table.clone();
        let mut ask = Messages::new();
        ask.push(encode::GETSETELEM, flags::DUMP, "list nftables elements", |message| {
            message.header(&[encode::NFPROTO_INET, 0, 0, 0]);
            message.string(1, &table);
            message.string(2, map.name());
        });
        match self.connection.dump(&ask) {
            Ok(replies) => {
                let lists = replies.iter().flat_map(|reply| reply.attributes(4));
                let lists = lists.filter(|one| one.kind == encode::SET_ELEM_LIST_ELEMENTS);
                Ok(Some(lists.map(|list| list.nested().count()).sum()))
            }
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl fmt::Display for Firewall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ruleset(&self.table, &self.state).fmt(f)
    }
}

/// Returns whether a notification ends a change that another socket made.
pub(crate) fn is_change(message: &Reply, own: u32) -> bool {
    message.kind == encode::NEWGEN && message.port != own
}

const PRIVILEGE: &str = "run the engine as root, or with CAP_NET_ADMIN";

fn check_table_name(table: &str) -> Result<()> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if table.is_empty() || table.len() > 64 || !table.bytes().all(good) {
        return Err(
            Error::new(Kind::Invalid, format!("nftables table name \"{table}\" is invalid"))
                .hint("use letters, digits, \"-\" and \"_\""),
        );
    }
    Ok(())
}

/// Says what to do when the kernel refuses nftables altogether.
fn explain(error: Error) -> Error {
    match error.kind() {
        Kind::Forbidden => Error::new(Kind::Forbidden, "cannot configure nftables")
            .because(error)
            .hint(PRIVILEGE),
        _ => Error::new(Kind::Unsupported, "the kernel's nftables cannot do what is needed")
            .because(error)
            .hint(
                "Linux 5.6 or newer with nf_tables, nft_chain_nat, nft_nat, nft_masq, nft_fib_inet \
                 and nf_conntrack is needed: load them with modprobe",
            ),
    }
}
