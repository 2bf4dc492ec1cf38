//! `compose build` and its flags, and names as the first Compose made them.

use serde_json::Value;

use crate::project::Project;

const FILE: &str = "name: shop
services:
  web:
    build:
      context: web
      args: {A: b, D: '${Y}', E: }
      ssh: [default]
      secrets: [k, {source: f, target: other}]
      platforms: [linux/amd64, linux/arm64]
      cache_to: ['type=local,dest=x']
      additional_contexts: {o: ./o, s: 'service:b.x'}
      extra_hosts: {h: 1.2.3.4}
      ulimits: {nofile: 5, nproc: {soft: 1, hard: 2}}
      shm_size: 1m
      labels: {l: m}
      tags: ['t:1']
      no_cache: true
      pull: true
      network: host
      target: x
      privileged: true
      provenance: mode=max
      sbom: true
  b.x: {image: 'host.test/x', build: {context: 'https://github.com/a/b.git', dockerfile: Other}}
  c: {build: {dockerfile_inline: \"FROM x\\nRUN $${A}\"}, depends_on: [b.x]}
secrets: {k: {environment: Y}, f: {file: ./f}}
";

fn printed(project: &Project, flags: &str) -> Value {
    let text = project
        .run(&format!("compose build --print {flags}"))
        .env("Y", "1")
        .ok();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn builds_are_printed_as_a_file_for_bake() {
    let project = Project::new(FILE);
    let all = printed(&project, "");
    assert_eq!(
        all["group"]["default"]["targets"],
        serde_json::json!(["b_x", "c", "web"])
    );
    let web = &all["target"]["web"];
    let work = project.engine.work().display().to_string();
    for (key, expected) in [
        ("context", serde_json::json!(format!("{work}/web"))),
        (
            "contexts",
            serde_json::json!({"o": format!("{work}/o"), "s": "target:b_x"}),
        ),
        ("dockerfile", serde_json::json!(format!("{work}/web/Dockerfile"))),
        ("args", serde_json::json!({"A": "b", "D": "1"})),
        ("tags", serde_json::json!(["t:1", "shop-web"])),
        (
            "secret",
            serde_json::json!(["id=k,type=env,env=Y", format!("id=other,type=file,src={work}/f")]),
        ),
        ("ssh", serde_json::json!(["default="])),
        ("ulimits", serde_json::json!(["nofile=5", "nproc=1:2"])),
        ("shm-size", serde_json::json!("1048576")),
        ("output", serde_json::json!(["type=image,push=false"])),
        ("attest", serde_json::json!(["type=provenance,mode=max", "type=sbom"])),
        ("entitlements", serde_json::json!(["security.insecure"])),
    ] {
        assert_eq!(web[key], expected, "{key}");
    }
    assert_eq!(all["target"]["c"]["dockerfile-inline"], "FROM x\nRUN $${A}");
    let some = printed(&project, "--check --build-arg Z=1 --ssh k=/x --no-cache --pull c");
    let names: Vec<_> = some["target"].as_object().expect("targets").keys().collect();
    assert_eq!(names, ["b_x", "c"]);
    assert_eq!(some["group"]["default"]["targets"], serde_json::json!(["c"]));
    let c = &some["target"]["c"];
    assert_eq!(
        (&c["call"], &c["args"]["Z"], &c["ssh"][0]),
        (&"lint".into(), &"1".into(), &"k=/x".into())
    );
    assert_eq!(
        (&c["pull"], &c["no-cache"], c.get("output")),
        (&true.into(), &true.into(), None)
    );
    let with = printed(&project, "--push --with-dependencies c");
    assert_eq!(with["target"]["b_x"]["output"][0], "type=registry");
    assert_eq!(with["target"]["c"]["output"][0], "type=docker");
    let nothing = project.engine.corten(["images", "-q"]).line();
    assert_eq!(nothing, "", "nothing was built");
}

/// The same with lists in order: the other program has them in any.
fn ordered(mut value: Value) -> Value {
    match &mut value {
        Value::Array(list) => list.sort_by_key(Value::to_string),
        Value::Object(map) => map.values_mut().for_each(|value| *value = ordered(value.take())),
        _ => {}
    }
    value
}

#[test]
fn the_other_program_prints_the_same() {
    let project = Project::new(FILE);
    for flags in [
        "",
        "c",
        "--check --push --build-arg Z=1 --ssh k=/x c",
        "--no-cache --pull web",
    ] {
        let Some(call) = project.peer(&format!("compose build --print {flags}")) else {
            return;
        };
        let theirs: Value = serde_json::from_str(&call.env("Y", "1").ok()).expect("JSON");
        assert_eq!(ordered(printed(&project, flags)), ordered(theirs), "{flags}");
    }
}

#[test]
fn builds_do_as_flags_say() {
    let project = Project::new(
        "name: shop
services:
  web: {build: {context: web, args: {WORD: file}}, depends_on: [base]}
  base: {build: base}
",
    );
    project.write(
        "web/Dockerfile",
        "FROM busybox\nARG WORD\nRUN echo $WORD > /word; cat /proc/sys/kernel/random/uuid > /id\n",
    );
    project.write("base/Dockerfile", "FROM busybox\n");
    let build = |flags: &str| {
        let built = project.run(&format!("compose build {flags}")).run();
        assert_eq!(built.code, 0, "{flags}: {built}");
        built
    };
    let images = || project.engine.corten(["images", "--format", "{{.Repository}}"]).ok();
    let file = |name: &str| project.engine.corten(["run", "--rm", "shop-web", "cat", name]).ok();
    let dry = build("--dry-run");
    assert!(dry.stderr.contains("Building") && !images().contains("shop"), "{dry}");
    let check = build("--check web");
    assert!(!images().contains("shop-web"), "{check}");
    build("--build-arg WORD=flag --quiet web");
    assert_eq!(file("/word"), "flag\n");
    assert!(!images().contains("shop-base"));
    build("--with-dependencies --pull web");
    assert!(images().contains("shop-base"));
    assert_eq!(file("/word"), "file\n");
    let id = file("/id");
    build("--builder default --memory 64m --provenance=false --sbom=false web");
    assert_eq!(file("/id"), id);
    build("--no-cache --force-rm --parallel web");
    assert_ne!(file("/id"), id);
    let plain = build("--progress plain web");
    assert!(plain.stderr.contains("--progress is a global compose flag"), "{plain}");
    let wrong = project.run("compose build --builder other web").fails(1);
    assert!(wrong.contains("no builder \"other\" found"), "{wrong}");
}

#[test]
fn names_are_as_the_first_compose_made_them_when_asked() {
    let project = Project::new(
        "name: shop
services:
  web: {build: web, command: sleep 1000, stop_signal: SIGKILL, deploy: {replicas: 2, resources: {limits: {memory: 50M}}}}
",
    );
    project.write("web/Dockerfile", "FROM busybox\n");
    project.run("compose --compatibility up -d").ok();
    let names: Vec<_> = project.ids().into_keys().collect();
    assert_eq!(names, ["shop_web_1", "shop_web_2"]);
    project.says(
        "shop_web_1",
        &[(".Config.Image", "shop_web"), (".HostConfig.Memory", "52428800")],
    );
    let once = project.run("compose --compatibility run -d web sleep 1000").line();
    let once = project.engine.inspect(&once, "{{.Name}}");
    assert!(once.starts_with("/shop_web_run_"), "{once}");
    let started = project.started("shop_web_1");
    project.run("compose up -d").env("COMPOSE_COMPATIBILITY", "true").ok();
    assert_eq!(project.started("shop_web_1"), started);
    if let Some(call) = project.peer("compose --compatibility up -d") {
        call.ok();
        assert_eq!(project.started("shop_web_1"), started, "the other takes it over");
    }
    project.run("compose --compatibility down").ok();
    assert!(project.ids().is_empty());
}
