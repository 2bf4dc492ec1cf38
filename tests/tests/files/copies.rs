//! `cp` and `/containers/{id}/archive`.

use std::io::Write as _;

use corten_sys::fs;
use corten_tests::engine::Engine;

/// An engine with a container that runs and one that was only made, both with a volume at `/data`,
/// and a folder of files to copy.
fn scene() -> Engine {
    let engine = Engine::start();
    let mounts = ["-v", "vol:/data", "--mount", "type=volume,src=vol,dst=/kept,readonly"];
    let create = |verb: &[&str], name| {
        engine
            .corten(
                verb.iter()
                    .chain(&["--name", name])
                    .chain(&mounts)
                    .chain(&["busybox", "sleep", "1000"]),
            )
            .ok();
    };
    create(&["run", "-d"], "runs");
    create(&["create"], "made");
    engine
        .sh("mkdir -p dir/sub && echo file > file && echo a > dir/a && echo b > dir/sub/b && ln -s a dir/link && ln dir/a dir/hard && chown 7:8 dir/a && chmod 4751 dir/a")
        .ok();
    engine
}

const BOTH: [&str; 2] = ["runs", "made"];

#[test]
fn files_and_folders_go_both_ways() {
    let engine = scene();
    let copy = |from: &str, to: &str| engine.corten(["cp", from, to]).ok();
    for container in BOTH {
        let inside = |path: &str| format!("{container}:{path}");
        // A file to a folder, to a new name, over a file.
        copy("file", &inside("/root"));
        copy("file", &inside("/root/new"));
        copy("dir/a", &inside("/root/new"));
        // A folder into a folder, to a new name, and its contents.
        copy("dir", &inside("/root/"));
        copy("dir", &inside("/root/named"));
        copy("dir/.", &inside("/root/contents"));
        engine.sh("rm -rf out && mkdir out out/root").ok();
        copy(&inside("/root/."), "out/root");
        copy(&inside("/root/dir"), "out");
        copy(&inside("/root/dir"), "out/named");
        copy(&inside("/root/file"), "out/file2");
        let names = engine.sh("cd out && find . | sort").ok();
        let folder = |at: &str| {
            ["", "/a", "/hard", "/link", "/sub", "/sub/b"]
                .map(|name| format!("{at}{name}\n"))
                .concat()
        };
        let root = format!(
            "./root\n{}{}./root/file\n{}./root/new\n",
            folder("./root/contents"),
            folder("./root/dir"),
            folder("./root/named")
        );
        assert_eq!(
            names,
            format!(".\n{}./file2\n{}{root}", folder("./dir"), folder("./named")),
            "{container}"
        );
        assert_eq!(
            engine.sh("cat out/root/new out/root/file out/named/sub/b").ok(),
            "a\nfile\nb\n"
        );
        // Owners and special modes are kept going in; what comes out is the caller's.
        assert_eq!(
            engine.sh("stat -c '%u:%g %a %h' out/dir/a; readlink out/dir/link").ok(),
            "0:0 4751 2\na\n"
        );
        let listed = engine.sh(&format!(
            "{} cp {container}:/root/dir/a - | tar -tvn | cut -c -20",
            corten_tests::programs::corten().display()
        ));
        assert!(listed.ok().starts_with("-rwsr-x--x 7/8"), "{container}");
    }
    assert_eq!(
        engine.corten(["exec", "runs", "cat", "/root/contents/sub/b"]).ok(),
        "b\n"
    );
    engine.corten(["start", "made"]).ok();
    assert_eq!(
        engine
            .corten(["exec", "made", "stat", "-c", "%u:%g %h", "/root/dir/a"])
            .ok(),
        "7:8 2\n"
    );
}

#[test]
fn the_real_docker_copies_too() {
    let engine = scene();
    for container in BOTH {
        let Some(call) = engine.docker(["cp", "dir", &format!("{container}:/root/new")]) else {
            return;
        };
        call.ok();
        let out = format!("out-{container}");
        engine
            .docker(["cp", &format!("{container}:/root/new/."), &out])
            .expect("docker")
            .ok();
        assert_eq!(engine.sh(&format!("cat {out}/a {out}/sub/b")).ok(), "a\nb\n");
    }
}

