//! What users type.

use corten_tests::engine::Engine;

/// Runs `run --rm OPTIONS busybox true`, which is refused with a code and words, and leaves nothing.
#[track_caller]
fn refused(engine: &Engine, options: &[&str], code: i32, words: &str) {
    let arguments = ["run", "--rm"].iter().chain(options).chain(&["busybox", "true"]);
    let finished = engine.corten(arguments).run();
    assert_eq!(finished.code, code, "{options:?}: {finished}");
    assert!(
        finished.stderr.contains(words),
        "{options:?}: no {words:?} in {finished}"
    );
    assert_eq!(engine.corten(["ps", "-aq"]).ok(), "", "{options:?}");
}

fn ready() -> Engine {
    let engine = Engine::start();
    engine.corten(["pull", "-q", "busybox"]).ok();
    engine
}

#[test]
fn names() {
    let engine = ready();
    for name in ["bad name", "-x", "/", "a", "x/y", "ü"] {
        let finished = engine
            .corten(["create", &format!("--name={name}"), "busybox", "true"])
            .run();
        assert_ne!(finished.code, 0, "{name}");
        assert!(finished.stderr.contains("Invalid container name"), "{name}: {finished}");
    }
    assert_eq!(engine.corten(["ps", "-aq"]).ok(), "");
}

#[test]
fn ports() {
    let engine = ready();
    for (port, words) in [
        ("0:80", "invalid"),
        ("65536:80", "nvalid"),
        ("abc", "nvalid"),
        ("1:2:3:4", "nvalid"),
        ("80:80/icmp", "nvalid proto"),
        ("300.1.1.1:80:80", "nvalid"),
        ("10-8:80", "nvalid"),
    ] {
        let arguments = ["run", "--rm", "-p", port, "busybox", "true"];
        let finished = engine.corten(arguments).run();
        if port == "0:80" {
            // 0 asks for any port.
            assert_eq!(finished.code, 0, "{finished}");
            continue;
        }
        assert_eq!(finished.code, 125, "{port}: {finished}");
        assert!(finished.stderr.contains(words), "{port}: {finished}");
    }
}

#[test]
fn a_port_that_the_host_uses() {
    let engine = ready();
    // The registry has it.
    refused(&engine, &["-p", "5000:80"], 125, "address already in use");
    refused(
        &engine,
        &["-p", "10.255.255.1:80:80"],
        125,
        "cannot assign requested address",
    );
}

#[test]
fn sizes_and_numbers() {
    let engine = ready();
    refused(&engine, &["-m", "5x"], 125, "invalid suffix");
    refused(&engine, &["-m", "1k"], 125, "Minimum memory limit allowed is 6MB");
    refused(
        &engine,
        &["-m", "64m", "--memory-swap", "32m"],
        125,
        "Minimum memoryswap limit should be larger than memory limit",
    );
    refused(&engine, &["--cpus", "-1"], 125, "");
    refused(&engine, &["--cpus", "many"], 125, "invalid argument");
    refused(
        &engine,
        &["--cpuset-cpus", "1000"],
        125,
        "Requested CPUs are not available",
    );
    refused(&engine, &["--pids-limit", "x"], 125, "invalid argument");
    refused(
        &engine,
        &["--oom-score-adj", "2000"],
        125,
        "range for oom score adj is [-1000, 1000]",
    );
    refused(&engine, &["--shm-size", "-1"], 125, "");
    refused(
        &engine,
        &["--ulimit", "nofile=5:2"],
        125,
        "ulimit soft limit must be less than or equal to hard limit",
    );
    refused(&engine, &["--stop-signal", "SIGNOPE"], 125, "nvalid signal");
}

#[test]
fn mounts() {
    let engine = ready();
    refused(&engine, &["-v", "relative/path:/x"], 125, "");
    refused(&engine, &["-v", "/x:relative"], 125, "invalid mount path");
    refused(&engine, &["-v", "vol:/x:rw,bogus"], 125, "invalid mode");
    refused(
        &engine,
        &["-v", "/tmp:/x", "-v", "/tmp:/x"],
        125,
        "Duplicate mount point",
    );
    refused(
        &engine,
        &["--mount", "type=volume,dst=/x,readonly=maybe"],
        125,
        "invalid",
    );
    refused(&engine, &["--tmpfs", "relative"], 125, "");
    refused(&engine, &["-v", "/:/"], 125, "destination can't be '/'");
}

