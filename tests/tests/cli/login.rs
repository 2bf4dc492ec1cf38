//! `login` and `logout`, and what is kept for later pulls.

use corten_tests::{
    engine::{Engine, Options, REGISTRY},
    programs,
    registry::Access,
};
use serde_json::{Value, json};

fn restricted(access: Access) -> Engine {
    let engine = Engine::start();
    engine.registry().restrict(access);
    engine
}

fn account() -> (String, String) {
    ("me".to_owned(), "secret".to_owned())
}

/// The client's file, wherever it is kept.
fn kept(engine: &Engine, folder: &str) -> Value {
    let path = engine
        .work()
        .parent()
        .expect("a folder")
        .join("h")
        .join(folder)
        .join("config.json");
    match corten_sys::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).expect("JSON"),
        Err(_) => Value::Null,
    }
}

#[test]
fn with_a_password() {
    let (user, password) = account();
    let engine = restricted(Access::Basic(user, password));
    let image = format!("{REGISTRY}/library/busybox");
    assert_ne!(engine.corten(["pull", &image]).run().code, 0);
    let login = |password: &str| {
        engine
            .corten(["login", "-u", "me", "--password-stdin", REGISTRY])
            .stdin(format!("{password}\n"))
            .run()
    };
    let wrong = login("wrong");
    assert_eq!(wrong.code, 1);
    assert!(
        wrong.stderr.contains(&format!(
            "Error response from daemon: login attempt to http://{REGISTRY}/v2/ failed with status: 401 Unauthorized"
        )),
        "{wrong}"
    );
    assert_eq!(kept(&engine, ".corten"), Value::Null);
    let right = login("secret");
    assert_eq!((right.code, right.stdout.as_str()), (0, "Login Succeeded\n"), "{right}");
    assert!(
        right
            .stderr
            .contains("WARNING! Your credentials are stored unencrypted"),
        "{right}"
    );
    // "me:secret"
    assert_eq!(
        kept(&engine, ".corten")["auths"],
        json!({REGISTRY: {"auth": "bWU6c2VjcmV0"}})
    );
    engine.corten(["pull", &image]).ok();
    // Once more, with what is known.
    let again = engine.corten(["login", REGISTRY]).ok();
    assert!(again.contains("Authenticating with existing credentials"), "{again}");
    assert!(again.ends_with("Login Succeeded\n"), "{again}");
    let removed = engine.corten(["logout", REGISTRY]).ok();
    assert_eq!(removed, format!("Removing login credentials for {REGISTRY}\n"));
    assert_eq!(kept(&engine, ".corten")["auths"], json!({}));
    engine.corten(["rmi", &image]).ok();
    assert_ne!(engine.corten(["pull", &image]).run().code, 0);
    // For one command.
    let once = json!({"auths": {REGISTRY: {"auth": "bWU6c2VjcmV0"}}}).to_string();
    engine.corten(["pull", &image]).env("DOCKER_AUTH_CONFIG", once).ok();
    let bad = engine
        .corten(["login", "-u", "me", "-p", "x", "--password-stdin", REGISTRY])
        .run();
    assert!(
        bad.stderr
            .contains("--password and --password-stdin are mutually exclusive"),
        "{bad}"
    );
    let bad = engine.corten(["login", "--password-stdin", REGISTRY]).run();
    assert!(
        bad.stderr.contains("Must provide --username with --password-stdin"),
        "{bad}"
    );
}

#[test]
fn with_a_token_instead_of_the_password() {
    let engine = restricted(Access::Bearer(Some(account())));
    let wrong = engine.corten(["login", "-u", "me", "-p", "wrong", REGISTRY]).run();
    assert_eq!(wrong.code, 1, "{wrong}");
    assert!(
        wrong
            .stderr
            .contains(&format!("Error response from daemon: Get \"http://{REGISTRY}/v2/\": ")),
        "{wrong}"
    );
    engine.corten(["login", "-u", "me", "-p", "secret", REGISTRY]).ok();
    let auth = &kept(&engine, ".corten")["auths"][REGISTRY];
    assert_eq!(auth["identitytoken"], "identity-me", "{auth}");
    engine.corten(["pull", &format!("{REGISTRY}/library/busybox")]).ok();
}

