//! `--authorization-plugin`: programs that see every request and may refuse it.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use corten_tests::engine::{Engine, Options};
use serde_json::{Value, json};

/// What a plugin was asked: the method, and the document.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// Listens as a plugin, for as long as the test's process lives, and answers as `decide` says.
fn plugin(folder: &Path, name: &str, decide: impl Fn(&str, &Value) -> Value + Send + 'static) -> Asked {
    corten_sys::fs::create_dir_all(folder).expect("a folder");
    let listener = UnixListener::bind(folder.join(format!("{name}.sock"))).expect("a socket");
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let Some((method, document)) = read(&stream) else {
                continue;
            };
            let answer = match method.as_str() {
                "Plugin.Activate" => json!({"Implements": ["authz"]}),
                method => decide(method, &document),
            };
            if method != "Plugin.Activate" {
                seen.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((method, document));
            }
            write(&stream, &answer);
        }
    });
    asked
}

fn read(stream: &UnixStream) -> Option<(String, Value)> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let method = line.split(' ').nth(1)?.trim_start_matches('/').to_owned();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((method, serde_json::from_slice(&body).unwrap_or(Value::Null)))
}

fn write(mut stream: &UnixStream, answer: &Value) {
    let body = answer.to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    // An engine that was stopped does not listen any more.
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}

fn allow() -> Value {
    json!({"Allow": true})
}

/// The requests that a plugin was shown for a path.
fn shown(asked: &Asked, method: &str, path: &str) -> Vec<Value> {
    let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    asked
        .iter()
        .filter(|(what, document)| {
            what == method && document["RequestUri"].as_str().is_some_and(|uri| uri.contains(path))
        })
        .map(|(_, document)| document.clone())
        .collect()
}

fn engine(name: &str) -> Engine {
    Engine::prepared(Options::with_flags(&[&format!("--authorization-plugin={name}")]))
}

/// Text in base64, as a shell makes it.
fn base64(engine: &Engine, text: &str) -> String {
    engine.program("base64".as_ref(), ["-w0"]).stdin(text).ok()
}

#[test]
fn plugins_see_and_refuse_requests() {
    let engine = engine("gate");
    let asked = plugin(&engine.exec_root().join("plugins"), "gate", |method, document| {
        let uri = document["RequestUri"].as_str().unwrap_or_default();
        match method {
            "AuthZPlugin.AuthZReq" if uri.contains("/volumes/create") => json!({"Allow": false, "Msg": "no volumes"}),
            "AuthZPlugin.AuthZRes" if uri.contains("/networks") => json!({"Allow": false, "Msg": "not to be seen"}),
            _ => allow(),
        }
    });
    engine.launch();
    assert_eq!(engine.get("/info")["Plugins"]["Authorization"], json!(["gate"]));
    let refused = engine.corten(["volume", "create", "data"]).run();
    assert!(
        refused
            .stderr
            .contains("Error response from daemon: authorization denied by plugin gate: no volumes"),
        "{refused}"
    );
    assert_eq!(engine.get("/volumes")["Volumes"], json!([]));
    let response = engine.http("GET", "/networks", None);
    assert_eq!(
        (response.status, response.message()),
        (403, "authorization denied by plugin gate: not to be seen".to_owned())
    );
    // Streams go through.
    let hello = engine.corten(["run", "--rm", "-i", "busybox", "cat"]).stdin("hello\n");
    assert_eq!(hello.ok(), "hello\n");
    let creations = shown(&asked, "AuthZPlugin.AuthZReq", "/containers/create");
    assert!(!creations.is_empty());
    let headers = &creations[0]["RequestHeaders"];
    assert_eq!(
        (&creations[0]["RequestMethod"], &headers["Content-Type"]),
        (&json!("POST"), &json!("application/json"))
    );
    let answers = shown(&asked, "AuthZPlugin.AuthZRes", "/containers/create");
    assert!(
        answers.iter().any(|answer| answer["ResponseStatusCode"] == 201),
        "{answers:?}"
    );
}

