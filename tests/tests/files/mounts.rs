//! `-v`, `--mount` and `--volumes-from` in every form.

use corten_sys::fs;
use corten_tests::engine::Engine;

#[test]
fn volumes_come_from_other_containers() {
    let engine = Engine::start();
    let bind = format!("{}:/bind:ro", engine.work().display());
    engine
        .corten([
            "create",
            "--name",
            "first",
            "-v",
            "named:/named",
            "-v",
            "/anonymous",
            "-v",
            &bind,
            "busybox",
        ])
        .ok();
    engine
        .corten(["create", "--name", "second", "-v", "other:/named", "busybox"])
        .ok();
    let mounts = "{{range .Mounts}}{{.Type}} {{.Destination}} {{.RW}}\n{{end}}";
    let show = |name: &str| {
        let text = engine.corten(["inspect", "-f", mounts, name]).ok();
        let mut lines: Vec<_> = text
            .lines()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines.join(", ")
    };
    engine
        .corten([
            "run",
            "--name",
            "all",
            "--volumes-from",
            "first",
            "busybox",
            "sh",
            "-c",
            "echo 1 > /named/f; echo 2 > /anonymous/f",
        ])
        .ok();
    assert_eq!(
        show("all"),
        "bind /bind false, volume /anonymous true, volume /named true"
    );
    engine
        .corten([
            "create",
            "--name",
            "reads",
            "--volumes-from",
            "first:ro",
            "busybox",
            "cat",
            "/named/f",
            "/anonymous/f",
        ])
        .ok();
    assert_eq!(
        show("reads"),
        "bind /bind false, volume /anonymous false, volume /named false"
    );
    assert_eq!(engine.corten(["start", "-a", "reads"]).ok(), "1\n2\n");
    // The last container wins, and one's own mounts over all of them.
    let name = |name: &str| {
        engine.inspect(
            name,
            "{{range .Mounts}}{{if eq .Destination \"/named\"}}{{.Name}}{{end}}{{end}}",
        )
    };
    engine
        .corten([
            "create",
            "--name",
            "both",
            "--volumes-from",
            "first",
            "--volumes-from",
            "second",
            "busybox",
        ])
        .ok();
    assert_eq!(name("both"), "other");
    engine
        .corten([
            "create",
            "--name",
            "own",
            "--volumes-from",
            "first",
            "-v",
            "mine:/named",
            "busybox",
        ])
        .ok();
    assert_eq!(name("own"), "mine");
    for (value, message) in [
        ("nosuch", "No such container: nosuch"),
        ("first:bogus", "invalid mode: bogus"),
        ("first:rshared", "invalid mode: rshared"),
        ("first:nocopy", "invalid mode: nocopy"),
    ] {
        let refusal = engine.corten(["create", "--volumes-from", value, "busybox"]).fails(1);
        let expected = format!("Error response from daemon: {message}\n");
        assert!(refusal.ends_with(&expected), "{refusal}");
    }
    let refusal = engine
        .corten(["create", "--name", "self", "--volumes-from", "self", "busybox"])
        .fails(1);
    assert!(
        refusal.ends_with("Error response from daemon: No such container: self\n"),
        "{refusal}"
    );
    // Who borrows a volume does not take it away.
    engine.corten(["rm", "-v", "first"]).ok();
    engine.corten(["rm", "-v", "all", "reads", "both", "own"]).ok();
    assert_eq!(engine.corten(["volume", "ls", "-q"]).ok().lines().count(), 4);
}

