//! How many containers services have, and containers of services that are gone.

use crate::project::{Project, sleepers};

#[test]
fn services_get_more_containers_and_fewer() {
    let project = Project::of_sleepers(&["web", "other"]);
    project.run("compose up -d --scale web=3").ok();
    let three = project.ids();
    let names: Vec<_> = three.keys().map(String::as_str).collect();
    assert_eq!(names, ["shop-other-1", "shop-web-1", "shop-web-2", "shop-web-3"]);
    project.run("compose up -d --scale web=3").ok();
    assert_eq!(project.ids(), three);
    project.run("compose scale web=4").ok();
    assert_eq!(project.ids().len(), 5);
    project.run("compose scale --no-deps web=2").ok();
    let two = project.ids();
    assert_eq!(
        two.keys().collect::<Vec<_>>(),
        ["shop-other-1", "shop-web-1", "shop-web-2"]
    );
    assert!(two.iter().all(|(name, id)| three[name] == *id), "the others stay");
    project.run("compose up -d").ok();
    assert_eq!(project.ids().len(), 2);
    project.run("compose up -d --scale web=0").ok();
    assert_eq!(project.ids().keys().collect::<Vec<_>>(), ["shop-other-1"]);
    let error = project.run("compose up -d --scale web").fails(1);
    assert!(error.contains("SERVICE=NUM"), "{error}");
    let error = project.run("compose scale nothing=1").fails(1);
    assert!(error.contains("no such service: nothing"), "{error}");
}

#[test]
fn containers_of_services_that_are_gone_are_told_of_and_removed_when_asked() {
    let project = Project::of_sleepers(&["web", "old"]);
    project.run("compose up -d").ok();
    let web = project.started("shop-web-1");
    project.write("compose.yaml", &sleepers(&["web"]));
    let up = project.run("compose up -d").run();
    assert_eq!(up.code, 0, "{up}");
    assert!(up.stderr.contains("Found orphan containers ([shop-old-1])"), "{up}");
    let quiet = project.run("compose up -d").env("COMPOSE_IGNORE_ORPHANS", "1").run();
    assert!(quiet.code == 0 && !quiet.stderr.contains("orphan"), "{quiet}");
    assert_eq!(project.states()["shop-old-1"], "running");

    assert!(project.run("compose ps").ok().contains("shop-old-1"));
    assert!(!project.run("compose ps --orphans=false").ok().contains("shop-old-1"));
    project.run("compose kill").ok();
    let states = project.states();
    assert_eq!((&*states["shop-web-1"], &*states["shop-old-1"]), ("exited", "running"));
    project.run("compose kill --remove-orphans").ok();
    assert_eq!(project.states()["shop-old-1"], "exited");
    project.run("compose up -d --remove-orphans").ok();
    let ids = project.ids();
    assert_eq!(ids.keys().collect::<Vec<_>>(), ["shop-web-1"]);
    assert!(web.starts_with(&ids["shop-web-1"]), "the other one is the same");
}

#[test]
fn down_leaves_orphans_unless_told() {
    let project = Project::of_sleepers(&["web", "old"]);
    project.run("compose up -d").ok();
    project.write("compose.yaml", &sleepers(&["web"]));
    project.run("compose down").ok();
    assert_eq!(project.ids().keys().collect::<Vec<_>>(), ["shop-old-1"]);
    project.run("compose down --remove-orphans").ok();
    assert!(project.ids().is_empty());
    let networks = project.engine.corten(["network", "ls", "--format", "{{.Name}}"]).ok();
    assert!(!networks.contains("shop"), "{networks}");
}
