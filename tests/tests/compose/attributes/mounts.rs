//! Mounts of services, and volumes.

use crate::project::Project;

#[test]
fn mounts_have_the_options_that_are_written() {
    let project = Project::new(
        "name: shop
services:
  web:
    image: busybox
    volumes:
      - {type: bind, source: ./here, target: /propagated, read_only: true, consistency: cached, bind: {propagation: rslave, create_host_path: true, selinux: z}}
      - {type: bind, source: ./here, target: /flat, bind: {recursive: disabled, create_host_path: false}}
      - {type: volume, source: data, target: /data, volume: {nocopy: true}}
      - {type: volume, target: /labelled, volume: {labels: {own: label}}}
      - {type: volume, source: data, target: /part, volume: {subpath: sub/folder}}
      - {type: tmpfs, target: /memory, tmpfs: {size: 2m, mode: 01770}}
      - {type: image, source: busybox, target: /image, image: {subpath: bin}}
    tmpfs: ['/scratch:size=1m']
  other: {image: busybox, volumes_from: ['web:ro']}
volumes: {data: }
",
    );
    project.write("here/file", "");
    project.run("compose create").ok();
    project.says(
        "shop-web-1",
        &[
            (
                "range .HostConfig.Binds}}{{slice . (len \"\")}};{{end",
                &format!("{0}/here:/propagated:ro,z,rslave;shop_data:/data:rw,nocopy;", project.engine.work().display()),
            ),
            (
                "range .HostConfig.Mounts}}{{.Type}} {{.Target}} {{json .BindOptions}} {{json .VolumeOptions}} {{json .TmpfsOptions}} {{json .ImageOptions}};{{end",
                "bind /flat {\"NonRecursive\":true} null null null;\
                 volume /labelled null {\"Labels\":{\"own\":\"label\"}} null null;\
                 volume /part null {\"Subpath\":\"sub/folder\"} null null;\
                 tmpfs /memory null null {\"Mode\":1016,\"SizeBytes\":2097152} null;\
                 image /image null null null {\"Subpath\":\"bin\"};",
            ),
            ("json .HostConfig.Tmpfs", r#"{"/scratch":"size=1m"}"#),
        ],
    );
    let from = project
        .engine
        .inspect("shop-other-1", "{{json .HostConfig.VolumesFrom}}");
    assert_eq!(from, format!("[\"{}:ro\"]", project.ids()["shop-web-1"]));
}

#[test]
fn programs_see_what_is_mounted() {
    let project = Project::new(
        "name: shop
services:
  first:
    image: busybox
    command: sh -c 'mkdir -p /data/sub && echo deep > /data/sub/file'
    volumes: ['data:/data']
  then:
    image: busybox
    command: sh -c 'cat /part/file; /image/echo from the image; df /memory | tail -1; touch /fixed/x 2>&1; ls /anonymous'
    depends_on: {first: {condition: service_completed_successfully, required: true}}
    volumes:
      - {type: volume, source: data, target: /part, volume: {subpath: sub}}
      - {type: image, source: busybox, target: /image, image: {subpath: bin}}
      - {type: tmpfs, target: /memory, tmpfs: {size: 2m}}
      - {type: bind, source: ./made, target: /fixed, read_only: true, bind: {create_host_path: true}}
      - /anonymous
volumes: {data: {}}
",
    );
    project.run("compose up -d").ok();
    project.engine.corten(["wait", "shop-then-1"]).ok();
    let log = project.run("compose logs --no-log-prefix then").ok();
    assert!(log.starts_with("deep\nfrom the image\n"), "{log}");
    assert!(log.contains("2048") && log.contains("Read-only file system"), "{log}");
    assert!(project.engine.work().join("made").is_dir());
}

#[test]
fn volumes_are_made_as_they_are_written() {
    let project = Project::new(
        "name: shop
services: {web: {image: busybox, volumes: ['named:/a', 'options:/b', 'outside:/c']}}
volumes:
  named: {name: its-own-name, labels: {kind: data}}
  options: {driver: local, driver_opts: {type: tmpfs, device: tmpfs, o: size=1m}}
  outside: {external: true, name: from-outside}
",
    );
    let missing = project.run("compose create").fails(1);
    assert!(
        missing.contains("external volume \"from-outside\" not found"),
        "{missing}"
    );
    project.engine.corten(["volume", "create", "from-outside"]).ok();
    project.run("compose create").ok();
    project.says_of("volume", "its-own-name", &[("index .Labels \"kind\"", "data")]);
    project.says_of(
        "volume",
        "shop_options",
        &[
            (".Driver", "local"),
            ("json .Options", r#"{"device":"tmpfs","o":"size=1m","type":"tmpfs"}"#),
        ],
    );
    project.run("compose down -v").ok();
    let left = project.engine.corten(["volume", "ls", "-q"]).line();
    assert_eq!(left, "from-outside");
    project.write(
        "compose.yaml",
        "name: shop
services: {web: {image: busybox, volumes: ['old:/c']}}
volumes: {old: {external: {name: from-outside}}}
",
    );
    let said = project.run("compose create").run();
    assert_eq!(said.code, 0, "{said}");
    project.says("shop-web-1", &[("json .HostConfig.Binds", r#"["from-outside:/c:rw"]"#)]);
}
