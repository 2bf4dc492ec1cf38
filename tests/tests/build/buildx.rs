//! `corten buildx`: the one builder, what its cache holds, its history; and what is refused by name.

use corten_tests::engine::Engine;

use crate::{context, engine};

#[test]
fn there_is_one_builder() {
    let engine = Engine::start();
    let listed = engine.corten(["buildx", "ls"]).ok();
    assert!(
        listed.contains("default*") && listed.contains("running") && listed.contains("linux/"),
        "{listed}"
    );
    let names = engine
        .corten(["buildx", "ls", "--no-trunc", "--format", "{{.Name}}|{{.Status}}"])
        .ok();
    assert_eq!(names, "default*|\n \\_ default|running\n");
    let shown = engine.corten(["buildx", "inspect", "--bootstrap", "default"]).ok();
    assert!(
        shown.contains("Driver:        corten\n") && shown.contains("Status:           running\n"),
        "{shown}"
    );
    engine
        .corten(["buildx", "use", "--default", "--global", "default"])
        .ok();
    for arguments in [["buildx", "inspect", "other"], ["buildx", "use", "other"]] {
        let refused = engine.corten(arguments).fails(1);
        assert!(refused.contains("no builder \"other\" found"), "{refused}");
    }
    let version = engine.corten(["buildx", "version"]).ok();
    assert!(version.starts_with("corten/buildx v"), "{version}");
    // Every command takes the builder's name, and no other.
    for command in [
        &["buildx", "ls"][..],
        &["buildx", "inspect", "--builder=other"],
        &["buildx", "use", "--builder=other", "default"],
        &["buildx", "version", "--builder=other"],
        &["buildx", "du", "--builder=other"],
        &["buildx", "prune", "--builder=other", "-f"],
        &["buildx", "history", "ls", "--builder=other"],
        &["buildx", "history", "inspect", "--builder=other"],
        &["buildx", "history", "logs", "--builder=other"],
        &["buildx", "history", "rm", "--builder=other", "--all"],
    ] {
        let is_named = command.iter().any(|word| word.starts_with("--builder"));
        let finished = engine.corten(command).run();
        assert_eq!(
            is_named,
            finished.stderr.contains("no builder \"other\" found"),
            "{command:?}: {finished}"
        );
    }
}

#[test]
fn debug_is_refused_by_every_command_of_builds() {
    let engine = Engine::start();
    for command in [
        &["build", "--debug", "."][..],
        &["buildx", "build", "--debug", "."],
        &["buildx", "ls", "--debug"],
        &["buildx", "inspect", "-D"],
        &["buildx", "use", "--debug", "default"],
        &["buildx", "version", "--debug"],
        &["buildx", "du", "--debug"],
        &["buildx", "prune", "--debug", "-f"],
        &["buildx", "history", "ls", "--debug"],
        &["buildx", "history", "inspect", "--debug"],
        &["buildx", "history", "logs", "--debug"],
        &["buildx", "history", "rm", "--debug", "--all"],
    ] {
        let finished = engine.corten(command).run();
        assert!(
            finished.code != 0 && finished.stderr.contains("is logged by \"corten daemon --debug\""),
            "{command:?}: {finished}"
        );
    }
}

#[test]
fn what_one_builder_has_no_use_for_is_refused() {
    let engine = Engine::start();
    for (command, words) in [
        (
            &[
                "buildx",
                "create",
                "--name",
                "other",
                "--driver",
                "docker-container",
                "--use",
            ][..],
            "there is one builder",
        ),
        (&["buildx", "rm", "--all-inactive", "default"], "there is one builder"),
        (&["buildx", "stop"], "the builder is the engine itself"),
        (&["buildx", "install"], "are the same command here"),
        (&["buildx", "uninstall"], "are the same command here"),
        (&["buildx", "dial-stdio"], "system dial-stdio"),
        (&["buildx", "bake", "--print", "app"], "docker buildx bake"),
        (&["buildx", "f"], "buildx bake is not supported"),
        (
            &["buildx", "history", "export", "--all"],
            "buildx history export is not supported",
        ),
        (&["buildx", "history", "import", "-"], "Docker Desktop"),
        (&["buildx", "history", "open"], "Docker Desktop"),
        (&["buildx", "history", "trace"], "builds keep no traces"),
        (
            &["buildx", "history", "inspect", "attachment"],
            "inspect attachment is not supported",
        ),
    ] {
        let said = engine.corten(command).fails(1);
        assert!(said.contains(words), "{command:?}: {said}");
    }
    let help = engine.corten(["buildx", "create", "--help"]).ok();
    assert!(
        help.contains("Usage:  corten buildx create") && help.contains("It is not supported: "),
        "{help}"
    );
}

