//! Volumes whose definition changes.

use crate::project::Project;

fn file(kind: &str) -> String {
    format!(
        "name: shop
services:
  web: {{image: busybox, command: sleep 1000, stop_signal: SIGKILL, volumes: ['data:/data', 'own:/own']}}
  alone: {{image: busybox, command: sleep 1000, stop_signal: SIGKILL, volumes: ['own:/own']}}
volumes:
  data: {{labels: {{kind: {kind}}}}}
  own: {{}}
"
    )
}

/// A project whose volumes have something in them.
fn with_notes() -> Project {
    let project = Project::new(&file("first"));
    project.run("compose up -d").ok();
    let note = "compose exec -T web sh -c";
    let write = project
        .engine
        .corten(note.split(' ').chain(["echo kept | tee /data/note >/own/note"]));
    write.ok();
    project
}

/// The label by which the volume was made.
fn kind(project: &Project) -> String {
    let words = ["volume", "inspect", "-f", "{{.Labels.kind}}", "shop_data"];
    project.engine.corten(words).line()
}

#[test]
fn a_volume_that_changes_is_kept_unless_told() {
    let project = with_notes();
    let alone = project.started("shop-alone-1");
    project.write("compose.yaml", &file("second"));
    let kept = project.run("compose up -d").run();
    let told = "exists but doesn't match configuration in compose file";
    assert!(
        kept.code == 0 && kept.stderr.contains(told) && kept.stderr.contains("--yes"),
        "{kept}"
    );
    assert_eq!(kind(&project), "first");
    assert_eq!(project.run("compose exec -T web cat /data/note").ok(), "kept\n");

    project.run("compose up -d --yes").ok();
    assert_eq!(kind(&project), "second");
    let left = project.run("compose exec -T web ls /data /own").ok();
    assert_eq!(left, "/data:\n\n/own:\nnote\n", "only the one that changed is empty");
    assert_eq!(project.started("shop-alone-1"), alone);
    assert_eq!(project.ids().len(), 2);
}

#[test]
fn who_has_a_terminal_is_asked_of_volumes_that_change() {
    let project = with_notes();
    let alone = project.started("shop-alone-1");
    project.write("compose.yaml", &file("second"));
    let asked = "? Volume \"shop_data\" exists but doesn't match configuration in compose file. \
                 Recreate (data will be lost)? (y/N) ";
    // The terminal breaks no lines by itself; the answer is given when the question is complete.
    let answered = |words: &str, answers: &[&str]| {
        let mut terminal = project.engine.terminal(words.split_whitespace());
        for answer in answers {
            terminal.expect(asked);
            terminal.send(format!("{answer}\n"));
        }
        assert_eq!(terminal.wait(), 0, "{words}: {}", terminal.text());
        terminal.text()
    };
    let note = || project.run("compose exec -T web cat /data/note").run().stdout;
    let before = project.started("shop-web-1");
    for answers in [&[""][..], &["n"], &["perhaps", "No"]] {
        let text = answered("compose up -d", answers);
        assert!(!text.contains("it is used as it is"), "{text}");
        assert_eq!(text.contains("Sorry"), answers.len() > 1, "{text}");
        assert_eq!((kind(&project), note()), ("first".to_owned(), "kept\n".to_owned()));
    }
    answered("compose create", &["n"]);
    answered("compose up -d --dry-run", &[]);
    assert_eq!(project.started("shop-web-1"), before);

    let mut terminal = project.engine.terminal(["compose", "up", "-d"]);
    terminal.expect(asked);
    terminal.send([3]);
    assert_eq!(terminal.wait(), 130, "{}", terminal.text());
    assert_eq!(kind(&project), "first");

    answered("compose up -d", &["Y"]);
    assert_eq!((kind(&project), note()), ("second".to_owned(), String::new()));
    assert_eq!(project.started("shop-alone-1"), alone);
    project.write("compose.yaml", &file("third"));
    answered("compose up -d --yes", &[]);
    assert_eq!(kind(&project), "third");
    answered("compose up -d", &[]);
}
