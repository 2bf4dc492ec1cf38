//! Flags that say what containers get unless they ask for something else.

use corten_tests::engine::{Engine, Options};
use serde_json::json;

#[test]
fn security_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let profile = folder.path().join("no-chmod.json");
    let text = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["chmod", "fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}],
    });
    corten_sys::fs::write(&profile, text.to_string()).unwrap();
    let profile = profile.to_str().expect("a plain path");
    let engine = Engine::start_with(Options::with_flags(&[
        "--no-new-privileges",
        &format!("--seccomp-profile={profile}"),
    ]));
    let status = |flags: &[&str], name: &str| {
        let script = format!("sed -n 's/^{name}:\\t*//p' /proc/self/status");
        let fixed = ["run", "--rm"].iter().chain(flags).chain(&["busybox", "sh", "-c"]);
        engine
            .corten(fixed.map(|word| (*word).to_owned()).chain([script]))
            .line()
    };
    assert_eq!(status(&[], "NoNewPrivs"), "1");
    assert_eq!(status(&["--security-opt=no-new-privileges=false"], "NoNewPrivs"), "0");
    let chmod = |flags: &[&str]| {
        let fixed = ["run", "--rm"].iter().chain(flags);
        engine.corten(fixed.chain(&["busybox", "chmod", "700", "/tmp"])).run()
    };
    let refused = chmod(&[]);
    assert!(refused.stderr.contains("not supported"), "{refused}");
    assert_eq!(chmod(&["--security-opt=seccomp=builtin"]).code, 0);
    assert_eq!(chmod(&["--security-opt=seccomp=unconfined"]).code, 0);
    assert_eq!(status(&["--security-opt=seccomp=unconfined"], "Seccomp"), "0");
    // An exec is kept in as its container is.
    engine
        .corten(["run", "-d", "--name", "one", "busybox", "sleep", "1000"])
        .ok();
    let inside = engine
        .corten([
            "exec",
            "one",
            "sh",
            "-c",
            "grep NoNewPrivs /proc/self/status; chmod 700 /tmp; true",
        ])
        .run();
    assert!(
        inside.stdout.ends_with("\t1\n") && inside.stderr.contains("not supported"),
        "{inside}"
    );
    let options = engine.get("/info")["SecurityOptions"].to_string();
    assert!(
        options.contains(&format!("name=seccomp,profile={profile}")),
        "{options}"
    );
    assert!(options.contains("name=no-new-privileges"), "{options}");
}

#[test]
fn limits_namespaces_and_init_for_all() {
    let engine = Engine::start_with(Options {
        flags: vec!["--host-gateway-ip=192.0.2.7".to_owned(), "--host-gateway-ip=2001:db8::7".to_owned()],
        config: Some(
            json!({
                "init": true, "default-shm-size": 16_777_216, "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 123, "Hard": 456}},
                "default-ipc-mode": "shareable", "default-cgroupns-mode": "private", "experimental": true,
                "containerd": "/run/containerd.sock", "userland-proxy": false, "max-concurrent-uploads": null,
            })
            .to_string(),
        ),
        ..Options::default()
    });
    let sh = |flags: &[&str], script: &str| {
        let fixed = ["run", "--rm"].iter().chain(flags);
        engine.corten(fixed.chain(&["busybox", "sh", "-c", script])).ok()
    };
    assert_eq!(sh(&[], "ulimit -Sn; ulimit -Hn"), "123\n456\n");
    assert_eq!(sh(&["--ulimit=nofile=200:300"], "ulimit -Sn"), "200\n");
    assert_eq!(sh(&[], "grep -c docker-init /proc/1/cmdline"), "1\n");
    assert!(sh(&[], "df -k /dev/shm").contains(" 16384 "));
    let hosts = sh(&["--add-host=gate:host-gateway"], "grep gate /etc/hosts");
    assert_eq!(hosts, "192.0.2.7\tgate\n2001:db8::7\tgate\n");
    engine.corten(["create", "--name", "one", "busybox"]).ok();
    assert_eq!(engine.inspect("one", "{{.HostConfig.IpcMode}}"), "shareable");
    let info = engine.get("/info");
    assert_eq!(info["ExperimentalBuild"], json!(true));
    assert_eq!(
        engine.http("GET", "/_ping", None).header("docker-experimental"),
        Some("true")
    );
    assert_eq!(engine.get("/version")["Experimental"], json!(true));
    let log = engine.log();
    assert!(log.contains("the option containerd has no effect"), "{log}");
}

#[test]
fn an_init_of_the_administrator() {
    let folder = tempfile::tempdir().unwrap();
    // Any static program will do to see that it is this one which is run.
    let init = folder.path().join("my-init");
    corten_sys::fs::copy("/bin/busybox", &init).unwrap();
    corten_sys::fs::set_mode(&init, 0o755).unwrap();
    let engine = Engine::start_with(Options::with_flags(&[&format!("--init-path={}", init.display())]));
    let finished = engine.corten(["run", "--rm", "--init", "busybox", "true"]).run();
    assert!(finished.stderr.contains("applet not found"), "{finished}");
    engine.corten(["run", "--rm", "busybox", "true"]).ok();
    let missing = Engine::prepared(Options::with_flags(&["--init-path=/nonexistent/init"]));
    missing.spawn();
    assert_eq!(missing.wait_end(), 1);
    assert!(
        missing.log().contains("the init program cannot be used"),
        "{}",
        missing.log()
    );
}
