//! `docker buildx build`: what it builds, and what it shows.

use corten_sys::fs;
use serde_json::Value;

use super::Bench;

const STAGES: &str = "FROM busybox AS made
ARG WHO=nobody
RUN --mount=type=secret,id=word test \"$(cat /run/secrets/word)\" = hush && echo hello $WHO > /made
FROM busybox
WORKDIR /app
COPY --from=made /made .
COPY a.txt sub /app/
CMD [\"cat\", \"made\", \"a.txt\", \"f\"]
";

#[test]
fn an_image_is_built_named_and_run() {
    let Some(bench) = Bench::start() else { return };
    let files = [
        ("Dockerfile", STAGES),
        ("a.txt", "a\n"),
        ("sub/f", "f\n"),
        ("unused", "u"),
        ("word", "hush"),
    ];
    let folder = bench.folder("stages", &files);
    let secret = format!("id=word,src={folder}/word");
    let build = [
        "--secret",
        &secret,
        "--build-arg",
        "WHO=me",
        "-t",
        "made:1",
        "-t",
        "made:2",
        &folder,
    ];
    let told = bench.build(&build);
    for text in [
        "[internal] load build definition from Dockerfile",
        "[internal] load build context",
        "[made 2/2] RUN --mount=type=secret,id=word",
        "[stage-1 4/4] COPY a.txt sub /app/",
        "naming to docker.io/library/made:1 done",
        "naming to docker.io/library/made:2 done",
    ] {
        assert!(told.contains(text), "{text:?} in {told}");
    }
    let run = bench.engine.corten(["run", "--rm", "--network=none", "made:2"]).ok();
    assert_eq!(run, "hello me\na\nf\n");
    let history = bench.engine.corten(["history", "--no-trunc", "made:1"]).ok();
    assert!(!history.contains("hush"), "{history}");

    // Nothing has changed: everything is remembered, and no file travels.
    let again = bench.build(&build);
    assert!(again.matches("CACHED").count() >= 5, "{again}");
    // A file that the Dockerfile asks for is seen; one that it does not is not even sent.
    fs::write(format!("{folder}/unused"), "v").expect("a file");
    fs::write(format!("{folder}/a.txt"), "b\n").expect("a file");
    bench.build(&build);
    let run = bench.engine.corten(["run", "--rm", "--network=none", "made:2"]).ok();
    assert_eq!(run, "hello me\nb\nf\n");
    let kept = bench
        .engine
        .sh(&format!("find {} -name unused", bench.engine.data_root().display()))
        .ok();
    assert_eq!(kept, "");
}

#[test]
fn the_client_s_folder_is_mirrored_with_its_dockerignore() {
    let Some(bench) = Bench::start() else { return };
    let dockerfile = "FROM busybox\nCOPY . /c\nCMD [\"find\", \"/c\", \"-not\", \"-type\", \"d\"]\n";
    let files = [
        ("Dockerfile", dockerfile),
        (".dockerignore", "*.log\nDockerfile\n.dockerignore\n!keep.log\n"),
        ("x.log", "x"),
        ("keep.log", "k"),
        ("d/gone", "g"),
        ("d/\u{fc}", "u"),
    ];
    let folder = bench.folder("mirror", &files);
    let listed = || {
        bench.build(&["-t", "mirror", &folder]);
        let listed = bench.engine.corten(["run", "--rm", "--network=none", "mirror"]).ok();
        let mut listed: Vec<String> = listed.lines().map(str::to_owned).collect();
        listed.sort();
        listed
    };
    assert_eq!(listed(), ["/c/d/gone", "/c/d/\u{fc}", "/c/keep.log"]);
    fs::remove_file(format!("{folder}/d/gone")).expect("a file");
    fs::symlink("keep.log", format!("{folder}/link")).expect("a link");
    assert_eq!(listed(), ["/c/d/\u{fc}", "/c/keep.log", "/c/link"]);
}

#[test]
fn contexts_come_on_standard_input_and_by_name() {
    let Some(bench) = Bench::start() else { return };
    let dockerfile = "FROM base\nCOPY --from=other /t /t\nCMD [\"cat\", \"/t\"]\n";
    let folder = bench.folder("names", &[("Dockerfile", dockerfile)]);
    let other = bench.folder("other", &[("t", "from elsewhere\n")]);
    let named = format!("other={other}");
    let image = [
        "--build-context",
        "base=docker-image://busybox",
        "--build-context",
        &named,
    ];
    bench.build(&[&image[..], &["-t", "named", &folder]].concat());
    assert_eq!(bench.engine.corten(["run", "--rm", "named"]).ok(), "from elsewhere\n");

    let text = "FROM busybox\nRUN echo piped > /p\nCMD [\"cat\", \"/p\"]\n";
    bench.buildx(&["build", "-q", "-t", "piped", "-"]).stdin(text).ok();
    assert_eq!(bench.engine.corten(["run", "--rm", "piped"]).ok(), "piped\n");

    let packed = bench.folder(
        "packed",
        &[
            ("Dockerfile", "FROM busybox\nCOPY p /p\nCMD [\"cat\", \"/p\"]\n"),
            ("p", "packed\n"),
        ],
    );
    bench.engine.sh(&format!("tar -C {packed} -cf packed.tar .")).ok();
    let tar = fs::read(bench.engine.work().join("packed.tar")).expect("an archive");
    bench.buildx(&["build", "-q", "-t", "packed", "-"]).stdin(tar).ok();
    assert_eq!(bench.engine.corten(["run", "--rm", "packed"]).ok(), "packed\n");
}

#[test]
fn targets_of_bake_build_on_each_other() {
    let Some(bench) = Bench::start() else { return };
    let bake = r#"
target "base" {
  dockerfile-inline = "FROM busybox\nRUN echo below > /below\n"
}
target "app" {
  contexts = { base = "target:base" }
  dockerfile-inline = "FROM base\nCMD [\"cat\", \"/below\"]\n"
  tags = ["baked"]
}
"#;
    let folder = bench.folder("bake", &[("docker-bake.hcl", bake)]);
    let call = bench.buildx(&["bake", "--progress=plain", "app"]).current_dir(&folder);
    let finished = call.run();
    assert_eq!(finished.code, 0, "{finished}");
    assert_eq!(bench.engine.corten(["run", "--rm", "baked"]).ok(), "below\n");
    // What was only needed on the way is no image.
    let images = bench.engine.corten(["images", "-a", "-q"]).ok();
    assert_eq!(images.lines().count(), 2, "{images}");
}

#[test]
fn questions_are_answered_without_a_build() {
    let Some(bench) = Bench::start() else { return };
    let text = "FROM busybox as first\n# NAME who it is for\nARG NAME=x\nRUN false\nFROM scratch AS last\n";
    let folder = bench.folder("questions", &[("Dockerfile", text)]);
    let check = bench.buildx(&["build", "--check", &folder]).run();
    assert_eq!(check.code, 1, "{check}");
    assert!(check.stdout.contains("WARNING: FromAsCasing"), "{check}");
    let targets = bench.buildx(&["build", "--call=targets,format=json", &folder]).ok();
    let targets: Value = serde_json::from_str(&targets).expect("JSON");
    assert_eq!(targets["targets"][1]["name"], "last");
    let outline = bench
        .buildx(&["build", "--call=outline", "--target=first", &folder])
        .ok();
    assert!(
        outline.contains("NAME") && outline.contains("who it is for"),
        "{outline}"
    );
}

#[test]
fn progress_comes_as_data_and_metadata_as_a_file() {
    let Some(bench) = Bench::start() else { return };
    let folder = bench.folder("data", &[("Dockerfile", "FROM busybox as b\nRUN echo said\n")]);
    let metadata = bench.engine.work().join("metadata.json");
    let metadata = metadata.to_string_lossy();
    let call = [
        "build",
        "--progress=rawjson",
        "--metadata-file",
        &metadata,
        "-t",
        "data",
        &folder,
    ];
    let finished = bench.buildx(&call).run();
    assert_eq!(finished.code, 0, "{finished}");
    let lines: Vec<Value> = finished
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let has = |key: &str, test: &dyn Fn(&Value) -> bool| {
        lines.iter().filter_map(|line| line[key].as_array()).flatten().any(test)
    };
    assert!(has("vertexes", &|one| one["name"] == "[2/2] RUN echo said"
        && one["completed"].is_string()));
    // Base64 of "said\n".
    assert!(has("logs", &|one| one["data"] == "c2FpZAo="), "{}", finished.stderr);
    assert!(has("warnings", &|one| one["url"]
        .as_str()
        .is_some_and(|url| url.ends_with("/from-as-casing/"))));
    let written: Value = serde_json::from_slice(&fs::read(&*metadata).expect("a file")).expect("JSON");
    let id = bench.engine.corten(["images", "-q", "--no-trunc", "data"]).line();
    assert_eq!(written["containerimage.config.digest"], id.as_str());
    let used = &written["buildx.build.provenance"]["materials"][0]["uri"];
    assert!(
        used.as_str()
            .is_some_and(|uri| uri.starts_with("pkg:docker/busybox@latest")),
        "{written}"
    );
}

#[test]
fn steps_speak_with_the_client_s_agent() {
    let Some(bench) = Bench::start() else { return };
    let text = "FROM busybox\nRUN --mount=type=ssh test -S \"$SSH_AUTH_SOCK\"\n\
                RUN --mount=type=ssh,id=other,required true\n";
    let folder = bench.folder("agent", &[("Dockerfile", text)]);
    let socket = bench.engine.work().join("agent.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    let agent = format!("default={}", socket.display());
    let build = ["build", "--progress=plain", "--ssh", &agent, &folder];
    let told = bench.buildx(&build).fails(1);
    assert!(told.contains("[2/3] RUN --mount=type=ssh test -S"), "{told}");
    assert!(told.contains("other"), "the second agent is missing: {told}");
    let both = format!("other={}", socket.display());
    bench.buildx(&["build", "--ssh", &agent, "--ssh", &both, &folder]).ok();
    drop(listener);
}

#[test]
fn repositories_over_ssh_open_with_the_session_s_keys() {
    let image = corten_tests::git_server::IMAGE;
    let Some(bench) = Bench::with_images(&[image]) else {
        return;
    };
    let dockerfile = "FROM busybox\nCOPY f /f\nCMD cat /f\n";
    let files = [("f", "once\n"), ("Dockerfile", dockerfile)];
    let server = corten_tests::git_server::GitServer::start(&bench.engine, &files);
    let ssh = format!("default={}", server.key.display());
    let tagged = format!("{}#v1", server.address());
    bench.build(&["--ssh", &ssh, "-t", "once", &tagged]);
    assert_eq!(bench.engine.corten(["run", "--rm", "once"]).ok(), "once\n");
    let text = format!("FROM busybox\nADD {} /r/\nCMD cat /r/f\n", server.short_address());
    let folder = bench.folder("source", &[("Dockerfile", &text)]);
    bench.build(&["--ssh", &ssh, "-t", "again", &folder]);
    assert_eq!(bench.engine.corten(["run", "--rm", "again"]).ok(), "again\n");
    let refused = bench.buildx(&["build", "--no-cache", &folder]).fails(1);
    assert!(refused.contains("no SSH key \"default\" forwarded"), "{refused}");
}

#[test]
fn many_files_travel_once() {
    let Some(bench) = Bench::start() else { return };
    let folder = bench.folder(
        "many",
        &[("Dockerfile", "FROM busybox\nCOPY . /c\nCMD [\"cat\", \"/c/d7/f7\"]\n")],
    );
    bench
        .engine
        .sh(&format!(
            "cd {folder} && for d in $(seq 0 14); do mkdir d$d && for f in $(seq 0 99); do echo $d $f > d$d/f$f; done; done"
        ))
        .ok();
    bench.build(&["-t", "many", &folder]);
    assert_eq!(bench.engine.corten(["run", "--rm", "many"]).ok(), "7 7\n");
    fs::write(format!("{folder}/d7/f7"), "changed\n").expect("a file");
    let told = bench.build(&["-t", "many", &folder]);
    assert_eq!(bench.engine.corten(["run", "--rm", "many"]).ok(), "changed\n");
    assert!(told.contains("transferring context: "), "{told}");
}
