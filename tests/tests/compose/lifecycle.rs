//! Containers that are there: started, stopped, killed, frozen, removed.

use crate::project::Project;

fn pair() -> Project {
    let project = Project::of_sleepers(&["web", "other"]);
    project.run("compose create").ok();
    project
}

fn states(project: &Project) -> [String; 2] {
    let mut states = project.states();
    ["shop-web-1", "shop-other-1"].map(|name| states.remove(name).unwrap_or_else(|| "gone".to_owned()))
}

#[test]
fn containers_are_made_started_stopped_and_removed() {
    let project = pair();
    assert_eq!(states(&project), ["created", "created"]);
    project.run("compose start web").ok();
    assert_eq!(states(&project), ["running", "created"]);
    project.run("compose start").ok();
    assert_eq!(states(&project), ["running", "running"]);
    let before = [project.started("shop-web-1"), project.started("shop-other-1")];
    project.run("compose restart --timeout 1 web").ok();
    assert_ne!(project.started("shop-web-1"), before[0]);
    assert_eq!(project.started("shop-other-1"), before[1]);
    project.run("compose restart --no-deps other").ok();
    assert_ne!(project.started("shop-other-1"), before[1]);
    project.run("compose stop -t 1 web").ok();
    assert_eq!(states(&project), ["exited", "running"]);
    assert!(!project.run("compose ps").ok().contains("shop-web-1"));
    assert!(project.run("compose ps -a").ok().contains("shop-web-1"));
    assert_eq!(project.run("compose ps -a --services --status exited").ok(), "web\n");
    assert_eq!(
        project.run("compose ps --services --filter status=running").ok(),
        "other\n"
    );
    project.run("compose rm -f").ok();
    assert_eq!(states(&project), ["gone", "running"]);
    project.run("compose rm -f -s -v other").ok();
    assert_eq!(states(&project), ["gone", "gone"]);
    assert!(
        project
            .run("compose rm -f")
            .run()
            .stderr
            .contains("No stopped containers")
    );
    let error = project.run("compose start web").fails(1);
    assert!(error.contains("service \"web\" has no container to start"), "{error}");
    let error = project.run("compose stop nothing").fails(1);
    assert!(error.contains("no such service: nothing"), "{error}");
    project
        .run("compose up --no-start --pull missing --quiet-pull --yes web")
        .ok();
    assert_eq!(states(&project), ["created", "gone"]);
}

#[test]
fn rm_of_some_stops_only_those() {
    let project = pair();
    project.run("compose start").ok();
    let answer = project.run("compose rm --stop web").stdin("n\n").run();
    assert!(answer.stdout.contains("Going to remove shop-web-1"), "{answer}");
    assert_eq!(states(&project), ["exited", "running"]);
    project.run("compose rm web").stdin("y\n").ok();
    assert_eq!(states(&project), ["gone", "running"]);
}

#[test]
fn containers_are_frozen_and_killed() {
    let project = pair();
    project.run("compose start").ok();
    project.run("compose pause web").ok();
    assert_eq!(states(&project), ["paused", "running"]);
    project.run("compose unpause").ok();
    assert_eq!(states(&project), ["running", "running"]);
    project.run("compose pause").ok();
    assert_eq!(states(&project), ["paused", "paused"]);
    project.run("compose unpause web").ok();
    project.run("compose unpause other").ok();
    project.run("compose kill -s KILL web").ok();
    project.engine.wait_for("shop-web-1", "{{.State.Status}}", "exited");
    assert_eq!(states(&project), ["exited", "running"]);
    let mut wait = project.run("compose wait other").spawn();
    project.run("compose kill").ok();
    corten_tests::until::is("it ended", || wait.has_ended());
    let wait = wait.wait();
    assert_eq!(wait.code, 137, "{wait}");
    assert!(wait.stdout.contains("exited with status code 137"), "{wait}");
}

#[test]
fn down_of_some_services_leaves_the_others() {
    let project = pair();
    project.run("compose start").ok();
    project.run("compose down web").ok();
    assert_eq!(states(&project), ["gone", "running"]);
    // The name alone is enough when there is no file.
    corten_sys::fs::remove_file(project.engine.work().join("compose.yaml")).expect("it is there");
    project.run("compose -p shop stop").ok();
    assert_eq!(states(&project), ["gone", "exited"]);
    project.run("compose -p shop down").ok();
    assert_eq!(states(&project), ["gone", "gone"]);
}
