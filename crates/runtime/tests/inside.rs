//! What a container looks like from inside: namespaces, mounts, devices, user, limits, filters.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests look at files directly, and panic"
)]

mod harness;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use harness::Bundle;
use serde_json::json;

fn host_namespace(kind: &str) -> String {
    let link = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
    format!("{}\n", link.display())
}

#[test]
fn namespaces_are_new_or_shared_as_asked() {
    let kinds = [
        ("mount", "mnt"),
        ("network", "net"),
        ("uts", "uts"),
        ("pid", "pid"),
        ("ipc", "ipc"),
        ("cgroup", "cgroup"),
        ("time", "time"),
    ];
    let script = kinds
        .map(|(_, link)| format!("readlink /proc/self/ns/{link}"))
        .join(";");
    let mut bundle = Bundle::new(&script);
    bundle.namespace("cgroup", None);
    bundle.namespace("time", None);
    for ((kind, link), inside) in kinds.iter().zip(bundle.output().lines()) {
        assert_ne!(format!("{inside}\n"), host_namespace(link), "{kind}");
    }
    let mut bundle = Bundle::new(&script);
    bundle.spec.as_object_mut().unwrap().remove("hostname");
    for kind in ["network", "uts", "pid", "ipc"] {
        bundle.share(kind);
    }
    let own = bundle.output();
    for ((kind, link), inside) in kinds.iter().zip(own.lines()).skip(1) {
        assert_eq!(format!("{inside}\n"), host_namespace(link), "{kind}");
    }
}

#[test]
fn namespaces_are_joined_by_path() {
    let mut first = Bundle::new("exec sleep 1000");
    first.map_users();
    first.detached();
    let pid = first.pid();
    let script = "for n in net ipc uts pid user; do readlink /proc/self/ns/$n; done";
    let of_first = first.inside(script);
    // Into the user namespace as well, then into all but that.
    for user in [true, false] {
        let mut second = Bundle::new(script);
        second.spec.as_object_mut().unwrap().remove("hostname");
        let mut kinds = vec![("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid")];
        if user {
            second.map_users();
            second.linux()["uidMappings"] = json!([]);
            second.linux()["gidMappings"] = json!([]);
            kinds.push(("user", "user"));
        }
        for (kind, link) in &kinds {
            second.namespace(kind, Some(&format!("/proc/{pid}/ns/{link}")));
        }
        let inside = second.output();
        let same = inside
            .lines()
            .zip(of_first.lines())
            .filter(|(one, other)| one == other)
            .count();
        assert_eq!(same, kinds.len(), "{inside}");
    }
}

#[test]
fn a_user_namespace_maps_ids() {
    let mut bundle = Bundle::new(
        "cat /proc/self/uid_map /proc/self/gid_map; id -u; touch /tmp/made; test -c /dev/null && echo x > /dev/null",
    );
    bundle.map_users();
    bundle.namespace("cgroup", None);
    std::fs::set_permissions(bundle.root().join("tmp"), std::fs::Permissions::from_mode(0o1777)).unwrap();
    let words: Vec<_> = bundle.output().split_whitespace().map(str::to_owned).collect();
    assert_eq!(words, ["0", "100000", "65536", "0", "100000", "65536", "0"]);
    assert_eq!(
        std::fs::metadata(bundle.root().join("tmp/made")).unwrap().uid(),
        100_000
    );
}

#[test]
fn exec_enters_a_user_namespace() {
    let mut bundle = Bundle::new("exec sleep 1000");
    bundle.map_users();
    bundle.namespace("cgroup", None);
    bundle.detached();
    assert_eq!(
        bundle.inside("id -u; readlink /proc/self/ns/user"),
        format!("0\n{}", bundle.inside("readlink /proc/1/ns/user"))
    );
    let outcome = bundle.call("exec -t {} tty");
    assert_eq!(
        (outcome.code, outcome.out.as_str()),
        (0, "/dev/pts/0\r\n"),
        "{outcome:?}"
    );
}

