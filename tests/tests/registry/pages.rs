//! What people and collectors of metrics see.

use crate::server::Server;

#[test]
fn pages_show_repositories_tags_and_layers() {
    let server = Server::start(&[]);
    assert!(server.get("/").text().contains("There are none yet"));
    server.push_image("team/app", "1.0", &vec![1; 1_500_000]);
    let page = server.get("/");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(
        page.header("content-security-policy")
            .is_some_and(|policy| policy.contains("default-src 'none'"))
    );
    assert!(
        page.text().contains("<a href=\"/repositories/team/app\">team/app</a>"),
        "{}",
        page.text()
    );
    assert!(page.text().contains("1.5 MB"), "{}", page.text());
    let page = server.get("/repositories/team/app").text();
    let digest = corten_oci::digest::Digest::sha256(&vec![1; 1_500_000]);
    for text in [
        "<h2>1.0</h2>",
        digest.as_str(),
        "application/vnd.oci.image.layer.v1.tar",
        "1.5 MB",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert_eq!(server.get("/repositories/none").status, 404);
}

#[test]
fn metrics_count_what_happens() {
    let server = Server::start(&[]);
    server.push_image("a", "1", b"layer");
    server.get("/v2/a/manifests/1");
    server.get("/v2/a/manifests/2");
    let text = server.get("/metrics").text();
    for line in [
        "corten_registry_pushes_total 1",
        "corten_registry_pulls_total 1",
        "corten_registry_requests_total{kind=\"manifest\",status=\"4xx\"} 1",
        "corten_registry_requests_total{kind=\"upload\",status=\"2xx\"} 2",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn memory_stays_small_while_much_goes_through() {
    let server = Server::start(&[]);
    let layer = vec![1; 24 << 20];
    std::thread::scope(|scope| {
        for number in 0..4_u8 {
            let (server, mut layer) = (&server, layer.clone());
            scope.spawn(move || {
                layer[0] = number;
                let digest = server.push_blob("a", &layer);
                for _ in 0..3 {
                    assert!(server.get(&format!("/v2/a/blobs/{digest}")).body == layer);
                }
            });
        }
    });
    // A debug build is larger than what is shipped, and its pages count too.
    assert!(server.peak() < 64 << 20, "{} bytes", server.peak());
}
