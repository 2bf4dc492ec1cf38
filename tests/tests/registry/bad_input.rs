//! What clients should not send, and how they should not behave.

use std::io::{Read as _, Write as _};
use std::thread;

use corten_oci::digest::Digest;
use corten_oci::image::media_type;
use corten_tests::until;

use crate::server::{Server, code, location, manifest};

#[test]
fn names_lead_nowhere_else() {
    let server = Server::start(&[]);
    corten_sys::fs::write(server.folder().join("secret"), "x").expect("a file");
    server.push_blob("a", b"blob");
    for path in [
        "/v2/../../secret/manifests/1",
        "/v2/%2e%2e/%2e%2e/secret/tags/list",
        "/v2/a/../../tags/list",
        "/v2/a/manifests/%2e%2e%2f%2e%2e%2fsecret",
        "/v2/a/manifests/..",
        "/v2/a%00b/tags/list",
        "/v2/a/_blobs/tags/list",
        "/v2/A/tags/list",
        "/v2//tags/list",
        "/v2/a/blobs/sha256:../../../registry.json",
        "/v2/a/blobs/sha256:%2e%2e%2fregistry.json",
        "/v2/a/blobs/uploads/../../../../registry.json",
        "/v2/a/blobs/uploads/%2e%2e%2fregistry.json",
        "/repositories/../../secret",
    ] {
        for method in ["GET", "PUT", "DELETE"] {
            let status = server.call(method, path, &[], &[]).status;
            assert!((400..500).contains(&status), "{method} {path}: {status}");
        }
    }
    let long = format!("/v2/{}/tags/list", "a/".repeat(200) + "a");
    assert_eq!(code(&server.get(&long)), "NAME_INVALID");
    let inside = corten_sys::fs::read_dir(server.root().join("repositories")).expect("a folder");
    assert_eq!(inside.count(), 1);
}

#[test]
fn lies_about_digests_and_sizes_are_found() {
    let server = Server::start(&[]);
    let wrong = Digest::sha256(b"something else");
    let answer = server.call("POST", &format!("/v2/a/blobs/uploads/?digest={wrong}"), &[], b"bytes");
    assert_eq!((answer.status, code(&answer).as_str()), (400, "DIGEST_INVALID"));
    assert_eq!(server.head(&format!("/v2/a/blobs/{wrong}")).status, 404);
    for digest in [
        "",
        "sha256:abc",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "sha256:zz",
        "x",
    ] {
        let answer = server.call("PUT", &format!("{}?digest={digest}", server.begin("a")), &[], b"bytes");
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (400, "DIGEST_INVALID"),
            "{digest}"
        );
    }
    let place = server.begin("a");
    for (range, expected) in [
        ("0-9", "SIZE_INVALID"),
        ("4-0", "BLOB_UPLOAD_INVALID"),
        ("x", "BLOB_UPLOAD_INVALID"),
    ] {
        let answer = server.call("PATCH", &place, &[("Content-Range", range)], b"bytes");
        assert_eq!((answer.status, code(&answer).as_str()), (400, expected), "{range}");
    }
    // Chunked, and longer than its range says.
    let head = format!(
        "PATCH {place} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nContent-Range: 0-2\r\n\r\n"
    );
    let answer = server.raw(format!("{head}5\r\nbytes\r\n0\r\n\r\n").as_bytes());
    assert_eq!((answer.status, code(&answer).as_str()), (400, "SIZE_INVALID"));
    // Whatever was wrong: the upload goes on from where it is.
    let range = server.get(&place).header("range").expect("a range").to_owned();
    assert_eq!(range, "0-0");
    let digest = Digest::sha256(b"bytes");
    assert_eq!(
        server
            .call("PUT", &format!("{place}?digest={digest}"), &[], b"bytes")
            .status,
        201
    );
}

