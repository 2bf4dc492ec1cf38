//! The engine as a service: who may speak to it and how, what it is told at start-up and by reloads,
//! and what it takes along when it stops.

mod authorization;
mod defaults;
mod listening;
mod memory;
mod metrics;
mod reload;
mod shutdown;
mod tls;
