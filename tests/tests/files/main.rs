//! A container's files: images made of them, copies in and out, volumes and mounts.

mod cluster;
mod commit;
mod copies;
mod mounts;
mod plugin;
mod volumes;