#[test]
fn a_path_inside_a_volume_is_found_in_it() {
    let engine = Engine::start();
    engine.sh("mkdir -p outside && echo host > outside/f").ok();
    let host = engine.work().join("outside");
    let script = format!(
        "mkdir -p /v/a/b && echo in > /v/a/b/f && echo file > /v/file && ln -s {} /v/out && ln -s /a/b /v/link && ln -s ../../../.. /v/up",
        host.display()
    );
    engine
        .corten(["run", "--rm", "-v", "vol:/v", "busybox", "sh", "-c", &script])
        .ok();
    let run = |subpath: &str, command: &[&str]| {
        let mount = format!("src=vol,dst=/x,volume-subpath={subpath}");
        engine.corten(
            ["run", "--rm", "--mount", &mount, "busybox"]
                .iter()
                .copied()
                .chain(command.iter().copied()),
        )
    };
    assert_eq!(run("a/b", &["cat", "/x/f"]).ok(), "in\n");
    assert_eq!(run("file", &["cat", "/x"]).ok(), "file\n");
    assert_eq!(run("link", &["cat", "/x/f"]).ok(), "in\n");
    assert_eq!(run("up", &["ls", "/x"]).ok(), "a\nfile\nlink\nout\nup\n");
    let refusal = run("out", &["cat", "/x/f"]).fails(127);
    assert!(
        refusal.contains("cannot access path ") && refusal.contains("no such file or directory"),
        "{refusal}"
    );
    for (subpath, message) in [
        ("../x", "subpath must be a relative path within the volume"),
        ("/abs", "subpath must be a relative path within the volume"),
    ] {
        let refusal = run(subpath, &["true"]).fails(125);
        assert!(refusal.contains(message), "{refusal}");
    }
    let refusal = engine
        .corten(["create", "--mount", "dst=/x,volume-subpath=a", "busybox"])
        .fails(1);
    assert!(
        refusal.contains("must not set Subpath when using anonymous volumes"),
        "{refusal}"
    );
    // Nothing of it stays mounted, and a copy sees the same.
    engine
        .corten([
            "run",
            "-d",
            "--name",
            "runs",
            "--mount",
            "src=vol,dst=/x,volume-subpath=a",
            "busybox",
            "sleep",
            "1000",
        ])
        .ok();
    engine.sh("echo new > new").ok();
    engine.corten(["cp", "new", "runs:/x/b/"]).ok();
    assert_eq!(engine.corten(["exec", "runs", "cat", "/x/b/new"]).ok(), "new\n");
    engine.crash();
    engine.corten(["rm", "-f", "runs"]).ok();
    let table = fs::read_to_string(format!("/proc/{}/mountinfo", engine.pid())).unwrap();
    assert!(!table.contains(&engine.exec_root().display().to_string()), "{table}");
    assert_eq!(fs::read_to_string(host.join("f")).unwrap(), "host\n");
}

#[test]
fn images_are_mounted() {
    let engine = Engine::start();
    engine
        .corten([
            "run",
            "--name",
            "source",
            "busybox",
            "sh",
            "-c",
            "mkdir /tree && echo leaf > /tree/leaf",
        ])
        .ok();
    engine.corten(["commit", "source", "tree"]).ok();
    let run =
        |mount: &str, script: &str| engine.corten(["run", "--rm", "--mount", mount, "busybox", "sh", "-c", script]);
    assert_eq!(
        run(
            "type=image,src=tree,dst=/i",
            "cat /i/tree/leaf; touch /i/x 2>/dev/null || echo kept"
        )
        .ok(),
        "leaf\nkept\n"
    );
    assert_eq!(
        run("type=image,src=tree,dst=/i,image-subpath=tree", "cat /i/leaf").ok(),
        "leaf\n"
    );
    let refusal = run("type=image,src=nosuch,dst=/i", "true").fails(125);
    assert!(refusal.contains("No such image: nosuch:latest"), "{refusal}");
    // What a container shows stays as long as it is there.
    engine
        .corten([
            "create",
            "--name",
            "shows",
            "--mount",
            "type=image,src=tree,dst=/i",
            "busybox",
            "cat",
            "/i/tree/leaf",
        ])
        .ok();
    engine.corten(["rm", "source"]).ok();
    engine.corten(["rmi", "tree"]).ok();
    engine.crash();
    assert_eq!(engine.corten(["start", "-a", "shows"]).ok(), "leaf\n");
    assert_eq!(engine.corten(["rm", "shows"]).ok(), "shows\n");
    let roots = fs::read_dir(engine.data_root().join("overlay2")).unwrap();
    assert!(
        !roots
            .flatten()
            .any(|root| root.file_name().to_string_lossy().contains("-image-"))
    );
}

#[test]
fn read_only_binds_are_so_to_their_depth() {
    let engine = Engine::start();
    // In a mount namespace of the engine's own there is a mount below the source.
    let tree = engine.work().join("tree");
    fs::create_dir_all(tree.join("sub")).unwrap();
    engine
        .sh(&format!(
            "nsenter -t {} -m mount -t tmpfs tmpfs {}/sub",
            engine.pid(),
            tree.display()
        ))
        .ok();
    let run = |options: &str| {
        let mount = format!("type=bind,src={},dst=/t,{options}", tree.display());
        let script =
            "touch /t/x 2>/dev/null && echo top; touch /t/sub/x 2>/dev/null && echo sub; mount | grep -c ' /t'";
        engine
            .corten(["run", "--rm", "--mount", &mount, "busybox", "sh", "-c", script])
            .ok()
    };
    let seen = [
        run("readonly"),
        run("readonly,bind-recursive=writable"),
        run("readonly,bind-recursive=readonly,bind-propagation=rprivate"),
        run("bind-recursive=disabled"),
        run("bind-recursive=enabled"),
    ];
    engine
        .sh(&format!("nsenter -t {} -m umount {}/sub", engine.pid(), tree.display()))
        .ok();
    assert_eq!(seen, ["2\n", "sub\n2\n", "2\n", "top\nsub\n1\n", "top\nsub\n2\n"]);
}

