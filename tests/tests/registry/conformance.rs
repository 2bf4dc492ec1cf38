//! What the conformance suite of the OCI distribution-spec looks at and the other tests here do not, by its
//! names of the cases. CONTRIBUTING.md says which test holds which of its workflows.

use corten_oci::digest::Digest;
use corten_oci::image::media_type;
use serde_json::{Value, json};

use crate::protocol::sha512;
use crate::server::{Server, descriptor, manifest};

const CONFIG: &[u8] = b"{\"os\":\"linux\"}";

#[test]
fn range_requests() {
    let server = Server::start(&[]);
    let blob: Vec<u8> = (0..2048_u32).map(|n| n.to_le_bytes()[0] ^ 0x55).collect();
    let path = format!("/v2/a/blobs/{}", server.push_blob("a", &blob));
    for (range, expected) in [
        ("500-1499", Some(500..1500)),
        ("500-", Some(500..2048)),
        ("-500", Some(1548..2048)),
        ("2000-5000", Some(2000..2048)),
        ("500-0", None),
        ("5000-10000", None),
    ] {
        let answer = server.call("GET", &path, &[("Range", &format!("bytes={range}"))], &[]);
        let Some(expected) = expected else {
            assert_eq!(answer.status, 416, "{range}");
            continue;
        };
        let said = format!("bytes {}-{}/2048", expected.start, expected.end - 1);
        assert_eq!((answer.status, answer.header("content-range")), (206, Some(&*said)));
        assert!(answer.body == blob[expected], "{range}");
    }
}

#[test]
fn bad_digests() {
    let server = Server::start(&[]);
    let (sent, meant) = (b"what is sent".as_slice(), b"what is meant".as_slice());
    for wrong in [Digest::sha256(meant), sha512(meant)] {
        let put = |place: &str, body: &[u8], range: Option<&str>| {
            let headers: Vec<_> = range.map(|range| ("Content-Range", range)).into_iter().collect();
            let path = format!("{place}?digest={wrong}");
            server.call("PUT", &path, &headers, body).status
        };
        let post = format!("/v2/a/blobs/uploads/?digest={wrong}");
        assert_eq!(server.call("POST", &post, &[], sent).status, 400, "post only");
        assert_eq!(put(&server.begin("a"), sent, None), 400, "post and put");
        let place = server.begin("a");
        server.call("PATCH", &place, &[("Content-Range", "0-3")], &sent[..4]);
        server.call("PATCH", &place, &[("Content-Range", "4-11")], &sent[4..]);
        assert_eq!(put(&place, &[], None), 400, "chunked");
        let place = server.begin("a");
        server.call("PATCH", &place, &[("Content-Range", "0-3")], &sent[..4]);
        assert_eq!(put(&place, &sent[4..], Some("4-11")), 400, "chunked and put chunk");
        let place = server.begin("a");
        server.call("PATCH", &place, &[], sent);
        assert_eq!(put(&place, &[], None), 400, "stream");
        assert_eq!(server.head(&format!("/v2/a/blobs/{wrong}")).status, 404);
    }
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        for path in [
            "/v2/a/manifests/sha256:baddigeststring",
            "/v2/a/blobs/sha256:baddigeststring",
        ] {
            let status = server
                .call(method, path, &[("Content-Type", media_type::OCI_MANIFEST)], b"{}")
                .status;
            assert!((400..500).contains(&status), "{method} {path}: {status}");
        }
    }
}

#[test]
fn out_of_order_chunks() {
    let server = Server::start(&[]);
    for hash in [Digest::sha256(b"0123456789"), sha512(b"0123456789")] {
        let place = server.begin("a");
        let send = |method: &str, place: &str, range: &str, body: &[u8]| {
            let answer = server.call(method, place, &[("Content-Range", range)], body);
            (answer.status, answer.header("range").unwrap_or_default().to_owned())
        };
        let last = format!("{place}?digest={hash}");
        assert_eq!(send("PATCH", &place, "4-7", b"4567"), (416, "0-0".to_owned()));
        assert_eq!(send("PATCH", &place, "0-3", b"0123"), (202, "0-3".to_owned()));
        assert_eq!(send("PUT", &last, "8-9", b"89"), (416, "0-3".to_owned()));
        assert_eq!(send("PATCH", &place, "4-7", b"4567"), (202, "0-7".to_owned()));
        assert_eq!(send("PATCH", &place, "0-3", b"0123"), (416, "0-7".to_owned()));
        assert_eq!(send("PUT", &last, "8-9", b"89").0, 201);
        assert_eq!(server.get(&format!("/v2/a/blobs/{hash}")).text(), "0123456789");
    }
}

