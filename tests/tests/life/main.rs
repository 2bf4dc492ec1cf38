//! A container's life: restarts, limits, stopping, logs, volumes, removal.

mod endings;
mod health;
mod logs;
mod restarts;
mod runtimes;
mod storage;
mod update;
