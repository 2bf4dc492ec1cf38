//! Volumes of clusters, asked of an engine that manages none.

use corten_tests::engine::Engine;

const NO_MANAGER: &str = "This node is not a swarm manager.";

#[test]
fn a_cluster_s_volume_takes_a_manager() {
    let engine = Engine::start();
    let flags = [
        "--availability=pause",
        "--group=g",
        "--limit-bytes=2g",
        "--required-bytes=1g",
        "--scope=multi",
        "--secret=key=name",
        "--sharing=all",
        "--topology-preferred=rack=1",
        "--topology-required=region=a,zone=b",
        "--type=mount",
    ];
    for flag in flags {
        let arguments = ["volume", "create", "--driver", "csi", flag, "shared"];
        let refused = engine.corten(arguments).fails(1);
        assert!(refused.contains(NO_MANAGER), "{flag}: {refused}");
        // Docker's own command line passes over these when they come alone.
        let is_passed_over = flag.starts_with("--secret") || flag.starts_with("--topology");
        if let Some(docker) = engine.docker(arguments).filter(|_| !is_passed_over) {
            assert!(docker.fails(1).contains(NO_MANAGER), "{flag}");
        }
    }
    let refused = engine.corten(["volume", "create", "--limit-bytes", "many"]).fails(125);
    assert!(
        refused.contains("invalid argument \"many\" for \"--limit-bytes\""),
        "{refused}"
    );
    assert_eq!(engine.corten(["volume", "ls", "-q"]).ok(), "");
}

#[test]
fn an_engine_without_a_cluster_lists_no_volumes_of_one() {
    let engine = Engine::start();
    engine.corten(["volume", "create", "plain"]).ok();
    let listed = engine.corten(["volume", "ls", "--cluster"]).ok();
    assert_eq!(
        listed.split_whitespace().collect::<Vec<_>>(),
        ["VOLUME", "NAME", "GROUP", "DRIVER", "AVAILABILITY", "STATUS"]
    );
    if let Some(docker) = engine.docker(["volume", "ls", "--cluster"]) {
        assert_eq!(docker.ok(), listed);
    }
    assert_eq!(engine.corten(["volume", "ls", "--cluster", "-q"]).ok(), "");
}
