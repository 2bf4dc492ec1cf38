//! Programs in images: Python, C, a web server, two at once.

use corten_sys::fs;
use corten_tests::until;

use crate::hub::Index;
use crate::{Client, Desk, with_each};

const APP: &str = r#"from flask import Flask

app = Flask(__name__)

@app.route("/")
def hello():
    return "Hello, Corten!"

if __name__ == "__main__":
    app.run(host="0.0.0.0", port=5000)
"#;

/// Waits until a page has a text.
#[track_caller]
pub(crate) fn page(desk: &Desk<'_>, address: &str, text: &str) {
    until::is("the page is there", || {
        desk.engine.try_curl(address).is_some_and(|page| page.contains(text))
    });
}

#[test]
fn the_python_web_app() {
    with_each(&["python:3.11-slim"], |desk| {
        let index = Index::start(desk.engine);
        let dockerfile = "FROM python:3.11-slim\nWORKDIR /app\nCOPY . /app\nRUN pip install -r requirements.txt\nEXPOSE 5000\nCMD [\"python\", \"app.py\"]\n";
        let requirements = format!("{}flask\n", index.requirements());
        let files = [
            ("Dockerfile", dockerfile),
            ("requirements.txt", &requirements),
            ("app.py", APP),
        ];
        let folder = desk.folder("web", &files);
        let said = desk.build("python-app", &folder);
        assert!(said.contains("Successfully installed flask-3.0"), "{said}");
        desk.ok(&["run", "-d", "--name", "web", "-p", "5080:5000", "python-app"]);
        page(desk, "http://127.0.0.1:5080/", "Hello, Corten!");
        assert_eq!(
            desk.ok(&["exec", "web", "ls", "/app"]),
            "Dockerfile\napp.py\nrequirements.txt\n"
        );
    });
}

#[test]
fn requirements_first() {
    with_each(&["python:3.11-slim"], |desk| {
        let index = Index::start(desk.engine);
        let dockerfile = "FROM python:3.11-slim\nWORKDIR /app\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\nCOPY . .\nCMD [\"python\", \"app.py\"]\n";
        let requirements = format!("{}flask\n", index.requirements());
        let files = [("Dockerfile", dockerfile), ("requirements.txt", &requirements)];
        let folder = desk.folder("first", &files);
        let app = |text: &str| fs::write(format!("{folder}/app.py"), format!("import flask\nprint('{text}')\n"));
        app("one").expect("a file");
        let said = desk.build("first", &folder);
        assert!(said.contains("Successfully installed flask-3.0"), "{said}");
        assert_eq!(desk.ok(&["run", "--rm", "first"]), "one\n");
        // The code changes: the packages are not installed again, and need not be there.
        drop(index);
        app("two").expect("a file");
        let said = desk.build("first", &folder);
        assert!(!said.contains("Successfully installed"), "{said}");
        let is_cached = match desk.client {
            Client::Classic => said.contains("RUN pip install -r requirements.txt\n ---> Using cache\n"),
            _ => {
                let step = said.lines().find(|line| line.contains("[4/5] RUN pip install"));
                let number = step.and_then(|line| line.split(' ').next()).unwrap_or("no step");
                said.contains(&format!("{number} CACHED\n"))
            }
        };
        assert!(is_cached, "{:?}: {said}", desk.client);
        assert_eq!(desk.ok(&["run", "--rm", "first"]), "two\n");
    });
}

#[test]
fn a_user_who_is_not_root() {
    with_each(&["python:3.11-slim"], |desk| {
        let dockerfile = "FROM python:3.11-slim\nWORKDIR /app\nCOPY . .\nRUN useradd -m appuser\nUSER appuser\nCMD [\"python\", \"app.py\"]\n";
        let app = "import getpass, os\nprint(getpass.getuser(), os.path.expanduser('~'))\n";
        let folder = desk.folder("user", &[("Dockerfile", dockerfile), ("app.py", app)]);
        desk.build("user", &folder);
        assert_eq!(desk.ok(&["run", "--rm", "user"]), "appuser /home/appuser\n");
        assert_eq!(desk.ok(&["run", "--rm", "user", "whoami"]), "appuser\n");
        let refused = desk.call(&["run", "--rm", "user", "touch", "/app/x"]).fails(1);
        assert!(refused.contains("Permission denied"), "{refused}");
    });
}

