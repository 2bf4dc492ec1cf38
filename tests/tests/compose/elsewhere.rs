//! Projects that are elsewhere: in repositories of Git and in registries; `compose publish`, which puts them there.

use corten_sys::fs;
use corten_tests::command::{Call, Running};
use corten_tests::programs;
use corten_tests::registry::Fault;
use serde_json::{Value, json};

use crate::project::Project;

/// The web server of the engine's network.
const SERVER: &str = "http://127.0.0.1:8093";

/// A repository in the engine's folder, and the server that gives it away.
struct Repository {
    project: Project,
    server: Option<Running>,
}

impl Repository {
    /// A repository with what a script makes; each line may commit with `save`.
    fn new(script: &str) -> Self {
        let project = Project::new("services: {}\n");
        let work = project.engine.work().display().to_string();
        let script = format!(
            "mkdir -p {work}/repo && cd {work}/repo && git init -q -b main . && git config user.email a@b && git config user.name n\n\
             save() {{ git add -A && git commit -q -m change && git update-server-info; }}\n{script}"
        );
        project.engine.sh(&script).ok();
        let server = project
            .engine
            .sh(&format!("exec busybox httpd -f -p 127.0.0.1:8093 -h {work}"))
            .spawn();
        corten_tests::until::is("the server answers", || {
            project.engine.try_curl(&format!("{SERVER}/repo/.git/HEAD")).is_some()
        });
        Self {
            project,
            server: Some(server),
        }
    }

    /// The address with what comes behind it.
    fn at(&self, rest: &str) -> String {
        format!("{SERVER}/repo/.git{rest}")
    }

    fn run(&self, words: &str) -> Call {
        run(&self.project, words)
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.signal(rustix::process::Signal::TERM);
            server.wait();
        }
    }
}

/// A command whose cache is in the engine's folder.
fn run(project: &Project, words: &str) -> Call {
    project
        .run(words)
        .env("XDG_CACHE_HOME", project.engine.work().join("cache"))
}

const IN_REPOSITORY: &str = "
mkdir -p sub/deep
echo 'services: {web: {image: busybox, labels: {at: one}, volumes: [./data:/data]}}' > compose.yaml
echo 'services: {sub: {image: busybox, env_file: a.env, extends: {file: deep/base.yaml, service: base}}}' > sub/docker-compose.yml
echo 'services: {base: {labels: {from: deep}}}' > sub/deep/base.yaml
echo A=1 > sub/a.env
save
git tag v1
git tag -a -m message v2
sed -i s/one/two/ compose.yaml
save
";

#[test]
fn projects_are_read_from_repositories() {
    let repository = Repository::new(IN_REPOSITORY);
    let shown = |rest: &str| {
        let words = format!("compose -f {} config", repository.at(rest));
        repository.run(&words).ok()
    };
    assert!(shown("").contains("at: two"));
    for reference in ["#v1", "#v2", "?ref=v1"] {
        assert!(shown(reference).contains("at: one"), "{reference}");
    }
    assert!(shown("#main").contains("at: two"));
    let sub = shown("#main:sub");
    assert!(sub.contains("A: \"1\"") && sub.contains("from: deep"), "{sub}");
    assert_eq!(shown("#main:sub/docker-compose.yml"), sub);
    let commit = repository
        .project
        .engine
        .sh(&format!(
            "git -C {}/repo rev-parse v1^0",
            repository.project.engine.work().display()
        ))
        .line();
    let whole = shown(&format!("#{commit}"));
    let folder = repository
        .project
        .engine
        .work()
        .join("cache/docker-compose")
        .join(&commit);
    assert!(whole.contains(&format!("source: {}/data", folder.display())), "{whole}");
    // What is here is not fetched again.
    fs::remove_dir_all(repository.project.engine.work().join("repo")).expect("it was there");
    assert_eq!(shown(&format!("#{commit}")), whole);
    let gone = format!("compose -f {} config", repository.at(""));
    let gone = repository.run(&gone).fails(1);
    assert!(gone.contains("failed to access repository"), "{gone}");
}

