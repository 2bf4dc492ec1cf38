//! Files that services take variables, labels and contents from.

use crate::project::Project;

#[test]
fn variables_and_labels_come_from_files() {
    let project = Project::new(
        "name: shop
services:
  web:
    image: busybox
    env_file:
      - {path: first.env}
      - {path: raw.env, format: raw}
      - {path: none.env, required: false}
    label_file: [labels, more.labels]
    environment: [OWN=1]
    labels: [own=label]
",
    );
    project.write("first.env", "A=1\nB=${A}x\nOWN=0\n");
    project.write("raw.env", "C=${A} \"as it is\"\n");
    project.write("labels", "from.file=yes\nown=other\n");
    project.write("more.labels", "more=1\n");
    project.run("compose create").ok();
    let variables = project.engine.inspect("shop-web-1", "{{json .Config.Env}}");
    for part in [r#""A=1""#, r#""B=1x""#, r#""OWN=1""#, r#""C=${A} \"as it is\"""#] {
        assert!(variables.contains(part), "{part}: {variables}");
    }
    project.says(
        "shop-web-1",
        &[
            ("index .Config.Labels \"from.file\"", "yes"),
            ("index .Config.Labels \"own\"", "label"),
            ("index .Config.Labels \"more\"", "1"),
        ],
    );
}

#[test]
fn configs_and_secrets_have_places_owners_and_modes() {
    let project = Project::new(
        "name: shop
services:
  web:
    image: busybox
    command: sh -c 'cat /etc/conf /conf /run/secrets/token /key; ls -ln /etc/conf /run/secrets/token'
    environment: {X: y}
    configs:
      - {source: written, target: /etc/conf, uid: '5', gid: '6', mode: 0440}
      - conf
    secrets:
      - {source: token, uid: '7', gid: '8', mode: 0400}
      - {source: key, target: /key}
configs:
  written: {content: \"written ${WORD}\\n\"}
  conf: {file: ./conf, name: other, labels: {a: b}}
  variable: {environment: WORD}
secrets:
  token: {environment: WORD}
  key: {file: ./key, name: another, labels: [a=b]}
",
    );
    project.write("conf", "from a file\n");
    project.write("key", "secret\n");
    project.run("compose up -d").env("WORD", "word").ok();
    project.engine.corten(["wait", "shop-web-1"]).ok();
    let log = project.run("compose logs --no-log-prefix web").env("WORD", "word").ok();
    assert!(log.starts_with("written word\nfrom a file\nwordsecret\n"), "{log}");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<_> = log.lines().filter(|line| line.starts_with('-')).map(words).collect();
    assert_eq!(&lines[0][..4], ["-r--r-----", "1", "5", "6"]);
    assert_eq!(&lines[1][..4], ["-r--------", "1", "7", "8"]);
}

#[test]
fn owners_of_files_that_are_mounted_have_no_effect_and_that_is_said() {
    let project = Project::new(
        "name: shop
services: {web: {image: busybox, secrets: [{source: key, uid: '5'}], configs: [{source: conf, mode: 0400}]}}
configs: {conf: {file: ./key}}
secrets: {key: {file: ./key}}
",
    );
    project.write("key", "secret\n");
    let said = project.run("compose create").run();
    assert_eq!(said.code, 0, "{said}");
    for kind in ["config", "secrets"] {
        let remark = format!("{kind} `uid`, `gid` and `mode` are not supported, they will be ignored");
        assert!(said.stderr.contains(&remark), "{said}");
    }
}

#[test]
fn projects_include_others() {
    let project = Project::new(
        "name: shop
include:
  - {path: [team/base.yaml, team/more.yaml], env_file: team.env, project_directory: elsewhere}
  - alone/compose.yaml
services: {web: {image: busybox, environment: {WORD: '${WORD:-outer}'}}}
",
    );
    project.write("team.env", "WORD=inner\n");
    let base = "services: {team: {image: busybox, environment: {WORD: '${WORD}'}, volumes: ['./data:/data']}}\n";
    project.write("team/base.yaml", base);
    project.write("team/more.yaml", "services: {team: {labels: {more: 'yes'}}}\n");
    project.write("alone/.env", "ALONE=1\n");
    let alone = "services: {alone: {image: busybox, environment: {ALONE: '${ALONE}'}, volumes: ['./data:/data']}}\n";
    project.write("alone/compose.yaml", alone);
    project.run("compose create").ok();
    let work = project.engine.work().display().to_string();
    let check = |container: &str, variable: &str, folder: &str| {
        let variables = project.engine.inspect(container, "{{json .Config.Env}}");
        assert!(variables.contains(&format!("{variable:?}")), "{container}: {variables}");
        if !folder.is_empty() {
            let bind = format!("[\"{work}/{folder}/data:/data:rw\"]");
            project.says(container, &[("json .HostConfig.Binds", &bind)]);
        }
    };
    check("shop-web-1", "WORD=outer", "");
    check("shop-team-1", "WORD=inner", "elsewhere");
    check("shop-alone-1", "ALONE=1", "alone");
    project.says("shop-team-1", &[("index .Config.Labels \"more\"", "yes")]);
}

#[test]
fn services_begin_as_others() {
    let project = Project::new(
        "name: shop
services:
  web: {extends: {service: base, file: common/base.yaml}, environment: {A: '2'}}
  near: {extends: web, labels: {own: label}}
",
    );
    let base = "services: {base: {image: busybox, environment: {A: '1', B: '1'}, volumes: ['./data:/data']}}\n";
    project.write("common/base.yaml", base);
    project.run("compose create").ok();
    let bind = format!("[\"{}/common/data:/data:rw\"]", project.engine.work().display());
    for container in ["shop-web-1", "shop-near-1"] {
        let variables = project.engine.inspect(container, "{{json .Config.Env}}");
        assert!(
            variables.contains("\"A=2\"") && variables.contains("\"B=1\""),
            "{variables}"
        );
        project.says(container, &[("json .HostConfig.Binds", &bind)]);
    }
    project.says("shop-near-1", &[("index .Config.Labels \"own\"", "label")]);
}

#[test]
fn images_are_fetched_when_they_are_too_old() {
    let project = Project::new("");
    let registry = project.engine.registry();
    registry.add_image("aged", "1", &corten_tests::images::TestImage::small("aged"));
    let asked = || registry.count("GET", "/aged/manifests/") + registry.count("HEAD", "/aged/manifests/");
    let create = |policy: &str| {
        let host = registry.host();
        project.write(
            "compose.yaml",
            &format!("name: shop\nservices: {{web: {{image: '{host}/aged:1', command: x, pull_policy: {policy}}}}}\n"),
        );
        let before = asked();
        project.run("compose create").ok();
        asked() > before
    };
    assert!(create("missing"), "it is not here");
    for policy in ["missing", "if_not_present", "never", "daily", "weekly", "every_1000h"] {
        assert!(!create(policy), "{policy}");
    }
    for policy in ["always", "refresh", "every_1ms"] {
        assert!(create(policy), "{policy}");
    }
}
