//! `compose diff`, and the causes in plans: what is not as the files say, with the line of each attribute.

use crate::project::Project;

const FILE: &str = "name: shop
services:
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    environment:
      DEBUG: \"1\"
      MODE: \"on\"
    labels: {team: red}
    ports: ['8080:80', '127.0.0.1::81/udp']
    expose: ['90']
    volumes: ['data:/data:ro', './here:/here', '/anonymous', {type: tmpfs, target: /scratch}]
    tmpfs: ['/tmp']
    healthcheck: {test: 'true', interval: 5s, retries: 2}
    restart: on-failure:3
    cap_add: [NET_ADMIN]
    extra_hosts: ['one:10.0.0.1']
    init: true
    user: root
    working_dir: /
    hostname: me
    sysctls: {net.core.somaxconn: 100}
    ulimits: {nofile: 1000}
    stop_grace_period: 3s
    logging: {driver: json-file, options: {max-size: 1m}}
    networks: {lan: {aliases: [www]}, default: {}}
    deploy: {resources: {limits: {memory: 64M, pids: 50}}}
  plain: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, scale: 2}
  done: {image: busybox, command: 'true'}
networks: {lan: {labels: {a: b}}}
volumes: {data: {labels: {c: d}}}
";

#[test]
fn nothing_differs_after_up() {
    let project = Project::new(FILE);
    project.run("compose up -d").ok();
    project.engine.corten(["wait", "shop-done-1"]).ok();
    let same = project.run("compose diff").run();
    assert_eq!((same.code, same.stdout.as_str()), (0, ""), "{same}");
    assert_eq!(project.run("compose diff --format json").ok().trim(), "[]");
    project.run("compose down -v").ok();
    let Some(peer) = project.peer("compose up -d") else {
        return;
    };
    peer.ok();
    project.engine.corten(["wait", "shop-done-1"]).ok();
    let same = project.run("compose diff").run();
    assert_eq!((same.code, same.stdout.as_str()), (0, ""), "made by Docker's: {same}");
}

#[test]
fn what_differs_is_shown_with_its_line() {
    let project = Project::new(FILE);
    let all = project.run("compose diff").run();
    assert_eq!(all.code, 1, "{all}");
    for line in [
        "+ container shop-web-1 (compose.yaml:3)",
        "+ container shop-plain-2 (compose.yaml:29)",
        "+ network shop_lan (compose.yaml:31)",
        "+ volume shop_data (compose.yaml:32)",
    ] {
        assert!(all.stdout.lines().any(|shown| shown == line), "{line}: {all}");
    }
    project.run("compose up -d").ok();
    project.engine.corten(["wait", "shop-done-1"]).ok();
    project.engine.corten(["stop", "shop-plain-1"]).ok();
    let changed = FILE
        .replace("DEBUG: \"1\"", "DEBUG: \"2\"")
        .replace("{team: red}", "{}")
        .replace("'8080:80'", "'8081:80'")
        .replace("memory: 64M", "memory: 32M")
        .replace("aliases: [www]", "aliases: [web2]")
        .replace("a: b", "a: z")
        .replace("  done: {image: busybox, command: 'true'}\n", "")
        .replace("scale: 2", "scale: 1");
    project.write("compose.yaml", &changed);
    let diff = project.run("compose diff").run();
    assert_eq!(diff.code, 1, "{diff}");
    let lines: Vec<_> = diff.stdout.lines().collect();
    for line in [
        "~ container shop-web-1: environment.DEBUG is \"1\", wanted \"2\" (compose.yaml:8)",
        "~ container shop-web-1: labels.team is \"red\", wanted nothing (compose.yaml:10)",
        "~ container shop-web-1: ports.80/tcp is \"8080\", wanted \"8081\" (compose.yaml:11)",
        "~ container shop-web-1: mem_limit is \"67108864\", wanted \"33554432\" (compose.yaml:28)",
        "~ container shop-plain-1: state is \"exited\", wanted \"running\" (compose.yaml:29)",
        "- container shop-plain-2",
        "- container shop-done-1",
        "~ network shop_lan: labels.a is \"b\", wanted \"z\" (compose.yaml:30)",
    ] {
        assert!(lines.contains(&line), "{line}: {diff}");
    }
    assert!(diff.stdout.contains("networks.lan.aliases"), "{diff}");
    assert_eq!(lines.len(), 9, "{diff}");
    let json = project.run("compose diff --format json plain").run();
    let json: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(json.as_array().map(Vec::len), Some(2), "{json}");
    assert_eq!(json[0]["Attribute"], "state");
    assert_eq!((&json[0]["Is"], &json[0]["Line"]), (&"exited".into(), &29.into()));
    let error = project.run("compose diff --format yaml").fails(1);
    assert!(error.contains("unsupported --format value"), "{error}");
}

#[test]
fn plans_name_the_attributes_that_changed() {
    let project = Project::new(FILE);
    let project_up = |words: &str| match project.peer(words) {
        // Whoever made it: a container tells what it was made with.
        Some(peer) => peer.ok(),
        None => project.run(words).ok(),
    };
    project_up("compose up -d");
    let changed = FILE
        .replace("DEBUG: \"1\"", "DEBUG: \"2\"")
        .replace("      MODE: \"on\"\n", "");
    project.write("compose.yaml", &changed);
    let plan = project.run("compose plan").ok();
    let wanted = "recreate container shop-web-1: environment.DEBUG changed (compose.yaml:8), environment.MODE is gone (compose.yaml:7)";
    assert!(plan.contains(wanted), "{plan}");
    // What a container does not show is said to be that.
    project.write(
        "compose.yaml",
        &FILE.replace(
            "    labels: {team: red}\n",
            "    labels: {team: red}\n    x-note: new\n",
        ),
    );
    let plan = project.run("compose plan").ok();
    assert!(!plan.contains("recreate"), "{plan}");
    project.write(
        "compose.yaml",
        &FILE.replace("    user: root\n", "    user: root\n    attach: false\n"),
    );
    let plan = project.run("compose plan").ok();
    let wanted = [
        "its definition changed",
        "compose.yaml:3), in nothing that the container shows",
    ];
    assert!(wanted.iter().all(|text| plan.contains(text)), "{plan}");
}
