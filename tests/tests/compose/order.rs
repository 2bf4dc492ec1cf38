//! What services wait for before they start, and what `up --wait` waits for.

use crate::project::Project;

const FILE: &str = "name: shop
services:
  web:
    image: busybox
    command: sh -c 'ls /data; sleep 1000'
    stop_signal: SIGKILL
    volumes: ['data:/data']
    depends_on:
      base: {condition: service_healthy}
      setup: {condition: service_completed_successfully}
  base:
    image: busybox
    command: sh -c 'touch /data/base /tmp/up; sleep 1000'
    stop_signal: SIGKILL
    volumes: ['data:/data']
    healthcheck: {test: test -e /tmp/up, interval: 100ms}
  setup:
    image: busybox
    command: sh -c 'touch /data/setup; exit ${STATUS:-0}'
    volumes: ['data:/data']
volumes: {data: }
";

#[test]
fn a_service_starts_when_others_are_healthy_or_done() {
    let project = Project::new(FILE);
    project.run("compose up -d").ok();
    let logs = || project.run("compose logs --no-log-prefix web").ok();
    corten_tests::until::is("both were there", || logs() == "base\nsetup\n");
    let states = project.states();
    assert_eq!(states["shop-setup-1"], "exited");
    let started = project.started("shop-web-1");
    project.run("compose up -d").ok();
    assert_eq!(
        project.started("shop-web-1"),
        started,
        "what is done needs not be done again"
    );
}

#[test]
fn a_service_whose_dependency_failed_does_not_start() {
    let project = Project::new(FILE);
    let error = project.run("compose up -d").env("STATUS", "3").fails(1);
    let wanted = "service \"setup\" didn't complete successfully: exit 3";
    assert!(error.contains(wanted), "{error}");
    assert_eq!(project.states()["shop-web-1"], "created");

    project.write(
        "compose.yaml",
        "name: shop
services:
  web: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, depends_on: {base: {condition: service_healthy}}}
  base:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    healthcheck: {test: 'false', interval: 50ms, retries: 1}
",
    );
    let error = project.run("compose up -d --remove-orphans").fails(1);
    assert!(
        error.contains("dependency failed to start: container shop-base-1 is unhealthy"),
        "{error}"
    );
    assert_eq!(project.states()["shop-web-1"], "created");
    let error = project.run("compose up --wait base").fails(1);
    assert!(error.contains("container shop-base-1 is unhealthy"), "{error}");
}

#[test]
fn up_waits_until_services_are_well() {
    let project = Project::new(
        "name: shop
services:
  base:
    image: busybox
    command: sh -c 'while ! test -e /gate/open; do sleep 0.05; done; touch /tmp/up; sleep 1000'
    stop_signal: SIGKILL
    volumes: ['./gate:/gate']
    healthcheck: {test: test -e /tmp/up, interval: 100ms, retries: 10000}
  other: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}
",
    );
    let error = project.run("compose up --wait --wait-timeout 1").fails(1);
    assert!(error.contains("timeout"), "{error}");
    project.write("gate/open", "");
    project.run("compose up --wait").ok();
    assert_eq!(
        project.engine.inspect("shop-base-1", "{{.State.Health.Status}}"),
        "healthy"
    );
    assert_eq!(project.states()["shop-other-1"], "running");
}

#[test]
fn hooks_run_after_the_start_and_before_the_end() {
    let project = Project::new(
        "name: shop
services:
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    volumes: ['./out:/out']
    post_start: [{command: sh -c 'echo begun >> /out/log'}]
    pre_stop: [{command: sh -c 'echo ending >> /out/log'}]
",
    );
    let log = || corten_sys::fs::read_to_string(project.engine.work().join("out/log")).unwrap_or_default();
    project.write("out/log", "");
    project.run("compose up -d").ok();
    assert_eq!(log(), "begun\n");
    project.run("compose stop").ok();
    assert_eq!(log(), "begun\nending\n");
    project.run("compose start").ok();
    project.run("compose down").ok();
    assert_eq!(log(), "begun\nending\nbegun\nending\n");
}

#[test]
fn a_network_that_changes_is_made_anew_with_its_containers() {
    let file = |subnet: &str| {
        format!(
            "name: shop
services:
  web: {{image: busybox, command: sleep 1000, stop_signal: SIGKILL, networks: [lan]}}
  alone: {{image: busybox, command: sleep 1000, stop_signal: SIGKILL, networks: [own]}}
networks:
  lan: {{ipam: {{config: [{{subnet: {subnet}}}]}}}}
  own: {{}}
"
        )
    };
    let project = Project::new(&file("10.91.1.0/24"));
    project.run("compose up -d").ok();
    let alone = project.started("shop-alone-1");
    let address = "{{(index .NetworkSettings.Networks \"shop_lan\").IPAddress}}";
    assert!(project.engine.inspect("shop-web-1", address).starts_with("10.91.1."));
    project.write("compose.yaml", &file("10.91.2.0/24"));
    project.run("compose up -d").ok();
    assert!(project.engine.inspect("shop-web-1", address).starts_with("10.91.2."));
    assert_eq!(project.started("shop-alone-1"), alone);
    assert_eq!(project.ids().len(), 2);
}

#[test]
fn a_reboot_starts_services_in_their_order() {
    const CHAIN: [&str; 6] = ["a", "f", "b", "e", "c", "d"];
    let mut file = "name: shop\nservices:\n".to_owned();
    for (index, name) in CHAIN.iter().enumerate() {
        let on = CHAIN[..index].last().copied().unwrap_or_default();
        file.push_str(&format!(
            "  {name}: {{image: busybox, command: sleep 1000, stop_signal: SIGKILL, restart: always, depends_on: [{on}]}}\n"
        ));
    }
    let project = Project::new(&file);
    project.run("compose up -d").ok();
    let engine = &project.engine;
    let containers = CHAIN.map(|name| format!("shop-{name}-1"));
    let shims: Vec<_> = containers.iter().map(|name| engine.shim(name).to_string()).collect();
    let started = |name: &String| {
        let text = engine.inspect(name, "{{.State.StartedAt}}");
        let (seconds, parts) = text.trim_end_matches('Z').split_once('.').expect("a time");
        format!("{seconds}.{parts:0<9}")
    };
    let before = containers.each_ref().map(started);
    // Nothing runs any more, and the engine comes back.
    engine.kill();
    engine.sh(&format!("kill -9 {}", shims.join(" "))).ok();
    engine.launch();
    for name in &containers {
        engine.wait_for(name, "{{.State.Status}}", "running");
    }
    let times = containers.each_ref().map(started);
    assert!(times.is_sorted(), "{times:?}");
    assert!(
        before.iter().zip(&times).all(|(before, after)| before < after),
        "{before:?} {times:?}"
    );
}
