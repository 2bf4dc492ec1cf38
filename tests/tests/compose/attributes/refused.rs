//! What the specification has and one machine does not: refused by name, or told to have no effect.

use crate::project::Project;

#[test]
fn what_only_clusters_keep_is_refused() {
    for (what, name) in [
        ("configs: {it: {external: true}}", "unsupported external config it"),
        (
            "configs: {it: {external: true, name: other}}",
            "unsupported external config other",
        ),
        (
            "configs: {it: {external: {name: other}}}",
            "unsupported external config other",
        ),
        (
            "configs: {it: {file: ./it, template_driver: golang}}",
            "configs.*.template_driver is not supported",
        ),
        ("secrets: {it: {external: true}}", "unsupported external secret it"),
        (
            "secrets: {it: {external: true, name: other}}",
            "unsupported external secret other",
        ),
        (
            "secrets: {it: {external: {name: other}}}",
            "unsupported external secret other",
        ),
        (
            "secrets: {it: {file: ./it, driver: vault, driver_opts: {a: b}}}",
            "secrets.*.driver is not supported",
        ),
        (
            "secrets: {it: {file: ./it, template_driver: golang}}",
            "secrets.*.template_driver is not supported",
        ),
    ] {
        let kind = what.split(':').next().unwrap_or_default();
        let project = Project::new(&format!(
            "name: shop\nservices: {{web: {{image: busybox, {kind}: [it]}}}}\n{what}\n"
        ));
        project.write("it", "");
        let refused = project.run("compose create").fails(1);
        assert!(refused.contains(name), "{what}: {refused}");
        assert!(project.ids().is_empty(), "{what}");
    }
}

#[test]
fn what_this_machine_cannot_do_is_refused_by_the_engine() {
    for (what, name) in [
        ("isolation: hyperv", "invalid isolation (hyperv)"),
        ("runtime: nothing", "unknown or invalid runtime name: nothing"),
        ("storage_opt: {nothing: 1}", "Unknown option nothing"),
        ("volumes: [{type: npipe, source: x, target: /y}]", "npipe"),
        ("volumes: [{type: cluster, source: x, target: /y}]", "cluster"),
    ] {
        let project = Project::new(&format!("name: shop\nservices: {{web: {{image: busybox, {what}}}}}\n"));
        let refused = project.run("compose create").fails(1);
        assert!(refused.contains(name), "{what}: {refused}");
    }
}

#[test]
fn what_has_no_effect_is_told() {
    let project = Project::new(
        "version: '3'\nname: shop\nservices: {web: {image: busybox, pull_policy: refresh, pull_refresh_after: 1d}}\n",
    );
    let said = project.run("compose config -q").run();
    assert_eq!(said.code, 0, "{said}");
    for part in ["`pull_refresh_after` has no effect", "attribute `version` is obsolete"] {
        assert!(said.stderr.contains(part), "{part}: {said}");
    }
}
