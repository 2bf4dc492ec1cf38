//! `context`: named engines, in Docker's stores.

use corten_tests::engine::{Engine, Options};
use serde_json::{Value, json};

#[test]
fn a_context_leads_to_its_engine() {
    let engine = Engine::start();
    let host = format!("host=unix://{}", engine.socket().display());
    let there = |arguments: &[&str]| engine.corten(arguments).env("DOCKER_HOST", "");
    let created = there(&[
        "context",
        "create",
        "here",
        "--docker",
        &host,
        "--description",
        "this one",
    ])
    .run();
    assert_eq!(
        (created.stdout.as_str(), created.stderr.as_str()),
        ("here\n", "Successfully created context \"here\"\n")
    );
    let id = engine.corten(["info", "-f", "{{.ID}}"]).line();
    assert_eq!(there(&["--context", "here", "info", "-f", "{{.ID}}"]).line(), id);
    assert_eq!(
        there(&["info", "-f", "{{.ID}}"]).env("DOCKER_CONTEXT", "here").line(),
        id
    );
    assert_eq!(
        there(&["info", "-f", "{{.ID}}"]).env("CORTEN_CONTEXT", "here").line(),
        id
    );
    there(&["context", "use", "here"]).ok();
    assert_eq!(there(&["context", "show"]).line(), "here");
    assert_eq!(there(&["info", "-f", "{{.ID}}"]).line(), id);
    let list = there(&["context", "ls", "--format", "{{.Name}} {{.Current}} {{.Description}}"]).ok();
    assert_eq!(
        list,
        "default false Current DOCKER_HOST based configuration\nhere true this one\n"
    );
    let in_use = there(&["context", "rm", "here"]).run();
    assert!(
        in_use
            .stderr
            .contains("context \"here\" is in use, set -f flag to force remove"),
        "{in_use}"
    );
    // The environment comes before what was chosen.
    assert_eq!(engine.corten(["context", "show"]).line(), "default");
    let warned = engine.corten(["context", "use", "here"]).run();
    assert!(
        warned.stderr.contains("DOCKER_HOST environment variable overrides"),
        "{warned}"
    );
    there(&["context", "rm", "-f", "here"]).ok();
    assert_eq!(there(&["context", "show"]).line(), "default");
    let both = there(&["--context", "here", "-H", "unix:///x", "ps"]).run();
    assert!(
        both.stderr
            .contains("conflicting options: cannot specify both --host and --context"),
        "{both}"
    );
}

