//! `compose plan` and `--dry-run`: what would be done, which is not done.

use crate::project::{Project, sleepers};

#[test]
fn plan_tells_what_up_would_do_and_why() {
    let project = Project::of_sleepers(&["web", "old"]);
    let first = project.run("compose plan").ok();
    for word in ["shop_default", "shop-web-1", "it does not exist"] {
        assert!(first.contains(word), "{word}: {first}");
    }
    assert!(project.ids().is_empty());
    project.run("compose up -d").ok();
    let ids = project.ids();
    let same = project.run("compose plan").ok();
    assert!(
        same.contains("it is up to date") && !same.contains("it does not exist"),
        "{same}"
    );

    let file = sleepers(&["web"]).replace("sleep 1000", "sleep 2000");
    project.write("compose.yaml", &file);
    let changed = project.run("compose plan --remove-orphans").ok();
    for word in [
        "command changed (compose.yaml:3)",
        "shop-old-1",
        "no service of the project has it",
    ] {
        assert!(changed.contains(word), "{word}: {changed}");
    }
    assert_eq!(project.ids(), ids);
}

#[test]
fn a_dry_run_changes_nothing() {
    let project = Project::of_sleepers(&["web"]);
    let dry = project.run("compose up --dry-run -d").run();
    assert_eq!(dry.code, 0, "{dry}");
    assert!(
        dry.stderr.contains("DRY-RUN MODE") && dry.stderr.contains("shop-web-1"),
        "{dry}"
    );
    assert!(project.ids().is_empty());
    assert_eq!(
        project.engine.corten(["images", "-q"]).line(),
        "",
        "nothing was fetched"
    );
    project.run("compose up -d").ok();
    let started = project.started("shop-web-1");
    for words in [
        "compose --dry-run up -d --force-recreate",
        "compose create --dry-run --force-recreate",
        "compose stop --dry-run",
        "compose restart --dry-run",
        "compose kill --dry-run",
        "compose pause --dry-run",
        "compose scale --dry-run web=3",
        "compose down --dry-run -v",
    ] {
        let dry = project.run(words).run();
        assert!(dry.code == 0 && dry.stderr.contains("DRY-RUN MODE"), "{words}: {dry}");
        assert!(dry.stderr.contains("shop-web-"), "{words}: {dry}");
        assert_eq!(project.started("shop-web-1"), started, "{words}");
        assert_eq!(project.states()["shop-web-1"], "running", "{words}");
    }
    assert_eq!(project.ids().len(), 1);
}
