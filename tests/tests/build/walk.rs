//! A beginner's first Dockerfiles, as guides have them, from the file to a run of the result.

use corten_sys::fs;

use crate::{built_and_run, context, engine};

#[test]
fn the_first_web_app() {
    let engine = engine();
    let dockerfile = "# The base image has no tag: latest.\nFROM busybox\n\n# Where the app is.\nWORKDIR /app\nCOPY . .\n\
                      RUN echo appuser:x:1000:1000::/app:/bin/sh >> /etc/passwd && \\\n    mkdir -p www && \\\n    # a comment in between\n    cp index.html www/\n\
                      LABEL maintainer=\"me@example.com\"\nARG VERSION=1.0\nENV VERSION=${VERSION}\nEXPOSE 8000\nUSER appuser\n\
                      CMD [\"sleep\", \"1\"]\nCMD [\"httpd\", \"-f\", \"-p\", \"8000\", \"-h\", \"www\"]\n";
    let folder = context(
        &engine,
        "app",
        &[
            ("Dockerfile", dockerfile),
            ("index.html", "<h1>hello</h1>\n"),
            (".dockerignore", "notes\n"),
            ("notes", "private"),
        ],
    );
    let built = engine
        .corten(["build", "-t", "app:1.0", "."])
        .current_dir(&folder)
        .run();
    assert_eq!(built.code, 0, "{built}");
    let listed = engine
        .corten(["images", "--format", "{{.Repository}}:{{.Tag}}", "app"])
        .ok();
    assert_eq!(listed, "app:1.0\n");
    // Only the last CMD counts, and the layers are those of RUN, COPY and WORKDIR.
    let inspect = |template: &str| engine.corten(["inspect", "-f", template, "app:1.0"]).line();
    assert_eq!(
        inspect("{{json .Config.Cmd}}"),
        r#"["httpd","-f","-p","8000","-h","www"]"#
    );
    assert_eq!(inspect("{{.Config.User}} {{.Config.WorkingDir}}"), "appuser /app");
    let history = engine
        .corten([
            "history",
            "--no-trunc",
            "--format",
            "{{.Size}}\t{{.CreatedBy}}",
            "app:1.0",
        ])
        .ok();
    for line in history
        .lines()
        .filter(|line| !line.contains("RUN") && !line.contains("COPY") && !line.contains("WORKDIR"))
    {
        let is_base = line.contains("busybox") || line.split('\t').nth(1).is_none_or(|by| !by.contains(' '));
        assert!(line.starts_with("0B\t") || is_base, "{line} in\n{history}");
    }
    assert_eq!(
        history
            .lines()
            .filter(|line| line.contains("RUN /bin/sh -c echo appuser"))
            .count(),
        1,
        "{history}"
    );
    engine
        .corten(["run", "-d", "--name", "app", "-p", "8095:8000", "app:1.0"])
        .ok();
    corten_tests::until::is("the app answers", || {
        engine
            .try_curl("http://127.0.0.1:8095/index.html")
            .is_some_and(|page| page.contains("<h1>hello</h1>"))
    });
    assert_eq!(engine.corten(["exec", "app", "id", "-u"]).line(), "1000");
    assert_eq!(
        engine.corten(["exec", "app", "ls"]).ok(),
        "Dockerfile\nindex.html\nwww\n"
    );
    // The command line takes the place of CMD.
    assert_eq!(
        engine
            .corten(["run", "--rm", "app:1.0", "sh", "-c", "echo $VERSION"])
            .ok(),
        "1.0\n"
    );
}

#[test]
fn requirements_first_keeps_the_install_step() {
    let engine = engine();
    let dockerfile = "FROM busybox\nWORKDIR /app\nCOPY requirements.txt .\nRUN sha256sum requirements.txt > installed; head -c 9 /dev/urandom | sha256sum > run\n\
                      COPY . .\nCMD [\"cat\", \"run\"]\n";
    let folder = context(
        &engine,
        "requirements",
        &[
            ("Dockerfile", dockerfile),
            ("requirements.txt", "flask\n"),
            ("app.py", "1\n"),
        ],
    );
    let build = || {
        let built = engine.corten(["build", "--progress=plain", "-t", "req", &folder]).run();
        assert_eq!(built.code, 0, "{built}");
        engine.corten(["run", "--rm", "req"]).ok()
    };
    let first = build();
    fs::write(engine.work().join("requirements/app.py"), "2\n").expect("a file");
    assert_eq!(build(), first, "the code changed: nothing is installed again");
    fs::write(engine.work().join("requirements/requirements.txt"), "flask\nredis\n").expect("a file");
    assert_ne!(build(), first);
}

