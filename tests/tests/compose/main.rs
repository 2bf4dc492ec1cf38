//! Compose: files, what `compose config` makes of them, and projects that are brought up.

mod attached;
mod attributes;
mod bad_input;
mod builds;
mod config;
mod corpus;
mod diff;
mod elsewhere;
mod events;
mod flags;
mod halfway;
mod images;
mod lifecycle;
mod order;
mod parallel;
mod peers;
mod plans;
mod progress;
mod project;
mod refused;
mod rolling;
mod scale;
mod story;
mod volumes;
mod watching;
mod within;