#[test]
fn giant_manifests_are_refused() {
    let server = Server::start(&[]);
    server.push_blob("a", b"{}");
    let mut large = manifest(b"{}", &[]);
    large["annotations"] = serde_json::json!({"x": "y".repeat(4 << 20)});
    let answer = server.put("a", "1", media_type::OCI_MANIFEST, large.to_string().as_bytes());
    assert_eq!((answer.status, code(&answer).as_str()), (413, "SIZE_INVALID"));
    // Just below, it is taken.
    large["annotations"] = serde_json::json!({"x": "y".repeat((4 << 20) - 2000)});
    let bytes = large.to_string();
    assert_eq!(
        server.put("a", "1", media_type::OCI_MANIFEST, bytes.as_bytes()).status,
        201
    );
    assert!(server.get("/v2/a/manifests/1").body == bytes.as_bytes());
    // And what nests for ever is no manifest.
    let answer = server.put("a", "2", media_type::OCI_MANIFEST, "[".repeat(1 << 20).as_bytes());
    assert_eq!(code(&answer), "MANIFEST_INVALID");
}

#[test]
fn an_upload_that_is_cut_goes_on_from_where_it_was() {
    let server = Server::start(&[]);
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    for cut in [0, 1, 1000, 65_536, 299_999] {
        let place = server.begin("a");
        let mut stream = server.connect();
        let head = format!(
            "PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
            bytes.len()
        );
        stream.write_all(head.as_bytes()).expect("sent");
        stream.write_all(&bytes[..cut]).expect("sent");
        drop(stream);
        let expected = format!("0-{}", cut.saturating_sub(1));
        until::is("what came is kept", || {
            server.get(&place).header("range") == Some(&expected)
        });
        let rest = format!("{cut}-{}", bytes.len() - 1);
        let answer = server.call("PATCH", &place, &[("Content-Range", &rest)], &bytes[cut..]);
        assert_eq!(answer.status, 202, "{cut}: {}", answer.text());
        let digest = Digest::sha256(&bytes);
        let answer = server.call("PUT", &format!("{place}?digest={digest}"), &[], &[]);
        assert_eq!(answer.status, 201, "{cut}: {}", answer.text());
        assert!(server.get(&location(&answer)).body == bytes);
    }
}

#[test]
fn a_request_takes_over_from_one_that_hangs() {
    let server = Server::start(&[]);
    let place = server.begin("a");
    let mut hanging = server.connect();
    let head = format!("PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n01234");
    hanging.write_all(head.as_bytes()).expect("sent");
    until::is("it has five bytes", || {
        let file = corten_sys::fs::read_dir(server.root().join("uploads"))
            .expect("a folder")
            .flatten()
            .next();
        file.is_some_and(|file| file.metadata().expect("a file").len() == 5)
    });
    let answer = server.call("PATCH", &place, &[("Content-Range", "5-9")], b"56789");
    assert_eq!(
        (answer.status, answer.header("range")),
        (202, Some("0-9")),
        "{}",
        answer.text()
    );
    drop(hanging);
}

#[test]
fn floods_of_headers_and_slow_clients_harm_nobody() {
    let server = Server::start(&[]);
    let digest = server.push_blob("a", &vec![7; 4 << 20]);
    let many = "X-A: b\r\n".repeat(10_000);
    let answer = server.raw(format!("GET /v2/ HTTP/1.1\r\nHost: x\r\n{many}\r\n").as_bytes());
    assert_eq!(answer.status, 431);
    let long = "a".repeat(1 << 20);
    let answer = server.raw(format!("GET /v2/ HTTP/1.1\r\nHost: x\r\nX-A: {long}\r\n\r\n").as_bytes());
    assert_eq!(answer.status, 431);
    // Two hundred that ask and do not read, two hundred that do not finish asking.
    let mut slow = Vec::new();
    for number in 0..400 {
        let mut stream = server.connect();
        let end = if number % 2 == 0 { "\r\n" } else { "" };
        let head = format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: x\r\n{end}");
        stream.write_all(head.as_bytes()).expect("sent");
        slow.push(stream);
    }
    assert_eq!(server.get(&format!("/v2/a/blobs/{digest}")).body.len(), 4 << 20);
    assert!(server.peak() < 100 << 20, "{} bytes", server.peak());
    // A slow one gets all in the end.
    let mut first = slow.swap_remove(0);
    let mut seen = vec![0; 4 << 20];
    first.read_exact(&mut seen).expect("the whole");
    drop(slow);
}

