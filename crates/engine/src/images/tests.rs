//! Images over a store on a temporary data root.

use super::*;
use crate::{error::Kind, pipe};
use bytes::Bytes;
use corten_api::filters::Filters;
use tokio::sync::mpsc;

fn images() -> (tempfile::TempDir, Images) {
    let root = tempfile::tempdir().unwrap();
    let settings = Arc::new(crate::settings::tests::below(root.path()));
    let store = Arc::new(Store::open(&settings.data_root, Default::default()).unwrap());
    let images = Images::open(&settings, store, Events::new()).unwrap();
    (root, images)
}

/// A stream of given bytes.
fn stream(bytes: Vec<u8>) -> pipe::Reader {
    let (sender, reader) = pipe::Reader::new();
    tokio::spawn(async move {
        for piece in bytes.chunks(1000) {
            let _ = sender.send(Ok(Bytes::copy_from_slice(piece))).await;
        }
    });
    reader
}

/// A tar with one file, made by hand: header, content, two empty blocks.
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = vec![0_u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    for (at, text) in [
        (100, "0000644\0"),
        (108, "0000000\0"),
        (116, "0000000\0"),
        (136, "00000000000\0"),
    ] {
        header[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header.extend_from_slice(content);
    header.resize(header.len().next_multiple_of(512) + 1024, 0);
    header
}

async fn import(images: &Images, repository: &str, tag: &str) -> String {
    let request = ImportRequest {
        repository: repository.into(),
        tag: tag.into(),
        ..ImportRequest::default()
    };
    images.import(stream(tar("f.txt", b"hello\n")), request).await.unwrap()
}

async fn ids(images: &Images, filters: &str) -> Result<Vec<String>> {
    let filters = Filters::parse(filters).unwrap();
    let all = images
        .list(ListRequest {
            filters,
            ..ListRequest::default()
        })
        .await?;
    Ok(all.into_iter().flat_map(|image| image.repo_tags).collect())
}

#[tokio::test]
async fn are_imported_tagged_listed_and_removed() {
    let (_root, images) = images();
    let id = import(&images, "gp-imp", "1").await;
    assert_eq!(images.find("gp-imp:1").unwrap().id.as_str(), id);
    images.tag("gp-imp:1", "gp-t", "").await.unwrap();
    let mut tags = ids(&images, "").await.unwrap();
    tags.sort();
    assert_eq!(tags, ["gp-imp:1", "gp-t:latest"]);
    assert_eq!(
        ids(&images, r#"{"reference":["gp-t"]}"#).await.unwrap(),
        ["gp-t:latest"]
    );
    assert_eq!(ids(&images, r#"{"dangling":["true"]}"#).await.unwrap(), [""; 0]);
    assert_eq!(
        ids(&images, r#"{"nosuch":["1"]}"#).await.unwrap_err().message(),
        "invalid filter 'nosuch'"
    );

    let gently = RemoveOptions {
        force: false,
        prune_parents: true,
    };
    let error = images.remove(&id[7..19], gently).await.unwrap_err();
    assert_eq!(
        error.message(),
        format!(
            "conflict: unable to delete {} (must be forced) - image is referenced in multiple repositories",
            &id[7..19]
        )
    );
    assert_eq!(images.remove("gp-t", gently).await.unwrap()[0].untagged, "gp-t:latest");

    let digest: Digest = id.parse().unwrap();
    images.acquire(&digest, &"c".repeat(64)).unwrap();
    let error = images.remove("gp-imp:1", gently).await.unwrap_err();
    assert_eq!(
        error.message(),
        format!(
            "conflict: unable to remove repository reference \"gp-imp:1\" (must force) - container cccccccccccc is \
             using its referenced image {}",
            &id[7..19]
        )
    );
    assert_eq!(
        images
            .prune(&Filters::parse(r#"{"dangling":["false"]}"#).unwrap())
            .await
            .unwrap()
            .space_reclaimed,
        0
    );
    images.release(&digest, &"c".repeat(64));
    let removed = images.remove("gp-imp:1", gently).await.unwrap();
    assert_eq!((removed.len(), removed[1].deleted.as_str()), (3, id.as_str()));
    assert_eq!(
        images.find("gp-imp:1").unwrap_err().message(),
        "No such image: gp-imp:1"
    );
}

#[tokio::test]
async fn are_described() {
    let (_root, images) = images();
    let id = import(&images, "gp-imp", "1").await;
    let inspect = images.inspect("gp-imp:1", &Default::default()).unwrap();
    assert_eq!(
        (inspect.id.as_str(), inspect.root_fs.layers.len(), inspect.size),
        (id.as_str(), 1, 6)
    );
    assert!(inspect.graph_driver.data.unwrap()["UpperDir"].ends_with("/diff"));
    let history = images.history("gp-imp:1", None).unwrap();
    assert_eq!(
        (history[0].comment.as_str(), history[0].size, history[0].id.as_str()),
        ("Imported from -", 6, id.as_str())
    );
    assert_eq!(
        images.inspect("gp-nosuch", &Default::default()).unwrap_err().message(),
        "No such image: gp-nosuch:latest"
    );
}

#[tokio::test]
async fn are_saved_and_loaded() {
    let (_root, images) = images();
    let id = import(&images, "gp-imp", "1").await;
    let mut saved = images.save(vec!["gp-imp:1".to_owned()], Vec::new()).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(piece) = saved.recv().await {
        bytes.extend_from_slice(&piece.unwrap());
    }
    let pruned = images
        .prune(&Filters::parse(r#"{"dangling":["false"]}"#).unwrap())
        .await
        .unwrap();
    assert_eq!((pruned.space_reclaimed, images.count()), (6, 0));
    let (sender, mut receiver) = mpsc::channel(64);
    images.load(stream(bytes), None, true, sender).await.unwrap();
    assert_eq!(receiver.recv().await.unwrap().stream, "Loaded image: gp-imp:1\n");
    assert_eq!(images.find("gp-imp:1").unwrap().id.as_str(), id);
    let error = images.save(vec!["gp-nosuch".to_owned()], Vec::new()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (Kind::NotFound, "No such image: gp-nosuch")
    );
}

#[tokio::test]
async fn hello_world_needs_no_registry() {
    let (_root, images) = images();
    let request = PullRequest {
        reference: "hello-world".into(),
        tag: "latest".into(),
        platform: String::new(),
        auth: None,
    };
    let (sender, mut receiver) = mpsc::channel(64);
    images.pull(request.clone(), sender).await.unwrap();
    let mut lines = Vec::new();
    while let Some(line) = receiver.recv().await {
        lines.push(line.status);
    }
    assert_eq!(lines.first().unwrap(), "Pulling from library/hello-world");
    assert_eq!(
        lines.last().unwrap(),
        "Status: Downloaded newer image for hello-world:latest"
    );
    let (sender, mut receiver) = mpsc::channel(64);
    images.pull(request, sender).await.unwrap();
    let mut last = String::new();
    while let Some(line) = receiver.recv().await {
        last = line.status;
    }
    assert_eq!(last, "Status: Image is up to date for hello-world:latest");
}
