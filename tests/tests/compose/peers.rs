//! Projects that pass from Docker's Compose to ours and back.

use corten_tests::programs;

use crate::project::Project;

const FILE: &str = "name: shop
services:
  web:
    image: busybox
    command: [sh, -c, 'sleep 1000']
    stop_signal: SIGKILL
    environment: {B: '2', A: one two}
    ports: ['127.0.0.1:8084:80']
    volumes: ['data:/data', './some:/some:ro', {type: tmpfs, target: /scratch}]
    networks: {lan: {aliases: [shop]}, default: }
    depends_on: {base: {condition: service_healthy, restart: true}}
    deploy: {resources: {limits: {memory: 64M, cpus: '0.5'}}}
    healthcheck: {test: [CMD, 'true'], interval: 1m30s}
    labels: {own: label}
    init: true
  base:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    stop_grace_period: 2s
    healthcheck: {test: 'true', interval: 100ms, retries: 100}
volumes: {data: {labels: {kind: data}}}
networks: {lan: {driver_opts: {some: thing}}}
";

#[test]
fn a_project_passes_from_one_program_to_the_other_without_a_restart() {
    if programs::compose().is_none() {
        return;
    }
    let project = Project::new(FILE);
    project.write("some/file", "");
    let started = || [project.started("shop-web-1"), project.started("shop-base-1")];
    let peer = |words: &str| project.peer(words).expect("it is there").ok();

    peer("compose up -d");
    let theirs = started();
    let plan = project.run("compose plan").ok();
    project.run("compose up -d").ok();
    assert_eq!(started(), theirs, "taken over from the other: {plan}");
    assert!(project.run("compose ps").ok().contains("shop-web-1"));
    project.run("compose up -d --scale base=2").ok();
    peer("compose up -d --scale base=2");
    assert_eq!(started(), theirs);
    peer("compose down -v");
    assert!(project.ids().is_empty());

    project.run("compose up -d").ok();
    let ours = started();
    peer("compose up -d");
    assert_eq!(started(), ours, "given over to the other");
    assert!(peer("compose ps").contains("shop-web-1"));
    project.run("compose down -v").ok();
    assert!(project.ids().is_empty());
    assert_eq!(project.engine.corten(["volume", "ls", "-q"]).line(), "");
}

#[test]
fn services_that_share_with_another_are_made_anew_with_it() {
    let file = |word: &str| {
        format!(
            "name: shop
services:
  near:
    image: busybox
    command: sh -c 'touch /data/near; hostname > /data/host; sleep 1000'
    stop_signal: SIGKILL
    network_mode: service:base
    pid: service:base
    volumes_from: [base]
  base: {{image: busybox, command: sleep {word}, stop_signal: SIGKILL, hostname: base, volumes: [/data]}}
"
        )
    };
    let project = Project::new(&file("1000"));
    project.run("compose up -d").ok();
    let ids = project.ids();
    project.run("compose up -d").ok();
    assert_eq!(project.ids(), ids);
    if let Some(call) = project.peer("compose up -d") {
        call.ok();
        assert_eq!(project.ids(), ids, "the other finds nothing to do either");
    }
    project.write("compose.yaml", &file("2000"));
    project.run("compose up -d").ok();
    let after = project.ids();
    assert_ne!(after["shop-base-1"], ids["shop-base-1"]);
    assert_ne!(after["shop-near-1"], ids["shop-near-1"]);
    let shared = project
        .engine
        .inspect("shop-near-1", "{{.HostConfig.NetworkMode}} {{.HostConfig.PidMode}}");
    let base = format!("container:{}", after["shop-base-1"]);
    assert_eq!(shared, format!("{base} {base}"));
    assert_eq!(project.states()["shop-near-1"], "running");
    if let Some(call) = project.peer("compose up -d --force-recreate") {
        call.ok();
        let theirs = project.ids();
        project.run("compose up -d").ok();
        assert_eq!(project.ids(), theirs, "taken over from the other");
    }
}