#[test]
fn clocks_are_offset() {
    let mut bundle = Bundle::new("cut -d. -f1 /proc/uptime");
    bundle.namespace("time", None);
    bundle.linux()["timeOffsets"] = json!({"boottime": {"secs": 1_000_000_000, "nanosecs": 0}});
    let uptime: u64 = bundle.output().trim().parse().unwrap();
    assert!(uptime > 1_000_000_000, "{uptime}");
}

#[test]
fn names_and_parameters_are_the_containers() {
    let mut bundle =
        Bundle::new("hostname; cat /proc/sys/kernel/domainname /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni");
    bundle.spec["hostname"] = json!("name");
    bundle.spec["domainname"] = json!("domain");
    bundle.linux()["sysctl"] = json!({"net.ipv4.ip_forward": "1", "kernel.shmmni": "99"});
    assert_eq!(bundle.output(), "name\ndomain\n1\n99\n");
}

/// Mounts and returns the line about it in `/proc/self/mountinfo`, and what a script says.
fn mounted(kind: &str, source: &str, options: &str, script: &str) -> (String, String) {
    let mut bundle = Bundle::new(&format!("grep ' /mnt ' /proc/self/mountinfo; {script}"));
    bundle.mount(kind, source, "/mnt", options);
    let out = bundle.output();
    let (line, rest) = out.split_once('\n').unwrap();
    (line.to_owned(), rest.to_owned())
}

#[test]
fn mount_options_are_in_force() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "text").unwrap();
    let path = folder.path().to_str().unwrap();
    for (kind, source, options, words) in [
        (
            "tmpfs",
            "tmpfs",
            "nosuid,nodev,noexec,size=1m,mode=1770",
            &["rw,nosuid,nodev,noexec,relatime", "size=1024k", "mode=1770"][..],
        ),
        ("tmpfs", "tmpfs", "ro", &["ro,relatime"]),
        ("tmpfs", "tmpfs", "ro,rw,noatime,nodiratime", &["rw,noatime,nodiratime"]),
        ("tmpfs", "tmpfs", "strictatime,nosymfollow", &["rw,nosymfollow -"]),
        ("bind", path, "rbind,ro,noexec", &["ro,noexec"]),
        ("bind", path, "bind,rro", &["ro,"]),
        ("bind", path, "rbind,rprivate", &["rw,"]),
        ("bind", path, "rbind,shared", &[" shared:"]),
        ("bind", path, "rbind,runbindable", &[" unbindable "]),
        ("proc", "proc", "hidepid=2", &["hidepid=invisible"]),
    ] {
        let (line, _) = mounted(kind, source, options, "true");
        let line = line.replace(" master:1", "");
        for word in words {
            assert!(line.contains(word), "{kind} {options}: {word} not in {line}");
        }
    }
    let (_, out) = mounted(
        "bind",
        path,
        "rbind,ro",
        "cat /mnt/file; echo x > /mnt/file || echo refused",
    );
    assert_eq!(out, "textrefused\n");
}

#[test]
fn read_only_reaches_below_when_asked() {
    let script = "touch /mnt/x 2>&- || echo top; touch /mnt/below/x 2>&- || echo below";
    for (options, said) in [("rbind,ro", "top\n"), ("rbind,rro", "top\nbelow\n")] {
        let mut bundle = Bundle::new(script);
        // A tree of two mounts: the container's own tmpfs with another in it, bound once more.
        let tree = bundle.path().join("tree");
        std::fs::create_dir_all(tree.join("below")).unwrap();
        bundle.mount("bind", tree.to_str().unwrap(), "/mnt", "rbind");
        let made = rustix::mount::mount(
            "tmpfs",
            tree.join("below"),
            "tmpfs",
            rustix::mount::MountFlags::empty(),
            None,
        );
        made.unwrap();
        bundle.spec["mounts"].as_array_mut().unwrap().last_mut().unwrap()["options"] =
            json!(options.split(',').collect::<Vec<_>>());
        let outcome = bundle.run();
        rustix::mount::unmount(tree.join("below"), rustix::mount::UnmountFlags::DETACH).unwrap();
        assert_eq!(outcome.out, said, "{options}: {outcome:?}");
    }
}

