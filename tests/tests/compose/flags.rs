//! Flags that stand beside what the other files tell: pretending where nothing changes, details of `run` and `exec`,
//! parts of `config` left out.

use corten_sys::fs;

use crate::project::Project;

const FILE: &str = "name: shop
services:
  web:
    image: busybox
    command: sh -c 'echo begun; sleep 1000'
    ports: ['127.0.0.1:8088:80']
    volumes: ['data:/data']
    stop_signal: SIGKILL
  made: {build: made, profiles: [made]}
volumes: {data: }
";

fn shop() -> Project {
    let project = Project::new(FILE);
    project.write(
        "made/Dockerfile",
        "FROM busybox\nRUN echo 1 >/made\nCMD [\"cat\", \"/made\"]\n",
    );
    project.run("compose up -d").ok();
    project
}

#[test]
fn who_only_reads_says_the_same_in_a_dry_run() {
    let project = shop();
    for (plain, dry) in [
        ("compose images -q", "compose images --dry-run -q"),
        ("compose ls -q", "compose ls --dry-run -q"),
        ("compose port web 80", "compose port --dry-run web 80"),
        ("compose ps -q", "compose ps --dry-run -q"),
        ("compose version --short", "compose version --dry-run --short"),
        ("compose volumes -q", "compose volumes --dry-run -q"),
    ] {
        let said = project.run(plain).ok();
        assert!(!said.is_empty() && project.run(dry).ok() == said, "{dry}: {said}");
    }
}

#[test]
fn who_changes_something_only_says_so_in_a_dry_run() {
    let project = shop();
    let state = || project.states()["shop-web-1"].clone();
    project.run("compose pause").ok();
    project.run("compose unpause --dry-run").ok();
    assert_eq!(state(), "paused");
    project.run("compose unpause").ok();
    project.run("compose kill").ok();
    project.engine.wait_for("shop-web-1", "{{.State.Status}}", "exited");
    let start = project.run("compose start --dry-run").run();
    assert!(start.code == 0 && start.stderr.contains("shop-web-1"), "{start}");
    assert_eq!(state(), "exited");
    let remove = project.run("compose rm --dry-run").run();
    assert!(remove.code == 0 && remove.stdout.contains("shop-web-1"), "{remove}");
    assert_eq!(state(), "exited");
    // Nothing runs that could be waited for, in earnest or not.
    for words in ["compose wait web", "compose wait --dry-run web"] {
        assert!(
            project.run(words).fails(1).contains("no containers for project"),
            "{words}"
        );
    }
    project.run("compose rm --all -f").ok();
    assert!(project.ids().is_empty());
}

#[test]
fn run_takes_what_a_container_takes() {
    let project = shop();
    project.run("compose stop").ok();
    project.write("variables", "FROM_FILE=a text\n");
    let words = [
        "compose",
        "run",
        "-d",
        "--name",
        "extra",
        "--cap-add",
        "NET_ADMIN",
        "--cap-drop",
        "CHOWN",
        "--env-from-file",
        "variables",
        "--pull",
        "missing",
        "--service-ports",
        "--use-aliases",
        "web",
        "sleep",
        "1000",
    ];
    project.engine.corten(words).ok();
    let of = |template: &str| project.engine.inspect("extra", template);
    assert_eq!(
        of("{{.HostConfig.CapAdd}} {{.HostConfig.CapDrop}}"),
        "[NET_ADMIN] [CHOWN]"
    );
    assert!(of("{{json .Config.Env}}").contains("FROM_FILE=a text"));
    assert_eq!(of("{{(index .NetworkSettings.Ports \"80/tcp\" 0).HostPort}}"), "8088");
    assert!(of("{{json .NetworkSettings.Networks.shop_default.Aliases}}").contains("\"web\""));

    // What is built is built again, and containers of services that are gone can go.
    let made = || {
        project
            .engine
            .corten(["compose", "run", "--rm", "-T", "--build", "made"])
            .ok()
    };
    assert_eq!(made(), "1\n");
    project.write(
        "made/Dockerfile",
        "FROM busybox\nRUN echo 2 >/made\nCMD [\"cat\", \"/made\"]\n",
    );
    assert_eq!(made(), "2\n");
    project.write("compose.yaml", &FILE.replace("  web:", "  other:"));
    let words = ["compose", "run", "--rm", "-T", "--remove-orphans", "made"];
    assert_eq!(project.engine.corten(words).ok(), "2\n");
    assert!(!project.ids().contains_key("shop-web-1"));
    // Without a terminal there is none, whatever is asked for.
    let words = [
        "compose",
        "run",
        "--rm",
        "--tty=false",
        "made",
        "sh",
        "-c",
        "test -t 0 || echo none",
    ];
    assert_eq!(project.engine.corten(words).ok(), "none\n");
}