#[test]
fn projects_include_and_extend_others_of_repositories() {
    let repository = Repository::new(IN_REPOSITORY);
    repository.project.write(
        "compose.yaml",
        &format!(
            "name: shop
include: ['{}', {{path: '{}'}}]
services: {{own: {{image: busybox, extends: {{file: '{}', service: base}}}}}}
",
            repository.at("#v1"),
            repository.at("#main:sub"),
            repository.at("#main:sub/deep/base.yaml")
        ),
    );
    let said = repository.run("compose create").run();
    assert_eq!(said.code, 0, "{said}");
    let names: Vec<_> = repository.project.ids().into_keys().collect();
    assert_eq!(names, ["shop-own-1", "shop-sub-1", "shop-web-1"]);
    repository
        .project
        .says("shop-own-1", &[("index .Config.Labels \"from\"", "deep")]);
    repository
        .project
        .says("shop-web-1", &[("index .Config.Labels \"at\"", "one")]);
    let conflict = format!(
        "name: shop\ninclude: ['{}']\nservices: {{web: {{image: other}}}}\n",
        repository.at("#v1")
    );
    repository.project.write("compose.yaml", &conflict);
    let conflict = repository.run("compose config").fails(1);
    assert!(
        conflict.contains("services.web conflicts with imported resource"),
        "{conflict}"
    );
}

#[test]
fn nothing_of_a_repository_leads_out_of_it() {
    let repository = Repository::new(
        "
ln -s /etc/passwd link.yaml
ln -s / root
mkdir up linked
echo 'include: [../../../../../../etc/passwd]' > up/compose.yaml
echo 'services: {a: {extends: {file: /etc/passwd, service: root}}}' > up/extends.yaml
ln -s /etc/hostname linked/compose.yaml
echo 'services: {a: {image: busybox}}' > compose.yaml
save
",
    );
    for (rest, expected) in [
        ("#main:link.yaml", "leads out of"),
        ("#main:linked", "leads out of"),
        ("#main:root/etc/passwd", "leads out of"),
        ("#main:up", "leads out of"),
        ("#main:up/extends.yaml", "leads out of"),
        ("#main:../..", "path traversal detected"),
        ("#main:up/../../x", "path traversal detected"),
        ("#main:/etc", "path traversal detected"),
        ("#main:.git/config", "is no folder of the repository"),
        ("#--upload-pack=x", "does not begin with a dash"),
        ("#nosuch", "repository does not contain ref nosuch"),
        ("#main:nosuch", "no such file or directory"),
    ] {
        let words = format!("compose -f {} config", repository.at(rest));
        let refused = repository.run(&words).fails(1);
        assert!(refused.contains(expected), "{rest}: {refused}");
        assert!(!refused.contains("root:x:0"), "{rest}: {refused}");
    }
    let off = format!("compose -f {} config", repository.at(""));
    let off = repository
        .run(&off)
        .env("COMPOSE_EXPERIMENTAL_GIT_REMOTE", "false")
        .fails(1);
    assert!(off.contains("git remote resource is disabled"), "{off}");
}

const PUBLISHED: &str = "name: shop
services:
  web:
    image: HOST/base:1
    environment: {WORD: said}
    env_file:
      - a.env
  near:
    extends:
      file: common/base.yaml
      service: base
";

/// A project at a registry with the image that its services have.
fn published() -> Project {
    let project = Project::new("");
    let registry = project.engine.registry();
    registry.add_image("base", "1", &corten_tests::images::TestImage::small("base"));
    let host = registry.host();
    project.write("compose.yaml", &PUBLISHED.replace("HOST", &host));
    let base = format!("services:\n  base:\n    image: {host}/base:1\n    labels: {{from: common}}\n");
    project.write("common/base.yaml", &base);
    project.write("a.env", "A=1\n");
    project
}

fn manifest(project: &Project, tag: &str) -> Value {
    let bytes = project.engine.registry().manifest("app", tag);
    serde_json::from_slice(&bytes.unwrap_or_else(|| panic!("no {tag}"))).expect("JSON")
}