#[test]
fn networks_names_and_modes() {
    let engine = ready();
    refused(&engine, &["--network", "nowhere"], 125, "network nowhere not found");
    refused(
        &engine,
        &["--network", "container:nobody"],
        125,
        "No such container: nobody",
    );
    refused(
        &engine,
        &["--network", "host", "--hostname", "x\ny"],
        125,
        "invalid hostname",
    );
    // What only the kernel refuses, does so at the start.
    let long = "x".repeat(65);
    refused(&engine, &["--hostname", &long], 125, "sethostname: invalid argument");
    engine
        .corten(["create", "--name", "long", "--hostname", &long, "busybox", "true"])
        .ok();
    assert_eq!(engine.get("/containers/long/json")["Config"]["Hostname"], long);
    engine.corten(["rm", "long"]).ok();
    refused(&engine, &["--dns", "nowhere"], 125, "nowhere");
    refused(&engine, &["--add-host", "nocolon"], 125, "bad format for add-host");
    refused(&engine, &["--mac-address", "zz"], 125, "");
    refused(&engine, &["--pid", "bogus"], 125, "invalid PID mode");
    refused(&engine, &["--ipc", "bogus"], 125, "");
    refused(&engine, &["--uts", "bogus"], 125, "");
}

#[test]
fn images() {
    let engine = ready();
    for (name, words) in [
        ("UPPER", "repository name (library/UPPER) must be lowercase"),
        ("a::b", "invalid reference format"),
        ("busybox@sha256:12", "invalid reference format"),
        ("", "invalid reference format"),
    ] {
        let finished = engine.corten(["run", "--rm", name, "true"]).run();
        assert_eq!(finished.code, 125, "{name:?}: {finished}");
        assert!(finished.stderr.contains(words), "{name:?}: {finished}");
    }
    let refusal = engine.corten(["run", "--rm", "nothing-like-it"]).fails(125);
    assert!(
        refusal.contains("pull access denied for nothing-like-it")
            || refusal.contains("not found")
            || refusal.contains("lookup"),
        "{refusal}"
    );
    let junk = engine.work().join("junk.tar");
    corten_sys::fs::write(&junk, "no archive at all").unwrap();
    engine.corten(["load", "-i", &junk.to_string_lossy()]).fails(1);
    assert_eq!(engine.corten(["images", "-q"]).ok().lines().count(), 1);
}

#[test]
fn templates_and_filters() {
    let engine = ready();
    for template in ["{{", "{{.Nope}}", "{{nosuch .ID}}", "{{json}}", "{{range}}", "{{.ID"] {
        let finished = engine.corten(["ps", "-a", "--format", template]).run();
        assert!(
            finished.code != 0 || template == "{{.Nope}}" || template == "{{json}}",
            "{template}: {finished}"
        );
    }
    let refusal = engine.corten(["ps", "--filter", "status=sleepy"]).fails(1);
    assert!(refusal.contains("invalid filter 'status=sleepy'"), "{refusal}");
    let deep = "{{with 1}}".repeat(5000) + &"{{end}}".repeat(5000);
    let finished = engine.corten(["version", "--format", &deep]).run();
    assert!(finished.code < 128, "a deep template: {}", finished.code);
}

#[test]
fn flags_that_are_not_there_yet_say_so() {
    let engine = ready();
    for (options, words) in [
        (["--use-api-socket", "-q"], "--use-api-socket is not supported"),
        (["--runtime", "other"], "other"),
        (["--userns", "private"], "invalid USER mode"),
    ] {
        let arguments = ["run", "--rm"].into_iter().chain(options).chain(["busybox", "true"]);
        let finished = engine.corten(arguments).run();
        assert_ne!(finished.code, 0, "{options:?}: {finished}");
        assert!(finished.stderr.contains(words), "{options:?}: {finished}");
    }
    for (flag, words) in [
        ("--allow=x", "invalid entitlement \"x\""),
        ("--annotation=x:a=b", "unknown annotation type \"x\""),
        ("--attest=type=x", "attestation type \"x\" is not supported"),
        ("--build-context=a=b", "failed to get build context a: stat b"),
        ("--builder=x", "no builder \"x\" found"),
        ("--cache-to=type=gha", "type=gha is not supported"),
        (
            "--compress",
            "--compress is not supported: folders of this machine are read in place",
        ),
        ("--debug", "it is not supported here"),
        ("--isolation=x", "invalid isolation: \"x\""),
        ("--output=type=x", "unknown output type \"x\""),
        ("--provenance=x=y", "provenance option x is not supported"),
        ("--push", "tag is needed when pushing to registry"),
        ("--sbom=generator=x", "sbom option generator"),
        ("--secret=id=x,src=/nosuch", "failed to stat /nosuch"),
        ("--security-opt=x", "does not support setting security options on build"),
        ("--ssh=x=/nosuch", "failed to open /nosuch"),
        ("--progress=x", "invalid progress mode \"x\""),
        ("--call=x", "--call=x is not supported"),
        ("--print=x", "--call=x is not supported"),
    ] {
        let finished = engine
            .corten(["build", flag, "-"])
            .stdin("FROM scratch\nLABEL a=b\n")
            .run();
        assert!(
            finished.code != 0 && finished.stderr.contains(words),
            "{flag}: {finished}"
        );
    }
}

#[test]
fn a_terminal_is_needed_for_t() {
    let engine = ready();
    let finished = engine.corten(["run", "-it", "--rm", "busybox", "true"]).run();
    assert_eq!(finished.code, 1);
    assert!(finished.stderr.contains("the input device is not a TTY"), "{finished}");
}
