//! OCI distribution-spec 1.1, endpoint by endpoint.

use corten_oci::digest::{Algorithm, Digest, Hasher};
use corten_oci::image::media_type;
use serde_json::json;

use crate::server::{Server, code, descriptor, location, manifest};

pub(crate) fn sha512(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(bytes);
    hasher.finish()
}

#[test]
fn the_base_tells_the_version() {
    let server = Server::start(&[]);
    let answer = server.get("/v2/");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"));
    assert_eq!(server.get("/v2/a/nonsense").status, 404);
    assert_eq!(server.get("/healthz").text(), "ok\n");
    let answer = server.call("POST", "/v2/", &[], &[]);
    assert_eq!((answer.status, code(&answer).as_str()), (405, "UNSUPPORTED"));
}

#[test]
fn blobs_are_uploaded_in_one_go() {
    let server = Server::start(&[]);
    let digest = server.push_blob("a/b", b"hello");
    let answer = server.get(&format!("/v2/a/b/blobs/{digest}"));
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert_eq!(answer.header("docker-content-digest"), Some(digest.as_str()));
    // POST, then PUT with the body.
    let digest = Digest::sha256(b"more");
    let answer = server.call("PUT", &format!("{}?digest={digest}", server.begin("a/b")), &[], b"more");
    assert_eq!(answer.status, 201);
    assert_eq!(server.get(&location(&answer)).text(), "more");
    // Nothing is a blob too.
    let empty = server.push_blob("a/b", b"");
    let answer = server.head(&format!("/v2/a/b/blobs/{empty}"));
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("0")));
    // With the other hash function.
    let digest = sha512(b"long");
    let answer = server.call("POST", &format!("/v2/a/b/blobs/uploads/?digest={digest}"), &[], b"long");
    assert_eq!(answer.status, 201);
    assert_eq!(server.get(&format!("/v2/a/b/blobs/{digest}")).text(), "long");
}

#[test]
fn blobs_are_uploaded_in_chunks() {
    let server = Server::start(&[]);
    let place = server.begin("a");
    let chunk = |range: &str, body: &[u8]| server.call("PATCH", &place, &[("Content-Range", range)], body);
    let answer = chunk("0-4", b"01234");
    assert_eq!((answer.status, answer.header("range")), (202, Some("0-4")));
    // Too early, too late: nothing changes, and the answer says where to go on.
    for range in ["0-4", "6-10"] {
        let answer = chunk(range, b"xxxxx");
        assert_eq!((answer.status, answer.header("range")), (416, Some("0-4")), "{range}");
        assert_eq!(location(&answer), place);
    }
    let answer = server.get(&place);
    assert_eq!((answer.status, answer.header("range")), (204, Some("0-4")));
    // A chunk without a range goes to the end, as Docker's client sends it.
    let answer = server.call("PATCH", &place, &[], b"567");
    assert_eq!((answer.status, answer.header("range")), (202, Some("0-7")));
    let digest = Digest::sha256(b"0123456789");
    let answer = server.call(
        "PUT",
        &format!("{place}?digest={digest}"),
        &[("Content-Range", "8-9")],
        b"89",
    );
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(server.get(&format!("/v2/a/blobs/{digest}")).text(), "0123456789");
    assert_eq!(server.get(&place).status, 404);
}

#[test]
fn uploads_are_cancelled_and_belong_to_one_repository() {
    let server = Server::start(&[]);
    let place = server.begin("a");
    assert_eq!(server.get(&place.replace("/v2/a/", "/v2/b/")).status, 404);
    assert_eq!(server.call("DELETE", &place, &[], &[]).status, 204);
    let answer = server.call("PATCH", &place, &[], b"x");
    assert_eq!((answer.status, code(&answer).as_str()), (404, "BLOB_UPLOAD_UNKNOWN"));
    let uploads = corten_sys::fs::read_dir(server.root().join("uploads")).expect("a folder");
    assert_eq!(uploads.count(), 0);
}

