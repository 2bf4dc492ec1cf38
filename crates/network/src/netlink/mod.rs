//! Netlink messages and the exchange of them: the encoding that rtnetlink, nftables and conntrack
//! share. What the messages mean is up to [`crate::links`], [`crate::firewall`] and
//! [`crate::conntrack`].

mod connection;
mod reader;
mod writer;

pub(crate) use connection::Connection;
pub(crate) use reader::{Attribute, Reply};
pub(crate) use writer::{Message, Messages};

/// `NLM_F_*` of `netlink(7)`.
pub(crate) mod flags {
    pub(crate) const REQUEST: u16 = 0x1;
    pub(crate) const ACK: u16 = 0x4;
    pub(crate) const DUMP: u16 = 0x300;
    pub(crate) const REPLACE: u16 = 0x100;
    pub(crate) const EXCL: u16 = 0x200;
    pub(crate) const CREATE: u16 = 0x400;
    pub(crate) const APPEND: u16 = 0x800;
}
