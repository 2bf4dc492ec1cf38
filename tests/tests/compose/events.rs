//! `compose events`.

use rustix::process::Signal;

use crate::project::Project;

#[test]
fn events_are_those_of_the_projects_containers() {
    let project = Project::of_sleepers(&["web", "base"]);
    let mut live = project.run("compose events --since 10m").spawn();
    project.run("compose up -d").ok();
    live.wait_for(" container start ");
    project.run("compose kill web").ok();
    live.wait_for(" container die ");
    live.signal(Signal::INT);
    assert_eq!(live.wait().code, 130);
    project.run("compose run --rm base true").ok();

    let past = |words: &str| {
        let now = project.engine.sh("date +%s.%N").line();
        project
            .run(&format!("compose events --since 10m --until {now} {words}"))
            .ok()
    };
    let web = project.ids()["shop-web-1"].clone();
    let lines = past("web");
    let kill = lines.lines().find(|line| line.contains(" container kill "));
    let kill = kill.expect("it was killed");
    assert!(
        kill.contains(&web) && kill.contains("(image=busybox, name=shop-web-1, signal="),
        "{kill}"
    );
    let shape: String = kill[..27]
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert_eq!(shape, "0000-00-00 00:00:00.000000 ");
    assert!(
        !lines.contains("shop-base-1") && !lines.contains("com.docker.compose"),
        "{lines}"
    );
    let json = past("--json");
    for line in json.lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("an object");
        assert_eq!(event["type"], "container", "{line}");
        let service = event["service"].as_str().expect("a service");
        let name = event["attributes"]["name"].as_str().expect("a name");
        assert_eq!(name, format!("shop-{service}-1"), "none of run's: {line}");
    }
    assert!(json.contains("\"action\":\"die\""), "{json}");
}

#[test]
fn events_look_as_those_of_the_peer() {
    let project = Project::of_sleepers(&["web"]);
    project.run("compose up -d").ok();
    project.run("compose kill").ok();
    let now = project.engine.sh("date +%s.%N").line();
    for words in ["--json", "web"] {
        let words = &format!("compose events --since 10m --until {now} {words}");
        let Some(peer) = project.peer(words) else { return };
        let ours = project.run(words).ok();
        let theirs = peer.run().stdout;
        // Theirs has the attributes in any order where they are no JSON.
        let sorted = |text: &str| -> Vec<String> {
            let sorted = |line: &str| {
                let mut words: Vec<_> = line.split([' ', ',', '(', ')']).collect();
                words.sort_unstable();
                words.join(" ")
            };
            text.lines().map(sorted).collect()
        };
        assert_eq!(sorted(&ours), sorted(&theirs), "{words}");
    }
}