#[test]
fn propagation_needs_a_source_that_is_shared() {
    let engine = Engine::start();
    let place = engine.work().join("place");
    fs::create_dir_all(&place).unwrap();
    let enter = |command: &str| engine.sh(&format!("nsenter -t {} -m {command}", engine.pid()));
    let text = place.display().to_string();
    enter(&format!("mount -t tmpfs tmpfs {text}")).ok();
    enter(&format!("mount --make-private {text}")).ok();
    for (mode, kind) in [("rshared", "a shared mount"), ("rslave", "a shared or slave mount")] {
        let refusal = engine
            .corten(["run", "--rm", "-v", &format!("{text}:/p:{mode}"), "busybox", "true"])
            .fails(125);
        assert!(
            refusal.contains(&format!("path {text} is mounted on {text} but it is not {kind}")),
            "{refusal}"
        );
    }
    enter(&format!("mount --make-shared {text}")).ok();
    for mode in ["rshared", "rslave", "slave", "shared"] {
        engine
            .corten([
                "run",
                "-d",
                "--name",
                mode,
                "-v",
                &format!("{text}:/p:{mode}"),
                "busybox",
                "sleep",
                "1000",
            ])
            .ok();
        fs::create_dir_all(place.join("new")).unwrap();
        enter(&format!("mount -t tmpfs tmpfs {text}/new")).ok();
        assert_eq!(
            engine
                .corten(["exec", mode, "sh", "-c", "mount | grep -c ' /p/new '"])
                .ok(),
            "1\n",
            "{mode}"
        );
        enter(&format!("umount {text}/new")).ok();
        engine.corten(["rm", "-f", mode]).ok();
    }
    enter(&format!("umount {text}")).ok();
}

#[test]
fn options_of_mounts_are_taken_in_all_forms() {
    let engine = Engine::start();
    fs::create_dir_all(engine.work().join("b")).unwrap();
    let here = engine.work().display().to_string();
    for (flags, script, expected) in [
        (
            vec!["-v", "vol:/etc:nocopy,ro"],
            "ls /etc | grep -c passwd; touch /etc/x 2>&1 | grep -c Read-only",
            "0\n1\n",
        ),
        (vec!["-v", "bb:/b:z,rw,consistent"], "touch /b/x && echo made", "made\n"),
        (
            vec!["--mount", "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=0700"],
            "df -k /t | awk 'NR > 1 {print $2}'; stat -c %a /t",
            "1024\n700\n",
        ),
        (
            vec!["--mount", "type=tmpfs,dst=/t,ro"],
            "touch /t/x 2>/dev/null || echo kept",
            "kept\n",
        ),
        (
            vec![
                "--mount",
                "type=volume,dst=/a,volume-label=own=1,volume-driver=local,consistency=cached",
            ],
            "touch /a/x && echo made",
            "made\n",
        ),
        (
            vec![
                "--mount",
                "type=volume,src=opt,dst=/a,volume-opt=type=tmpfs,volume-opt=device=tmpfs,volume-opt=o=size=1m",
            ],
            "df -k /a | awk 'NR > 1 {print $2}'",
            "1024\n",
        ),
    ] {
        let arguments = ["run", "--rm"]
            .into_iter()
            .chain(flags.iter().copied())
            .chain(["busybox", "sh", "-c", script]);
        assert_eq!(engine.corten(arguments).ok(), expected, "{flags:?}");
    }
    let bind = format!("type=bind,src={here}/b,dst=/b,bind-propagation=private");
    engine
        .corten(["run", "--rm", "--mount", &bind, "busybox", "touch", "/b/y"])
        .ok();
    assert!(engine.work().join("b/y").is_file());
    let refusal = engine
        .corten(["run", "--rm", "--storage-opt", "size=1g", "busybox", "true"])
        .fails(125);
    assert!(
        refusal.contains("--storage-opt is supported only for overlay over xfs with 'pquota' mount option"),
        "{refusal}"
    );
}
