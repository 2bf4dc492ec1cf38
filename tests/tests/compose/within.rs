//! Commands that go into containers or ask about them, and `run`.

use corten_sys::fs;
use corten_tests::{terminal::Terminal, until};

use crate::project::Project;

const FILE: &str = "name: shop
services:
  web:
    image: busybox
    command: sh -c 'echo $$WORD > /etc/word; httpd -f -p 80'
    environment: {WORD: first}
    ports: ['127.0.0.1:8081:80', '127.0.0.1:8082:81/udp']
    stop_signal: SIGKILL
    volumes: ['data:/data']
    depends_on: [base]
  base: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}
volumes: {data: }
";

fn shop() -> Project {
    let project = Project::new(FILE);
    project.run("compose up -d").ok();
    project
}

#[test]
fn services_tell_of_ports_processes_images_and_volumes() {
    let project = shop();
    assert_eq!(project.run("compose port web 80").line(), "127.0.0.1:8081");
    assert_eq!(
        project.run("compose port --protocol udp --index 1 web 81").line(),
        "127.0.0.1:8082"
    );
    let none = project.run("compose port web 99").run();
    assert_ne!(none.code, 0, "{none}");
    let top = project.run("compose top base").ok();
    assert!(top.contains("sleep 1000") && top.contains("base"), "{top}");
    let images = project.run("compose images").ok();
    assert!(images.contains("shop-web-1") && images.contains("busybox"), "{images}");
    assert_eq!(project.run("compose images -q").ok().lines().count(), 1);
    let json = project.run("compose images --format json").ok();
    assert!(json.contains("\"shop-web-1\""), "{json}");
    assert_eq!(project.run("compose volumes -q").line(), "shop_data");
    assert_eq!(project.run("compose volumes --format {{.Driver}} web").line(), "local");
    let list = project.run("compose ls").ok();
    assert!(list.contains("shop") && list.contains("running(2)"), "{list}");
    assert_eq!(project.run("compose ls -q --filter name=shop").line(), "shop");
    assert_eq!(project.run("compose ls --quiet --filter name=other").line(), "");
    let json = project.run("compose ls --all --format json").ok();
    assert!(json.contains("compose.yaml"), "{json}");
    assert_eq!(project.run("compose version --short").line().split('.').count(), 3);
    let stats = project.run("compose stats --no-stream --format {{.Name}} base").line();
    assert_eq!(stats, "shop-base-1");
}

#[test]
fn files_go_into_services_and_out_of_them() {
    let project = shop();
    project.write("here.txt", "a text");
    project.run("compose cp here.txt web:/tmp/there.txt").ok();
    assert_eq!(project.run("compose exec -T web cat /tmp/there.txt").ok(), "a text");
    project.run("compose cp --index 1 web:/tmp/there.txt back.txt").ok();
    let back = project.engine.work().join("back.txt");
    assert_eq!(fs::read_to_string(&back).expect("it came"), "a text");
    let none = project.run("compose cp here.txt nothing:/tmp").run();
    assert!(none.code != 0 && none.stderr.contains("nothing"), "{none}");
    project.run("compose export -o all.tar web").ok();
    let list = project.engine.sh("tar -tf all.tar").ok();
    assert!(list.contains("tmp/there.txt"), "{list}");
    project.run("compose commit -m kept -a someone web kept:1").ok();
    let text = project
        .engine
        .corten(["run", "--rm", "kept:1", "cat", "/tmp/there.txt"]);
    assert_eq!(text.ok(), "a text");
}