#[test]
fn files_are_bound_on_files_made_for_them() {
    let mut bundle = Bundle::new("cat /etc/made/here; ls -l /etc/made/here | cut -c1");
    std::fs::write(bundle.path().join("file"), "content\n").unwrap();
    bundle.mount("bind", "file", "/etc/made/here", "bind");
    assert_eq!(bundle.output(), "content\n-\n");
}

#[test]
fn a_tmpfs_may_start_with_what_it_covers() {
    let mut bundle = Bundle::new(
        "cd /mnt; cat file; readlink link; stat -c '%a %u' sub/deep; touch new; grep -c ' /mnt tmpfs' /proc/mounts",
    );
    let below = bundle.root().join("mnt");
    std::fs::create_dir_all(below.join("sub")).unwrap();
    std::fs::write(below.join("file"), "text\n").unwrap();
    std::fs::write(below.join("sub/deep"), "").unwrap();
    std::fs::set_permissions(below.join("sub/deep"), std::fs::Permissions::from_mode(0o604)).unwrap();
    std::os::unix::fs::chown(below.join("sub/deep"), Some(12), None).unwrap();
    symlink("/etc/passwd", below.join("link")).unwrap();
    bundle.mount("tmpfs", "tmpfs", "/mnt", "tmpcopyup");
    assert_eq!(bundle.output(), "text\n/etc/passwd\n604 12\n1\n");
    assert!(!below.join("new").exists());
}

#[test]
fn ids_of_a_mount_are_mapped() {
    let mut bundle = Bundle::new("stat -c '%u %g' /mnt/file; touch /mnt/new");
    let folder = bundle.path().join("mapped");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("file"), "").unwrap();
    std::os::unix::fs::chown(&folder, Some(2000), Some(2000)).unwrap();
    std::os::unix::fs::chown(folder.join("file"), Some(2005), Some(2006)).unwrap();
    bundle.mount("bind", "mapped", "/mnt", "bind,idmap");
    let map = json!([{"containerID": 2000, "hostID": 0, "size": 100}]);
    let mount = bundle.spec["mounts"].as_array_mut().unwrap().last_mut().unwrap();
    mount["uidMappings"] = map.clone();
    mount["gidMappings"] = map;
    assert_eq!(bundle.output(), "5 6\n");
    assert_eq!(std::fs::metadata(folder.join("new")).unwrap().uid(), 2000);
}

#[test]
fn an_overlay_may_have_many_layers_with_long_names() {
    let mut bundle = Bundle::new("ls /mnt | wc -l; cat /mnt/top");
    let mut options = Vec::new();
    for number in 0..150 {
        let layer = bundle.path().join(format!("{}/{number}", "layer".repeat(45)));
        std::fs::create_dir_all(&layer).unwrap();
        std::fs::write(layer.join(format!("file{number}")), "").unwrap();
        std::fs::write(layer.join("top"), format!("{number}\n")).unwrap();
        options.push(format!("lowerdir+={}", layer.display()));
    }
    bundle.mount("overlay", "overlay", "/mnt", &options.join(","));
    assert_eq!(bundle.output(), "151\n0\n");
}

#[test]
fn the_root_is_read_only_when_asked() {
    let mut bundle = Bundle::new("touch /x 2>&- || echo refused; touch /dev/shm/x");
    bundle.spec["root"]["readonly"] = json!(true);
    assert_eq!(bundle.output(), "refused\n");
}

