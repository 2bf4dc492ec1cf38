//! A container's life: restarts, limits, stopping, logs, volumes, removal.

mod cgroups;
mod devices;
mod endings;
mod flags;
mod health;
mod limits;
mod logs;
mod restarts;
mod runtimes;
mod storage;
mod update;
