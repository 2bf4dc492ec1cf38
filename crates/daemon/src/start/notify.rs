//! Telling systemd how far we are (`sd_notify(3)`).

/// The state during a reload, with the time that systemd wants to know (`Type=notify-reload`).
pub(super) fn reloading() -> String {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    format!(
        "RELOADING=1\nMONOTONIC_USEC={}",
        now.tv_sec * 1_000_000 + now.tv_nsec / 1000
    )
}

/// Sends a state, if somebody wants to know.
pub(super) fn tell(state: &str) {
    if let Err(error) = corten_sys::notify::tell(state) {
        tracing::warn!(%error, "systemd could not be told: {state}");
    }
}
