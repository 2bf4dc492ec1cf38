//! A container's life: restarts, limits, stopping, logs, volumes, removal.

mod endings;
mod logs;
mod restarts;
mod storage;
