//! What the kernel does with bridges, endpoints and published ports. Each test is alone in a
//! network namespace of its own; `ip` and `nft` only set the stage and look on.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that fails")]

mod endpoints;
mod firewall;
mod names;
mod policies;
mod ports;
mod world;