#[test]
fn a_page_for_nginx() {
    with_each(&["nginx:stable"], |desk| {
        let dockerfile = "FROM nginx:stable\nCOPY index.html /usr/share/nginx/html/index.html\nEXPOSE 80\n";
        let files = [("Dockerfile", dockerfile), ("index.html", "<h1>my page</h1>\n")];
        let folder = desk.folder("nginx", &files);
        desk.build("my-nginx", &folder);
        let exposed = desk.ok(&["inspect", "-f", "{{json .Config.ExposedPorts}}", "my-nginx"]);
        assert_eq!(exposed, "{\"80/tcp\":{}}\n");
        desk.ok(&["run", "-d", "--name", "web", "-p", "8081:80", "my-nginx"]);
        page(desk, "http://127.0.0.1:8081/", "<h1>my page</h1>");
        // What is exposed can be published without a word.
        desk.ok(&["run", "-d", "--name", "any", "-P", "my-nginx"]);
        let port = desk.ok(&["port", "any", "80/tcp"]);
        let port = port.lines().next().and_then(|line| line.rsplit_once(':'));
        page(
            desk,
            &format!("http://127.0.0.1:{}/", port.expect("a port").1),
            "my page",
        );
    });
}

#[test]
fn two_programs_in_one_image() {
    with_each(&["python:3.11-slim"], |desk| {
        let dockerfile = "FROM python:3.11-slim\nWORKDIR /app\nCOPY . .\nRUN chmod +x start.sh\nCMD [\"./start.sh\"]\n";
        let start = "#!/bin/bash\npython worker.py &\npython -m http.server 8000 &\n# Whoever ends first ends both.\nwait -n\nexit $?\n";
        let worker = "import os, time\nopen('beat', 'w').write(f'{os.getpid()}\\n')\ntime.sleep(1000)\n";
        let files = [("Dockerfile", dockerfile), ("start.sh", start), ("worker.py", worker)];
        let folder = desk.folder("two", &files);
        desk.build("two", &folder);
        desk.ok(&["run", "-d", "--init", "--name", "two", "-p", "8082:8000", "two"]);
        page(desk, "http://127.0.0.1:8082/beat", "\n");
        let top = desk.ok(&["top", "two"]);
        assert!(
            top.contains("python worker.py") && top.contains("python -m http.server 8000"),
            "{top}"
        );
        // The end of the container is the end of the command, too: nobody waits for it.
        desk.ok(&["exec", "-d", "two", "bash", "-c", "kill $(cat beat)"]);
        desk.engine.wait_for("two", "{{.State.Status}}", "exited");
    });
}

#[test]
fn a_program_in_c_goes_alone_into_scratch() {
    with_each(&["gcc:12"], |desk| {
        let dockerfile = "FROM gcc:12 AS build\nWORKDIR /src\nCOPY main.c .\nRUN gcc -O2 -static -o /hello main.c\n\n\
                          FROM scratch\nCOPY --from=build /hello /hello\nENTRYPOINT [\"/hello\"]\nCMD [\"world\"]\n";
        let main = "#include <stdio.h>\nint main(int count, char **words) {\n    printf(\"hello, %s\\n\", words[1]);\n    return 0;\n}\n";
        let folder = desk.folder("c", &[("Dockerfile", dockerfile), ("main.c", main)]);
        desk.build("hello", &folder);
        assert_eq!(desk.ok(&["run", "--rm", "hello"]), "hello, world\n");
        assert_eq!(desk.ok(&["run", "--rm", "hello", "you"]), "hello, you\n");
        // Nothing of the compiler is in it.
        assert_eq!(desk.ok(&["inspect", "-f", "{{len .RootFS.Layers}}", "hello"]), "1\n");
        let size = desk.ok(&["inspect", "-f", "{{.Size}}", "hello"]);
        assert!(size.trim().parse::<u64>().expect("a number") < 2_000_000, "{size}");
        // An error of the compiler is shown, and fails the build.
        fs::write(format!("{folder}/main.c"), "int main() { return nothing; }\n").expect("a file");
        let failed = desk.call(&["build", "-t", "broken", "."]).current_dir(&folder).run();
        let said = format!("{}{}", failed.stdout, failed.stderr);
        assert!(
            failed.code == 1 && said.contains("nothing") && said.contains("undeclared"),
            "{failed}"
        );
        assert_eq!(desk.ok(&["images", "-q", "broken"]), "");
    });
}