#[test]
fn blobs_are_mounted() {
    let server = Server::start(&[]);
    let digest = server.push_blob("a", b"shared");
    let answer = server.call("POST", &format!("/v2/b/blobs/uploads/?mount={digest}&from=a"), &[], &[]);
    assert_eq!(answer.status, 201);
    assert_eq!(server.get(&location(&answer)).text(), "shared");
    // The registry finds by itself where it is.
    let answer = server.call("POST", &format!("/v2/c/d/blobs/uploads/?mount={digest}"), &[], &[]);
    assert_eq!(answer.status, 201);
    // What is not there is to be uploaded.
    let other = Digest::sha256(b"other");
    for query in [
        format!("mount={other}&from=a"),
        format!("mount={other}"),
        format!("mount={digest}&from=x"),
    ] {
        assert_eq!(
            server
                .call("POST", &format!("/v2/e/blobs/uploads/?{query}"), &[], &[])
                .status,
            202,
            "{query}"
        );
    }
    assert_eq!(server.head(&format!("/v2/e/blobs/{digest}")).status, 404);
}

#[test]
fn parts_of_blobs_are_sent() {
    let server = Server::start(&[]);
    let path = format!("/v2/a/blobs/{}", server.push_blob("a", b"0123456789"));
    let part = |range: &str| {
        let answer = server.call("GET", &path, &[("Range", range)], &[]);
        let said = answer.header("content-range").unwrap_or_default().to_owned();
        (answer.status, said, answer.text())
    };
    assert_eq!(part("bytes=2-4"), (206, "bytes 2-4/10".into(), "234".into()));
    assert_eq!(part("bytes=7-"), (206, "bytes 7-9/10".into(), "789".into()));
    assert_eq!(part("bytes=-2"), (206, "bytes 8-9/10".into(), "89".into()));
    assert_eq!(part("bytes=10-"), (416, "bytes */10".into(), String::new()));
    assert_eq!(part("bytes=0-1,5-6"), (200, String::new(), "0123456789".into()));
    let tag = server.head(&path).header("etag").expect("a tag").to_owned();
    assert_eq!(server.call("GET", &path, &[("If-None-Match", &tag)], &[]).status, 304);
}

#[test]
fn large_blobs_arrive_whole() {
    let server = Server::start(&[]);
    let bytes: Vec<u8> = (0..9_000_000_u32).flat_map(|n| n.to_le_bytes()[..1].to_vec()).collect();
    let path = format!("/v2/a/blobs/{}", server.push_blob("a", &bytes));
    assert!(server.get(&path).body == bytes);
    let answer = server.call("GET", &path, &[("Range", "bytes=1000000-")], &[]);
    assert!(answer.body == bytes[1_000_000..]);
}

#[test]
fn manifests_are_found_by_tag_and_by_digest() {
    let server = Server::start(&[]);
    let digest = server.push_image("a", "1", b"layer");
    for reference in ["1", digest.as_str()] {
        let path = format!("/v2/a/manifests/{reference}");
        let answer = server.get(&path);
        assert_eq!(answer.status, 200);
        assert_eq!(Digest::sha256(&answer.body), digest);
        assert_eq!(answer.header("content-type"), Some(media_type::OCI_MANIFEST));
        assert_eq!(answer.header("docker-content-digest"), Some(digest.as_str()));
        let head = server.head(&path);
        assert_eq!(
            head.header("content-length"),
            Some(answer.body.len().to_string().as_str())
        );
    }
    // A tag that moves leaves the old manifest where it is.
    let second = server.push_image("a", "1", b"other layer");
    assert_eq!(
        server.head("/v2/a/manifests/1").header("docker-content-digest"),
        Some(second.as_str())
    );
    assert_eq!(server.get(&format!("/v2/a/manifests/{digest}")).status, 200);
    let answer = server.get("/v2/a/manifests/2");
    assert_eq!((answer.status, code(&answer).as_str()), (404, "MANIFEST_UNKNOWN"));
}

#[test]
fn several_tags_are_pushed_at_once() {
    let server = Server::start(&[]);
    let digest = server.push_image("a", "1", b"layer");
    let bytes = server.get("/v2/a/manifests/1").body;
    let answer = server.put("a", &format!("{digest}?tag=2&tag=3"), media_type::OCI_MANIFEST, &bytes);
    assert_eq!(answer.status, 201);
    let told: Vec<&str> = answer
        .headers
        .iter()
        .filter(|(name, _)| name == "oci-tag")
        .map(|(_, tag)| tag.as_str())
        .collect();
    assert_eq!(told, ["2", "3"]);
    assert_eq!(server.head("/v2/a/manifests/3").status, 200);
}

