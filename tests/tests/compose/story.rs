//! A project of two services that is written, run, changed and taken down.

use crate::project::Project;

const FILE: &str = "name: shop
services:
  web:
    build: web
    command: httpd -f -p 80 -h /www
    depends_on: [counter]
    ports: ['127.0.0.1:8080:80']
    stop_signal: SIGKILL
  counter:
    image: busybox
    command: httpd -f -p 80 -h /www
    stop_signal: SIGKILL
    environment: {STEP: '${STEP:-1}'}
    volumes: ['./counter:/www/cgi-bin:ro', 'data:/data']
volumes: {data: }
";

const COUNT: &str = "#!/bin/sh
n=$(cat /data/n 2>/dev/null || echo 0)
n=$((n + STEP))
echo $n >/data/n
printf 'Content-type: text/plain\\r\\n\\r\\n%s\\n' $n
";

fn page(version: &str) -> String {
    format!(
        "#!/bin/sh
printf 'Content-type: text/plain\\r\\n\\r\\n'
echo \"{version} $(wget -qO- http://counter/cgi-bin/count)\"
"
    )
}

fn shop() -> Project {
    let project = Project::new(FILE);
    project.write("counter/count", COUNT);
    project.write("web/page", &page("first"));
    project.write("web/Dockerfile", "FROM busybox\nCOPY page /www/cgi-bin/page\n");
    project
}

fn ask(project: &Project) -> String {
    let url = "http://127.0.0.1:8080/cgi-bin/page";
    corten_tests::until::some("the page is there", || {
        project.engine.try_curl(url).filter(|text| text.contains(' '))
    })
}

/// Waits until the services answer, then tells what the page says; every answer counts.
fn version(project: &Project) -> (String, u32) {
    corten_tests::until::some("the page is whole", || {
        let text = ask(project);
        let (version, count) = text.trim().split_once(' ')?;
        Some((version.to_owned(), count.parse().ok()?))
    })
}

#[test]
fn code_that_changes_makes_only_its_own_service_anew() {
    let project = shop();
    project.run("compose up -d").ok();
    let (name, first) = version(&project);
    assert_eq!(name, "first");
    assert_eq!(
        version(&project),
        ("first".to_owned(), first + 1),
        "each request counts"
    );
    let before = project.ids();
    assert_eq!(before.keys().collect::<Vec<_>>(), ["shop-counter-1", "shop-web-1"]);

    // Nothing changed: nothing happens.
    let started = [project.started("shop-web-1"), project.started("shop-counter-1")];
    project.run("compose up -d").ok();
    project.run("compose up -d --build").ok();
    assert_eq!(
        [project.started("shop-web-1"), project.started("shop-counter-1")],
        started
    );

    project.write("web/page", &page("second"));
    project.run("compose up -d").ok();
    assert_eq!(project.ids(), before, "code is not looked at without --build");
    project.run("compose up --detach --build --quiet-build").ok();
    let after = project.ids();
    assert_ne!(after["shop-web-1"], before["shop-web-1"]);
    assert_eq!(after["shop-counter-1"], before["shop-counter-1"]);
    let (name, third) = version(&project);
    assert_eq!(name, "second");
    assert!(third > first + 1, "the counter goes on: {third}");
}

#[test]
fn a_definition_that_changes_makes_only_its_own_service_anew() {
    let project = shop();
    project.run("compose up -d").ok();
    let (_, first) = version(&project);
    let before = project.ids();
    project.run("compose up -d").env("STEP", "100").ok();
    let after = project.ids();
    assert_eq!(after["shop-web-1"], before["shop-web-1"]);
    assert_ne!(after["shop-counter-1"], before["shop-counter-1"]);
    assert_eq!(after.len(), 2, "{after:?}");
    let (_, second) = version(&project);
    assert!(second >= first + 100, "the volume stays: {first} {second}");

    project.run("compose up -d --no-recreate").ok();
    assert_eq!(project.ids(), after);
    project
        .run("compose up -d --force-recreate --no-deps web")
        .env("STEP", "100")
        .ok();
    let forced = project.ids();
    assert_ne!(forced["shop-web-1"], after["shop-web-1"]);
    assert_eq!(forced["shop-counter-1"], after["shop-counter-1"]);
    project
        .run("compose up -d --force-recreate --always-recreate-deps web")
        .env("STEP", "100")
        .ok();
    assert_ne!(project.ids()["shop-counter-1"], forced["shop-counter-1"]);
}

#[test]
fn down_keeps_images_and_volumes_unless_told() {
    let project = shop();
    project.run("compose up -d").ok();
    let (_, first) = version(&project);
    let out = project.run("compose down").run();
    assert_eq!(out.code, 0, "{out}");
    assert!(project.ids().is_empty());
    let networks = project.engine.corten(["network", "ls", "--format", "{{.Name}}"]).ok();
    assert!(!networks.contains("shop_default"), "{networks}");
    assert_eq!(project.engine.corten(["volume", "ls", "-q"]).line(), "shop_data");
    let image = || project.engine.corten(["images", "-q", "shop-web"]).line();
    let kept = image();
    assert!(!kept.is_empty());

    project.run("compose up -d").ok();
    assert_eq!(image(), kept, "it is not built again");
    let (_, second) = version(&project);
    assert!(second > first, "the volume was kept");
    project.run("compose down -v --rmi local --timeout 1").ok();
    assert_eq!(project.engine.corten(["volume", "ls", "-q"]).line(), "");
    assert_eq!(image(), "");
    assert!(!project.engine.corten(["images", "-q", "busybox"]).line().is_empty());
    let again = project.run("compose down").run();
    assert!(
        again.code == 0 && again.stderr.contains("No resource found to remove"),
        "{again}"
    );
}

#[test]
fn what_runs_is_listed_logged_and_entered() {
    let project = shop();
    project.run("compose up -d").ok();
    version(&project);
    assert_eq!(project.run("compose ps --services").ok(), "counter\nweb\n");
    let table = project.run("compose ps").ok();
    for word in [
        "NAME",
        "SERVICE",
        "shop-web-1",
        "shop-counter-1",
        "127.0.0.1:8080->80/tcp",
    ] {
        assert!(table.contains(word), "{word}: {table}");
    }
    assert_eq!(
        project.run("compose ps -q --no-trunc web").line(),
        project.ids()["shop-web-1"]
    );
    let json = project.run("compose ps --format json web").ok();
    let row: serde_json::Value = serde_json::from_str(json.trim()).expect("one object");
    assert_eq!(
        (row["Service"].as_str(), row["State"].as_str()),
        (Some("web"), Some("running"))
    );

    let say = [
        "compose",
        "exec",
        "-T",
        "-e",
        "WORD=hello",
        "-w",
        "/tmp",
        "counter",
        "sh",
        "-c",
    ];
    let said = project
        .engine
        .corten(say.iter().chain(&["echo $WORD from $PWD >/proc/1/fd/1; cat"]));
    assert_eq!(said.stdin("piped").ok(), "piped");
    let logs = project.run("compose logs counter").ok();
    assert!(logs.contains("counter-1  | hello from /tmp"), "{logs}");
    assert!(
        project
            .run("compose logs --no-log-prefix --tail 1 counter")
            .ok()
            .contains("hello from /tmp\n")
    );
    assert_eq!(project.run("compose logs --no-color web").ok(), "");
    let failed = project
        .engine
        .corten(["compose", "exec", "-T", "web", "sh", "-c", "exit 7"])
        .run();
    assert_eq!(failed.code, 7, "{failed}");
    let none = project.run("compose exec -T nothing true").fails(1);
    assert!(none.contains("nothing"), "{none}");
}
