//! How progress is shown, and what `--dry-run` shows of commands that act on what runs.

use corten_tests::{terminal::Terminal, until};

use crate::project::Project;

#[test]
fn a_terminal_has_lines_that_are_drawn_anew() {
    let project = Project::of_sleepers(&["web", "base"]);
    project.run("compose create").ok();
    project.run("compose down").ok();
    let mut terminal = Terminal::start(project.run("compose up -d"), 24, 80);
    assert_eq!(terminal.wait(), 0, "{}", terminal.text());
    let last = || {
        let text = terminal.text();
        let drawing = text.rsplit("[+] Running ").next().map(str::to_owned);
        drawing.filter(|last| last.matches("Started").count() == 2 && last.ends_with("\x1b[?25h"))
    };
    let last = until::some("the last drawing", last);
    assert!(last.starts_with("3/3"), "{last:?}");
    for row in ["Network shop_default", "Container shop-base-1", "Container shop-web-1 "] {
        assert_eq!(
            last.matches(&format!("\u{2714}\x1b[0m {row}")).count(),
            1,
            "{row}: {last:?}"
        );
    }
    assert!(
        terminal.text().contains("A\r\x1b[J"),
        "drawn over: {:?}",
        terminal.text()
    );
    let mut terminal = Terminal::start(project.run("compose stop"), 24, 80);
    assert_eq!(terminal.wait(), 0, "{}", terminal.text());
    terminal.expect("[+] Stopping 2/2");
    for words in ["compose --progress plain start", "compose --ansi never restart"] {
        let mut terminal = Terminal::start(project.run(words), 24, 80);
        assert_eq!(terminal.wait(), 0, "{words}");
        terminal.expect(" Container shop-web-1  Start");
        assert!(!terminal.text().contains('\x1b'), "{words}: {:?}", terminal.text());
    }
    let call = project.run("compose down").env("COMPOSE_ANSI", "never");
    let mut terminal = Terminal::start(call, 24, 80);
    assert_eq!(terminal.wait(), 0);
    assert!(!terminal.text().contains('\x1b'), "{:?}", terminal.text());
}

#[test]
fn progress_comes_in_the_form_that_is_asked_for() {
    let project = Project::of_sleepers(&["web"]);
    let plain = project.run("compose up -d").run();
    assert!(plain.stderr.contains(" Container shop-web-1  Started\n"), "{plain}");
    assert!(!plain.stderr.contains("[+]"), "{plain}");
    let json = project.run("compose --progress json up -d --force-recreate").run();
    for line in json.stderr.lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("an object");
        assert!(event["id"].is_string() && event["status"].is_string(), "{line}");
    }
    assert!(
        json.stderr
            .contains("{\"id\":\"Container shop-web-1\",\"status\":\"Recreated\"}\n"),
        "{json}"
    );
    let json = project.run("compose --dry-run --progress json restart").run();
    assert!(
        json.stderr
            .starts_with("{\"dry-run\":true,\"id\":\"Container shop-web-1\",\"status\":\"Restarting\"}\n"),
        "{json}"
    );
    let quiet = project.run("compose --progress quiet up -d --force-recreate").run();
    assert_eq!((quiet.code, quiet.stderr.as_str()), (0, ""), "{quiet}");
    for tty in [
        "compose --progress tty restart -t 0",
        "compose --ansi always restart -t 0",
    ] {
        let tty = project.run(tty).run();
        assert!(tty.stderr.contains("[+] Restarting 1/1"), "{tty}");
    }
    let none = project.run("compose restart").env("COMPOSE_PROGRESS", "quiet").run();
    assert_eq!(none.stderr, "", "{none}");
}

#[test]
fn a_dry_run_tells_what_would_be_done_and_does_nothing() {
    let project = Project::new(
        "name: shop
services:
  web: {image: busybox, command: sh -c 'echo here; sleep 1000', stop_signal: SIGKILL}
  built: {build: ., image: built, command: sleep 1000, stop_signal: SIGKILL, profiles: [more]}
",
    );
    project.write("Dockerfile", "FROM busybox\n");
    project.run("compose up -d web").ok();
    let before = project.started("shop-web-1");
    let told = |words: &str| project.run(words).run();
    for (words, error) in [
        (
            "compose --dry-run exec web touch /made",
            "interactive exec is not supported in dry-run mode",
        ),
        (
            "compose --dry-run run web touch /made",
            "interactive run is not supported in dry-run mode",
        ),
        (
            "compose --dry-run attach web",
            "interactive run is not supported in dry-run mode",
        ),
    ] {
        let refused = told(words);
        assert!(
            refused.code == 1 && refused.stderr.contains(error),
            "{words}: {refused}"
        );
    }
    let exec = told("compose exec --dry-run -d web touch /made");
    assert!(
        exec.stdout
            .contains(" DRY-RUN MODE - Executing command [\"touch\" \"/made\"] in "),
        "{exec}"
    );
    project.write("here", "");
    for (words, lines) in [
        (
            "compose cp --dry-run here web:/made",
            &["shop-web-1 copy here to shop-web-1:/made Copying", "Copied"][..],
        ),
        (
            "compose export --dry-run -o all.tar web",
            &["shop-web-1 export shop-web-1 to all.tar Exporting", "Exported"],
        ),
        (
            "compose commit --dry-run web kept",
            &["shop-web-1 Commit shop-web-1 Committing", "Committed"],
        ),
        ("compose pull --dry-run web", &["web Pulling ", "web Pulled "]),
        ("compose push --dry-run", &["web Skipped "]),
        ("compose --profile more push --dry-run built", &["Pushing", "Pushed"]),
        (
            "compose --profile more build --dry-run",
            &[" built  Building", " built  Built"],
        ),
        (
            "compose up --dry-run --force-recreate web",
            &["Container shop-web-1  Recreated"],
        ),
        ("compose watch --dry-run", &["Container shop-web-1  Running"]),
        ("compose stop --dry-run", &["Container shop-web-1  Stopped"]),
    ] {
        let finished = told(words);
        assert_eq!(finished.code, 0, "{words}: {finished}");
        for line in lines {
            let found = finished
                .stderr
                .lines()
                .any(|told| told.starts_with(" DRY-RUN MODE - ") && told.contains(line));
            assert!(found, "{words}: {line:?}: {finished}");
        }
    }
    // These only ask.
    assert_eq!(told("compose logs --dry-run").stdout, "web-1  | here\n");
    assert!(told("compose top --dry-run").stdout.contains("sleep 1000"));
    assert!(
        told("compose stats --dry-run --no-stream")
            .stdout
            .contains("shop-web-1")
    );
    assert!(told("compose events --dry-run --since 10m --until 0s").code == 0);
    let made = project.run("compose exec -T web ls /made").run();
    assert_ne!(made.code, 0, "{made}");
    assert!(!project.engine.work().join("all.tar").exists());
    assert_ne!(project.engine.corten(["image", "inspect", "kept"]).run().code, 0);
    assert_eq!(project.started("shop-web-1"), before);
    assert_eq!(project.ids().len(), 1);
}