#[test]
fn manifests_are_checked() {
    let server = Server::start(&[]);
    let config = server.push_blob("a", b"{}");
    let good = manifest(b"{}", &[]).to_string();
    let check = |reference: &str, kind: &str, bytes: &str, status: u16, expected: &str| {
        let answer = server.put("a", reference, kind, bytes.as_bytes());
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (status, expected),
            "{bytes:.300}"
        );
        answer
    };
    let oci = media_type::OCI_MANIFEST;
    let missing = manifest(b"{}", &[b"missing", b"too"]).to_string();
    let answer = check("1", oci, &missing, 400, "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(answer.json()["errors"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        answer.json()["errors"][0]["detail"]["digest"],
        Digest::sha256(b"missing").as_str()
    );
    let mut longer = manifest(b"{}", &[]);
    longer["config"]["size"] = 3.into();
    check("1", oci, &longer.to_string(), 400, "SIZE_INVALID");
    check("1", media_type::OCI_INDEX, &good, 400, "MANIFEST_INVALID");
    check("1", "text/plain", &good, 400, "MANIFEST_INVALID");
    check("1", oci, "{", 400, "MANIFEST_INVALID");
    check("1", oci, "", 400, "MANIFEST_INVALID");
    check(config.as_str(), oci, &good, 400, "DIGEST_INVALID");
    let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX,
        "manifests": [descriptor(oci, b"missing")]});
    check(
        "1",
        media_type::OCI_INDEX,
        &index.to_string(),
        400,
        "MANIFEST_BLOB_UNKNOWN",
    );
    assert_eq!(server.put("a", "1", oci, good.as_bytes()).status, 201);
    // A blob of another repository is not there.
    let answer = server.put("b", "1", oci, good.as_bytes());
    assert_eq!(code(&answer), "MANIFEST_BLOB_UNKNOWN");
}

#[test]
fn referrers_are_listed_and_filtered() {
    let server = Server::start(&[]);
    let subject = server.push_image("a", "1", b"layer");
    let path = format!("/v2/a/referrers/{subject}");
    assert_eq!(server.get(&path).json()["manifests"], json!([]));
    server.push_blob("a", b"{}");
    let mut digests = Vec::new();
    for kind in ["application/x.sbom", "application/x.signature"] {
        let mut document = manifest(b"{}", &[]);
        document["artifactType"] = kind.into();
        document["subject"] = json!({"mediaType": media_type::OCI_MANIFEST, "digest": subject, "size": 1});
        document["annotations"] = json!({"kind": kind});
        let bytes = document.to_string();
        let digest = Digest::sha256(bytes.as_bytes());
        let answer = server.put("a", digest.as_str(), media_type::OCI_MANIFEST, bytes.as_bytes());
        assert_eq!(
            (answer.status, answer.header("oci-subject")),
            (201, Some(subject.as_str()))
        );
        digests.push(digest);
    }
    let answer = server.get(&path);
    assert_eq!(answer.header("content-type"), Some(media_type::OCI_INDEX));
    assert_eq!(answer.json()["manifests"].as_array().map(Vec::len), Some(2));
    let answer = server.get(&format!("{path}?artifactType=application/x.sbom"));
    assert_eq!(answer.header("oci-filters-applied"), Some("artifactType"));
    let found = &answer.json()["manifests"];
    assert_eq!(found.as_array().map(Vec::len), Some(1));
    assert_eq!(found[0]["digest"], digests[0].as_str());
    assert_eq!(found[0]["annotations"]["kind"], "application/x.sbom");
    // Page by page.
    let first = server.get(&format!("{path}?n=1"));
    let next = first.header("link").expect("a link").to_owned();
    let next = next
        .trim_start_matches('<')
        .split('>')
        .next()
        .expect("a path")
        .to_owned();
    let second = server.get(&next);
    assert!(second.header("link").is_none());
    assert_ne!(
        first.json()["manifests"][0]["digest"],
        second.json()["manifests"][0]["digest"]
    );
    // A deleted one is not listed, and the subject need not be there.
    assert_eq!(
        server
            .call("DELETE", &format!("/v2/a/manifests/{}", digests[0]), &[], &[])
            .status,
        202
    );
    assert_eq!(
        server
            .call("DELETE", &format!("/v2/a/manifests/{subject}"), &[], &[])
            .status,
        202
    );
    assert_eq!(server.get(&path).json()["manifests"].as_array().map(Vec::len), Some(1));
    assert_eq!(server.get("/v2/a/referrers/sha256:bad").status, 400);
}

