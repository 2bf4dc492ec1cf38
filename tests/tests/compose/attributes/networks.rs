//! Networks, and the places of services in them.

use crate::project::Project;

#[test]
fn places_in_networks_are_as_they_are_written() {
    let project = Project::new(
        "name: shop
services:
  web:
    image: busybox
    command: [sh, -c, 'ip addr show eth7; ip route; sleep 1000']
    stop_signal: SIGKILL
    networks:
      lan:
        aliases: [www]
        ipv4_address: 172.31.5.9
        ipv6_address: fd00:31::9
        mac_address: '02:42:ac:11:65:43'
        driver_opts: {com.docker.network.endpoint.sysctls: net.ipv4.conf.IFNAME.log_martians=1}
        gw_priority: 3
        interface_name: eth7
        link_local_ips: [169.254.8.8]
      other: {priority: 7, gw_priority: -1}
  asking: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, networks: [lan]}
  alone: {image: busybox, mac_address: '02:42:ac:11:65:44', networks: {other: }}
networks:
  lan:
    enable_ipv6: true
    ipam: {config: [{subnet: 172.31.0.0/16, ip_range: 172.31.5.0/24, gateway: 172.31.5.1}, {subnet: 'fd00:31::/64'}]}
  other: {}
",
    );
    project.run("compose up -d web asking").ok();
    project.run("compose create alone").ok();
    let place = "index .NetworkSettings.Networks \"shop_lan\"";
    project.says(
        "shop-web-1",
        &[
            ("json .HostConfig.NetworkMode", "\"shop_other\""),
            (
                &format!("with {place}}}}}{{{{.IPAddress}}}} {{{{.GlobalIPv6Address}}}} {{{{.MacAddress}}}} {{{{.GwPriority}}}}{{{{end"),
                "172.31.5.9 fd00:31::9 02:42:ac:11:65:43 3",
            ),
            (
                &format!("with {place}}}}}{{{{json .IPAMConfig.LinkLocalIPs}}}} {{{{len .DriverOpts}}}}{{{{end"),
                "[\"169.254.8.8\"] 2",
            ),
        ],
    );
    project.says(
        "shop-alone-1",
        &[(
            "with index .NetworkSettings.Networks \"shop_other\"}}{{.MacAddress}}{{end",
            "02:42:ac:11:65:44",
        )],
    );
    let log = corten_tests::until::some("the interface is shown", || {
        let log = project.run("compose logs --no-log-prefix web").ok();
        log.contains("default via").then_some(log)
    });
    assert!(log.contains("172.31.5.9") && log.contains("02:42:ac:11:65:43"), "{log}");
    assert!(
        log.contains("default via 172.31.5.1"),
        "the priority of gateways decides: {log}"
    );
    let found = project.run("compose exec -T asking ping -4 -c 1 -w 5 www").ok();
    assert!(found.contains("172.31.5.9"), "{found}");
    let martians = "/proc/sys/net/ipv4/conf/eth7/log_martians";
    let value = project.engine.corten(["exec", "shop-web-1", "cat", martians]).line();
    assert_eq!(value, "1");
}

#[test]
fn networks_are_made_as_they_are_written() {
    let project = Project::new(
        "name: shop
services:
  web: {image: busybox, networks: [named, inside, default, six, mine]}
networks:
  named:
    name: its-own-name
    driver: bridge
    driver_opts: {com.docker.network.bridge.name: cortenattr0}
    attachable: true
    labels: {kind: net}
    enable_ipv4: true
    ipam: {driver: default, config: [{subnet: 172.30.0.0/16, ip_range: 172.30.5.0/24, gateway: 172.30.5.1, aux_addresses: {router: 172.30.5.8}}]}
  inside: {internal: true}
  six: {enable_ipv6: true, ipam: {config: [{subnet: 'fd00:30::/64'}]}}
  mine: {external: true, name: from-outside}
",
    );
    let missing = project.run("compose create").fails(1);
    assert!(
        missing.contains("network from-outside declared as external, but could not be found"),
        "{missing}"
    );
    project.engine.corten(["network", "create", "from-outside"]).ok();
    project.run("compose create").ok();
    project.says_of(
        "network",
        "its-own-name",
        &[
            (".Driver", "bridge"),
            ("index .Options \"com.docker.network.bridge.name\"", "cortenattr0"),
            (".Attachable", "true"),
            ("index .Labels \"kind\"", "net"),
            (".EnableIPv4", "true"),
            (".IPAM.Driver", "default"),
            (
                "range .IPAM.Config}}{{.Subnet}} {{.IPRange}} {{.Gateway}} {{json .AuxiliaryAddresses}}{{end",
                r#"172.30.0.0/16 172.30.5.0/24 172.30.5.1 {"router":"172.30.5.8"}"#,
            ),
        ],
    );
    project.says_of("network", "shop_inside", &[(".Internal", "true")]);
    project.says_of("network", "shop_six", &[(".EnableIPv6", "true")]);
    project.run("compose down").ok();
    let left = project.engine.corten(["network", "ls", "--format", "{{.Name}}"]).ok();
    assert!(left.contains("from-outside") && !left.contains("shop_"), "{left}");
}

#[test]
fn ports_are_published_as_they_are_written() {
    let project = Project::new(
        "name: shop
services:
  web:
    image: busybox
    command: sh -c 'echo here > /tmp/index.html; httpd -f -p 80 -h /tmp'
    stop_signal: SIGKILL
    ports:
      - {name: page, mode: host, host_ip: 127.0.0.1, target: 80, published: '8095', protocol: tcp, app_protocol: http}
      - '127.0.0.1:8096:70/udp'
    external_links: ['outside:elsewhere']
    network_mode: bridge
",
    );
    project
        .engine
        .corten([
            "run",
            "-d",
            "--name",
            "outside",
            "--stop-signal",
            "SIGKILL",
            "busybox",
            "sleep",
            "1000",
        ])
        .ok();
    project.run("compose up -d").ok();
    project.says(
        "shop-web-1",
        &[
            (
                "json .HostConfig.PortBindings",
                r#"{"70/udp":[{"HostIp":"127.0.0.1","HostPort":"8096"}],"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"8095"}]}"#,
            ),
            ("json .HostConfig.Links", r#"["/outside:/shop-web-1/elsewhere"]"#),
        ],
    );
    corten_tests::until::is("the page is there", || {
        project.engine.try_curl("http://127.0.0.1:8095/").as_deref() == Some("here\n")
    });
    let shown = project.run("compose config --format json").ok();
    for part in ["\"name\": \"page\"", "\"mode\": \"host\"", "\"app_protocol\": \"http\""] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}