#[test]
fn run_makes_one_more_container_with_another_command() {
    let project = shop();
    let before = project.ids();
    let script = "echo $WORD $MORE; hostname -i >/dev/null; wget -qO- http://web/none 2>&1; cat; exit 4";
    let words = [
        "compose",
        "run",
        "--rm",
        "-T",
        "-e",
        "MORE=second",
        "web",
        "sh",
        "-c",
        script,
    ];
    let ran = project.engine.corten(words).stdin("piped").run();
    assert_eq!(ran.code, 4, "{ran}");
    assert!(
        ran.stdout.starts_with("first second\n") && ran.stdout.ends_with("piped"),
        "{ran}"
    );
    assert!(ran.stdout.contains("404"), "the service is found by name: {ran}");
    assert_eq!(project.ids(), before, "it is gone, and the others are as they were");

    let id = project
        .run("compose run -d --name extra -l kind=extra -u 1 -w /tmp --no-deps web sleep 1000")
        .line();
    let seen = project.engine.inspect(
        "extra",
        "{{.Id}} {{.Config.Labels.kind}} {{.Config.User}} {{.Config.WorkingDir}}",
    );
    assert_eq!(seen, format!("{id} extra 1 /tmp"));
    let ports = project.engine.inspect("extra", "{{len .HostConfig.PortBindings}}");
    assert_eq!(ports, "0", "the service's ports are not published twice");
    project.run("compose up -d").ok();
    assert_eq!(project.states()["extra"], "running", "it is no orphan while it runs");
    project.run("compose down").ok();
    assert!(project.ids().is_empty());
}

#[test]
fn run_brings_up_what_a_service_depends_on() {
    let project = Project::new(FILE);
    let out = project
        .run("compose run --rm -v data:/more -p 127.0.0.1:8083:80 --entrypoint echo web said")
        .ok();
    assert_eq!(out, "said\n");
    assert_eq!(project.ids().keys().collect::<Vec<_>>(), ["shop-base-1"]);
    assert_eq!(project.engine.corten(["volume", "ls", "-q"]).line(), "shop_data");
}

#[test]
fn attach_shows_what_a_service_says() {
    let project = Project::new(
        "name: shop
services:
  echo: {image: busybox, command: sh -c 'while read line; do echo got $$line; done; exit 6', stdin_open: true}
",
    );
    project.run("compose up -d").ok();
    let mut attached = project.run("compose attach echo").spawn();
    attached.write("a word\n");
    attached.wait_for("got a word");
    project.run("compose kill").ok();
    let ended = attached.wait();
    assert_eq!(ended.code, 137, "{ended}");
}

#[test]
fn images_are_built_pulled_and_pushed() {
    let project = Project::new(
        "name: shop
services:
  web:
    image: 127.0.0.1:5000/mine/web:1
    build: {context: web, args: {WORD: plain}, target: last, labels: {kind: shop}}
    depends_on: [base]
  base: {image: busybox}
  inline: {build: {context: ., dockerfile_inline: 'FROM busybox'}}
",
    );
    project.write(
        "web/Dockerfile",
        "FROM busybox AS last\nARG WORD\nENV WORD=$WORD\nFROM last\nENV WORD=wrong\n",
    );
    project.run("compose pull --ignore-buildable").ok();
    assert!(!project.engine.corten(["images", "-q", "busybox"]).line().is_empty());
    project.run("compose build").ok();
    let word = || {
        project
            .engine
            .inspect("127.0.0.1:5000/mine/web:1", "{{.Config.Env}} {{.Config.Labels.kind}}")
    };
    assert!(word().contains("WORD=plain") && word().ends_with("shop"), "{}", word());
    assert!(!project.engine.corten(["images", "-q", "shop-inline"]).line().is_empty());
    project
        .run("compose build --build-arg WORD=given --no-cache -q web")
        .ok();
    assert!(word().contains("WORD=given"), "{}", word());
    project.run("compose push web").ok();
    project.engine.corten(["rmi", "127.0.0.1:5000/mine/web:1"]).ok();
    project.run("compose pull --policy always -q web").ok();
    assert!(word().contains("WORD=given"), "{}", word());
    let error = project.run("compose build nothing").fails(1);
    assert!(error.contains("no such service: nothing"), "{error}");
}

