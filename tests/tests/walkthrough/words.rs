//! The instructions, one after the other.

use crate::{Client, with_each};

#[test]
fn hello_from_alpine() {
    with_each(&["alpine:3.18"], |desk| {
        let dockerfile =
            "FROM alpine:3.18\nRUN echo \"Hello from my first image\" > /hello.txt\nCMD [\"cat\", \"/hello.txt\"]\n";
        let folder = desk.folder("hello", &[("Dockerfile", dockerfile)]);
        let said = desk.build("hello-image", &folder);
        match desk.client {
            Client::Classic => {
                assert!(said.contains("Step 1/3 : FROM alpine:3.18\n"), "{said}");
                assert!(
                    said.ends_with("Successfully tagged hello-image:latest\n")
                        || said.contains("Successfully tagged hello-image:latest\n"),
                    "{said}"
                );
            }
            _ => {
                assert!(said.contains("[1/2] FROM docker.io/library/alpine:3.18"), "{said}");
                assert!(
                    said.contains("naming to docker.io/library/hello-image:latest"),
                    "{said}"
                );
            }
        }
        assert_eq!(desk.ok(&["run", "--rm", "hello-image"]), "Hello from my first image\n");
        assert_eq!(desk.ok(&["run", "--rm", "hello-image", "echo", "other"]), "other\n");
    });
}

#[test]
fn entrypoint_with_command_and_arguments() {
    with_each(&["alpine:3.18"], |desk| {
        let dockerfile = "FROM alpine:3.18\nENTRYPOINT [\"echo\", \"Hello\"]\nCMD [\"World\"]\n";
        let folder = desk.folder("entry", &[("Dockerfile", dockerfile)]);
        desk.build("entry", &folder);
        assert_eq!(desk.ok(&["run", "--rm", "entry"]), "Hello World\n");
        assert_eq!(
            desk.ok(&["run", "--rm", "entry", "Corten", "and", "you"]),
            "Hello Corten and you\n"
        );
        assert_eq!(
            desk.ok(&["run", "--rm", "--entrypoint", "cat", "entry", "/etc/alpine-release"]),
            "3.18.0\n"
        );
    });
}

#[test]
fn exec_and_shell_forms() {
    with_each(&["alpine:3.18"], |desk| {
        let run = |name: &str, dockerfile: &str| {
            let folder = desk.folder(name, &[("Dockerfile", dockerfile)]);
            desk.build(name, &folder);
            desk.ok(&["run", "--rm", "-e", "NAME=run", name, "given"])
        };
        // The shell form has a shell that knows variables, and takes no arguments of `run`.
        let shell = "FROM alpine:3.18\nENV NAME=image\nRUN echo $NAME > /built\nENTRYPOINT echo $NAME $(cat /built)\n";
        assert_eq!(run("shell", shell), "run image\n");
        let exec = "FROM alpine:3.18\nENV NAME=image\nRUN [\"sh\", \"-c\", \"echo $NAME > /built\"]\nENTRYPOINT [\"echo\", \"$NAME\"]\n";
        assert_eq!(run("exec", exec), "$NAME given\n");
        let command = |name| desk.ok(&["inspect", "-f", "{{json .Config.Entrypoint}}", name]);
        assert_eq!(command("shell"), "[\"/bin/sh\",\"-c\",\"echo $NAME $(cat /built)\"]\n");
        assert_eq!(command("exec"), "[\"echo\",\"$NAME\"]\n");
    });
}

#[test]
fn label_env_arg_volume_and_healthcheck() {
    with_each(&["alpine:3.18"], |desk| {
        let dockerfile = "ARG TAG=3.18\nFROM alpine:${TAG}\nLABEL maintainer=\"ann@example.com\" version=\"1.0\"\nARG MODE=production\n\
                          ENV APP_MODE=$MODE PORT=8000\nRUN mkdir /data && echo \"$MODE\" > /data/mode\nVOLUME /data\n\
                          HEALTHCHECK --interval=1s --timeout=3s --retries=2 CMD test -e /data/mode || exit 1\n\
                          CMD sh -c 'echo $APP_MODE:$PORT; cat /data/mode'\n";
        let folder = desk.folder("words", &[("Dockerfile", dockerfile)]);
        desk.build("words", &folder);
        assert_eq!(desk.ok(&["run", "--rm", "words"]), "production:8000\nproduction\n");
        let inspect = |template| desk.ok(&["inspect", "-f", template, "words"]);
        assert_eq!(
            inspect("{{.Config.Labels.maintainer}} {{.Config.Labels.version}}"),
            "ann@example.com 1.0\n"
        );
        assert_eq!(inspect("{{json .Config.Volumes}}"), "{\"/data\":{}}\n");
        assert_eq!(
            inspect("{{json .Config.Healthcheck}}"),
            "{\"Test\":[\"CMD-SHELL\",\"test -e /data/mode || exit 1\"],\"Interval\":1000000000,\"Timeout\":3000000000,\"Retries\":2}\n"
        );
        // An argument of the build, and a variable of the run.
        let built = desk.call(&["build", "-t", "words", "--build-arg", "MODE=test", "."]);
        let built = built.current_dir(&folder).run();
        assert_eq!(built.code, 0, "{built}");
        assert_eq!(desk.ok(&["run", "--rm", "-e", "PORT=9", "words"]), "test:9\ntest\n");
        // The volume outlives what wrote to it, and the check is done.
        desk.ok(&[
            "run",
            "-d",
            "--name",
            "checked",
            "-v",
            "kept:/data",
            "words",
            "sleep",
            "1000",
        ]);
        desk.engine.wait_for("checked", "{{.State.Health.Status}}", "healthy");
        desk.ok(&["exec", "checked", "sh", "-c", "echo mine > /data/mode"]);
        desk.ok(&["rm", "-f", "checked"]);
        assert_eq!(
            desk.ok(&["run", "--rm", "-v", "kept:/data", "words"]),
            "test:8000\nmine\n"
        );
        desk.ok(&["volume", "rm", "kept"]);
    });
}

#[test]
fn onbuild_waits_for_the_next_image() {
    with_each(&["alpine:3.18"], |desk| {
        let base = "FROM alpine:3.18\nWORKDIR /app\nONBUILD COPY . /app\nONBUILD RUN echo built with $(ls) > /log\nCMD [\"cat\", \"/log\"]\n";
        let folder = desk.folder("base", &[("Dockerfile", base), ("unseen", "")]);
        desk.build("my-base", &folder);
        assert!(
            desk.call(&["run", "--rm", "my-base"]).run().code != 0,
            "nothing was run yet"
        );
        let triggers = desk.ok(&["inspect", "-f", "{{json .Config.OnBuild}}", "my-base"]);
        assert_eq!(triggers, "[\"COPY . /app\",\"RUN echo built with $(ls) > /log\"]\n");
        let folder = desk.folder("child", &[("Dockerfile", "FROM my-base\n"), ("code", "")]);
        desk.build("child", &folder);
        assert_eq!(desk.ok(&["run", "--rm", "child"]), "built with Dockerfile code\n");
        assert_eq!(
            desk.ok(&["inspect", "-f", "{{json .Config.OnBuild}}", "child"])
                .trim()
                .replace("[]", "null"),
            "null"
        );
    });
}
