//! Engines that die where a test says.

use corten_tests::engine::{Engine, Options};
use corten_tests::until;

/// An engine that kills itself when it first comes to a named point; it has busybox.
pub(crate) fn dying_at(point: &str) -> Engine {
    let env = vec![("CORTEN_CRASH_AT".to_owned(), point.to_owned())];
    let engine = Engine::start_with(Options {
        env,
        ..Options::default()
    });
    engine.corten(["pull", "-q", "busybox"]).ok();
    engine
}

/// Runs a command of which the engine dies, and sees to it that the next one does not.
#[track_caller]
pub(crate) fn dies_of<const N: usize>(engine: &mut Engine, arguments: [&str; N]) {
    let finished = engine.corten(arguments).run();
    assert_ne!(finished.code, 0, "{finished}");
    has_died(engine);
}

/// Waits until the engine has killed itself, and sees to it that the next one does not.
#[track_caller]
pub(crate) fn has_died(engine: &mut Engine) {
    assert_eq!(engine.wait_end(), 128 + 9, "{}", engine.log());
    engine.set_env(&[]);
}

/// The arguments of `create` or `run -d` for a little web server on port 8080, named `web`.
pub(crate) fn web(verb: &'static str) -> Vec<&'static str> {
    let options = [
        "--name", "web", "-p", "8080:80", "busybox", "httpd", "-f", "-p", "80", "-h", "/etc",
    ];
    let detach = (verb == "run").then_some("-d");
    [verb].into_iter().chain(detach).chain(options).collect()
}

/// Waits until the web server answers on its published port.
#[track_caller]
pub(crate) fn web_answers(engine: &Engine) {
    until::is("the published port answers", || {
        engine
            .try_curl("http://127.0.0.1:8080/hostname")
            .is_some_and(|page| page.trim().len() == 12)
    });
}

/// A container named `box` that sleeps, with a restart policy.
#[track_caller]
pub(crate) fn sleeps(engine: &Engine, policy: &str) {
    let run = [
        "run",
        "-d",
        "--name",
        "box",
        "--restart",
        policy,
        "busybox",
        "sleep",
        "1000",
    ];
    engine.corten(run).ok();
}

/// Looks whether the container named `box` is in a state and has ended with a code.
#[track_caller]
pub(crate) fn box_is(engine: &Engine, expected: &str, when: &str) {
    assert_eq!(
        engine.inspect("box", "{{.State.Status}} {{.State.ExitCode}}"),
        expected,
        "{when}"
    );
}