#[test]
fn a_project_is_published_and_read_again() {
    let project = published();
    let host = project.engine.registry().host();
    let told = run(&project, &format!("compose publish --with-env --yes {host}/app:1")).run();
    assert_eq!(told.code, 0, "{told}");
    assert!(
        told.stderr.contains("publishing") && told.stderr.contains("published"),
        "{told}"
    );
    let made = manifest(&project, "1");
    assert_eq!(made["artifactType"], "application/vnd.docker.compose.project");
    assert_eq!(made["config"]["mediaType"], "application/vnd.oci.empty.v1+json");
    let kinds: Vec<_> = made["layers"]
        .as_array()
        .expect("layers")
        .iter()
        .map(|layer| layer["mediaType"].as_str().unwrap_or_default())
        .collect();
    let file = "application/vnd.docker.compose.file+yaml";
    assert_eq!(kinds, [file, file, "application/vnd.docker.compose.envfile"]);
    let here = run(&project, "compose config").ok();
    fs::create_dir_all(project.engine.work().join("other")).expect("a folder");
    let there = run(&project, &format!("compose -f oci://{host}/app:1 config")).ok();
    assert_eq!(there, here);
    run(&project, &format!("compose -f oci://{host}/app:1 create")).ok();
    let variables = project.engine.inspect("shop-web-1", "{{json .Config.Env}}");
    assert!(variables.contains("\"A=1\""), "{variables}");
    project.says("shop-near-1", &[("index .Config.Labels \"from\"", "common")]);
    // The tag may mean another one tomorrow; a digest does not.
    let digest =
        corten_oci::digest::Digest::sha256(&project.engine.registry().manifest("app", "1").expect("it is there"));
    project.write(
        "include.yaml",
        &format!("name: shop\ninclude: ['oci://{host}/app@{digest}']\n"),
    );
    let included = run(&project, "compose -f include.yaml config --services").ok();
    assert_eq!(included, "near\nweb\n");
}

#[test]
fn what_is_published_is_as_flags_say() {
    let project = published();
    let host = project.engine.registry().host();
    let digest =
        corten_oci::digest::Digest::sha256(&project.engine.registry().manifest("base", "1").expect("it is there"));
    let publish = |flags: &str| run(&project, &format!("compose publish --yes {flags}"));
    publish(&format!("--oci-version 1.0 --with-env {host}/app:old")).ok();
    let old = manifest(&project, "old");
    assert_eq!(old.get("artifactType"), None);
    assert_eq!(
        old["config"]["mediaType"],
        "application/vnd.docker.compose.config.empty.v1+json"
    );
    let here = run(&project, "compose config").ok();
    assert_eq!(
        run(&project, &format!("compose -f oci://{host}/app:old config")).ok(),
        here
    );
    publish(&format!("--resolve-image-digests --with-env {host}/app:pinned")).ok();
    let pinned = run(&project, &format!("compose -f oci://{host}/app:pinned config --images")).ok();
    assert_eq!(pinned, format!("{host}/base:1@{digest}\n{host}/base:1@{digest}\n"));
    publish(&format!("--app --with-env {host}/app:all")).ok();
    assert!(
        project.engine.registry().manifest("app", digest.as_str()).is_some(),
        "the image is beside it"
    );
    let dry = publish(&format!("--dry-run --with-env {host}/app:dry")).run();
    assert!(dry.code == 0 && dry.stderr.contains("published"), "{dry}");
    assert!(project.engine.registry().manifest("app", "dry").is_none());
    // Without its variables a project misses a file.
    publish(&format!("{host}/app:bare")).ok();
    let bare = run(&project, &format!("compose -f oci://{host}/app:bare config")).fails(1);
    assert!(bare.contains(".env not found"), "{bare}");
    let other = publish(&format!("--oci-version 2.0 {host}/app:x")).fails(1);
    assert!(other.contains("unsupported OCI version: 2.0"), "{other}");
}

