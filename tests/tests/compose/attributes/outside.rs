//! Services and parts of them that others provide: providers, language models, the engine's socket.

use corten_sys::fs;

use crate::project::Project;

/// A provider that writes down what it is called with.
const PROVIDER: &str = "#!/bin/sh
here=$(dirname \"$0\")
if [ \"$2\" = metadata ]; then
    [ -e $here/metadata ] || exit 1
    cat $here/metadata
    exit
fi
echo \"$*\" >> $here/calls
case \" $* \" in
*--type=broken*) echo '{\"type\": \"error\", \"message\": \"no such thing\"}'; exit 1;;
*' up '*)
    echo '{\"type\": \"info\", \"message\": \"making it\"}'
    echo '{\"type\": \"debug\", \"message\": \"nothing\"}'
    echo '{\"type\": \"setenv\", \"message\": \"URL=https://elsewhere/?a=b\"}'
    echo '{\"type\": \"rawsetenv\", \"message\": \"PLAIN=as it is\"}';;
esac
";

fn with_provider(kind: &str) -> Project {
    let project = Project::new(&format!(
        "name: shop
services:
  web: {{image: busybox, command: sleep 1000, stop_signal: SIGKILL, depends_on: [database]}}
  other: {{image: busybox, command: sleep 1000, stop_signal: SIGKILL}}
  database:
    provider: {{type: ./cloud, options: {{type: {kind}, number: 3, both: [a, b]}}}}
"
    ));
    project.write("bin/awesome", PROVIDER);
    project
}

/// The project with the provider's folder on the path.
fn run(project: &Project, words: &str) -> corten_tests::command::Call {
    let file = project.engine.work().join("compose.yaml");
    let text = fs::read_to_string(&file).expect("a file").replace("./cloud", "awesome");
    fs::write(&file, text).expect("a file");
    let path = format!("{}:/usr/bin:/bin", project.engine.work().join("bin").display());
    project.run(words).env("PATH", path)
}

fn calls(project: &Project) -> String {
    fs::read_to_string(project.engine.work().join("bin/calls")).unwrap_or_default()
}

#[test]
fn a_provider_makes_its_service_and_says_how_it_is_reached() {
    let project = with_provider("mysql");
    let said = run(&project, "compose up -d").run();
    assert_eq!(said.code, 0, "{said}");
    assert!(said.stderr.contains("making it"), "{said}");
    assert_eq!(
        calls(&project),
        "compose --project-name=shop up --both=a --both=b --number=3 --type=mysql database\n"
    );
    let variables = |name: &str| project.engine.inspect(name, "{{json .Config.Env}}");
    let web = variables("shop-web-1");
    assert!(web.contains("\"DATABASE_URL=https://elsewhere/?a=b\""), "{web}");
    assert!(web.contains("\"PLAIN=as it is\""), "{web}");
    assert!(!variables("shop-other-1").contains("DATABASE_URL"));
    assert_eq!(project.ids().len(), 2, "it is no container");
    let started = project.started("shop-web-1");
    run(&project, "compose up -d").ok();
    assert_eq!(project.started("shop-web-1"), started);
    run(&project, "compose down").ok();
    assert!(
        calls(&project)
            .ends_with("compose --project-name=shop down --both=a --both=b --number=3 --type=mysql database\n")
    );
    assert!(project.ids().is_empty());
}

