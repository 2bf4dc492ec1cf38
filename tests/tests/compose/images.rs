//! Images of services that come from a registry and go there.

use crate::project::Project;

/// A service whose image is in the engine's registry, one that depends on one that can be built.
fn shop() -> Project {
    let project = Project::new("");
    let host = project.engine.registry().host();
    project.write(
        "compose.yaml",
        &format!(
            "name: shop
services:
  web: {{image: '{host}/library/busybox', command: sleep 1000, stop_signal: SIGKILL, depends_on: [made]}}
  made: {{image: '{host}/shop/made:1', build: made, command: sleep 1000, stop_signal: SIGKILL, depends_on: [base]}}
  base: {{image: '{host}/library/busybox:latest', command: sleep 1000, stop_signal: SIGKILL}}
"
        ),
    );
    project.write("made/Dockerfile", "FROM busybox\nRUN echo made >/made\n");
    project
}

fn asked_for(project: &Project, repository: &str) -> usize {
    project
        .engine
        .registry()
        .count("GET", &format!("/v2/{repository}/manifests/"))
        + project
            .engine
            .registry()
            .count("HEAD", &format!("/v2/{repository}/manifests/"))
}

#[test]
fn pull_fetches_what_a_registry_has() {
    let project = shop();
    let host = project.engine.registry().host();
    let has = |name: &str| {
        let id = project.engine.corten(["images", "-q", &format!("{host}/{name}")]).ok();
        !id.is_empty()
    };
    // What can be built is not in the registry yet: that is told, and the rest is fetched.
    let pulled = project.run("compose pull").run();
    assert_eq!(pulled.code, 0, "{pulled}");
    assert!(has("library/busybox") && !has("shop/made"), "{pulled}");
    project.run("compose build -q").ok();
    project.run("compose push -q made").ok();
    assert_eq!(project.engine.registry().tags("shop/made"), ["1"]);

    let before = asked_for(&project, "shop/made");
    project.run("compose pull -q web").ok();
    assert_eq!(asked_for(&project, "shop/made"), before, "only what was named");
    project.run("compose pull -q --include-deps web").ok();
    assert!(asked_for(&project, "shop/made") > before, "what it depends on, too");

    let before = asked_for(&project, "shop/made");
    project.run("compose pull -q --ignore-buildable").ok();
    project.run("compose pull -q --policy missing").ok();
    assert_eq!(asked_for(&project, "shop/made"), before);

    project.engine.registry().remove_tag("library/busybox", "latest");
    let failed = project.run("compose pull web").run();
    assert!(
        failed.code != 0 && failed.stderr.contains("library/busybox"),
        "{failed}"
    );
    let passed = project.run("compose pull --ignore-pull-failures web").run();
    assert_eq!(passed.code, 0, "{passed}");
    assert!(
        passed.stderr.contains("library/busybox"),
        "what failed is told: {passed}"
    );
}

#[test]
fn push_sends_what_can_be_built() {
    let project = shop();
    project.run("compose build -q").ok();
    let tags = || project.engine.registry().tags("shop/made");
    let pushed = project.run("compose push base").run();
    assert_eq!(pushed.code, 0, "{pushed}");
    assert!(tags().is_empty(), "it is not made here: {pushed}");
    project.run("compose push --include-deps web").ok();
    assert_eq!(tags(), ["1"]);

    project
        .engine
        .corten(["rmi", &format!("{}/shop/made:1", project.engine.registry().host())])
        .ok();
    let failed = project.run("compose push").run();
    assert!(failed.code != 0 && failed.stderr.contains("shop/made"), "{failed}");
    let passed = project.run("compose push --ignore-push-failures").run();
    assert_eq!(passed.code, 0, "{passed}");
    assert!(passed.stderr.contains("shop/made"), "what failed is told: {passed}");
}

#[test]
fn create_makes_what_up_would_start() {
    let project = Project::of_sleepers(&["web", "old"]);
    project.run("compose create --quiet-pull --yes").ok();
    let first = project.ids();
    let two = crate::project::sleepers(&["web", "new"]).replace("sleep 1000", "sleep 2000");
    project.write("compose.yaml", &two);
    project.run("compose create --no-recreate --scale new=2").ok();
    let kept = project.ids();
    assert_eq!(
        kept.keys().collect::<Vec<_>>(),
        ["shop-new-1", "shop-new-2", "shop-old-1", "shop-web-1"]
    );
    assert_eq!(kept["shop-web-1"], first["shop-web-1"]);
    project.run("compose create --remove-orphans --scale new=1").ok();
    let changed = project.ids();
    assert_eq!(changed.keys().collect::<Vec<_>>(), ["shop-new-1", "shop-web-1"]);
    assert_ne!(changed["shop-web-1"], first["shop-web-1"]);
    assert!(project.states().values().all(|state| state == "created"));
}

#[test]
fn commit_changes_what_the_image_says() {
    let project = Project::of_sleepers(&["web"]);
    project.run("compose up -d").ok();
    let words = [
        "compose",
        "commit",
        "--change",
        "ENV A=1",
        "-c",
        "USER 7",
        "--pause=false",
        "web",
        "kept:2",
    ];
    project.engine.corten(words).ok();
    let said = project
        .engine
        .corten([
            "image",
            "inspect",
            "-f",
            "{{.Config.User}} {{json .Config.Env}}",
            "kept:2",
        ])
        .ok();
    assert!(said.starts_with("7 ") && said.contains("\"A=1\""), "{said}");
}

#[test]
fn an_image_that_several_services_have_is_asked_for_once() {
    let project = Project::new("");
    let host = project.engine.registry().host();
    let file = |services: &[(&str, &str)]| {
        let line = |(name, image): &(&str, &str)| {
            format!("  {name}: {{image: '{host}/{image}', command: sleep 1000, stop_signal: SIGKILL}}\n")
        };
        let lines: String = services.iter().map(line).collect();
        project.write("compose.yaml", &format!("name: shop\nservices:\n{lines}"));
    };
    let one = [("one", "library/busybox")];
    let several = [one[0], ("two", "library/busybox:latest"), ("three", "library/busybox")];
    for words in ["compose pull", "compose up -d --pull always"] {
        file(&one);
        let before = asked_for(&project, "library/busybox");
        project.run(words).ok();
        let once = asked_for(&project, "library/busybox") - before;
        assert!(once > 0, "{words}");
        file(&several);
        let before = asked_for(&project, "library/busybox");
        project.run(words).ok();
        assert_eq!(asked_for(&project, "library/busybox") - before, once, "{words}");
    }
    assert_eq!(project.ids().len(), 3);
}

#[test]
fn an_image_that_another_service_builds_is_not_asked_for() {
    let project = Project::new("");
    let host = project.engine.registry().host();
    project.write(
        "compose.yaml",
        &format!(
            "name: shop
services:
  worker: {{image: '{host}/shop/app', command: sleep 1000, stop_signal: SIGKILL}}
  app: {{image: '{host}/shop/app:latest', build: app, command: sleep 1000, stop_signal: SIGKILL}}
"
        ),
    );
    project.write("app/Dockerfile", "FROM busybox\nRUN echo made >/made\n");
    project.run("compose up -d").ok();
    assert_eq!(asked_for(&project, "shop/app"), 0);
    assert_eq!(project.run("compose exec -T worker cat /made").ok(), "made\n");
    let before = project.ids();
    project.run("compose up -d").ok();
    assert_eq!(project.ids(), before);
}