#[test]
fn publishing_asks_before_it_gives_secrets_away() {
    let project = published();
    let host = project.engine.registry().host();
    let publish = |flags: &str, answers: &str| {
        let words = format!("compose publish {flags} {host}/app:1");
        run(&project, &words).stdin(answers.to_owned()).run()
    };
    let refused = publish("", "y\n");
    assert!(
        refused.code == 1 && refused.stderr.contains("service \"web\" has env_file declared."),
        "{refused}"
    );
    assert!(refused.stderr.contains("by using the --with-env flag"), "{refused}");
    let asked = publish("--with-env", "n\n");
    assert_eq!(asked.code, 0, "{asked}");
    assert!(
        asked.stdout.contains("Service/Config  web\n") && asked.stdout.contains("WORD=said\n"),
        "{asked}"
    );
    assert!(
        asked
            .stdout
            .contains("Are you ok to publish these environment variables?"),
        "{asked}"
    );
    assert!(project.engine.registry().manifest("app", "1").is_none());
    assert_eq!(publish("--with-env", "y\n").code, 0);
    assert!(project.engine.registry().manifest("app", "1").is_some());

    let file = "name: shop\nservices: {web: {image: busybox, volumes: ['./data:/data:ro'], labels: {a: AKIAIOSFODNN7EXAMPLE}}}\n";
    project.write("compose.yaml", file);
    project.engine.registry().remove_tag("app", "1");
    let binds = publish("", "");
    assert_eq!(binds.code, 0, "{binds}");
    let mount = format!("web{}/data:/data:ro\n", project.engine.work().display());
    assert!(
        binds.stdout.contains(&mount) && binds.stdout.contains("bind mount declarations?"),
        "{binds}"
    );
    let sensitive = publish("", "y\nn\n");
    assert!(
        sensitive
            .stdout
            .contains("AWS Client ID\n\"services.web.labels.a\": AKIAIOSFODNN7EXAMPLE\n"),
        "{sensitive}"
    );
    assert!(project.engine.registry().manifest("app", "1").is_none());

    project.write("compose.yaml", "name: shop\nservices: {web: {build: .}}\n");
    let built = publish("--yes", "");
    assert!(
        built.code == 1
            && built
                .stderr
                .contains("only contains a build section for service(s):\n- \"web\""),
        "{built}"
    );
    project.write("compose.yaml", "name: shop\ninclude: [other.yaml]\nservices: {}\n");
    project.write("other.yaml", "services: {other: {image: busybox}}\n");
    let local = publish("--yes", "");
    assert!(
        local.code == 1 && local.stderr.contains("cannot publish compose file with local includes"),
        "{local}"
    );
}

#[test]
fn artifacts_that_are_no_projects_are_refused() {
    let project = Project::new("");
    let registry = project.engine.registry();
    let host = registry.host();
    let layer = |text: &str, kind: &str, annotations: Value| {
        let digest = registry.add_blob("app", text.as_bytes());
        json!({"mediaType": kind, "digest": digest.to_string(), "size": text.len(), "annotations": annotations})
    };
    let empty = registry.add_blob("app", b"{}");
    let put = |tag: &str, kind: &str, layers: Value| {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": kind,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty.to_string(), "size": 2},
            "layers": layers,
        });
        let bytes = serde_json::to_vec(&manifest).expect("JSON");
        registry.add_manifest("app", Some(tag), "application/vnd.oci.image.manifest.v1+json", &bytes)
    };
    let kind = "application/vnd.docker.compose.project";
    let file = "application/vnd.docker.compose.file+yaml";
    let environment = "application/vnd.docker.compose.envfile";
    let good = layer(
        "services: {web: {image: busybox}}\n",
        file,
        json!({"com.docker.compose.file": "compose.yaml"}),
    );
    let named = |name: &str| layer("A=1\n", environment, json!({"com.docker.compose.envfile": name}));
    put("good", kind, json!([good.clone(), named("a.env")]));
    put("other", "application/vnd.some.thing", json!([good.clone()]));
    let read = |tag: &str| {
        run(
            &project,
            &format!("compose -f oci://{host}/app:{tag} config --services"),
        )
    };
    for name in ["../evil", "/tmp/evil", "..", "", "a/b", "a\\b"] {
        put("evil", kind, json!([good.clone(), named(name)]));
        let refused = read("evil").fails(1);
        assert!(refused.contains("no name in its own folder"), "{name:?}: {refused}");
    }
    let extends = json!({"com.docker.compose.file": "../../evil.yaml", "com.docker.compose.extends": "true"});
    put(
        "extends",
        kind,
        json!([good.clone(), layer("services: {}\n", file, extends)]),
    );
    assert!(read("extends").fails(1).contains("no name in its own folder"));
    let refused = read("other").fails(1);
    assert!(
        refused.contains("is not a compose project OCI artifact, but application/vnd.some.thing"),
        "{refused}"
    );
    registry.inject("/blobs/", 100, Fault::CutAfter(5));
    read("good").fails(1);
    registry.heal();
    assert_eq!(read("good").ok(), "web\n");
    let escapes = layer(
        "include: [/etc/passwd]\n",
        file,
        json!({"com.docker.compose.file": "compose.yaml"}),
    );
    put("escapes", kind, json!([escapes]));
    let refused = read("escapes").fails(1);
    assert!(
        refused.contains("leads out of") && !refused.contains("root:x:0"),
        "{refused}"
    );
    let missing = read("nosuch").fails(1);
    assert!(missing.contains("failed to pull OCI resource"), "{missing}");
    let off = read("good").env("COMPOSE_EXPERIMENTAL_OCI_REMOTE", "0").fails(1);
    assert!(off.contains("OCI remote resource is disabled"), "{off}");
    assert!(!project.engine.work().join("cache/evil").exists());
}

