//! Files between a client and the engine, as fsutil sends them.
//!
//! The sender walks its folder and tells of each file (`STAT`); the receiver asks for those that it wants
//! (`REQ`, by their place in the list), gets their bytes (`DATA`, the last one empty), and says when it has
//! all (`FIN`). A copy of what came is kept, so that the next time only what changed is asked for.

pub(crate) mod copies;
pub(crate) mod mode;
pub(crate) mod receive;
pub(crate) mod send;
pub(crate) mod tree;

pub(crate) use copies::{Copies, Copy};