#[test]
fn exec_and_attach_take_what_they_take_elsewhere() {
    let project = shop();
    let capabilities = |flag: &[&str]| {
        let words = ["compose", "exec", "-T"].iter().chain(flag);
        let call = project
            .engine
            .corten(words.chain(&["web", "grep", "CapEff", "/proc/self/status"]));
        call.ok()
    };
    assert_ne!(capabilities(&["--privileged"]), capabilities(&[]));
    let words = ["compose", "exec", "--tty=false", "--interactive=false", "web", "cat"];
    assert_eq!(project.engine.corten(words).stdin("not read").ok(), "");
    let logs = project.run("compose logs --index 1 --no-log-prefix web").ok();
    assert_eq!(logs, "begun\n");
    let stats = project
        .run("compose stats --no-stream --no-trunc --format {{.ID}} web")
        .line();
    assert_eq!(stats, project.ids()["shop-web-1"]);

    let mut attached = project
        .run("compose attach --no-stdin --sig-proxy=false --index 1 web")
        .spawn();
    until_attached(&project);
    project
        .engine
        .corten(["compose", "exec", "-T", "web", "sh", "-c", "echo told >/proc/1/fd/1"])
        .ok();
    attached.wait_for("told");
    attached.signal(rustix::process::Signal::INT);
    attached.wait();
    assert_eq!(
        project.states()["shop-web-1"],
        "running",
        "the signal was not passed on"
    );

    project.write("target", "what the link leads to");
    fs::symlink("target", project.engine.work().join("link")).expect("a link");
    project.run("compose cp --follow-link link web:/tmp/copied").ok();
    let kind = project.run("compose exec -T web stat -c %F /tmp/copied").ok();
    assert_eq!(kind, "regular file\n");
}

/// Waits until somebody is attached to the service.
fn until_attached(project: &Project) {
    let events = || {
        let words = ["events", "--since", "1h", "--until", "0s", "--filter", "event=attach"];
        project.engine.corten(words).ok()
    };
    corten_tests::until::is("somebody is attached", || events().contains("attach"));
}

#[test]
fn parts_of_config_can_be_left_out() {
    let project = Project::new(
        "name: shop
services:
  web: {image: busybox, env_file: [variables], volumes: ['./here:/there'], networks: [nowhere]}
",
    );
    project.write("variables", "FROM_FILE=1\n");
    let missing = project.run("compose config").run();
    assert!(missing.code != 0 && missing.stderr.contains("nowhere"), "{missing}");
    let lenient = project.run("compose config --no-consistency").ok();
    assert!(
        lenient.contains("nowhere") && lenient.contains("FROM_FILE"),
        "{lenient}"
    );
    // Files with variables are read all the same, as by Docker's Compose.
    let unresolved = project.run("compose config --no-consistency --no-env-resolution").ok();
    assert_eq!(unresolved, lenient);
    let relative = project.run("compose config --no-consistency --no-path-resolution").ok();
    assert!(relative.contains("source: ./here\n"), "{relative}");
    let plain = project.run("compose config --no-consistency --no-normalize").ok();
    assert!(!plain.contains("name: shop_default"), "{plain}");

    project.write("compose.yaml", FILE);
    let hash = project.run("compose config --hash web").ok();
    let of = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let words = of(&hash);
    assert!(words.len() == 2 && words[0] == "web" && words[1].len() == 64, "{hash}");
    project.run("compose up -d").ok();
    let label = "{{index .Config.Labels \"com.docker.compose.config-hash\"}}";
    assert_eq!(project.engine.inspect("shop-web-1", label), words[1]);
}

#[test]
fn old_flags_of_pull_are_told_of() {
    let project = Project::new("");
    let host = project.engine.registry().host();
    project.write(
        "compose.yaml",
        &format!("name: shop\nservices: {{web: {{image: '{host}/library/busybox'}}}}\n"),
    );
    for flag in ["--parallel", "--no-parallel"] {
        let words = ["compose", "pull", flag];
        let pulled = project.engine.corten(words).run();
        let told = format!("option '{flag}' is DEPRECATED and will be ignored.");
        assert!(pulled.code == 0 && pulled.stderr.contains(&told), "{pulled}");
    }
    let known = ["compose pull --parallel", "compose pull --no-parallel"];
    assert!(known.iter().all(|words| project.run(words).run().code == 0));
}

#[test]
fn verbose_tells_files_and_steps_with_their_causes() {
    let project = Project::of_sleepers(&["web"]);
    let file = project.engine.work().join("compose.yaml");
    let reading = format!("level=debug msg=\"reading {}\"\n", file.display());
    let step = "level=debug msg=\"create container shop-web-1: ";
    for words in ["compose --verbose up -d --dry-run", "compose --verbose up -d"] {
        let up = project.run(words).run();
        assert!(
            up.code == 0 && up.stderr.contains(&reading) && up.stderr.contains(step),
            "{up}"
        );
    }
    let listed = project.run("compose --verbose ps -q").run();
    assert!(listed.code == 0 && listed.stderr.ends_with(&reading), "{listed}");
    let again = project.run("compose --verbose up -d").run();
    assert!(
        again.stderr.contains("level=debug msg=\"keep container shop-web-1: "),
        "{again}"
    );
    let quiet = project.run("compose down").run();
    assert!(!quiet.stderr.contains("level=debug"), "{quiet}");
}
