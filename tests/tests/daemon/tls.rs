//! TCP with TLS, certificates of clients, and what plain TCP is kept from.

use corten_tests::engine::{Engine, Options};
use serde_json::Value;

/// The folder of certificates for engines and their clients.
fn certificate(name: &str) -> String {
    format!("{}/data/tls/engine/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// An engine that also listens on TCP, with TLS.
fn engine(address: &str, switch: &str) -> Engine {
    let flags = [
        format!("--host={address}"),
        switch.to_owned(),
        format!("--tlscacert={}", certificate("ca.pem")),
        format!("--tlscert={}", certificate("server.pem")),
        format!("--tlskey={}", certificate("server.key")),
    ];
    Engine::start_with(Options {
        flags: flags.to_vec(),
        ..Options::default()
    })
}

/// The flags of a client that proves who it is.
fn client(name: &str) -> [String; 3] {
    [
        format!("--tlscacert={}", certificate("ca.pem")),
        format!("--tlscert={}", certificate(&format!("{name}.pem"))),
        format!("--tlskey={}", certificate(&format!("{name}.key"))),
    ]
}

#[test]
fn clients_prove_who_they_are() {
    let engine = engine("tcp://127.0.0.1:2376", "--tlsverify");
    let corten = |address: &str, flags: &[String], command: &[&str]| {
        let mut arguments = vec!["--host".to_owned(), address.to_owned()];
        arguments.extend_from_slice(flags);
        arguments.extend(command.iter().map(|word| (*word).to_owned()));
        engine.corten(arguments)
    };
    let known = [&client("client")[..], &["--tlsverify".to_owned()]].concat();
    let address = "tcp://127.0.0.1:2376";
    corten(address, &known, &["version"]).ok();
    corten("tcp://localhost:2376", &known, &["version"]).ok();
    // Streams too, both ways.
    let echoed = corten(address, &known, &["run", "--rm", "-i", "busybox", "cat"]).stdin("hello\n");
    assert_eq!(echoed.ok(), "hello\n");
    let stranger = [&client("stranger")[..], &["--tlsverify".to_owned()]].concat();
    assert_ne!(corten(address, &stranger, &["version"]).run().code, 0);
    assert_ne!(corten(address, &["--tls".to_owned()], &["version"]).run().code, 0);
    let plain = corten(address, &[], &["version"]).run();
    assert_ne!(plain.code, 0, "{plain}");
    // By the environment, as clients are mostly told.
    let folder = engine.work().join("certificates");
    corten_sys::fs::create_dir(&folder).unwrap();
    for (from, to) in [
        ("ca.pem", "ca.pem"),
        ("client.pem", "cert.pem"),
        ("client.key", "key.pem"),
    ] {
        corten_sys::fs::copy(certificate(from), folder.join(to)).unwrap();
    }
    let by_environment = |program: Option<corten_tests::command::Call>| {
        let Some(call) = program else { return };
        call.env("DOCKER_HOST", address)
            .env("DOCKER_TLS_VERIFY", "1")
            .env("DOCKER_CERT_PATH", &folder)
            .ok();
    };
    by_environment(Some(engine.corten(["version"])));
    by_environment(engine.docker(["version"]));
    // Nobody is warned of an API that only the known can reach.
    let warnings = &engine.get("/info")["Warnings"];
    assert!(!warnings.to_string().contains("DEPRECATION"), "{warnings}");
}

#[test]
fn tls_without_asking_who_comes() {
    let engine = engine("tcp://127.0.0.1:2376", "--tlsverify=false");
    let address = "tcp://127.0.0.1:2376";
    engine.corten(["-H", address, "--tls", "version"]).ok();
    let ca = format!("--tlscacert={}", certificate("ca.pem"));
    engine.corten(["-H", address, "--tlsverify", &ca, "version"]).ok();
    // The client asks for a proof that the engine cannot give to it.
    let other = format!("--tlscacert={}", certificate("stranger.pem"));
    assert_ne!(
        engine
            .corten(["-H", address, "--tlsverify", &other, "version"])
            .run()
            .code,
        0
    );
    let warnings = engine.get("/info")["Warnings"].to_string();
    assert!(
        warnings.contains("API is accessible on https://127.0.0.1:2376 without TLS client verification."),
        "{warnings}"
    );
}

#[test]
fn plain_tcp_is_for_those_who_mean_it() {
    let refused = Engine::prepared(Options::with_flags(&["--host=tcp://0.0.0.0:2375"]));
    refused.spawn();
    assert_eq!(refused.wait_end(), 1);
    assert!(refused.log().contains("use --tlsverify"), "{}", refused.log());
    let engine = Engine::start_with(Options::with_flags(&["--host=tcp://0.0.0.0:2375", "--tls=false"]));
    let warnings = engine.get("/info")["Warnings"].to_string();
    assert!(
        warnings.contains("[DEPRECATION NOTICE]: API is accessible on http://0.0.0.0:2375 without encryption."),
        "{warnings}"
    );
    engine.corten(["-H", "tcp://127.0.0.1:2375", "version"]).ok();
}

#[test]
fn web_pages_are_kept_out() {
    let engine = Engine::start_with(Options::with_flags(&["--host=tcp://127.0.0.1:2375"]));
    let status = |headers: &[&str]| {
        let mut arguments = vec!["-s", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*"];
        for header in headers {
            arguments.extend(["-H", header]);
        }
        arguments.push("http://127.0.0.1:2375/version");
        engine.program("curl".as_ref(), arguments).ok()
    };
    assert_eq!(status(&[]), "200");
    assert_eq!(status(&["Host: localhost:2375"]), "200");
    // A page that was given a name which suddenly leads here.
    assert_eq!(status(&["Host: rebound.example:2375"]), "403");
    assert_eq!(status(&["Origin: http://page.example"]), "403");
    // Libraries for websockets say where they connect to.
    assert_eq!(status(&["Origin: http://127.0.0.1:2375"]), "200");
}

#[test]
fn bad_certificates_stop_the_start() {
    for (flag, path, words) in [
        (
            "--tlscert",
            "/nonexistent/cert.pem".to_owned(),
            "could not load X509 key pair",
        ),
        ("--tlskey", certificate("client.key"), "cannot be used"),
        ("--tlscacert", "/dev/null".to_owned(), "holds no certificate"),
    ] {
        let mut flags = vec![
            "--host=tcp://127.0.0.1:2376".to_owned(),
            "--tlsverify".to_owned(),
            format!("--tlscacert={}", certificate("ca.pem")),
            format!("--tlscert={}", certificate("server.pem")),
            format!("--tlskey={}", certificate("server.key")),
        ];
        flags.push(format!("{flag}={path}"));
        let engine = Engine::prepared(Options {
            flags,
            ..Options::default()
        });
        engine.spawn();
        assert_eq!(engine.wait_end(), 1, "{flag}");
        assert!(engine.log().contains(words), "{flag}: {}", engine.log());
    }
}

/// What an engine tells of itself does not depend on the way to it.
#[test]
fn the_same_api_behind_tls() {
    let engine = engine("tcp://127.0.0.1:2376", "--tlsverify");
    let mut arguments = vec!["-sS".to_owned(), "--cacert".to_owned(), certificate("ca.pem")];
    arguments.extend([
        "--cert".to_owned(),
        certificate("client.pem"),
        "--key".to_owned(),
        certificate("client.key"),
    ]);
    arguments.push("https://localhost:2376/v1.44/version".to_owned());
    let answer: Value = serde_json::from_str(&engine.program("curl".as_ref(), arguments).ok()).expect("JSON");
    assert_eq!(answer, engine.get("/v1.44/version"));
}