#[test]
fn forms_of_commands() {
    let engine = engine();
    // RUN in exec form has no shell; ENTRYPOINT and CMD in exec form go together.
    let dockerfile = "FROM busybox\nRUN [\"sh\", \"-c\", \"echo '$HOME' > /exec\"]\nENTRYPOINT [\"echo\", \"entry\"]\nCMD [\"default\"]\n";
    assert_eq!(built_and_run(&engine, dockerfile), "entry default\n");
    assert_eq!(
        engine.corten(["run", "--rm", "built", "given", "too"]).ok(),
        "entry given too\n"
    );
    assert_eq!(
        engine
            .corten(["run", "--rm", "--entrypoint", "cat", "built", "/exec"])
            .ok(),
        "$HOME\n"
    );
    let shell = "FROM busybox\nENV WHO=shell\nENTRYPOINT echo entry $WHO\nCMD ignored\n";
    assert_eq!(built_and_run(&engine, shell), "entry shell\n");
}

#[test]
fn volumes_begin_with_what_the_image_has() {
    let engine = engine();
    let dockerfile = "FROM busybox\nRUN mkdir /data /more && echo kept > /data/f && chown 7:7 /data\nVOLUME /data\nVOLUME [\"/more\", \"/with space\"]\n\
                      CMD cat /data/f; stat -c %u /data; mount | grep -cE ' (/data|/more|/with) '\n";
    assert_eq!(built_and_run(&engine, dockerfile).lines().next(), Some("kept"));
    let volumes = engine
        .corten(["inspect", "-f", "{{json .Config.Volumes}}", "built"])
        .line();
    assert_eq!(volumes, r#"{"/data":{},"/more":{},"/with space":{}}"#);
}

#[test]
fn a_program_built_into_scratch() {
    let engine = engine();
    // The busybox of the first stage stands for what a compiler makes.
    let dockerfile = "FROM busybox AS build\nWORKDIR /src\nCOPY main.c .\nRUN mkdir /out && cp /bin/busybox /out/echo\n\
                      FROM scratch\nCOPY --from=build /out/echo /echo\nENTRYPOINT [\"/echo\"]\nCMD [\"built\"]\n";
    let folder = context(
        &engine,
        "scratch",
        &[("Dockerfile", dockerfile), ("main.c", "int main(){}\n")],
    );
    engine.corten(["build", "-q", "-t", "small", &folder]).ok();
    assert_eq!(engine.corten(["run", "--rm", "small"]).ok(), "built\n");
    assert_eq!(
        engine
            .corten(["inspect", "-f", "{{len .RootFS.Layers}}", "small"])
            .line(),
        "1"
    );
}

#[test]
fn independent_stages_run_side_by_side() {
    let engine = engine();
    // Each waits for a file that the other writes through a shared cache: one after the other would never end.
    let stage = |own: &str, other: &str| {
        format!(
            "FROM busybox AS {own}\nRUN --mount=type=cache,target=/m touch /m/{own}; i=0; while [ ! -e /m/{other} ] && [ $i -lt 600 ]; \
             do sleep 0.1; i=$((i+1)); done; test -e /m/{other} && echo {own} > /{own}\n"
        )
    };
    let dockerfile = format!(
        "{}{}FROM busybox AS unneeded\nRUN false\nFROM busybox\nCOPY --from=a /a /\nCOPY --from=b /b /\nCMD cat /a /b\n",
        stage("a", "b"),
        stage("b", "a")
    );
    assert_eq!(built_and_run(&engine, &dockerfile), "a\nb\n");
}

#[test]
fn mounts_of_commands() {
    let engine = engine();
    let dockerfile = "FROM busybox AS other\nRUN echo other > /o\nFROM busybox\n\
                      RUN --mount=type=bind,source=d,target=/ctx cat /ctx/f > /1 && ! touch /ctx/x 2>/dev/null\n\
                      RUN --mount=type=bind,target=/rw,rw touch /rw/x && cat /rw/d/f > /2\n\
                      RUN --mount=type=bind,from=other,source=/o,target=/file cat /file > /3\n\
                      RUN --mount=type=tmpfs,target=/t,size=1m df -k /t | tail -1 | grep -c 1024 > /4\n\
                      RUN --mount=type=cache,target=/c,uid=5,mode=0700 stat -c '%u %a' /c > /5 && echo 1 >> /c/n && cat /c/n | wc -l > /6\n\
                      RUN --mount=type=cache,id=begun,target=/b,from=other,source=/ cat /b/o > /7\n\
                      RUN --network=none ls /sys/class/net > /8\n\
                      CMD cat /1 /2 /3 /4 /5 /6 /7 /8; ls -d /ctx /rw /t /c /b /file 2>/dev/null\n";
    let folder = context(&engine, "mounts", &[("Dockerfile", dockerfile), ("d/f", "f\n")]);
    engine.corten(["build", "-q", "-t", "mounts", &folder]).ok();
    let said = engine.corten(["run", "--rm", "mounts"]).run();
    assert_eq!(said.stdout, "f\nf\nother\n1\n5 700\n1\nother\nlo\n", "{said}");
    assert!(
        !engine.work().join("mounts/x").exists(),
        "nothing is written to the context"
    );
    engine
        .corten(["build", "-q", "--no-cache", "-t", "mounts", &folder])
        .ok();
    let again = engine.corten(["run", "--rm", "mounts", "cat", "/6"]).ok();
    assert_eq!(again, "2\n", "the cache was kept");
}

#[test]
fn repositories_are_contexts_and_sources() {
    let engine = engine();
    let repository = engine.work().join("repo");
    let made = engine.sh(&format!(
        "mkdir -p {0}/sub && cd {0} && git init -q -b main . && git config user.email a@b && git config user.name n && \
         echo one > f && printf 'FROM busybox\\nCOPY f /f\\nCMD cat /f\\n' > Dockerfile && printf 'FROM busybox\\nCMD echo sub\\n' > sub/Dockerfile && \
         git add . && git commit -q -m 1 && git tag v1 && echo two > f && git commit -qam 2 && git update-server-info",
        repository.display()
    ));
    made.ok();
    // A server in the engine's own network.
    let server = engine
        .sh(&format!(
            "exec busybox httpd -f -p 127.0.0.1:8097 -h {}",
            engine.work().display()
        ))
        .spawn();
    corten_tests::until::is("the server answers", || {
        engine.try_curl("http://127.0.0.1:8097/repo/.git/HEAD").is_some()
    });
    let address = "http://127.0.0.1:8097/repo/.git";
    let run = |reference: &str| {
        engine
            .corten(["build", "-q", "-t", "git", &format!("{address}{reference}")])
            .ok();
        engine.corten(["run", "--rm", "git"]).ok()
    };
    assert_eq!(run(""), "two\n");
    assert_eq!(run("#v1"), "one\n");
    assert_eq!(run("#main:sub"), "sub\n");
    let added = built_and_run(
        &engine,
        &format!(
            "FROM busybox\nADD {address}#v1 /r/\nADD --keep-git-dir {address} /k/\nCMD cat /r/f /k/f; ls -a /r /k | grep -c .git\n"
        ),
    );
    assert_eq!(added, "one\ntwo\n1\n");
    let missing = engine.corten(["build", &format!("{address}#nosuch")]).fails(1);
    assert!(missing.contains("nosuch"), "{missing}");
    let up = engine.corten(["build", &format!("{address}#main:../..")]).fails(1);
    assert!(up.contains("the repository has no folder"), "{up}");
    server.signal(rustix::process::Signal::TERM);
    server.wait();
}

#[test]
fn packages_are_installed_without_a_network() {
    let engine = corten_tests::engine::Engine::start_with(corten_tests::engine::Options {
        images: vec!["python:3.11-slim"],
        ..corten_tests::engine::Options::default()
    });
    let dockerfile = "FROM python:3.11-slim\nWORKDIR /app\nCOPY . .\nRUN pip install --no-index --no-cache-dir -r requirements.txt\n\
                      RUN useradd -m appuser\nUSER appuser\nCMD [\"python\", \"app.py\"]\n";
    let wheel = "import zipfile\nz = zipfile.ZipFile('hello-1.0-py3-none-any.whl', 'w')\nz.writestr('hello.py', 'WORD = \"installed\"')\n\
                 z.writestr('hello-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: hello\\nVersion: 1.0\\n')\n\
                 z.writestr('hello-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
                 z.writestr('hello-1.0.dist-info/RECORD', '')\nz.close()\n";
    let folder = context(
        &engine,
        "python",
        &[
            ("Dockerfile", dockerfile),
            ("requirements.txt", "./hello-1.0-py3-none-any.whl\n"),
            (
                "app.py",
                "import getpass, hello\nprint(hello.WORD, getpass.getuser())\n",
            ),
            ("wheel.py", wheel),
        ],
    );
    engine.sh(&format!("cd {folder} && python3 wheel.py")).ok();
    let built = engine.corten(["build", "--progress=plain", "-t", "py", &folder]).run();
    assert_eq!(built.code, 0, "{built}");
    assert_eq!(engine.corten(["run", "--rm", "py"]).ok(), "installed appuser\n");
}