#[test]
fn plugins_see_the_bytes_that_the_route_reads() {
    let engine = engine("eyes");
    let asked = plugin(&engine.exec_root().join("plugins"), "eyes", |_, _| allow());
    engine.launch();
    let order = r#"{"Name":"seen"}"#;
    let post = |name: &str, headers: &[&str]| {
        let body = order.replace("seen", name);
        let socket = engine.socket();
        let mut arguments = vec!["-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket"];
        arguments.push(socket.to_str().expect("a plain path"));
        for header in headers {
            arguments.extend(["-H", header]);
        }
        arguments.extend(["-X", "POST", "--data-binary", "@-", "http://engine/volumes/create"]);
        engine.program("curl".as_ref(), arguments).stdin(body).ok()
    };
    let json = "Content-Type: application/json";
    assert_eq!(post("seen", &[json]), "201");
    assert_eq!(post("chunked", &[json, "Transfer-Encoding: chunked"]), "201");
    assert_eq!(
        post("charset", &["Content-Type: application/json; charset=utf-8"]),
        "201"
    );
    assert_eq!(post("untyped", &["Content-Type:"]), "201");
    // What the plugin cannot be shown is not obeyed.
    assert_eq!(post("hidden", &["Content-Type:", "Transfer-Encoding: chunked"]), "403");
    assert_eq!(post("plain", &["Content-Type: text/plain"]), "400");
    let bodies: Vec<_> = shown(&asked, "AuthZPlugin.AuthZReq", "/volumes/create")
        .iter()
        .map(|document| document["RequestBody"].as_str().unwrap_or_default().to_owned())
        .collect();
    for name in ["seen", "chunked", "charset", "untyped"] {
        let expected = base64(&engine, &order.replace("seen", name));
        assert!(bodies.contains(&expected), "{name}: {bodies:?}");
    }
    let volumes = engine.get("/volumes");
    let mut names: Vec<_> = volumes["Volumes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|volume| &volume["Name"])
        .collect();
    names.sort_by_key(|name| name.to_string());
    assert_eq!(names, ["charset", "chunked", "seen", "untyped"]);
    for name in ["seen", "chunked", "charset", "untyped"] {
        engine.corten(["volume", "rm", name]).ok();
    }
    // Secrets stay between the client and the registry.
    let auth = json!({"username": "me", "password": "secret", "serveraddress": "127.0.0.1:5000"});
    engine.http("POST", "/auth", Some(&auth));
    assert_eq!(
        shown(&asked, "AuthZPlugin.AuthZReq", "/auth")[0]["RequestBody"],
        Value::Null
    );
}

#[test]
fn the_name_in_the_certificate_is_told() {
    let tls = |name: &str| format!("{}/data/tls/engine/{name}", env!("CARGO_MANIFEST_DIR"));
    let engine = Engine::prepared(Options {
        flags: vec![
            "--authorization-plugin=who".to_owned(),
            "--host=tcp://127.0.0.1:2376".to_owned(),
            "--tlsverify".to_owned(),
            format!("--tlscacert={}", tls("ca.pem")),
            format!("--tlscert={}", tls("server.pem")),
            format!("--tlskey={}", tls("server.key")),
        ],
        ..Options::default()
    });
    let asked = plugin(&engine.exec_root().join("plugins"), "who", |_, _| allow());
    engine.launch();
    engine
        .corten(
            ["-H", "tcp://127.0.0.1:2376", "--tlsverify"]
                .map(str::to_owned)
                .into_iter()
                .chain([
                    format!("--tlscacert={}", tls("ca.pem")),
                    format!("--tlscert={}", tls("client.pem")),
                    format!("--tlskey={}", tls("client.key")),
                    "volume".to_owned(),
                    "ls".to_owned(),
                ]),
        )
        .ok();
    let request = &shown(&asked, "AuthZPlugin.AuthZReq", "/volumes")[0];
    assert_eq!(
        (&request["User"], &request["UserAuthNMethod"]),
        (&json!("tester"), &json!("TLS"))
    );
    let certificates = request["RequestPeerCertificates"].as_array().expect("a list");
    let pem = corten_sys::fs::read_to_string(tls("client.pem")).unwrap();
    assert_eq!(certificates[0], json!(base64(&engine, &pem)));
}

#[test]
fn plugins_that_are_missing_or_fail() {
    let missing = engine("nobody");
    missing.spawn();
    assert_eq!(missing.wait_end(), 1);
    assert!(
        missing.log().contains(r#"plugin "nobody" not found"#),
        "{}",
        missing.log()
    );
    let engine = engine("sick");
    plugin(
        &engine.exec_root().join("plugins"),
        "sick",
        |_, document| match document["RequestUri"].as_str() {
            Some(uri) if uri.contains("/volumes") => json!({"Allow": false, "Err": "out of order"}),
            _ => allow(),
        },
    );
    engine.launch();
    let response = engine.http("GET", "/volumes", None);
    assert_eq!(
        (response.status, response.message()),
        (500, "plugin sick failed with error: out of order".to_owned())
    );
    // Without its plugin nobody is let in.
    corten_sys::fs::remove_file(engine.exec_root().join("plugins/sick.sock")).unwrap();
    let response = engine.http("GET", "/version", None);
    assert_eq!(response.status, 500, "{}", response.text());
    assert!(
        response
            .message()
            .starts_with("plugin sick failed with error: dial unix")
    );
    plugin(&engine.exec_root().join("plugins"), "sick", |_, _| allow());
}
