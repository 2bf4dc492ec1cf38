//! `search`, against an engine that a test plays: what it asks for, and how it writes what it gets.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixListener,
    path::Path,
    sync::mpsc,
};

use corten_tests::engine::{Engine, Options, REGISTRY};
use corten_tests::images::TestImage;
use corten_tests::registry::Fault;
use serde_json::json;

/// Answers one request on a socket with these images; the request's first line comes out of the channel.
fn answer(socket: &Path, images: &serde_json::Value) -> mpsc::Receiver<String> {
    let listener = UnixListener::bind(socket).expect("a socket");
    let (sender, asked) = mpsc::channel();
    let body = images.to_string();
    std::thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let mut lines = BufReader::new(stream.try_clone().expect("a stream")).lines();
        let first = lines.next().and_then(Result::ok).unwrap_or_default();
        while lines.next().and_then(Result::ok).is_some_and(|line| !line.is_empty()) {}
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        // The client may have what it wants already.
        let _ = stream.write_all(format!("{head}{body}").as_bytes());
        let _ = sender.send(first);
    });
    asked
}

#[test]
fn a_registry_is_searched_by_its_own_search_or_its_catalogue() {
    let engine = Engine::start();
    for name in ["team/web", "team/website", "team/worker", "other/tool", "web/proxy"] {
        engine.registry().add_image(name, "1", &TestImage::small("found"));
    }
    let searched = |word: &str| {
        let term = format!("{REGISTRY}/{word}");
        engine.corten(["search", "--format", "{{.Name}}", &term]).ok()
    };
    // The test registry gives three names a page.
    let named = |names: &[&str]| {
        names
            .iter()
            .map(|name| format!("{REGISTRY}/{name}\n"))
            .collect::<String>()
    };
    assert_eq!(searched("web"), named(&["team/web", "team/website", "web/proxy"]));
    assert_eq!(searched("nothing"), "");
    let results = json!({"num_results": 2, "results": [
        {"name": "a/small", "description": "one", "star_count": 3, "is_official": false},
        {"name": "b/large", "description": "two", "star_count": 30, "is_official": true},
    ]});
    let registry = engine.registry();
    registry.inject("/v1/search", 9, Fault::Answer(200, results.to_string()));
    assert_eq!(searched("any"), "b/large\na/small\n");
    let term = format!("{REGISTRY}/any");
    let many = engine
        .corten(["search", "-f", "stars=5", "--format", "{{.Name}}", &term])
        .ok();
    assert_eq!(many, "b/large\n");
    if let Some(docker) = engine.docker([
        "search",
        "--filter",
        "is-official=false",
        "--format",
        "{{.Name}}",
        &term,
    ]) {
        assert_eq!(docker.ok(), "a/small\n");
    }
    assert!(registry.count("GET", "/v1/search?q=any&n=25") > 0);
    let answered = engine.http("GET", &format!("/images/search?term={term}&limit=2"), None);
    assert_eq!((answered.status, &answered.json()[1]["star_count"]), (200, &json!(30)));
    let refused = engine.corten(["search", "--limit", "101", &term]).fails(1);
    assert!(
        refused.contains("limit 101 is outside the range of [1, 100]"),
        "{refused}"
    );
    let refused = engine.corten(["search", "--filter", "color=red", &term]).fails(1);
    assert!(refused.contains("invalid filter 'color'"), "{refused}");
}

#[test]
fn results_are_a_table_by_stars() {
    let engine = Engine::prepared(Options::default());
    let images = json!([
        {"name": "me/small", "description": "one\nline", "star_count": 3, "is_official": false, "is_automated": false},
        {"name": "busybox", "description": "x".repeat(60), "star_count": 30, "is_official": true, "is_automated": false},
    ]);
    let socket = engine.work().join("api");
    let asked = answer(&socket, &images);
    let host = format!("unix://{}", socket.display());
    let table = engine
        .corten(["search", "--limit", "5", "--filter", "is-official=true", "busy box"])
        .env("DOCKER_HOST", &host)
        .ok();
    let cut = format!("{}…", "x".repeat(44));
    assert_eq!(
        table,
        format!(
            "NAME       DESCRIPTION                                     STARS     OFFICIAL\n\
             busybox    {cut}   30        [OK]\n\
             me/small   one line                                        3         \n"
        )
    );
    let request = asked.recv().expect("a request");
    assert!(
        request.contains("/images/search?term=busy%20box&limit=5&filters="),
        "{request}"
    );
    corten_sys::fs::remove_file(&socket).expect("a socket");
    let _asked = answer(&socket, &images);
    let lines = engine
        .corten(["search", "--no-trunc", "--format", "{{.Name}}: {{.Description}}", "x"])
        .env("DOCKER_HOST", &host)
        .ok();
    assert_eq!(lines, format!("busybox: {}\nme/small: one line\n", "x".repeat(60)));
}
