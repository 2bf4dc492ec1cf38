//! Named points at which a debug build can be made to kill itself, so that tests see what a crash there leaves.
//!
//! `CORTEN_CRASH_AT=start:recorded` ends the engine with SIGKILL when it comes to that point. Release
//! builds have no such points.

/// The variable that names the point.
#[cfg(debug_assertions)]
const VARIABLE: &str = "CORTEN_CRASH_AT";

/// Ends the engine here if it was told to.
pub(crate) fn point(name: &str) {
    #[cfg(debug_assertions)]
    {
        use std::sync::OnceLock;
        static WANTED: OnceLock<Option<String>> = OnceLock::new();
        if WANTED.get_or_init(|| std::env::var(VARIABLE).ok()).as_deref() == Some(name) {
            tracing::warn!(name, "crashing as told");
            // There is no way on from here if it fails.
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}