#[test]
fn images_are_shown_by_their_digests() {
    let project = published();
    let host = project.engine.registry().host();
    let digest =
        corten_oci::digest::Digest::sha256(&project.engine.registry().manifest("base", "1").expect("it is there"));
    project.write(
        "compose.yaml",
        &format!(
            "name: shop\nservices: {{web: {{image: '{host}/base:${{TAG:-1}}', command: x}}, made: {{build: .}}}}\n"
        ),
    );
    let pinned = run(&project, "compose config --resolve-image-digests").ok();
    assert!(
        pinned.contains(&format!("image: {host}/base:1@{digest}\n")) && pinned.contains("command:"),
        "{pinned}"
    );
    let locked = run(&project, "compose config --lock-image-digests web").ok();
    assert_eq!(
        locked,
        format!("services:\n  web:\n    image: {host}/base:1@{digest}\n")
    );
    let old = run(&project, "compose convert --lock-image-digests --format json web").ok();
    assert!(old.contains(&format!("\"image\": \"{host}/base:1@{digest}\"")), "{old}");
    project.write(
        "compose.yaml",
        &format!("services: {{web: {{image: '{host}/base:1', command: '${{X}}'}}}}\n"),
    );
    let plain = run(&project, "compose config --no-interpolate --resolve-image-digests").ok();
    assert!(plain.contains(&digest.to_string()) && plain.contains("${X}"), "{plain}");
    let locked = run(&project, "compose config --no-interpolate --lock-image-digests").ok();
    assert_eq!(
        locked,
        format!("services:\n  web:\n    image: {host}/base:1@{digest}\n")
    );
    project.write(
        "compose.yaml",
        &format!("services: {{web: {{image: '{host}/nosuch:1'}}}}\n"),
    );
    let missing = run(&project, "compose config --resolve-image-digests").fails(1);
    assert!(
        missing.contains("manifest unknown") || missing.contains("not found"),
        "{missing}"
    );
}

/// What Docker's Compose publishes we read, and what we publish it reads.
#[test]
fn projects_pass_between_both_programs_by_a_registry() {
    if programs::compose().is_none() {
        return;
    }
    let project = published();
    let data = programs::root().join("tests/data/tls");
    project.engine.sh("ip address add 192.0.2.10/32 dev lo").ok();
    // The other program takes registries of this machine only with TLS.
    let registry = project
        .engine
        .corten([
            "registry",
            "serve",
            "-l",
            "192.0.2.10:5443",
            "--log-level",
            "error",
            "--data-root",
        ])
        .arg(project.engine.work().join("registry"))
        .arg("--tls-cert")
        .arg(data.join("server.pem"))
        .arg("--tls-key")
        .arg(data.join("server.key"))
        .spawn();
    corten_tests::until::is("the registry answers", || {
        let asked = project.engine.sh("curl -sk https://192.0.2.10:5443/v2/").run();
        asked.code == 0
    });
    let with = |call: Call| {
        call.env("SSL_CERT_FILE", data.join("ca.pem"))
            .env("XDG_CACHE_HOME", project.engine.work().join("cache"))
    };
    let ours = |words: &str| with(project.run(words));
    let theirs = |words: &str| with(project.peer(words).expect("it is there"));
    let here = ours("compose config").ok();
    ours("compose publish --with-env --yes 192.0.2.10:5443/ours:1").ok();
    theirs("compose publish --with-env --yes 192.0.2.10:5443/theirs:1").ok();
    ours("compose publish --with-env --yes --oci-version 1.0 192.0.2.10:5443/ours:2").ok();
    theirs("compose publish --with-env --yes --oci-version 1.0 192.0.2.10:5443/theirs:2").ok();
    for tag in ["1", "2"] {
        for from in ["ours", "theirs"] {
            let words = format!("compose -f oci://192.0.2.10:5443/{from}:{tag} config");
            assert_eq!(ours(&words).ok(), here, "{words}");
            assert_eq!(theirs(&words).ok(), here, "{words}, by the other");
        }
    }
    registry.signal(rustix::process::Signal::TERM);
    registry.wait();
}