#[test]
fn the_real_docker_logs_in() {
    let (user, password) = account();
    let engine = restricted(Access::Basic(user, password));
    let Some(call) = engine.docker(["login", "-u", "me", "--password-stdin", REGISTRY]) else {
        return;
    };
    assert!(call.stdin("secret").ok().contains("Login Succeeded"));
    let image = format!("{REGISTRY}/library/busybox");
    if let Some(call) = engine.docker(["pull", "-q", &image]) {
        call.ok();
    }
    // Ours reads Docker's file when there is none of its own.
    engine.corten(["rmi", &image]).ok();
    engine.corten(["pull", &image]).ok();
}

#[test]
fn helpers_keep_secrets() {
    let (user, password) = account();
    let engine = restricted(Access::Basic(user, password));
    let folder = engine.work().join("bin");
    corten_sys::fs::create_dir(&folder).unwrap();
    let helper = folder.join("docker-credential-vault");
    let store = engine.work().join("vault");
    let script = format!(
        "#!/bin/sh\ncase $1 in\nstore) cat > {0} ;;\nget) cat {0} 2>/dev/null || {{ echo credentials not found in native keychain; exit 1; }} ;;\nerase) rm -f {0} ;;\nesac\n",
        store.display()
    );
    corten_sys::fs::write(&helper, script).unwrap();
    corten_sys::fs::set_mode(&helper, 0o755).unwrap();
    let config = engine.work().join("config");
    corten_sys::fs::create_dir(&config).unwrap();
    corten_sys::fs::write(config.join("config.json"), json!({"credsStore": "vault"}).to_string()).unwrap();
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", folder.display());
    let corten = |arguments: &[&str]| {
        let config = config.to_str().expect("a plain path");
        engine
            .corten(["--config", config].iter().chain(arguments))
            .env("PATH", &path)
    };
    let image = format!("{REGISTRY}/library/busybox");
    assert_ne!(corten(&["pull", &image]).run().code, 0);
    let login = corten(&["login", "-u", "me", "-p", "secret", REGISTRY]).run();
    assert_eq!(login.code, 0, "{login}");
    assert!(!login.stderr.contains("unencrypted"), "{login}");
    let secret: Value = serde_json::from_slice(&corten_sys::fs::read(&store).unwrap()).unwrap();
    assert_eq!(
        secret,
        json!({"ServerURL": REGISTRY, "Username": "me", "Secret": "secret"})
    );
    corten(&["pull", &image]).ok();
    corten(&["logout", REGISTRY]).ok();
    assert!(!store.exists());
}

/// A helper that keeps what it is told in files of a folder, and notes how it was called.
#[track_caller]
fn helper(engine: &Engine, name: &str) -> String {
    let (bin, kept) = (engine.work().join("bin"), engine.work().join(name));
    for folder in [&bin, &kept] {
        corten_sys::fs::create_dir_all(folder).expect("a file");
    }
    let program = bin.join(format!("docker-credential-{name}"));
    let script = "#!/bin/sh\ncd KEPT\necho $1 >> calls\nfile() { tr -c 'a-z0-9.\\n' _; }\ncase $1 in\n\
        store) input=$(cat); name=$(echo \"$input\" | sed 's/.*\"ServerURL\":\"\\([^\"]*\\)\".*/\\1/' | file); echo \"$input\" > kept-$name ;;\n\
        get) cat kept-$(file) 2>/dev/null || { echo credentials not found in native keychain; exit 1; } ;;\n\
        erase) rm -f kept-$(file) ;;\n\
        list) echo '{\"REGISTRY\":\"me\"}' ;;\nesac\n";
    let script = script
        .replace("KEPT", &kept.to_string_lossy())
        .replace("REGISTRY", REGISTRY);
    corten_sys::fs::write(&program, script).expect("a file");
    corten_sys::fs::set_mode(&program, 0o755).expect("a file");
    format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display())
}