#[test]
fn links_are_followed_when_asked() {
    let engine = scene();
    engine.sh("ln -s file to-file && ln -s dir to-dir").ok();
    for container in BOTH {
        let inside = |path: &str| format!("{container}:{path}");
        engine.corten(["cp", "to-file", &inside("/plain")]).ok();
        engine.corten(["cp", "-L", "to-file", &inside("/followed")]).ok();
        engine.corten(["cp", "to-dir/.", &inside("/root/dir")]).ok();
        let corten = corten_tests::programs::corten().display().to_string();
        let kinds = engine
            .sh(&format!(
                "for f in plain followed; do {corten} cp {container}:/$f - | tar -tv | cut -c 1; done"
            ))
            .ok();
        assert_eq!(kinds, "l\n-\n", "{container}");
        engine.corten(["cp", &inside("/root/dir/link"), "kept"]).ok();
        engine.corten(["cp", "-L", &inside("/root/dir/link"), "content"]).ok();
        assert_eq!(
            engine.sh("readlink kept; cat content; rm kept content").ok(),
            "a\na\n",
            "{container}"
        );
        // A link at the destination's end is followed.
        engine.corten(["cp", "file", &inside("/root/dir/link")]).ok();
        engine.corten(["cp", &inside("/root/dir/a"), "content"]).ok();
        assert_eq!(engine.sh("cat content").ok(), "file\n", "{container}");
    }
}

#[test]
fn archives_come_from_and_go_to_pipes() {
    let engine = scene();
    let corten = corten_tests::programs::corten().display().to_string();
    for container in BOTH {
        engine
            .sh(&format!("tar -C dir -c . | {corten} cp - {container}:/root"))
            .ok();
        engine
            .sh(&format!("tar -C dir -cz . | {corten} cp - {container}:/tmp"))
            .ok();
        for folder in ["root", "tmp"] {
            let names = engine
                .sh(&format!("{corten} cp {container}:/{folder}/sub - | tar -t"))
                .ok();
            assert_eq!(names, "sub/\nsub/b\n", "{container}");
        }
        let cut = engine
            .sh(&format!("tar -c dir | head -c 1200 | {corten} cp - {container}:/root"))
            .fails(1);
        assert_eq!(cut, "Error response from daemon: unexpected EOF\n");
        let refused = engine
            .sh(&format!("tar -c dir | {corten} cp - {container}:/root/a"))
            .fails(1);
        assert_eq!(
            refused,
            format!("destination \"{container}:/root/a\" must be a directory\n")
        );
    }
}

#[test]
fn volumes_are_part_of_what_is_copied() {
    let engine = scene();
    let volume = engine.data_root().join("volumes/vol/_data");
    for container in BOTH {
        let inside = |path: &str| format!("{container}:{path}");
        engine
            .corten(["cp", "file", &inside(&format!("/data/{container}"))])
            .ok();
        assert_eq!(fs::read_to_string(volume.join(container)).unwrap(), "file\n");
        engine
            .corten(["cp", &inside(&format!("/kept/{container}")), "out"])
            .ok();
        let refused = engine.corten(["cp", "file", &inside("/kept/")]).fails(1);
        assert_eq!(
            refused,
            "Error response from daemon: mounted volume is marked read-only\n"
        );
        // A link in the root may lead into the volume, one in the volume not to the host.
        engine.sh("ln -sfn /data into").ok();
        engine.corten(["cp", "into", &inside("/into")]).ok();
        engine.corten(["cp", "file", &inside("/into/through")]).ok();
        assert!(volume.join("through").is_file());
        fs::remove_file(volume.join("through")).unwrap();
    }
    let names = engine.sh(&format!(
        "{} cp made:/ - | tar -t | grep data",
        corten_tests::programs::corten().display()
    ));
    assert_eq!(names.ok(), "/data/\n/data/made\n/data/runs\n");
}

#[test]
fn a_read_only_root_is_refused_and_its_tmpfs_is_not() {
    let engine = Engine::start();
    engine.sh("echo file > file").ok();
    for verb in [&["create", "--name", "made"][..], &["run", "-d", "--name", "runs"]] {
        let flags = ["--read-only", "--tmpfs", "/scratch", "busybox", "sleep", "1000"];
        engine.corten(verb.iter().chain(&flags)).ok();
    }
    for container in BOTH {
        let refused = engine.corten(["cp", "file", &format!("{container}:/root/")]).fails(1);
        assert_eq!(
            refused,
            "Error response from daemon: container rootfs is marked read-only\n"
        );
    }
    engine.corten(["cp", "file", "runs:/scratch/"]).ok();
    assert_eq!(engine.corten(["exec", "runs", "cat", "/scratch/file"]).ok(), "file\n");
}

#[test]
fn the_archive_flag_gives_files_to_the_containers_user() {
    let engine = Engine::start();
    engine.sh("echo file > file && chown 77:78 file").ok();
    engine
        .corten(["run", "-d", "--name", "runs", "-u", "1:1", "busybox", "sleep", "1000"])
        .ok();
    engine.corten(["cp", "file", "runs:/tmp/kept"]).ok();
    engine.corten(["cp", "-a", "file", "runs:/tmp/given"]).ok();
    let owners = engine
        .corten(["exec", "runs", "stat", "-c", "%u:%g", "/tmp/kept", "/tmp/given"])
        .ok();
    assert_eq!(owners, "77:78\n1:1\n");
}