/// Puts a document by digest and by tag, reads it back, and deletes it.
#[track_caller]
fn round_trip(server: &Server, what: &str, kind: &str, document: &Value) {
    let bytes = document.to_string();
    for hash in [Digest::sha256(bytes.as_bytes()), sha512(bytes.as_bytes())] {
        let answer = server.put("a", hash.as_str(), kind, bytes.as_bytes());
        assert_eq!(answer.status, 201, "{what}: {}", answer.text());
        let subject = document["subject"]["digest"].as_str();
        assert_eq!(answer.header("oci-subject"), subject, "{what}");
        let found = server.call("GET", &format!("/v2/a/manifests/{hash}"), &[("Accept", kind)], &[]);
        assert!(found.status == 200 && found.body == bytes.as_bytes(), "{what}");
        assert_eq!(found.header("content-type"), Some(kind), "{what}");
        let deleted = server.call("DELETE", &format!("/v2/a/manifests/{hash}"), &[], &[]);
        assert_eq!(deleted.status, 202, "{what}");
        assert_eq!(server.head(&format!("/v2/a/manifests/{hash}")).status, 404, "{what}");
    }
    let answer = server.put("a", "tag", kind, bytes.as_bytes());
    assert_eq!(answer.status, 201, "{what}: {}", answer.text());
    assert!(server.get("/v2/a/manifests/tag").body == bytes.as_bytes(), "{what}");
    assert_eq!(
        server.call("DELETE", "/v2/a/manifests/tag", &[], &[]).status,
        202,
        "{what}"
    );
    assert_eq!(server.head("/v2/a/manifests/tag").status, 404, "{what}");
}

#[test]
fn contents_of_every_kind() {
    let server = Server::start(&[]);
    server.push_blob("a", CONFIG);
    server.push_blob("a", b"layer");
    let plain = manifest(CONFIG, &[b"layer"]);
    let with = |name: &str, value: Value| {
        let mut document = plain.clone();
        document[name] = value;
        document
    };
    let oci = media_type::OCI_MANIFEST;
    round_trip(&server, "an image", oci, &plain);
    round_trip(&server, "no layers", oci, &manifest(CONFIG, &[]));
    round_trip(
        &server,
        "an artifact",
        oci,
        &with("artifactType", json!("application/x.test")),
    );
    round_trip(
        &server,
        "fields of somebody's own",
        oci,
        &with("org.example.field", json!({"a": [1]})),
    );
    let missing = descriptor(oci, b"never pushed");
    round_trip(
        &server,
        "a subject that is missing",
        oci,
        &with("subject", missing.clone()),
    );
    let mut elsewhere = descriptor(
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        b"never pushed",
    );
    elsewhere["urls"] = json!(["https://store.example.com/blobs/sha256/0"]);
    round_trip(
        &server,
        "layers that are elsewhere",
        oci,
        &with("layers", json!([elsewhere])),
    );
    let mut inline = descriptor(media_type::OCI_CONFIG, CONFIG);
    inline["data"] = json!("eyJvcyI6ImxpbnV4In0=");
    round_trip(&server, "descriptors with data", oci, &with("config", inline));
    let put = server.put("a", "image", oci, plain.to_string().as_bytes());
    assert_eq!(put.status, 201, "{}", put.text());
    let index = |entries: Value| json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries});
    let inner = index(json!([descriptor(oci, plain.to_string().as_bytes())]));
    let put = server.put("a", "inner", media_type::OCI_INDEX, inner.to_string().as_bytes());
    assert_eq!(put.status, 201, "{}", put.text());
    round_trip(&server, "an index", media_type::OCI_INDEX, &inner);
    let put = server.put("a", "inner", media_type::OCI_INDEX, inner.to_string().as_bytes());
    assert_eq!(put.status, 201, "{}", put.text());
    let nested = index(json!([descriptor(media_type::OCI_INDEX, inner.to_string().as_bytes())]));
    round_trip(&server, "an index of indexes", media_type::OCI_INDEX, &nested);
    let mut referring = index(json!([]));
    referring["subject"] = missing;
    referring["artifactType"] = json!("application/x.list");
    round_trip(&server, "an index with a subject", media_type::OCI_INDEX, &referring);
}

#[test]
fn empty_repositories() {
    let server = Server::start(&[]);
    let answer = server.get(&format!("/v2/none/referrers/{}", Digest::sha256(b"nothing")));
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some(media_type::OCI_INDEX))
    );
    let found = answer.json();
    assert_eq!(
        (&found["schemaVersion"], &found["mediaType"]),
        (&json!(2), &json!(media_type::OCI_INDEX))
    );
    assert!([200, 404].contains(&server.get("/v2/none/tags/list").status));
    assert_eq!(server.get("/v2/none/manifests/latest").status, 404);
    assert_eq!(
        server
            .get(&format!("/v2/none/blobs/{}", Digest::sha256(b"nothing")))
            .status,
        404
    );
}