#[test]
fn tags_and_repositories_are_listed_in_pages() {
    let server = Server::start(&[]);
    for tag in ["b", "a", "c10", "c9", "B"] {
        server.push_image("z/app", tag, b"layer");
    }
    server.push_image("z-x", "1", b"layer");
    server.push_image("a", "1", b"layer");
    let tags = |query: &str| server.get(&format!("/v2/z/app/tags/list{query}"));
    assert_eq!(
        tags("").json(),
        json!({"name": "z/app", "tags": ["B", "a", "b", "c10", "c9"]})
    );
    let answer = tags("?n=2");
    assert_eq!(answer.json()["tags"], json!(["B", "a"]));
    assert_eq!(
        answer.header("link"),
        Some("</v2/z/app/tags/list?last=a&n=2>; rel=\"next\"")
    );
    let answer = tags("?n=3&last=a");
    assert_eq!(
        (&answer.json()["tags"], answer.header("link")),
        (&json!(["b", "c10", "c9"]), None)
    );
    let answer = tags("?n=0");
    assert_eq!((&answer.json()["tags"], answer.header("link")), (&json!([]), None));
    for beyond in ["x", "-1", "1e3", "99999999999999999999999", "2;last=a"] {
        assert_eq!(
            code(&tags(&format!("?n={beyond}"))),
            "PAGINATION_NUMBER_INVALID",
            "{beyond}"
        );
        let catalogue = server.get(&format!("/v2/_catalog?n={beyond}"));
        assert_eq!(code(&catalogue), "PAGINATION_NUMBER_INVALID", "{beyond}");
    }
    // More than a page ever holds, and places that no tag has.
    for (query, found) in [
        ("?n=1000000000", 5),
        ("?n=18446744073709551615", 5),
        ("?last=zzz", 0),
        ("?n=3&last=%00%ff%2e%2e%2f", 3),
        ("?last=../../../etc", 5),
    ] {
        let answer = tags(query);
        assert_eq!(answer.json()["tags"].as_array().map(Vec::len), Some(found), "{query}");
    }
    let long = format!("?last={}", "z".repeat(5000));
    assert_eq!(tags(&long).json()["tags"], json!([]));
    assert_eq!(code(&server.get("/v2/none/tags/list")), "NAME_UNKNOWN");
    let answer = server.get("/v2/_catalog?n=2");
    assert_eq!(answer.json()["repositories"], json!(["a", "z-x"]));
    assert_eq!(
        answer.header("link"),
        Some("</v2/_catalog?last=z%2Dx&n=2>; rel=\"next\"")
    );
    assert_eq!(
        server.get("/v2/_catalog?last=z-x").json()["repositories"],
        json!(["z/app"])
    );
}

#[test]
fn tags_manifests_and_blobs_are_deleted() {
    let server = Server::start(&[]);
    let digest = server.push_image("a", "1", b"layer");
    server.push_image("a", "2", b"layer");
    let delete = |path: &str| server.call("DELETE", path, &[], &[]).status;
    assert_eq!(delete("/v2/a/manifests/1"), 202);
    assert_eq!(server.head("/v2/a/manifests/1").status, 404);
    assert_eq!(server.head("/v2/a/manifests/2").status, 200);
    assert_eq!(delete("/v2/a/manifests/1"), 404);
    // With a manifest go the tags that name it.
    assert_eq!(delete(&format!("/v2/a/manifests/{digest}")), 202);
    assert_eq!(server.head("/v2/a/manifests/2").status, 404);
    assert_eq!(server.get("/v2/a/tags/list").json()["tags"], json!([]));
    let blob = format!("/v2/a/blobs/{}", Digest::sha256(b"layer"));
    assert_eq!(delete(&blob), 202);
    assert_eq!(server.head(&blob).status, 404);
    assert_eq!(delete(&blob), 404);
    let strict = Server::start(&["--no-delete"]);
    strict.push_image("a", "1", b"layer");
    assert_eq!(strict.call("DELETE", "/v2/a/manifests/1", &[], &[]).status, 405);
    assert_eq!(strict.head("/v2/a/manifests/1").status, 200);
}