#[test]
fn helpers_serve_pushes_pulls_and_builds() {
    for (settings, user_of) in [
        (json!({"credsStore": "vault"}), "the store"),
        (
            json!({"credsStore": "nosuch", "credHelpers": {REGISTRY: "vault"}}),
            "the registry's own helper",
        ),
    ] {
        let (user, password) = account();
        let engine = Engine::start();
        engine.corten(["pull", "-q", "busybox"]).ok();
        engine.registry().restrict(Access::Basic(user, password));
        let path = helper(&engine, "vault");
        let config = engine.work().join("config");
        corten_sys::fs::create_dir(&config).unwrap();
        corten_sys::fs::write(config.join("config.json"), settings.to_string()).unwrap();
        let config = config.to_string_lossy().into_owned();
        let corten = |arguments: &[&str]| {
            let all = ["--config", &config].into_iter().chain(arguments.iter().copied());
            engine.corten(all).env("PATH", &path)
        };
        let image = format!("{REGISTRY}/team/app:1");
        let folder = engine.work().join("context");
        corten_sys::fs::create_dir(&folder).unwrap();
        let dockerfile = format!("FROM {REGISTRY}/library/busybox\nRUN echo built > /built\n");
        corten_sys::fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
        let folder = folder.to_string_lossy().into_owned();
        let build = ["build", "-q", "--pull", "-t", &image, &folder];
        assert_ne!(corten(&build).run().code, 0, "{user_of}");
        corten(&["login", "-u", "me", "-p", "secret", REGISTRY]).ok();
        corten(&build).ok();
        corten(&["push", "-q", &image]).ok();
        corten(&["build", "-q", "--push", "-t", &image, &folder]).ok();
        engine.corten(["rmi", &image]).ok();
        corten(&["pull", "-q", &image]).ok();
        let file = corten_sys::fs::read_to_string(format!("{config}/config.json")).unwrap();
        assert!(!file.contains("secret") && !file.contains("bWU6"), "{user_of}: {file}");
        corten(&["logout", REGISTRY]).ok();
        assert_ne!(corten(&["push", "-q", &image]).run().code, 0, "{user_of}");
        let calls = corten_sys::fs::read_to_string(engine.work().join("vault/calls")).unwrap();
        for call in ["store", "get", "erase"] {
            assert!(calls.lines().any(|line| line == call), "{user_of}, {call}: {calls}");
        }
        let left = engine.sh(&format!(
            "ls {} | grep -c kept- || true",
            engine.work().join("vault").display()
        ));
        assert_eq!(left.line(), "0", "{user_of}");
    }
}

#[test]
fn a_helper_that_is_not_there_or_fails_is_named() {
    let engine = restricted(Access::Basic("me".to_owned(), "secret".to_owned()));
    let config = engine.work().join("config");
    corten_sys::fs::create_dir(&config).unwrap();
    corten_sys::fs::write(config.join("config.json"), json!({"credsStore": "nosuch"}).to_string()).unwrap();
    let config = config.to_string_lossy().into_owned();
    let login = ["--config", &config, "login", "-u", "me", "-p", "secret", REGISTRY];
    let refused = engine.corten(login).fails(1);
    assert!(refused.contains("docker-credential-nosuch"), "{refused}");
}

#[test]
fn registries_that_are_not_there() {
    let engine = Engine::start_with(Options::default());
    let refused = engine.corten(["login", "-u", "a", "-p", "b", "127.0.0.1:1"]).run();
    assert!(
        refused.stderr.contains(
            "Error response from daemon: Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused"
        ),
        "{refused}"
    );
    let blind = engine.corten(["login", "127.0.0.1:1"]).run();
    assert_eq!(
        blind.stderr,
        "Error: Cannot perform an interactive login from a non TTY device\n"
    );
    assert!(programs::corten().exists());
}
