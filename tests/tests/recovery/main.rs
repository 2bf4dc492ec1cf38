//! The engine, and the shims, are killed; what ran goes on, and what ended is told truly.

mod clients;
mod crash_points;
mod ends;
mod networks;
mod pulls;
mod roots;
mod running;
mod scene;
mod standby;