#[test]
fn configs_and_secrets_are_files_of_a_service() {
    let project = Project::new(
        "name: shop
services:
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    configs: [plain, {source: inline, target: /etc/inline}]
    secrets: [word]
configs: {plain: {file: ./plain.txt}, inline: {content: 'inline ${WORD}'}}
secrets: {word: {environment: WORD}}
",
    );
    project.write("plain.txt", "from a file");
    let compose = |words: &str| project.run(words).env("WORD", "hidden").ok();
    compose("compose up -d");
    let read = |path: &str| compose(&format!("compose exec -T web cat {path}"));
    assert_eq!(read("/plain"), "from a file");
    assert_eq!(read("/etc/inline"), "inline hidden");
    assert_eq!(read("/run/secrets/word"), "hidden");
    let ids = project.ids();
    compose("compose up -d");
    assert_eq!(project.ids(), ids);
}

#[test]
fn anonymous_volumes_go_on_unless_they_are_renewed() {
    let file = |word: &str| {
        format!(
            "name: shop
services:
  web: {{image: busybox, command: sleep {word}, stop_signal: SIGKILL, volumes: [/data]}}
"
        )
    };
    let project = Project::new(&file("1000"));
    project.run("compose up -d").ok();
    project.run("compose exec -T web touch /data/kept").ok();
    project.write("compose.yaml", &file("2000"));
    let ids = project.ids();
    project.run("compose up -d").ok();
    assert_ne!(project.ids(), ids);
    assert_eq!(project.run("compose exec -T web ls /data").line(), "kept");
    project.run("compose up -d --renew-anon-volumes --force-recreate").ok();
    assert_eq!(project.run("compose exec -T web ls /data").line(), "");
    let volumes = || project.engine.corten(["volume", "ls", "-q"]).ok();
    project.run("compose down").ok();
    let before = volumes();
    project.run("compose up -d").ok();
    assert_ne!(volumes(), before);
    project.run("compose down --volumes").ok();
    assert_eq!(volumes(), before, "none is left behind");
}

#[test]
fn images_are_only_had_as_asked() {
    let project = Project::new(
        "name: shop\nservices: {web: {build: web, command: sleep 1000, stop_signal: SIGKILL}, other: {image: busybox}}\n",
    );
    project.write("web/Dockerfile", "FROM busybox\n");
    let error = project.run("compose up -d --pull never other").fails(1);
    assert!(error.contains("No such image: busybox"), "{error}");
    let error = project.run("compose up -d --no-build web").fails(1);
    assert!(error.contains("shop-web"), "{error}");
    let error = project.run("compose up -d --pull sometimes").fails(1);
    assert!(error.contains("sometimes"), "{error}");
    assert!(project.ids().is_empty());
    project.run("compose create --build web").ok();
    project.run("compose up -d --pull always --no-build other").ok();
    assert_eq!(project.ids().len(), 2);
    project.run("compose down --rmi all").ok();
    assert_eq!(project.engine.corten(["images", "-q"]).line(), "");
}

#[test]
fn containers_are_waited_for_and_the_project_taken_down() {
    let project = Project::new(
        "name: shop
services:
  one: {image: busybox, command: [sh, -c, 'while [ ! -e /go/one ]; do sleep 0.05; done; exit 3'], volumes: ['./go:/go']}
  two: {image: busybox, command: [sh, -c, 'while [ ! -e /go/two ]; do sleep 0.05; done; exit 4'], volumes: ['./go:/go']}
  base: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}
",
    );
    // A container that ends before the program looks is not waited for: then once more.
    let (ids, wait) = until::some("both are waited for", || {
        for name in ["one", "two"] {
            // It is not there the first time.
            let _ = fs::remove_file(project.engine.work().join("go").join(name));
        }
        project.run("compose up -d").ok();
        let ids = project.ids();
        let wait = project.run("compose wait --down-project one two").spawn();
        project.run("compose ps").ok();
        project.write("go/two", "");
        project.write("go/one", "");
        let wait = wait.wait();
        (wait.stdout.lines().count() == 2).then_some((ids, wait))
    });
    let mut last = 0;
    for (name, status) in [("shop-one-1", 3), ("shop-two-1", 4)] {
        let line = format!("container \"{}\" exited with status code {status}\n", ids[name]);
        assert!(wait.stdout.contains(&line), "{wait}");
        if wait.stdout.ends_with(&line) {
            last = status;
        }
    }
    assert_eq!(wait.code, last, "that of the last one: {wait}");
    assert!(project.ids().is_empty(), "{wait}");
    let error = project.run("compose wait one").fails(1);
    assert!(error.contains("no containers for project \"shop\""), "{error}");
}

