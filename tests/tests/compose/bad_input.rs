//! Files that are wrong: the error names file, line and column, shows the line, and says what was meant.

use std::process::Command;

use corten_sys::fs;
use corten_tests::programs;

/// What `compose config` says about a project of these files; the first is the one that is read.
fn complaint(files: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    let output = Command::new(programs::corten())
        .args(["compose", "-f", files[0].0, "config", "-q"])
        .current_dir(folder.path())
        .env_clear()
        .env("PATH", "/bin")
        .output()
        .expect("it runs");
    let text = String::from_utf8(output.stderr).expect("a text");
    assert_eq!(output.status.code(), Some(1), "{files:?}: {text}");
    text.replace(&folder.path().display().to_string(), "")
}

/// A file that is wrong, and texts that the complaint about it has.
fn check(text: &str, expected: &[&str]) {
    let complaint = complaint(&[("compose.yaml", text)]);
    for part in expected {
        assert!(complaint.contains(part), "{part:?} is not in:\n{complaint}");
    }
}

#[test]
fn keys_and_types() {
    check(
        "services:\n  web:\n    imgae: nginx\n",
        &[
            "validating /compose.yaml: services.web additional properties 'imgae' not allowed",
            "--> /compose.yaml:3:5",
            "3 |     imgae: nginx\n  |     ^",
            "did you mean \"image\"?",
        ],
    );
    check(
        "services:\n  web: {image: x, ports: 80}\n",
        &["services.web.ports must be a array", ":2:26"],
    );
    check("services: []\n", &["services must be a mapping", ":1:11"]);
    check(
        "service: {}\n",
        &[
            "additional properties 'service' not allowed",
            "did you mean \"services\"?",
        ],
    );
    check(
        "services:\n  a: {image: x, depends_on: {b: {condition: service_ok}}}\n  b: {image: x}\n",
        &[
            "services.a.depends_on.b.condition value must be one of 'service_started'",
            ":2:45",
        ],
    );
    check(
        "services:\n  a:\n    image: x\n    image: y\n",
        &["mapping key \"image\" already defined at line 3", ":4:5"],
    );
    check(
        "services:\n  a: {image: x, environment: {1: 2}}\n",
        &["non-string key in services.a.environment", ":2:31"],
    );
    check("services:\n  a: [\n", &["failed to parse /compose.yaml: yaml: "]);
    check(
        "services:\n  a: {image: x, cpu_percent: 101}\n",
        &["must be less than or equal to 100"],
    );
    check(
        "services:\n  a: {image: x, environment: {D: 2020-01-01}}\n",
        &["invalid jsonType time.Time", "quotes"],
    );
    check(
        "services:\n  a: {image: x, healthcheck: {interval: soon}}\n",
        &["invalid duration \"soon\"", ":2:41"],
    );
    check(
        "services:\n  a: {image: x, mem_limit: much}\n",
        &["invalid size: 'much'", ":2:28"],
    );
    check(
        "services:\n  a: {image: x, ports: ['x:80']}\n",
        &["Invalid hostPort: x", ":2:25"],
    );
}

#[test]
fn variables() {
    check(
        "services:\n  a:\n    image: ${NAME:?say which}\n",
        &[
            "error while interpolating services.a.image: required variable NAME is missing a value: say which",
            ":3:12",
        ],
    );
    check(
        "services:\n  a:\n    image: ${NAME\n",
        &[
            "invalid interpolation format for services.a.image.",
            "You may need to escape any $",
            ":3:12",
        ],
    );
    check(
        "services:\n  a: {image: x, scale: '${N:-some}'}\n",
        &[
            "failed to cast to expected type: strconv.ParseInt: parsing \"some\": invalid syntax",
            ":2:24",
        ],
    );
}

#[test]
fn what_is_not_there() {
    let service = |attribute: &str| format!("services:\n  web:\n    image: x\n    {attribute}\n");
    check(
        &service("networks: [back]"),
        &["service \"web\" refers to undefined network back", ":4:"],
    );
    check(
        &service("volumes: ['data:/d']"),
        &["service \"web\" refers to undefined volume data", ":4:15"],
    );
    check(
        &service("secrets: [key]"),
        &["service \"web\" refers to undefined secret key", ":4:"],
    );
    check(
        &service("configs: [conf]"),
        &["service \"web\" refers to undefined config conf", ":4:"],
    );
    check(
        &service("depends_on: [wbe]"),
        &["depends on undefined service \"wbe\"", "did you mean \"web\"?"],
    );
    check(
        &service("extends: wbe"),
        &["cannot extend service \"web\"", "service \"wbe\" not found", ":4:14"],
    );
    check(
        &service("extends: {service: a, file: none.yaml}"),
        &["none.yaml: no such file or directory"],
    );
    check(&service("env_file: none.env"), &["env file /none.env not found"]);
    check(
        "include: [none.yaml]\nservices: {}\n",
        &["none.yaml: no such file or directory"],
    );
    check(
        "services:\n  web: {}\n",
        &[
            "service \"web\" has neither an image nor a build context specified",
            ":2:3",
        ],
    );
    check("{}\n", &["empty compose file"]);
}

#[test]
fn circles() {
    check(
        "services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [a]}\n",
        &["dependency cycle detected: a -> b -> a", "compose.yaml:3:"],
    );
    check(
        "services:\n  a: {image: x, extends: b}\n  b: {image: x, extends: a}\n",
        &["Circular reference:\n  a in /compose.yaml\n  extends b in /compose.yaml\n  extends a in /compose.yaml"],
    );
    let files = [
        ("compose.yaml", "include: [other.yaml]\nservices: {a: {image: x}}\n"),
        ("other.yaml", "include: [compose.yaml]\nservices: {b: {image: x}}\n"),
    ];
    let text = complaint(&files);
    assert!(
        text.contains("include cycle detected:\n/compose.yaml\n include /other.yaml\n include /compose.yaml"),
        "{text}"
    );
    check("a: &a [*a]\n", &["yaml: "]);
}

#[test]
fn bombs_are_bounded() {
    let mut text = String::from("x-0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..12 {
        let before = level - 1;
        let many = vec![format!("*a{before}"); 10].join(", ");
        text.push_str(&format!("x-{level}: &a{level} [{many}]\n"));
    }
    check(&text, &["document contains excessive aliasing"]);
    check(
        &format!("x-a: {}{}\n", "[".repeat(5000), "]".repeat(5000)),
        &["failed to parse"],
    );
    let text = complaint(&[
        ("compose.yaml", "include: [b.yaml]\nservices: {a: {image: x}}\n"),
        ("b.yaml", "services: {a: {image: y}}\n"),
    ]);
    assert!(text.contains("services.a conflicts with imported resource"), "{text}");
}
