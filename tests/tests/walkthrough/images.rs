//! What is known of an image that was built, and images made of containers.

use crate::with_each;

const DOCKERFILE: &str =
    "FROM alpine:3.18\nENV COLOUR=green\nRUN echo one > /one\nCOPY two /two\nCMD [\"cat\", \"/one\", \"/two\"]\n";

#[test]
fn build_tag_list_and_look_at() {
    with_each(&["alpine:3.18"], |desk| {
        let folder = desk.folder("app", &[("Dockerfile", DOCKERFILE), ("two", "two\n")]);
        desk.build("app:1.0", &folder);
        let listed = desk.ok(&["images"]);
        let mut lines = listed.lines();
        let words = |line: Option<&str>| {
            line.unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            words(lines.next()),
            ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
        );
        let app = lines.find(|line| line.starts_with("app ")).expect("the image");
        let id = desk.ok(&["images", "-q", "app:1.0"]);
        assert!(
            app.contains(" 1.0 ") && app.contains(id.trim()) && app.contains("ago"),
            "{listed}"
        );
        let history = desk.ok(&[
            "history",
            "--format",
            "{{.CreatedBy}}|{{.Size}}|{{.Comment}}",
            "--no-trunc",
            "app:1.0",
        ]);
        let expected = [
            "CMD [\"cat\" \"/one\" \"/two\"]|0B|buildkit.dockerfile.v0",
            "COPY two /two # buildkit|4B|buildkit.dockerfile.v0",
            "RUN /bin/sh -c echo one > /one # buildkit|4B|buildkit.dockerfile.v0",
            "ENV COLOUR=green|0B|buildkit.dockerfile.v0",
        ];
        for (line, expected) in history.lines().zip(expected) {
            assert!(
                line == expected,
                "{line:?} is not {expected:?} in {:?}:\n{history}",
                desk.client
            );
        }
        let short = desk.ok(&["history", "app:1.0"]);
        assert!(
            short.starts_with("IMAGE ") && short.contains("<missing>") && short.contains(id.trim()),
            "{short}"
        );
        desk.ok(&["tag", "app:1.0", "app:latest"]);
        assert_eq!(desk.ok(&["images", "-q", "app:latest"]), id);
        assert_eq!(desk.ok(&["run", "--rm", "app"]), "one\ntwo\n");
        // Taking one name away leaves the other.
        assert_eq!(desk.ok(&["rmi", "app:latest"]), "Untagged: app:latest\n");
        assert_eq!(desk.ok(&["images", "-q", "app:1.0"]), id);
    });
}

#[test]
fn a_changed_container_becomes_an_image() {
    with_each(&["alpine:3.18"], |desk| {
        desk.ok(&[
            "run",
            "--name",
            "changed",
            "alpine:3.18",
            "sh",
            "-c",
            "echo added by hand > /note; rm /etc/alpine-release",
        ]);
        let diff = desk.ok(&["diff", "changed"]);
        assert!(
            diff.contains("A /note\n") && diff.contains("D /etc/alpine-release\n"),
            "{diff}"
        );
        let id = desk.ok(&[
            "commit",
            "-a",
            "ann",
            "-m",
            "a note",
            "-c",
            "CMD [\"cat\", \"/note\"]",
            "changed",
            "noted:1",
        ]);
        assert!(id.starts_with("sha256:") && id.trim().len() == 71, "{id}");
        assert_eq!(desk.ok(&["run", "--rm", "noted:1"]), "added by hand\n");
        desk.call(&["run", "--rm", "noted:1", "test", "-e", "/etc/alpine-release"])
            .fails(1);
        assert_eq!(
            desk.ok(&["inspect", "-f", "{{.Author}} {{.Comment}}", "noted:1"]),
            "ann a note\n"
        );
        // And an image is built on it.
        let folder = desk.folder("on", &[("Dockerfile", "FROM noted:1\nRUN echo built on it >> /note\n")]);
        desk.build("on", &folder);
        assert_eq!(desk.ok(&["run", "--rm", "on"]), "added by hand\nbuilt on it\n");
    });
}
