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

/// The process id of a container's first process.
#[track_caller]
pub(crate) fn pid(engine: &Engine, container: &str) -> i32 {
    engine.inspect(container, "{{.State.Pid}}").parse().expect("a number")
}

/// Whether there is such a process that is no zombie.
pub(crate) fn is_alive(pid: i32) -> bool {
    let stat = corten_sys::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// The process id of the shim of the container whose first process is given.
#[track_caller]
pub(crate) fn shim(init: i32) -> i32 {
    let stat = corten_sys::fs::read_to_string(format!("/proc/{init}/stat")).expect("it runs");
    let rest = stat.rsplit_once(") ").expect("a stat").1;
    rest.split(' ')
        .nth(1)
        .and_then(|parent| parent.parse().ok())
        .expect("a parent")
}

/// Kills a process.
#[track_caller]
pub(crate) fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a process id");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("the process is there");
}