#[test]
fn contexts_are_changed_and_moved() {
    let engine = Engine::prepared(Options::default());
    let corten = |arguments: &[&str]| engine.corten(arguments).env("DOCKER_HOST", "");
    let tls = |name: &str| format!("{}/data/tls/engine/{name}", env!("CARGO_MANIFEST_DIR"));
    let far = format!(
        "host=tcp://far.example:2376,ca={},cert={},key={}",
        tls("ca.pem"),
        tls("client.pem"),
        tls("client.key")
    );
    corten(&["context", "create", "far", "--docker", &far]).ok();
    let inspect = |name: &str| -> Value {
        let text = corten(&["context", "inspect", name]).ok();
        serde_json::from_str::<Value>(&text).expect("JSON")[0].clone()
    };
    let there = inspect("far");
    assert_eq!(
        corten(&[
            "context",
            "inspect",
            "--format",
            "{{.Name}} at {{.Endpoints.docker.Host}}",
            "far"
        ])
        .line(),
        "far at tcp://far.example:2376"
    );
    assert_eq!(
        there["Endpoints"],
        json!({"docker": {"Host": "tcp://far.example:2376", "SkipTLSVerify": false}})
    );
    assert_eq!(
        there["TLSMaterial"],
        json!({"docker": ["ca.pem", "cert.pem", "key.pem"]})
    );
    let updated = corten(&["context", "update", "far", "--description", "far away"]).run();
    assert_eq!(
        (updated.stdout.as_str(), updated.stderr.as_str()),
        ("far\n", "Successfully updated context \"far\"\n")
    );
    assert_eq!(inspect("far")["Metadata"], json!({"Description": "far away"}));
    assert_eq!(inspect("far")["Endpoints"], there["Endpoints"]);
    corten(&["context", "create", "copy", "--from", "far", "--description", "a copy"]).ok();
    assert_eq!(inspect("copy")["TLSMaterial"], there["TLSMaterial"]);
    corten(&[
        "context",
        "update",
        "copy",
        "--docker",
        "host=tcp://other.example:1,skip-tls-verify=true",
    ])
    .ok();
    assert_eq!(
        inspect("copy")["Endpoints"]["docker"],
        json!({"Host": "tcp://other.example:1", "SkipTLSVerify": true})
    );
    // Out and in again, by a file and by pipes.
    let exported = corten(&["context", "export", "far"]).run();
    assert_eq!(exported.stderr, "Written file \"far.dockercontext\"\n", "{exported}");
    let again = corten(&["context", "export", "far"]).run();
    assert!(again.stderr.contains("far.dockercontext: file exists"), "{again}");
    let imported = corten(&["context", "import", "back", "far.dockercontext"]).run();
    assert_eq!(
        (imported.stdout.as_str(), imported.stderr.as_str()),
        ("back\n", "Successfully imported context \"back\"\n")
    );
    let back = inspect("back");
    assert_eq!(
        (&back["Endpoints"], &back["TLSMaterial"]),
        (&there["Endpoints"], &there["TLSMaterial"])
    );
    assert_eq!(
        (&back["Name"], &back["Metadata"]["Description"]),
        (&json!("back"), &json!("far away"))
    );
    let archive = engine.sh("tar -tf far.dockercontext").ok();
    assert_eq!(
        archive,
        "meta.json\ntls/docker/ca.pem\ntls/docker/cert.pem\ntls/docker/key.pem\n"
    );
    engine
        .sh("mkdir x && tar -xf far.dockercontext -C x && tar -C x -cf other.tar meta.json tls")
        .ok();
    corten(&["context", "import", "foreign", "other.tar"]).ok();
    assert_eq!(inspect("foreign")["TLSMaterial"], there["TLSMaterial"]);
    for (arguments, words) in [
        (
            &["context", "import", "back", "far.dockercontext"][..],
            "context \"back\" already exists",
        ),
        (&["context", "import", "new", "x/meta.json"], "unexpected context file"),
        (
            &["context", "import", "new", "nosuch"],
            "open nosuch: no such file or directory",
        ),
        (
            &["context", "update", "nosuch"],
            "context \"nosuch\": context not found",
        ),
        (
            &["context", "export", "nosuch"],
            "context \"nosuch\": context not found",
        ),
        (&["context", "create", "far"], "context \"far\" already exists"),
        (
            &["context", "create", "default"],
            "\"default\" is a reserved context name",
        ),
        (&["context", "create", "-x"], "unknown shorthand flag"),
        (
            &["context", "create", "new", "--docker", "hosts=x"],
            "unrecognized config key: hosts",
        ),
        (
            &["context", "create", "new", "--docker", "host=bogus://x"],
            "unable to create docker endpoint config",
        ),
    ] {
        let finished = corten(arguments).run();
        assert_ne!(finished.code, 0, "{arguments:?}");
        assert!(finished.stderr.contains(words), "{arguments:?}: {finished}");
    }
    let names = corten(&["context", "ls", "-q"]).ok();
    assert_eq!(names, "back\ncopy\ndefault\nfar\nforeign\n");
}

#[test]
fn docker_reads_what_ours_has_made() {
    let engine = Engine::start();
    let host = format!("host=unix://{}", engine.socket().display());
    let config = engine.work().join("config");
    let config = config.to_str().expect("a plain path");
    engine
        .corten(["--config", config, "context", "create", "shared", "--docker", &host])
        .ok();
    let Some(docker) = engine.docker(["--config", config, "--context", "shared", "info", "-f", "{{.ID}}"]) else {
        return;
    };
    assert_eq!(
        docker.env("DOCKER_HOST", "").line(),
        engine.corten(["info", "-f", "{{.ID}}"]).line()
    );
    if let Some(export) = engine.docker(["--config", config, "context", "export", "shared", "shared.tar"]) {
        export.ok();
        engine.corten(["context", "import", "mine", "shared.tar"]).ok();
    }
}