#[test]
fn the_roots_propagation_is_as_asked() {
    for (word, mark) in [("shared", "shared:"), ("private", " - "), ("unbindable", "unbindable")] {
        let mut bundle =
            Bundle::new("grep ' / / ' /proc/self/mountinfo || cut -d' ' -f4- /proc/self/mountinfo | head -1");
        bundle.linux()["rootfsPropagation"] = json!(word);
        let out = bundle.output();
        assert!(out.contains(mark), "{word}: {out}");
    }
}

#[test]
fn the_root_may_be_entered_without_pivot() {
    let bundle = Bundle::new("ls / | grep -c bin; readlink /proc/self/root");
    let outcome = bundle.call("run --no-pivot {}");
    assert_eq!(outcome.out, "1\n/\n", "{outcome:?}");
}

#[test]
fn masked_and_protected_paths_are_out_of_reach() {
    let script = "cat /proc/timer_list | wc -c; ls /sys/firmware | wc -l; echo x 2>&- > /proc/sysrq-trigger || echo ro; \
                  echo x 2>&- > /proc/sys/kernel/hostname || echo ro; touch /sys/firmware/x 2>&- || echo ro; cat /etc/secret | wc -c";
    let mut bundle = Bundle::new(script);
    std::fs::write(bundle.root().join("etc/secret"), "secret").unwrap();
    bundle.linux()["maskedPaths"]
        .as_array_mut()
        .unwrap()
        .push(json!("/etc/secret"));
    assert_eq!(bundle.output(), "0\n0\nro\nro\nro\n0\n");
    assert_eq!(std::fs::read(bundle.root().join("etc/secret")).unwrap(), b"secret");
}

#[test]
fn links_in_the_image_lead_nowhere_outside() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    let mut bundle = Bundle::new("true");
    symlink(target, bundle.root().join("absolute")).unwrap();
    symlink(
        format!("../../../../../../../..{target}"),
        bundle.root().join("relative"),
    )
    .unwrap();
    symlink("/proc/self/root", bundle.root().join("magic")).unwrap();
    symlink("/proc/1/root/tmp", bundle.root().join("first")).unwrap();
    std::fs::write(bundle.path().join("file"), "").unwrap();
    for link in ["absolute", "relative", "magic", "first"] {
        bundle.mount("tmpfs", "tmpfs", &format!("/{link}/folder"), "");
        bundle.mount("bind", "file", &format!("/{link}/file"), "bind");
    }
    bundle.linux()["maskedPaths"] = json!([format!("/absolute/../../{target}")]);
    bundle.linux()["devices"] = json!([{"type": "c", "path": "/absolute/null", "major": 1, "minor": 3}]);
    let outcome = bundle.run();
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0, "{outcome:?}");
    for name in ["folder", "file"] {
        assert!(!std::path::Path::new("/").join(name).exists());
    }
}

#[test]
fn proc_is_mounted_on_a_folder_only() {
    let bundle = Bundle::new("true");
    std::fs::remove_dir(bundle.root().join("proc")).unwrap();
    symlink("tmp", bundle.root().join("proc")).unwrap();
    let outcome = bundle.run();
    assert!(
        outcome
            .err
            .contains("filesystem \"proc\" must be mounted on ordinary directory"),
        "{outcome:?}"
    );
    let dev = bundle.root().join("dev");
    std::fs::remove_file(bundle.root().join("proc")).unwrap();
    std::fs::create_dir(bundle.root().join("proc")).unwrap();
    std::fs::remove_dir(&dev).unwrap();
    // A /dev that is a link stays inside.
    symlink("/etc/../tmp", &dev).unwrap();
    assert_eq!(bundle.run().code, 0);
}

