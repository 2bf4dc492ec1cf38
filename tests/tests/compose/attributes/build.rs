//! How images of services are built.

use serde_json::Value;

use crate::project::Project;

const DOCKERFILE: &str = "ARG WORD=none
FROM busybox AS wanted
ARG WORD
ARG PASSED
RUN echo $WORD $PASSED > /said
RUN cat /etc/hosts > /hosts; df /dev/shm | tail -1 > /shm; ulimit -n > /limit; ulimit -Hn >> /limit; ls /sys/class/net > /net
RUN --mount=type=secret,id=token cat /run/secrets/token > /token
RUN --mount=type=secret,id=other,target=/key,uid=5,mode=0400 cat /key >> /token; ls -ln /key >> /token
RUN --mount=type=ssh test -S $SSH_AUTH_SOCK && echo agent > /agent
RUN --security=insecure mkdir -p /mnt && mount -t tmpfs none /mnt && echo strong > /strong
COPY --from=folder file /folder
COPY --from=image /bin/sleep /image
COPY --from=made /made /made
FROM wanted
RUN echo never > /never
";

#[test]
fn images_are_built_as_they_are_written() {
    let project = Project::new(
        "name: shop
services:
  web:
    command: sh -c 'cat /said /shm /limit /net /token /agent /strong /folder /made; ls /image /never 2>/dev/null; grep named /hosts'
    build:
      context: web
      dockerfile: Other
      target: wanted
      args: {WORD: said, PASSED: }
      labels: {own: label}
      tags: ['shop-web:two', 'another:1']
      extra_hosts: {named: 1.2.3.4, both: [1.2.3.5, '::5']}
      network: none
      shm_size: 16m
      ulimits: {nofile: {soft: 200, hard: 400}, nproc: 5000}
      secrets:
        - token
        - {source: key, target: other, uid: '5', gid: '5', mode: 0400}
      ssh: ['default=./id']
      privileged: true
      isolation: default
      additional_contexts: {folder: ./folder, image: 'docker-image://busybox', made: 'service:base'}
      provenance: false
      sbom: false
      platforms: [linux/amd64]
      no_cache: false
      pull: false
  base:
    build: {dockerfile_inline: \"FROM busybox\\nRUN echo by another > /made\\n\", entitlements: [security.insecure]}
secrets:
  token: {environment: TOKEN}
  key: {file: ./key}
",
    );
    project.write("web/Other", DOCKERFILE);
    project.write("folder/file", "from a folder\n");
    project.write("key", "key\n");
    let id = project.engine.work().join("id");
    project
        .engine
        .sh(&format!("ssh-keygen -q -t ed25519 -N '' -f {}", id.display()))
        .ok();
    let run = |words: &str| project.run(words).env("TOKEN", "token").env("PASSED", "passed");
    run("compose build").ok();
    run("compose up -d web").ok();
    project.engine.corten(["wait", "shop-web-1"]).ok();
    let log = project
        .run("compose logs --no-log-prefix web")
        .env("TOKEN", "token")
        .run()
        .stdout;
    assert!(log.starts_with("said passed\n"), "{log}");
    for part in [
        "16384",
        "\n200\n400\nlo\ntokenkey\n",
        "\nagent\nstrong\nfrom a folder\nby another\n/image\n",
        "1.2.3.4\tnamed",
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }
    for image in ["shop-web:two", "another:1"] {
        let label = project
            .engine
            .corten(["image", "inspect", "-f", "{{index .Config.Labels \"own\"}}", image])
            .line();
        assert_eq!(label, "label");
    }
}

/// What a build says of its steps.
fn told(project: &Project, words: &str) -> String {
    let built = project.run(words).env("BUILDKIT_PROGRESS", "plain").run();
    assert_eq!(built.code, 0, "{built}");
    built.stderr + &built.stdout
}

#[test]
fn caches_are_taken_and_given_as_they_are_written() {
    let file = |more: &str| format!("name: shop\nservices: {{web: {{build: {{context: web, {more}}}}}}}\n");
    let project = Project::new(&file("cache_to: ['type=local,dest=./cache,mode=max']"));
    project.write(
        "web/Dockerfile",
        "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /id\n",
    );
    let image = || {
        project
            .engine
            .corten(["image", "inspect", "-f", "{{.Id}}", "shop-web"])
            .line()
    };
    told(&project, "compose build");
    let first = image();
    assert!(project.engine.work().join("cache/index.json").exists());
    assert_eq!(
        {
            told(&project, "compose build");
            image()
        },
        first,
        "the engine's own cache"
    );
    project.write("compose.yaml", &file("no_cache: true"));
    told(&project, "compose build");
    assert_ne!(image(), first, "no cache");
    project.engine.corten(["rmi", "shop-web"]).ok();
    project.engine.corten(["builder", "prune", "-a", "-f"]).ok();
    project.write("compose.yaml", &file("cache_from: ['type=local,src=./cache']"));
    told(&project, "compose build");
    let id = |image: &str| project.engine.corten(["run", "--rm", image, "cat", "/id"]).ok();
    let taken = id("shop-web");
    project.engine.corten(["builder", "prune", "-a", "-f"]).ok();
    told(&project, "compose build --no-cache");
    assert_ne!(id("shop-web"), taken);
}

#[test]
fn images_for_several_platforms_carry_statements() {
    let project = Project::new("");
    let host = project.engine.registry().host();
    project.write(
        "compose.yaml",
        &format!(
            "name: shop
services:
  web:
    image: {host}/web:1
    command: sleep 1000
    stop_signal: SIGKILL
    platform: linux/amd64
    build: {{context: web, platforms: [linux/amd64, linux/arm64], provenance: mode=max, sbom: true, pull: true}}
  base: {{image: busybox, command: sleep 1000, stop_signal: SIGKILL}}
"
        ),
    );
    project.write("web/Dockerfile", "FROM scratch\nCOPY f /f\n");
    project.write("web/f", "f");
    project.run("compose build --push web").ok();
    let index = project.engine.registry().manifest("web", "1").expect("it was pushed");
    let index: Value = serde_json::from_slice(&index).expect("JSON");
    let listed = index["manifests"].as_array().expect("manifests");
    let platforms: Vec<_> = listed
        .iter()
        .filter_map(|one| one["platform"]["architecture"].as_str())
        .collect();
    assert_eq!(platforms, ["amd64", "arm64", "unknown", "unknown"], "{index}");
    let attested = serde_json::to_string(listed).expect("a text");
    assert!(attested.contains("attestation-manifest"), "{attested}");
    // What is to run is built for one platform.
    project.engine.corten(["rmi", "-f", &format!("{host}/web:1")]).ok();
    project.run("compose create --build web").ok();
    let kept = project
        .engine
        .corten(["image", "inspect", "-f", "{{.Architecture}}", &format!("{host}/web:1")])
        .line();
    assert_eq!(kept, "amd64");
}

#[test]
fn what_a_build_cannot_do_is_refused() {
    for (what, name) in [
        ("isolation: hyperv", "invalid isolation: \"hyperv\""),
        ("entitlements: [nothing]", "nothing"),
        ("cache_to: ['type=gha']", "type=gha is not supported"),
        ("platforms: [lin/ux/x/y]", "lin/ux/x/y"),
    ] {
        let project = Project::new(&format!(
            "name: shop\nservices: {{web: {{build: {{context: ., {what}}}}}}}\n"
        ));
        project.write("Dockerfile", "FROM scratch\n");
        let refused = project.run("compose build").fails(1);
        assert!(refused.contains(name), "{what}: {refused}");
    }
}
