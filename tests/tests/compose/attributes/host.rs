//! What containers may do, who they are, and how they run.

use crate::project::Project;

#[test]
fn what_containers_are_and_may_do() {
    let project = Project::new(
        "name: shop
services:
  one:
    image: busybox
    command: [sleep, '1000']
    entrypoint: [/bin/sh, -c, 'exec sleep 1000']
    working_dir: /tmp
    user: '5'
    group_add: ['7', users]
    hostname: hst
    domainname: dom.org
    environment: {A: one two, B: '2'}
    labels: {own: label}
    annotations: {some.note: one}
    container_name: the-one
    cap_add: [NET_ADMIN]
    cap_drop: [MKNOD]
    security_opt: ['no-new-privileges:true', 'systempaths=unconfined']
    read_only: true
    sysctls: {net.ipv4.ip_forward: 1}
    dns: [9.9.9.9, 1.1.1.1]
    dns_opt: ['ndots:3']
    dns_search: [x.org]
    extra_hosts: ['a:1.2.3.4', 'b=::1']
    stdin_open: true
    tty: true
    init: true
    stop_signal: SIGUSR1
    stop_grace_period: 1m10s
    restart: 'on-failure:2'
    logging: {driver: json-file, options: {max-size: 1m}}
    expose: ['70', 71/udp]
    storage_opt: {}
    runtime: runc
    isolation: default
    platform: linux/amd64
    scale: 1
  shared: {image: busybox, userns_mode: host, uts: host, ipc: host, pid: host, network_mode: host}
  strong: {image: busybox, privileged: true}
  replicas: {image: busybox, scale: 2}
",
    );
    project.run("compose create").ok();
    project.says(
        "the-one",
        &[
            ("json .Config.Cmd", r#"["sleep","1000"]"#),
            ("json .Config.Entrypoint", r#"["/bin/sh","-c","exec sleep 1000"]"#),
            ("json .Config.WorkingDir", "\"/tmp\""),
            ("json .Config.User", "\"5\""),
            ("json .HostConfig.GroupAdd", r#"["7","users"]"#),
            ("json .Config.Hostname", "\"hst\""),
            ("json .Config.Domainname", "\"dom.org\""),
            ("index .Config.Labels \"own\"", "label"),
            ("json .HostConfig.Annotations", r#"{"some.note":"one"}"#),
            ("json .HostConfig.ReadonlyRootfs", "true"),
            ("json .HostConfig.MaskedPaths", "[]"),
            ("json .HostConfig.ReadonlyPaths", "[]"),
            ("json .HostConfig.SecurityOpt", r#"["no-new-privileges=true"]"#),
            ("json .HostConfig.Sysctls", r#"{"net.ipv4.ip_forward":"1"}"#),
            ("json .HostConfig.Dns", r#"["9.9.9.9","1.1.1.1"]"#),
            ("json .HostConfig.DnsOptions", r#"["ndots:3"]"#),
            ("json .HostConfig.DnsSearch", r#"["x.org"]"#),
            ("json .HostConfig.ExtraHosts", r#"["a:1.2.3.4","b:::1"]"#),
            ("json .Config.OpenStdin", "true"),
            ("json .Config.Tty", "true"),
            ("json .HostConfig.Init", "true"),
            ("json .Config.StopSignal", "\"SIGUSR1\""),
            ("json .Config.StopTimeout", "70"),
            (
                "json .HostConfig.RestartPolicy",
                r#"{"Name":"on-failure","MaximumRetryCount":2}"#,
            ),
            (
                "json .HostConfig.LogConfig",
                r#"{"Type":"json-file","Config":{"max-size":"1m"}}"#,
            ),
            ("json .Config.ExposedPorts", r#"{"70/tcp":{},"71/udp":{}}"#),
            ("json .HostConfig.Runtime", "\"runc\""),
            ("json .HostConfig.Isolation", "\"default\""),
            ("json .Platform", "\"linux\""),
        ],
    );
    let capabilities = project
        .engine
        .inspect("the-one", "{{json .HostConfig.CapAdd}} {{json .HostConfig.CapDrop}}");
    assert!(
        capabilities.contains("NET_ADMIN") && capabilities.contains("MKNOD"),
        "{capabilities}"
    );
    let variables = project.engine.inspect("the-one", "{{json .Config.Env}}");
    assert!(
        variables.contains("\"A=one two\"") && variables.contains("\"B=2\""),
        "{variables}"
    );
    project.says(
        "shop-shared-1",
        &[
            ("json .HostConfig.UsernsMode", "\"host\""),
            ("json .HostConfig.UTSMode", "\"host\""),
            ("json .HostConfig.IpcMode", "\"host\""),
            ("json .HostConfig.PidMode", "\"host\""),
            ("json .HostConfig.NetworkMode", "\"host\""),
        ],
    );
    project.says("shop-strong-1", &[("json .HostConfig.Privileged", "true")]);
    assert!(project.ids().contains_key("shop-replicas-2"));
}

#[test]
fn what_programs_in_containers_see() {
    let project = Project::new(
        "name: shop
services:
  seen:
    image: busybox
    command: [sh, -c, 'hostname; pwd; id -u; cat /etc/resolv.conf; grep 1.2.3.4 /etc/hosts; touch /x 2>&1; ls /proc/1/exe -l']
    hostname: hst
    working_dir: /tmp
    user: '5'
    dns: 9.9.9.9
    dns_opt: ['ndots:3']
    dns_search: x.org
    extra_hosts: {named: 1.2.3.4}
    read_only: true
  near: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, pid: 'service:far', links: ['far:away']}
  far: {image: busybox, command: sleep 1001, stop_signal: SIGKILL}
",
    );
    project.run("compose up -d").ok();
    project.engine.corten(["wait", "shop-seen-1"]).ok();
    let log = project.run("compose logs --no-log-prefix seen").ok();
    assert!(log.starts_with("hst\n/tmp\n5\n"), "{log}");
    for part in ["search x.org", "ndots:3", "1.2.3.4\tnamed", "Read-only file system"] {
        assert!(log.contains(part), "{part}: {log}");
    }
    let processes = project.run("compose exec -T near ps").ok();
    assert!(processes.contains("sleep 1001"), "{processes}");
    let linked = project.run("compose exec -T near ping -c 1 -w 5 away").ok();
    assert!(linked.contains("1 packets received"), "{linked}");
}

#[test]
fn hooks_run_as_whom_and_where_they_say() {
    let project = Project::new(
        "name: shop
services:
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    user: '5'
    volumes: ['./out:/out']
    post_start:
      - command: [sh, -c, 'echo begun $$(id -u) $$(pwd) $$WORD >> /out/log; echo $$((0x$$(grep CapEff /proc/self/status | cut -f2) >> 21 & 1)) >> /out/log']
        user: root
        privileged: true
        working_dir: /tmp
        environment: {WORD: said}
    pre_stop:
      - command: [sh, -c, 'echo ending $$(id -u) $$(pwd) $$WORD >> /out/log; echo $$((0x$$(grep CapEff /proc/self/status | cut -f2) >> 21 & 1)) >> /out/log']
        user: '0'
        privileged: false
        working_dir: /bin
        environment: [WORD=last]
",
    );
    project.write("out/log", "");
    project.run("compose up -d").ok();
    project.run("compose stop").ok();
    let log = corten_sys::fs::read_to_string(project.engine.work().join("out/log")).expect("a log");
    assert_eq!(log, "begun 0 /tmp said\n1\nending 0 /bin last\n0\n");
}

#[test]
fn what_is_shown_is_what_attach_says() {
    let project = Project::new(
        "name: shop
services:
  loud: {image: busybox, command: echo loud}
  quiet: {image: busybox, command: echo quiet, attach: false}
",
    );
    let shown = project.run("compose up").ok();
    assert!(shown.contains("| loud") && !shown.contains("| quiet"), "{shown}");
}

#[test]
fn healthchecks_are_as_they_are_written() {
    let project = Project::new(
        "name: shop
services:
  web:
    image: busybox
    healthcheck: {test: [CMD, 'true'], interval: 1m30s, timeout: 10s, retries: 3, start_period: 40s, start_interval: 5s}
  text: {image: busybox, healthcheck: {test: exit 0}}
  none: {image: busybox, healthcheck: {disable: true}}
",
    );
    project.run("compose create").ok();
    let check = "json .Config.Healthcheck";
    let whole = r#"{"Test":["CMD","true"],"Interval":90000000000,"Timeout":10000000000,"StartPeriod":40000000000,"StartInterval":5000000000,"Retries":3}"#;
    project.says("shop-web-1", &[(check, whole)]);
    project.says("shop-text-1", &[(check, r#"{"Test":["CMD-SHELL","exit 0"]}"#)]);
    project.says("shop-none-1", &[(check, r#"{"Test":["NONE"]}"#)]);
}

#[test]
fn services_restart_with_what_they_depend_on() {
    let file = |word: &str| {
        format!(
            "name: shop
services:
  web: {{image: busybox, command: sleep 1000, stop_signal: SIGKILL, depends_on: {{base: {{condition: service_started, restart: true}}}}}}
  far: {{image: busybox, command: sleep 1000, stop_signal: SIGKILL, depends_on: {{base: {{condition: service_started}}}}}}
  base: {{image: busybox, command: sleep {word}, stop_signal: SIGKILL}}
"
        )
    };
    let project = Project::new(&file("1000"));
    project.run("compose up -d").ok();
    let (web, far) = (project.started("shop-web-1"), project.started("shop-far-1"));
    project.write("compose.yaml", &file("1001"));
    project.run("compose up -d").ok();
    assert_ne!(project.started("shop-web-1"), web);
    assert_eq!(project.started("shop-far-1"), far);
}