#[test]
fn a_provider_gets_what_it_says_that_it_takes() {
    let project = with_provider("mysql");
    let takes = |parameters: &str| {
        let text = format!(r#"{{"description": "x", "up": {{"parameters": [{parameters}]}}, "down": {{}}}}"#);
        project.write("bin/metadata", &text);
    };
    takes(r#"{"name": "size", "required": true}"#);
    let missing = run(&project, "compose up -d").fails(1);
    assert!(
        missing.contains("required parameter \"size\" is missing from provider \"awesome\" definition"),
        "{missing}"
    );
    takes(r#"{"name": "type", "required": true}"#);
    run(&project, "compose create").ok();
    assert_eq!(
        calls(&project),
        "compose --project-name=shop up --type=mysql database\n"
    );
}

#[test]
fn a_provider_that_fails_or_is_not_there_ends_up() {
    let project = with_provider("broken");
    let failed = run(&project, "compose up -d").fails(1);
    assert!(failed.contains("no such thing"), "{failed}");
    fs::remove_file(project.engine.work().join("bin/awesome")).expect("it was there");
    let missing = run(&project, "compose up -d").fails(1);
    assert!(
        missing.contains("\"awesome\": executable file not found in $PATH"),
        "{missing}"
    );
    assert!(project.ids().is_empty());
}

/// Docker's plugin for models, as far as Compose calls it.
const MODELS: &str = "#!/bin/sh
here=$(dirname \"$0\")
echo \"$*\" >> $here/calls
case \"$1\" in
ls) echo '[{\"id\": \"x\", \"tags\": [\"ai/small\"]}]';;
status) echo '{\"endpoint\": \"http://models.test/engines/v1/\"}';;
esac
";

#[test]
fn models_are_fetched_and_services_are_told_where_they_are() {
    let project = Project::new(
        "name: shop
services:
  chat: {image: busybox, models: [large-one, small]}
  other: {image: busybox, models: {small: {endpoint_var: WHERE, model_var: WHICH}}}
models:
  large-one: {model: ai/large, name: largest, context_size: 1024, runtime_flags: [--a, --b=1]}
  small: {model: ai/small}
  unused: {model: ai/unused}
",
    );
    let missing = project.run("compose create").fails(1);
    assert!(
        missing.contains("'models' support requires Docker Model plugin"),
        "{missing}"
    );
    let plugins = project.engine.work().join("config/cli-plugins");
    project.write("config/cli-plugins/docker-model", MODELS);
    let config = project.engine.work().join("config");
    let said = project
        .run("compose create")
        .env("DOCKER_CONFIG", &config)
        .env("CORTEN_CONFIG", &config)
        .run();
    assert_eq!(said.code, 0, "{said}");
    assert!(said.stderr.contains("largest"), "{said}");
    let calls = fs::read_to_string(plugins.join("calls")).expect("calls");
    for call in [
        "pull ai/large\n",
        "configure --context-size 1024 ai/large -- --a --b=1\n",
        "configure ai/small\n",
    ] {
        assert!(calls.contains(call), "{call}: {calls}");
    }
    assert!(!calls.contains("pull ai/small") && !calls.contains("unused"), "{calls}");
    let chat = project.engine.inspect("shop-chat-1", "{{json .Config.Env}}");
    for part in [
        "\"LARGE_ONE_MODEL=ai/large\"",
        "\"LARGE_ONE_URL=http://models.test/engines/v1/\"",
        "\"SMALL_MODEL=ai/small\"",
    ] {
        assert!(chat.contains(part), "{part}: {chat}");
    }
    let other = project.engine.inspect("shop-other-1", "{{json .Config.Env}}");
    assert!(other.contains("\"WHICH=ai/small\""), "{other}");
    assert!(other.contains("\"WHERE=http://models.test/engines/v1/\""), "{other}");
    assert!(!other.contains("LARGE"), "{other}");
}

#[test]
fn a_service_may_talk_to_the_engine() {
    let project = Project::new(
        "name: shop
services:
  web:
    image: busybox
    command: sh -c 'ls /var/run/docker.sock; echo $$DOCKER_CONFIG; cat /run/secrets/docker/config.json'
    use_api_socket: true
  own: {image: busybox, use_api_socket: true, environment: {DOCKER_CONFIG: /own}}
",
    );
    let config = project.engine.work().join("config");
    project.write(
        "config/config.json",
        r#"{"auths": {"host.test": {"auth": "dXNlcjpwYXNz"}}}"#,
    );
    project
        .run("compose up -d web")
        .env("DOCKER_CONFIG", &config)
        .env("CORTEN_CONFIG", &config)
        .ok();
    project.engine.corten(["wait", "shop-web-1"]).ok();
    let log = project.run("compose logs --no-log-prefix web").ok();
    assert_eq!(
        log,
        "/var/run/docker.sock\n/run/secrets/docker\n{\"auths\":{\"host.test\":{\"auth\":\"dXNlcjpwYXNz\"}}}\n"
    );
    let binds = project.engine.inspect("shop-web-1", "{{json .HostConfig.Binds}}");
    let socket = project.engine.socket();
    assert!(
        binds.contains(&format!("{}:/var/run/docker.sock:rw", socket.display())),
        "{binds}"
    );
    project.run("compose create own").ok();
    let variables = project.engine.inspect("shop-own-1", "{{json .Config.Env}}");
    assert!(variables.contains("\"DOCKER_CONFIG=/own\""), "{variables}");
}