#[test]
fn kinds_are_not_exchanged_and_the_kernels_files_are_not_there() {
    let engine = scene();
    for container in BOTH {
        let inside = |path: &str| format!("{container}:{path}");
        engine.corten(["cp", "dir", &inside("/root/")]).ok();
        engine.sh("mkdir -p other && echo x > other/sub").ok();
        let refused = engine.corten(["cp", "other/sub", &inside("/root/dir")]).fails(1);
        let words = "Error response from daemon: cannot overwrite directory \"/root/dir/sub\" with non-directory \"/root/dir\"\n";
        assert_eq!(refused, words);
        let refused = engine.corten(["cp", "dir", &inside("/etc/passwd")]).fails(1);
        assert_eq!(refused, "cannot copy directory\n");
        let refused = engine.corten(["cp", "file", &inside("/no/such/place/")]).fails(1);
        assert_eq!(refused, "no such directory\n");
        let refused = engine.corten(["cp", &inside("/proc/version"), "."]).fails(1);
        assert_eq!(
            refused,
            format!("Error response from daemon: Could not find the file /proc/version in container {container}\n")
        );
        let refused = engine.corten(["cp", &inside("/etc"), "no/such/place"]).fails(1);
        assert!(
            refused.starts_with("invalid output path: directory \"")
                && refused.ends_with("/no/such\" does not exist\n"),
            "{refused}"
        );
    }
}

#[test]
fn the_api_tells_what_is_there() {
    let engine = scene();
    engine.corten(["cp", "dir", "made:/root/dir"]).ok();
    let stat = |path: &str| {
        let answer = engine.http("HEAD", &format!("/v1.47/containers/made/archive?path={path}"), None);
        assert_eq!(answer.status, 200, "{path}");
        let text = answer.header("X-Docker-Container-Path-Stat").unwrap().to_owned();
        let document = engine.sh(&format!("echo {text} | base64 -d")).ok();
        serde_json::from_str::<serde_json::Value>(&document).unwrap()
    };
    let link = stat("/root/dir/link");
    assert_eq!(
        (link["name"].as_str(), link["linkTarget"].as_str()),
        (Some("link"), Some("/root/dir/a"))
    );
    assert_eq!(link["mode"].as_u64().unwrap() >> 24, 8);
    let folder = stat("root/./dir/");
    assert_eq!(
        (folder["name"].as_str(), folder["mode"].as_u64()),
        (Some("dir"), Some((1 << 31) | 0o755))
    );
    assert_eq!(stat("/root/dir/a")["mode"].as_u64(), Some((1 << 23) | 0o751));
    assert_eq!(stat("/")["name"], "/");
    for (method, query, status, message) in [
        ("GET", "?path=", 400, "bad parameter: 'path' cannot be empty"),
        (
            "GET",
            "?path=/nosuch",
            404,
            "Could not find the file /nosuch in container made",
        ),
        (
            "PUT",
            "?path=/nosuch",
            404,
            "Could not find the file /nosuch in container made",
        ),
        ("PUT", "?path=/etc/passwd", 400, "extraction point is not a directory"),
    ] {
        let answer = engine.http(method, &format!("/containers/made/archive{query}"), None);
        assert_eq!(
            (answer.status, answer.message().as_str()),
            (status, message),
            "{method} {query}"
        );
    }
    let answer = engine.http("GET", "/containers/nosuch/archive?path=/", None);
    assert_eq!(
        (answer.status, answer.message().as_str()),
        (404, "No such container: nosuch")
    );
    // A body that breaks off leaves what came, and an engine that goes on.
    let cut = b"PUT /containers/made/archive?path=/root HTTP/1.1\r\nHost: x\r\nContent-Length: 10240\r\nConnection: close\r\n\r\nshort";
    let mut connection = std::os::unix::net::UnixStream::connect(engine.socket()).unwrap();
    connection.write_all(cut).unwrap();
    drop(connection);
    assert_eq!(engine.get("/containers/json?all=1").as_array().unwrap().len(), 2);
}

#[test]
fn an_export_of_a_running_container_is_its_root_alone() {
    let engine = scene();
    let corten = corten_tests::programs::corten().display().to_string();
    engine
        .corten(["exec", "runs", "touch", "/data/in-volume", "/dev/shm/x"])
        .ok();
    let names = engine.sh(&format!("{corten} export runs | tar -t")).ok();
    assert!(names.contains("\netc/passwd\n") && names.contains("proc/\n"), "{names}");
    for hidden in ["in-volume", "proc/1", "dev/null", "dev/shm/x", "sys/"] {
        assert!(
            !names.lines().any(|name| name.contains(hidden) && name != "sys/"),
            "{hidden}"
        );
    }
}