#[test]
fn a_tag_that_goes_during_a_pull_takes_nothing_from_it() {
    let server = Server::start(&[]);
    let layer = vec![9; 8 << 20];
    let digest = server.push_image("a", "1", &layer);
    let mut stream = server.connect();
    let path = format!("/v2/a/blobs/{}", Digest::sha256(&layer));
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
    let mut start = [0; 1000];
    stream.read_exact(&mut start).expect("the start");
    assert_eq!(
        server
            .call("DELETE", &format!("/v2/a/manifests/{digest}"), &[], &[])
            .status,
        202
    );
    let said = server.collect(&["--grace", "0"]);
    assert!(said.contains("2 links to blobs"), "{said}");
    let reading = thread::spawn(move || {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).map(|_| rest.len())
    });
    let rest = reading.join().expect("a thread").expect("the rest");
    assert!(rest + 1000 > layer.len(), "{rest}");
    assert_eq!(server.head(&path).status, 404);
}

/// Sends the first bytes of a request, and closes; waits until the registry has seen the end.
fn cut(server: &Server, bytes: &[u8]) {
    let mut stream = server.connect();
    stream.write_all(bytes).expect("sent");
    stream.shutdown(std::net::Shutdown::Write).expect("a connection");
    // What it answers to half a request is its own affair, or nothing.
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
}

#[test]
fn requests_that_are_cut_at_any_byte_make_nothing_whole() {
    let server = Server::start(&[]);
    let blob = b"a blob of a few bytes".as_slice();
    let digest = Digest::sha256(blob);
    let place = server.begin("a");
    let head = |method: &str, path: &str, length: usize| {
        let kind = media_type::OCI_MANIFEST;
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n")
    };
    let post = format!("/v2/a/blobs/uploads/?digest={digest}");
    let whole = [head("POST", &post, blob.len()).as_bytes(), blob].concat();
    for end in 0..whole.len() {
        cut(&server, &whole[..end]);
    }
    assert_eq!(server.head(&format!("/v2/a/blobs/{digest}")).status, 404);
    // An upload has what came of it, and takes the rest, wherever it was cut.
    let received = || {
        let answer = server.get(&place);
        assert_eq!(answer.status, 204, "{}", answer.text());
        let range = answer.header("range").expect("a range").to_owned();
        range
            .strip_prefix("0-")
            .and_then(|last| last.parse::<usize>().ok())
            .expect("a range")
    };
    let whole = [head("PATCH", &place, blob.len()).as_bytes(), blob].concat();
    let start = whole.len() - blob.len();
    for end in 0..start {
        cut(&server, &whole[..end]);
        assert_eq!(received(), 0, "{end}");
    }
    for at in 0..blob.len() - 1 {
        // One byte more of the rest each time.
        let rest = [head("PATCH", &place, blob.len() - at).as_bytes(), &blob[at..=at]].concat();
        cut(&server, &rest);
        until::is("what came is kept", || received() == at);
    }
    let answer = server.call("PUT", &format!("{place}?digest={digest}"), &[], &blob[blob.len() - 1..]);
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert!(server.get(&location(&answer)).body == blob);
    // And a manifest is whole, or it is not there.
    let config = b"{}".as_slice();
    server.push_blob("a", config);
    let document = manifest(config, &[blob]).to_string();
    let whole = [
        head("PUT", "/v2/a/manifests/1", document.len()).as_bytes(),
        document.as_bytes(),
    ]
    .concat();
    for end in 0..whole.len() {
        cut(&server, &whole[..end]);
    }
    assert_eq!(server.get("/v2/a/manifests/1").status, 404);
    let answer = server.put("a", "1", media_type::OCI_MANIFEST, document.as_bytes());
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert!(server.get("/v2/a/manifests/1").body == document.as_bytes());
}