#[test]
fn devices_are_those_of_the_specification() {
    let script = "cd /dev; for d in null zero full random urandom tty; do test -c $d || echo no $d; stat -c '%a %t:%T' $d; done; \
                  for l in fd stdin stdout stderr ptmx; do readlink $l; done; ls -ld fuse own; echo x > null; head -c 1 zero | wc -c";
    let mut bundle = Bundle::new(script);
    bundle.linux()["devices"] = json!([
        {"type": "c", "path": "/dev/fuse", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 5, "gid": 6},
        {"type": "p", "path": "/dev/own", "fileMode": 0o600},
    ]);
    let out = bundle.output();
    let expected = "666 1:3\n666 1:5\n666 1:7\n666 1:8\n666 1:9\n666 5:0\n\
                    /proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n";
    assert!(out.starts_with(expected), "{out}");
    assert!(out.contains("crw-r-----    1 5        6          10, 229"), "{out}");
    assert!(out.contains("prw-------    1 root     0"), "{out}");
    assert!(out.ends_with("\n1\n"), "{out}");
}

#[test]
fn the_devices_allowed_are_enforced() {
    let mut bundle = Bundle::new("mknod /tmp/d c 1 1 && (cat /tmp/d 2>&- || echo refused)");
    std::fs::set_permissions(bundle.root().join("tmp"), std::fs::Permissions::from_mode(0o1777)).unwrap();
    for set in ["bounding", "permitted", "effective"] {
        bundle.process()["capabilities"][set]
            .as_array_mut()
            .unwrap()
            .push(json!("CAP_SYS_RAWIO"));
    }
    assert_eq!(bundle.output(), "refused\n");
}

#[test]
fn a_hosts_dev_is_left_alone() {
    let mut bundle = Bundle::new("test -c /dev/null && ls -l /dev/ptmx | cut -c1");
    let mounts = bundle.spec["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    let before = std::fs::symlink_metadata("/dev/ptmx").unwrap().ino();
    bundle.mount("bind", "/dev", "/dev", "rbind");
    bundle.output();
    assert_eq!(std::fs::symlink_metadata("/dev/ptmx").unwrap().ino(), before);
}

#[test]
fn the_process_is_who_it_is_to_be() {
    let mut bundle = Bundle::new(
        "id; umask; pwd; echo $HOME $A; grep -E 'NoNewPrivs|Cap(Eff|Prm|Bnd|Amb|Inh)' /proc/self/status | cut -f2; cat /proc/self/oom_score_adj",
    );
    bundle.process()["user"] = json!({"uid": 1000, "gid": 1001, "additionalGids": [7, 8], "umask": 0o27});
    bundle.process()["cwd"] = json!("/tmp");
    bundle.process()["env"].as_array_mut().unwrap().push(json!("A=b"));
    bundle.process()["noNewPrivileges"] = json!(true);
    bundle.process()["oomScoreAdj"] = json!(321);
    let both = json!(["CAP_KILL", "CAP_NET_RAW"]);
    bundle.process()["capabilities"] =
        json!({"bounding": both, "permitted": both, "inheritable": both, "ambient": ["CAP_KILL"], "effective": []});
    let both = "0000000000002020";
    let kill = "0000000000000020";
    let lines = [
        "uid=1000(user) gid=1001 groups=7,8",
        "0027",
        "/tmp",
        "/home/user b",
        both,
        kill,
        kill,
        both,
        kill,
        "1",
        "321",
        "",
    ];
    assert_eq!(bundle.output(), lines.join("\n"));
}

#[test]
fn no_capabilities_means_none() {
    let mut bundle = Bundle::new("grep Cap /proc/self/status | cut -f2 | sort -u");
    bundle.process()["capabilities"] = json!({});
    assert_eq!(bundle.output(), "0000000000000000\n");
}

#[test]
fn limits_and_scheduling_are_set() {
    let mut bundle = Bundle::new(
        "grep -E 'open files|core file' /proc/self/limits | tr -s ' ' | cut -d' ' -f4-6; cat /proc/self/personality; cut -d' ' -f41 /proc/self/stat",
    );
    symlink("busybox", bundle.root().join("bin/tr")).unwrap();
    bundle.process()["rlimits"] = json!([
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 5},
    ]);
    bundle.process()["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 3});
    bundle.process()["ioPriority"] = json!({"class": "IOPRIO_CLASS_IDLE", "priority": 0});
    bundle.linux()["personality"] = json!({"domain": "LINUX32"});
    let out = bundle.output();
    assert_eq!(out, "size 0 5\n100 200 files\n00000008\n3\n");
}

#[test]
fn calls_are_filtered() {
    for no_new_privileges in [false, true] {
        for uid in [0, 1000] {
            let mut bundle = Bundle::new("mkdir /dev/shm/x 2>&1 | grep -c permitted; grep Seccomp: /proc/self/status");
            bundle.process()["noNewPrivileges"] = json!(no_new_privileges);
            bundle.process()["user"] = json!({"uid": uid, "gid": uid});
            bundle.linux()["seccomp"] = json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "architectures": ["SCMP_ARCH_X86_64"],
                "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
            });
            let out = bundle.output();
            assert_eq!(out, "1\nSeccomp:\t2\n", "{no_new_privileges} {uid}");
        }
    }
}