#[test]
fn a_quiet_run_says_only_what_its_command_says() {
    let project = Project::new(FILE);
    let quiet = project.run("compose run --quiet --rm -T web echo hello").run();
    assert_eq!(
        (quiet.stdout.as_str(), quiet.stderr.as_str()),
        ("hello\n", ""),
        "{quiet}"
    );
    let loud = project.run("compose run --rm -T --no-deps web true").run();
    assert_eq!(loud.code, 0, "{loud}");
    project.write(
        "compose.yaml",
        "name: shop\nservices: {web: {build: ., command: cat /said}}\n",
    );
    project.write("Dockerfile", "FROM busybox\nRUN echo built > /said\n");
    let built = project.run("compose run --quiet-build --quiet-pull --rm -T web").run();
    assert_eq!(built.stdout, "built\n", "{built}");
    assert!(!built.stderr.contains("RUN echo"), "{built}");
}

#[test]
fn files_go_into_every_container_or_the_one_that_is_named() {
    let project = shop();
    project.run("compose up -d --scale base=2").ok();
    project.run("compose run -d --name extra base sleep 1000").ok();
    project.write("here", "text");
    let has = |container: &str, path: &str| {
        let words = ["exec", container, "cat", path];
        project.engine.corten(words).run().code == 0
    };
    let copied = project.run("compose cp here base:/each").run();
    for name in ["shop-base-1", "shop-base-2"] {
        let line = format!(" {name} copy here to {name}:/each Copied\n");
        assert!(copied.stderr.contains(&line), "{copied}");
        assert!(has(name, "/each"), "{name}");
    }
    assert!(!has("extra", "/each"));
    project.run("compose cp --index 2 here base:/second").ok();
    assert!(has("shop-base-2", "/second") && !has("shop-base-1", "/second"));
    project.run("compose cp --all here base:/all").ok();
    assert!(has("extra", "/all") && has("shop-base-1", "/all"));
    let error = project.run("compose cp base:/all web:/all").fails(1);
    assert!(error.contains("copying between services is not supported"), "{error}");
    let error = project.run("compose cp here there").fails(1);
    assert!(error.contains("unknown copy direction"), "{error}");
    let error = project.run("compose ps --filter source=x").fails(1);
    assert!(error.contains("not implemented"), "{error}");
}

#[test]
fn a_terminal_attaches_and_the_keys_detach() {
    let project = Project::new(
        "name: shop
services:
  web: {image: busybox, command: cat, tty: true, stdin_open: true, stop_signal: SIGKILL}
",
    );
    project.run("compose up -d").ok();
    let started = project.started("shop-web-1");
    let mut terminal = Terminal::start(project.run("compose attach --detach-keys ctrl-x,x web"), 24, 80);
    terminal.send("hello\r");
    terminal.expect("hello\r\nhello");
    terminal.send("\x18x");
    terminal.wait();
    assert!(terminal.is_cooked());
    assert_eq!(project.started("shop-web-1"), started, "it goes on");
    assert_eq!(project.states()["shop-web-1"], "running");
}