#[test]
fn plugins_trust_and_checkpoints_say_why_not() {
    let engine = Engine::start();
    assert_eq!(
        engine
            .corten(["plugin", "ls"])
            .line()
            .split_whitespace()
            .collect::<Vec<_>>(),
        ["ID", "NAME", "DESCRIPTION", "ENABLED"]
    );
    let ids = engine
        .corten(["plugin", "ls", "-q", "--no-trunc", "--filter", "enabled=true"])
        .ok();
    assert_eq!(ids, "");
    assert_eq!(engine.corten(["plugin", "list", "--format", "{{.Name}}"]).ok(), "");
    engine.corten(["plugin", "ls", "--filter", "nosuch=1"]).fails(1);
    let groups: [(&[&str], &str); 3] = [
        (
            &[
                "plugin create",
                "plugin disable",
                "plugin enable",
                "plugin inspect",
                "plugin install",
                "plugin push",
                "plugin rm",
                "plugin set",
                "plugin upgrade",
            ],
            "there are no managed plugins",
        ),
        (
            &[
                "trust inspect",
                "trust key generate",
                "trust key load",
                "trust revoke",
                "trust sign",
                "trust signer add",
                "trust signer remove",
            ],
            "content trust (Notary v1) has ended",
        ),
        (
            &["checkpoint create", "checkpoint ls", "checkpoint rm"],
            "it takes an experimental Docker with CRIU",
        ),
    ];
    for (commands, words) in groups {
        for command in commands {
            let all = command.split(' ').chain(["--force", "x"]);
            let said = engine.corten(all).fails(1);
            assert!(
                said.contains(&format!("{command} is not supported")) && said.contains(words),
                "{said}"
            );
        }
    }
}

#[test]
fn the_history_has_builds_with_their_logs() {
    let engine = engine();
    let good = context(
        &engine,
        "good",
        &[("Dockerfile", "FROM busybox AS base\nRUN echo said by the step\n")],
    );
    let bad = context(&engine, "bad", &[("Other", "FROM busybox\nRUN echo before; exit 7\n")]);
    engine.corten(["build", "-q", "-t", "good:1", &good]).ok();
    let file = format!("{bad}/Other");
    engine.corten(["build", "-f", &file, &bad]).fails(1);
    let ls = |more: &[&str]| {
        let command = ["buildx", "history", "ls", "--format", "{{.Ref}}|{{.Name}}|{{.Status}}"];
        engine.corten(command.iter().chain(more)).ok()
    };
    let lines: Vec<String> = ls(&[]).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].ends_with("|bad/Other|Error"), "the newest first: {lines:?}");
    assert!(lines[1].ends_with("|good|Completed"), "{lines:?}");
    let table = engine.corten(["buildx", "history", "ls", "--no-trunc"]).ok();
    assert!(table.starts_with("BUILD ID "), "{table}");
    assert_eq!(ls(&["--filter", "status=completed"]).lines().count(), 1);
    assert_eq!(ls(&["--filter", "name=bad"]).lines().count(), 1);
    let here = engine.corten(["buildx", "history", "ls", "--local", "--format", "{{.Name}}"]);
    assert_eq!(here.current_dir(&good).ok(), "good\n");
    let refused = engine
        .corten(["buildx", "history", "ls", "--filter", "nosuch=1"])
        .fails(1);
    assert!(refused.contains("unsupported filter"), "{refused}");

    // The last one, the one before, and one by its id.
    let name = |reference: &[&str]| {
        let command = ["buildx", "history", "inspect", "--format", "{{.Name}} {{.Status}}"];
        engine.corten(command.iter().chain(reference)).ok()
    };
    assert_eq!(name(&[]), "bad/Other Error\n");
    assert_eq!(name(&["^1"]), "good Completed\n");
    let id = lines[1].split('|').next().expect("an id");
    assert_eq!(name(&[id]), "good Completed\n");
    let pretty = engine.corten(["buildx", "history", "inspect", id]).ok();
    assert!(
        pretty.contains(&format!("Context:      {good}\n"))
            && pretty.contains("Build Steps:")
            && pretty.contains("good:1"),
        "{pretty}"
    );
    let json = engine.corten(["buildx", "history", "inspect", "--format", "json"]).ok();
    assert!(
        json.contains("\"Status\":\"Error\"") && json.contains("exit code: 7"),
        "{json}"
    );

    let log = engine.corten(["buildx", "history", "logs", id]).run();
    assert!(log.code == 0 && log.stderr.contains("said by the step\n"), "{log}");
    let log = engine
        .corten(["buildx", "history", "logs", "--progress", "rawjson"])
        .run();
    assert!(
        log.stderr.contains("\"vertexes\"") && log.stderr.contains("exit code: 7"),
        "{log}"
    );

    engine.corten(["buildx", "history", "rm", id]).ok();
    assert_eq!(ls(&[]).lines().count(), 1);
    engine.corten(["buildx", "history", "rm", id]).fails(1);
    engine.corten(["buildx", "history", "rm"]).fails(1);
    engine.corten(["buildx", "history", "rm", "--all"]).ok();
    assert_eq!(ls(&[]), "");
}

#[test]
fn an_engine_without_plugins_answers_for_them() {
    let engine = Engine::start();
    let ask = |method: &str, path: &str| engine.http(method, path, None).status;
    assert_eq!(engine.http("GET", "/plugins", None).json(), serde_json::json!([]));
    // None is there by that name.
    for status in [
        ask("GET", "/plugins/some/json"),
        ask("DELETE", "/plugins/some"),
        ask("POST", "/plugins/some/enable?timeout=1"),
        ask("POST", "/plugins/some/disable"),
        ask("POST", "/plugins/some/upgrade?remote=some"),
        ask("POST", "/plugins/some/push"),
        ask("POST", "/plugins/some/set"),
    ] {
        assert_eq!(status, 404);
    }
    // And none can be had.
    for status in [
        ask("GET", "/plugins/privileges?remote=some"),
        ask("POST", "/plugins/pull?remote=some"),
        ask("POST", "/plugins/create?name=some"),
    ] {
        assert_eq!(status, 501);
    }
}