#[test]
fn cgroups_are_seen_as_asked() {
    let script =
        "cat /proc/self/cgroup | grep pids; cat /sys/fs/cgroup/pids/pids.max; touch /sys/fs/cgroup/x 2>&- || echo ro";
    let mut bundle = Bundle::new(script);
    let id = bundle.id.clone();
    assert_eq!(bundle.output(), format!("8:pids:/corten-test-{id}/c\n100\nro\n"));
    bundle.namespace("cgroup", None);
    assert_eq!(bundle.output(), "8:pids:/\n100\nro\n");
}

#[test]
fn only_preserved_descriptors_are_inherited() {
    let bundle = Bundle::new("ls /proc/self/fd | wc -l");
    for (flags, count) in [("", "4\n"), ("--preserve-fds 2", "6\n")] {
        let line = format!(
            "exec 3</etc/passwd 4</etc/group 9</etc/hosts; exec \"$0\" \"$@\" run {flags} {}",
            bundle.id
        );
        let command = bundle.command(&[]);
        let mut shell = std::process::Command::new("sh");
        shell
            .args(["-c", &line])
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir(bundle.path());
        let outcome = harness::outcome(shell.output().unwrap());
        assert_eq!(outcome.out, count, "{flags}: {outcome:?}");
    }
}

#[test]
fn streams_belong_to_the_user() {
    use std::io::Read as _;
    let mut bundle = Bundle::new("echo again > /dev/stdout");
    bundle.process()["user"] = json!({"uid": 1000, "gid": 1000});
    let mut child = bundle
        .command(&["run", &bundle.id])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(said, "again\n");
}

#[test]
fn signals_are_as_after_boot() {
    let bundle = Bundle::new("grep -E 'Sig(Blk|Ign)' /proc/self/status | cut -f2 | sort -u");
    let outcome = bundle.run();
    assert_eq!(outcome.out, "0000000000000000\n", "{outcome:?}");
}

#[test]
fn a_container_without_a_mount_namespace_is_chrooted() {
    let mut bundle = Bundle::new("ls /; test -e /host && echo out");
    bundle.share("mount");
    bundle.spec["mounts"] = json!([]);
    bundle.linux()["maskedPaths"] = json!([]);
    bundle.linux()["readonlyPaths"] = json!([]);
    let outcome = bundle.run();
    assert!(
        outcome.out.contains("mnt\n") && !outcome.out.contains("out\n"),
        "{outcome:?}"
    );
}

#[test]
fn what_is_not_supported_is_said() {
    for (key, value) in [
        ("intelRdt", json!({"closID": "x"})),
        ("netDevices", json!({"eth9": {}})),
    ] {
        let mut bundle = Bundle::new("true");
        bundle.linux()[key] = value;
        let outcome = bundle.run();
        assert!(
            outcome.err.contains(&format!("\"{key}\" is not supported")),
            "{outcome:?}"
        );
    }
}
