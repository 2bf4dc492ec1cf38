//! `docs/reference` is what the executable says of itself.
//!
//! With `CORTEN_WRITE_REFERENCE` in the environment (`./x reference`) it is written; otherwise compared.

use std::collections::BTreeMap;
use std::process::Command;

use corten_sys::fs;
use corten_tests::programs;

#[test]
fn the_reference_is_fresh() {
    let folder = programs::root().join("docs/reference");
    let pages = pages();
    if std::env::var_os("CORTEN_WRITE_REFERENCE").is_some() {
        fs::create_dir_all(&folder).expect("a folder");
        for (name, text) in &pages {
            fs::write(folder.join(name), text).expect("a file");
        }
    }
    for (name, text) in &pages {
        let written = fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(
            written == *text,
            "docs/reference/{name} is not what the executable says: run ./x reference"
        );
    }
    for entry in fs::read_dir(&folder).expect("a folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(pages.contains_key(&name), "docs/reference/{name} belongs to no command");
    }
}

/// A page for each command at the top, with the commands below it.
fn pages() -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    let mut index =
        "# Reference\n\nMade from the executable's own help by `./x reference`; do not edit.\n\n".to_owned();
    for name in commands(&help(&[])) {
        let mut page = format!("# corten {name}\n");
        describe(&mut page, &[&name]);
        index += &format!("- [{name}]({name}.md)\n");
        pages.insert(format!("{name}.md"), page);
    }
    for (name, first) in [("daemon", "corten daemon"), ("runtime", "corten runtime")] {
        let text = help(&[name]);
        index += &format!("- [{name}]({name}.md)\n");
        pages.insert(
            format!("{name}.md"),
            format!("# {first}\n\n```text\n{}\n```\n", text.trim()),
        );
    }
    let mut page = "# corten registry\n".to_owned();
    for command in [
        &["registry"][..],
        &["registry", "serve"],
        &["registry", "gc"],
        &["registry", "htpasswd"],
    ] {
        describe(&mut page, command);
    }
    index += "- [registry](registry.md)\n";
    pages.insert("registry.md".to_owned(), page);
    pages.insert("README.md".to_owned(), index);
    pages
}

fn describe(page: &mut String, command: &[&str]) {
    let text = help(command);
    if command.len() > 1 {
        *page += &format!("\n## corten {}\n", command.join(" "));
    }
    *page += &format!("\n```text\n{}\n```\n", text.trim());
    if text.starts_with(&format!("Usage:  corten {} COMMAND", command.join(" "))) {
        for below in commands(&text) {
            let path: Vec<&str> = command.iter().copied().chain([below.as_str()]).collect();
            describe(page, &path);
        }
    }
}

/// The names in the lists of commands.
fn commands(help: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_list = false;
    for line in help.lines() {
        if line.ends_with("Commands:") {
            is_list = true;
        } else if !line.starts_with("  ") {
            is_list = is_list && line.is_empty();
        } else if is_list && !line.starts_with("   ") {
            names.extend(
                line.split_whitespace()
                    .next()
                    .map(|name| name.trim_end_matches('*').to_owned()),
            );
        }
    }
    names
}

fn help(command: &[&str]) -> String {
    let mut program = Command::new(programs::corten());
    program
        .args(command)
        .arg("--help")
        .env_clear()
        .env("HOME", "/nonexistent");
    let output = program.output().expect("the executable runs");
    let said = if output.stdout.is_empty() {
        output.stderr
    } else {
        output.stdout
    };
    assert!(output.status.success(), "corten {} --help fails", command.join(" "));
    String::from_utf8(said).expect("text")
}
