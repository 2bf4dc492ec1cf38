//! Limits of containers.

use crate::project::Project;

#[test]
fn limits_of_services_are_those_of_containers() {
    let project = Project::new(
        "name: shop
services:
  limits:
    image: busybox
    cpu_shares: 512
    cpu_period: 50000
    cpu_quota: 25000
    cpuset: '0'
    cpu_count: 2
    mem_limit: 64m
    mem_reservation: 32m
    memswap_limit: 128m
    mem_swappiness: 10
    oom_kill_disable: true
    oom_score_adj: 100
    pids_limit: 50
    shm_size: 16m
    ulimits: {nproc: 100, nofile: {soft: 20, hard: 40}}
    cgroup_parent: /corten-attributes
    cgroup: private
    device_cgroup_rules: ['c 1:3 mr']
    devices: ['/dev/null:/dev/nothing:r', {source: /dev/zero, target: /dev/nought, permissions: rw}]
    blkio_config:
      weight: 300
      device_read_bps: [{path: /dev/sda, rate: 12mb}]
      device_read_iops: [{path: /dev/sda, rate: 120}]
      device_write_bps: [{path: /dev/sda, rate: 1024k}]
      device_write_iops: [{path: /dev/sda, rate: 30}]
  weights: {image: busybox, blkio_config: {weight_device: [{path: /dev/sda, weight: 400}]}}
  realtime: {image: busybox, cpu_rt_period: 1000000, cpu_rt_runtime: 950000}
  half: {image: busybox, cpus: 0.5}
  percent: {image: busybox, cpu_percent: 50}
",
    );
    let made = project.run("compose create").run();
    assert_eq!(made.code, 0, "{made}");
    project.says(
        "shop-limits-1",
        &[
            ("json .HostConfig.CpuShares", "512"),
            ("json .HostConfig.CpuPeriod", "50000"),
            ("json .HostConfig.CpuQuota", "25000"),
            ("json .HostConfig.CpusetCpus", "\"0\""),
            ("json .HostConfig.CpuCount", "2"),
            ("json .HostConfig.Memory", "67108864"),
            ("json .HostConfig.MemoryReservation", "33554432"),
            ("json .HostConfig.MemorySwap", "134217728"),
            ("json .HostConfig.MemorySwappiness", "10"),
            ("json .HostConfig.OomKillDisable", "true"),
            ("json .HostConfig.OomScoreAdj", "100"),
            ("json .HostConfig.PidsLimit", "50"),
            ("json .HostConfig.ShmSize", "16777216"),
            ("len .HostConfig.Ulimits", "2"),
            (
                "range .HostConfig.Ulimits}}{{.Name}}={{.Soft}}:{{.Hard}} {{end",
                "nofile=20:40 nproc=100:100",
            ),
            ("json .HostConfig.CgroupParent", "\"/corten-attributes\""),
            ("json .HostConfig.CgroupnsMode", "\"private\""),
            ("json .HostConfig.DeviceCgroupRules", "[\"c 1:3 mr\"]"),
            (
                "range .HostConfig.Devices}}{{.PathOnHost}} {{.PathInContainer}} {{.CgroupPermissions}};{{end",
                "/dev/null /dev/nothing r;/dev/zero /dev/nought rw;",
            ),
            ("json .HostConfig.BlkioWeight", "300"),
            (
                "json .HostConfig.BlkioDeviceReadBps",
                r#"[{"Path":"/dev/sda","Rate":12582912}]"#,
            ),
            (
                "json .HostConfig.BlkioDeviceReadIOps",
                r#"[{"Path":"/dev/sda","Rate":120}]"#,
            ),
            (
                "json .HostConfig.BlkioDeviceWriteBps",
                r#"[{"Path":"/dev/sda","Rate":1048576}]"#,
            ),
            (
                "json .HostConfig.BlkioDeviceWriteIOps",
                r#"[{"Path":"/dev/sda","Rate":30}]"#,
            ),
        ],
    );
    project.says("shop-half-1", &[("json .HostConfig.NanoCpus", "500000000")]);
    project.says(
        "shop-realtime-1",
        &[
            ("json .HostConfig.CpuRealtimePeriod", "1000000"),
            ("json .HostConfig.CpuRealtimeRuntime", "950000"),
        ],
    );
    // What the engine's machine cannot do, the engine discards.
    project.says("shop-percent-1", &[("json .HostConfig.CpuPercent", "0")]);
}

#[test]
fn limits_of_deploy_come_first() {
    let project = Project::new(
        "name: shop
services:
  deploy:
    image: busybox
    mem_limit: 50m
    deploy:
      mode: replicated
      replicas: 2
      resources:
        limits: {cpus: '0.5', memory: 50M, pids: 9}
        reservations: {cpus: '0.2', memory: 20M}
      restart_policy: {condition: on-failure, max_attempts: 3}
  gpus:
    image: busybox
    gpus: [{driver: nvidia, count: 2, capabilities: [compute], options: {some: thing}}]
  ids:
    image: busybox
    gpus: [{driver: nvidia, device_ids: ['0', '3']}]
  reserved:
    image: busybox
    deploy: {resources: {reservations: {devices: [{driver: nvidia, count: 1, capabilities: [gpu, utility], options: {k: v}}]}}}
  listed:
    image: busybox
    deploy: {resources: {reservations: {devices: [{driver: nvidia, device_ids: [a], capabilities: [gpu]}]}}}
  all: {image: busybox, gpus: all}
",
    );
    project.run("compose create").ok();
    for number in 1..=2 {
        project.says(
            &format!("shop-deploy-{number}"),
            &[
                ("json .HostConfig.NanoCpus", "500000000"),
                ("json .HostConfig.Memory", "52428800"),
                ("json .HostConfig.PidsLimit", "9"),
                ("json .HostConfig.MemoryReservation", "20971520"),
                (
                    "json .HostConfig.RestartPolicy",
                    r#"{"Name":"on-failure","MaximumRetryCount":3}"#,
                ),
            ],
        );
    }
    let requests = |container: &str, expected: &str| {
        let template = "range .HostConfig.DeviceRequests}}{{.Driver}} {{.Count}} {{json .DeviceIDs}} \
                        {{json .Capabilities}} {{json .Options}};{{end";
        project.says(container, &[(template, expected)]);
    };
    requests("shop-gpus-1", r#"nvidia 2 null [["compute","gpu"]] {"some":"thing"};"#);
    requests("shop-ids-1", r#"nvidia 0 ["0","3"] [["gpu"]] {};"#);
    requests("shop-reserved-1", r#"nvidia 1 null [["gpu","utility"]] {"k":"v"};"#);
    requests("shop-listed-1", r#"nvidia 0 ["a"] [["gpu"]] {};"#);
    requests("shop-all-1", r#"-1 null [["gpu"]] {};"#);
}

#[test]
fn limits_are_felt_in_containers() {
    let project = Project::new(
        "name: shop
services:
  felt:
    image: busybox
    command: sh -c 'ulimit -n; ulimit -Hn; df /dev/shm | tail -1; ls /dev/nothing; cat /proc/self/oom_score_adj'
    shm_size: 16m
    ulimits: {nofile: {soft: 200, hard: 400}}
    devices: ['/dev/null:/dev/nothing']
    oom_score_adj: 300
",
    );
    project.run("compose up -d").ok();
    project.engine.corten(["wait", "shop-felt-1"]).ok();
    let log = project.run("compose logs --no-log-prefix felt").ok();
    assert!(log.starts_with("200\n400\n") && log.contains("16384"), "{log}");
    assert!(log.ends_with("/dev/nothing\n300\n"), "{log}");
}
