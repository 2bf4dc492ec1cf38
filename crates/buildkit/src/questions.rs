//! What clients ask of a Dockerfile instead of building it (`--check`, `--call`): its checks' findings, its
//! targets, what a target can be given.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use corten_build::excerpt;
use corten_dockerfile::{Command, Dockerfile, Lines, MountKind, Stage, Warning};
use serde_json::{Value, json};

use crate::{
    errors::{self, File},
    grpc::{Result, Status},
    options::Options,
    proto::{gateway::Outcome, parts::Any},
    rules,
};

/// Answers a question.
pub(crate) fn answer(options: &Options, file: &File) -> Result<Outcome> {
    match options.request.as_str() {
        "frontend.lint" => Ok(lint(file)),
        "frontend.targets" => Ok(targets(&parse(file)?, file)),
        "frontend.outline" => outline(&parse(file)?, file, &options.target),
        "frontend.subrequests.describe" => Ok(describe()),
        other => {
            let mut status = Status::unimplemented(format!("unsupported request {other}"));
            status.details.push(Any {
                type_url: "github.com/moby/buildkit/errdefs.Subrequest+json".to_owned(),
                value: json!({"name": other}).to_string().into_bytes(),
            });
            Err(status)
        }
    }
}

fn parse(file: &File) -> Result<Dockerfile> {
    Dockerfile::parse(&file.bytes).map_err(|error| errors::status(&error.into(), file))
}

fn result(json: &Value, text: String) -> Outcome {
    let json = serde_json::to_vec_pretty(json).unwrap_or_default();
    Outcome {
        metadata: [
            ("result.json".to_owned(), json),
            ("result.txt".to_owned(), text.into_bytes()),
            ("version".to_owned(), b"1.0.0".to_vec()),
        ]
        .into(),
        one: Some(crate::proto::gateway::Ref::default()),
        several: None,
    }
}

fn location(lines: Lines) -> Value {
    json!({"ranges": [{"start": {"line": lines.first}, "end": {"line": lines.last}}]})
}

fn source(file: &File) -> Value {
    json!([STANDARD.encode(&file.bytes)])
}

fn lint(file: &File) -> Outcome {
    let shown = |lines| excerpt(&file.name, &String::from_utf8_lossy(&file.bytes), lines);
    let (warnings, error) = match Dockerfile::parse(&file.bytes) {
        Ok(parsed) => (parsed.warnings, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let mut text = String::new();
    for warning in &warnings {
        let name = warning.rule.name();
        let url = rules::url(warning);
        let _ = write!(
            text,
            "\nWARNING: {name} - {url}\n{}\n{}",
            warning.message,
            shown(warning.lines)
        );
    }
    let mut json = json!({
        "warnings": warnings.iter().map(described).collect::<Vec<Value>>(),
        "sources": [{"filename": file.name, "language": "Dockerfile", "definition": {}, "data": STANDARD.encode(&file.bytes)}],
    });
    if let Some(error) = &error {
        let lines = error.lines();
        let _ = write!(text, "\nERROR: {error}\n{}", lines.map_or_else(String::new, shown));
        json["buildError"] = json!({"message": error.to_string(), "location": lines.map_or(Value::Null, location)});
    }
    let mut outcome = result(&json, text);
    let code: &[u8] = if warnings.is_empty() && error.is_none() {
        b"0"
    } else {
        b"1"
    };
    outcome.metadata.insert("result.statuscode".to_owned(), code.to_vec());
    outcome
}

fn described(warning: &Warning) -> Value {
    json!({
        "ruleName": warning.rule.name(),
        "description": rules::description(warning.rule.name()),
        "url": rules::url(warning),
        "detail": warning.message,
        "location": location(warning.lines),
    })
}

fn targets(parsed: &Dockerfile, file: &File) -> Outcome {
    let last = parsed.stages.len().saturating_sub(1);
    let mut rows = vec![["TARGET".to_owned(), "DESCRIPTION".to_owned()]];
    let mut listed = Vec::new();
    for (index, stage) in parsed.stages.iter().enumerate() {
        let name = stage.from.name.clone().unwrap_or_default();
        let about = described_by(file, stage.begin.lines, &name);
        let shown = match (name.is_empty(), index == last) {
            (true, true) => "(default)".to_owned(),
            (false, true) => format!("{name} (default)"),
            _ => name.clone(),
        };
        if !shown.is_empty() {
            rows.push([shown, about.clone()]);
        }
        let mut target = serde_json::Map::new();
        let mut put = |key: &str, value: Value| drop(target.insert(key.to_owned(), value));
        if !name.is_empty() {
            put("name", json!(name));
        }
        if index == last {
            put("default", json!(true));
        }
        if !about.is_empty() {
            put("description", json!(about));
        }
        put("base", json!(stage.from.image));
        put("location", location(stage.begin.lines));
        listed.push(Value::Object(target));
    }
    result(&json!({"targets": listed, "sources": source(file)}), table(&rows))
}

/// Rows in columns, as `text/tabwriter` sets them.
fn table(rows: &[[String; 2]]) -> String {
    let width = rows.iter().map(|row| row[0].chars().count()).max().unwrap_or(0);
    rows.iter()
        .map(|[left, right]| format!("{left:width$} {right}\n"))
        .collect()
}

/// The comment right before a line, if it begins with a name: that is what it describes.
fn described_by(file: &File, lines: Lines, name: &str) -> String {
    let text = String::from_utf8_lossy(&file.bytes);
    let before: Vec<&str> = text.lines().take(lines.first.saturating_sub(1)).collect();
    let comments = before
        .iter()
        .rev()
        .take_while(|line| line.trim_start().starts_with('#'));
    let mut comments: Vec<&str> = comments
        .map(|line| line.trim_start().trim_start_matches('#').trim())
        .collect();
    comments.reverse();
    let whole = comments.join("\n");
    match whole.strip_prefix(name) {
        Some(rest) if !name.is_empty() && rest.starts_with(char::is_whitespace) => rest.trim().to_owned(),
        _ => String::new(),
    }
}

/// What a target can be given: arguments, secrets, agents.
fn outline(parsed: &Dockerfile, file: &File, target: &str) -> Result<Outcome> {
    let index = parsed
        .target(target)
        .map_err(|error| errors::status(&error.into(), file))?;
    let stage = &parsed.stages[index];
    let name = stage.from.name.clone().unwrap_or_default();
    let about = described_by(file, stage.begin.lines, &name);
    let chain = chain(parsed, index);
    let (arguments, secrets, agents) = (
        arguments(parsed, &chain, file),
        offered(&chain, true),
        offered(&chain, false),
    );
    let mut json = json!({});
    let mut text = String::new();
    if !name.is_empty() {
        json["name"] = json!(name);
        let _ = writeln!(text, "TARGET:      {name}");
    }
    if !about.is_empty() {
        json["description"] = json!(about);
        let _ = writeln!(text, "DESCRIPTION: {about}");
    }
    text = text.replacen(
        "TARGET:      ",
        if about.is_empty() { "TARGET: " } else { "TARGET:      " },
        1,
    );
    text.push('\n');
    if !arguments.is_empty() {
        json["args"] = Value::from(arguments.clone());
        text.push_str(&columns(
            &["BUILD ARG", "VALUE", "DESCRIPTION"],
            &arguments,
            &["name", "value", "description"],
        ));
    }
    for (key, title, list) in [("secrets", "SECRET", secrets), ("ssh", "SSH", agents)] {
        if !list.is_empty() {
            text.push_str(&columns(&[title, "REQUIRED"], &list, &["name", "required"]));
            json[key] = Value::from(list);
        }
    }
    json["sources"] = source(file);
    Ok(result(&json, text))
}

/// A stage and those it is based on, the first of them first.
fn chain(parsed: &Dockerfile, mut index: usize) -> Vec<&Stage> {
    let mut chain = vec![&parsed.stages[index]];
    while let Some(base) = parsed.stage_before(&parsed.stages[index].from.image, index) {
        chain.push(&parsed.stages[base]);
        index = base;
    }
    chain.reverse();
    chain
}

fn arguments(parsed: &Dockerfile, chain: &[&Stage], file: &File) -> Vec<Value> {
    let inside = chain.iter().flat_map(|stage| &stage.instructions);
    let used = |name: &str| {
        chain.iter().any(|stage| {
            stage.from.image.contains(&format!("${{{name}")) || stage.from.image.contains(&format!("${name}"))
        })
    };
    let mut found: Vec<Value> = Vec::new();
    let outside = parsed.arguments.iter().map(|one| (one, true));
    for (instruction, global) in outside.chain(inside.map(|one| (one, false))) {
        let Command::Arg(list) = &instruction.command else {
            continue;
        };
        for argument in list {
            if global && !used(&argument.name) {
                continue;
            }
            let mut one = json!({"name": argument.name});
            let about = described_by(file, instruction.lines, &argument.name);
            if !about.is_empty() {
                one["description"] = json!(about);
            }
            if let Some(default) = &argument.default {
                one["value"] = json!(default);
            }
            one["location"] = location(instruction.lines);
            found.retain(|other| other["name"] != one["name"]);
            found.push(one);
        }
    }
    found
}

/// Secrets or agents that steps mount.
fn offered(chain: &[&Stage], secrets: bool) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    for instruction in chain.iter().flat_map(|stage| &stage.instructions) {
        let Command::Run(run) = &instruction.command else {
            continue;
        };
        for mount in &run.mounts {
            let (id, required) = match (&mount.kind, secrets) {
                (MountKind::Secret { id, required, .. }, true) | (MountKind::Ssh { id, required, .. }, false) => {
                    (id, *required)
                }
                _ => continue,
            };
            let id = if id.is_empty() { "default" } else { id };
            if found.iter().any(|one| one["name"] == *id) {
                continue;
            }
            let mut one = json!({"name": id});
            if required {
                one["required"] = json!(true);
            }
            one["location"] = location(instruction.lines);
            found.push(one);
        }
    }
    found
}

fn columns(titles: &[&str], list: &[Value], keys: &[&str]) -> String {
    let cell = |one: &Value, key: &str| match &one[key] {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "true".to_owned(),
        _ => String::new(),
    };
    let mut rows = vec![titles.iter().map(|title| (*title).to_owned()).collect::<Vec<String>>()];
    rows.extend(list.iter().map(|one| keys.iter().map(|key| cell(one, key)).collect()));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let last = row.len() - 1;
        for (column, value) in row.iter().enumerate() {
            let width = if column == last { 0 } else { widths[column] + 3 };
            let _ = write!(text, "{value:width$}");
        }
        text.push('\n');
    }
    text.push('\n');
    text
}

fn describe() -> Outcome {
    let request = |name: &str, about: &str| {
        json!({
            "name": name, "version": "1.0.0", "type": "rpc", "description": about,
            "opts": null, "inputs": null, "metadata": [{"Name": "result.json"}, {"Name": "result.txt"}], "refs": null,
        })
    };
    let known = [
        request("frontend.outline", "List all parameters current build target supports"),
        request("frontend.targets", "List all targets current build supports"),
        request("frontend.lint", "Lint a Dockerfile"),
        request("frontend.subrequests.describe", "List available subrequest types"),
    ];
    let text: String = known
        .iter()
        .map(|one| {
            format!(
                "{} {}\n",
                one["name"].as_str().unwrap_or_default(),
                one["description"].as_str().unwrap_or_default()
            )
        })
        .collect();
    result(&json!(known), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        File {
            name: "Dockerfile".into(),
            bytes: text.as_bytes().to_vec(),
        }
    }

    fn ask(request: &str, text: &str) -> (String, Value) {
        let options = Options {
            request: request.into(),
            ..Options::default()
        };
        let outcome = answer(&options, &file(text)).unwrap();
        let text = String::from_utf8(outcome.metadata["result.txt"].clone()).unwrap();
        (text, serde_json::from_slice(&outcome.metadata["result.json"]).unwrap())
    }

    #[test]
    fn targets_are_listed_as_buildkit_does() {
        let (text, json) = ask(
            "frontend.targets",
            "# desc\nARG A=1\nFROM busybox AS b\n# t the end\nFROM scratch AS t\n",
        );
        assert_eq!(text, "TARGET      DESCRIPTION\nb           \nt (default) the end\n");
        assert_eq!(
            (&json["targets"][1]["default"], &json["targets"][1]["base"]),
            (&json!(true), &json!("scratch"))
        );
        assert_eq!(json["targets"][0]["location"]["ranges"][0]["start"]["line"], 3);
    }

    #[test]
    fn checks_say_what_they_found() {
        let (text, json) = ask("frontend.lint", "FROM busybox as x\nMAINTAINER me\n");
        assert!(
            text.starts_with("\nWARNING: FromAsCasing - https://docs.docker.com/go/dockerfile/rule/from-as-casing/\n"),
            "{text}"
        );
        assert_eq!(json["warnings"][1]["ruleName"], "MaintainerDeprecated");
        let (_, broken) = ask("frontend.lint", "FROM a\nRUNN x\n");
        assert!(
            broken["buildError"]["message"]
                .as_str()
                .unwrap()
                .contains("unknown instruction")
        );
    }

    #[test]
    fn an_outline_has_arguments_and_secrets() {
        let text =
            "ARG V=1\nFROM a:$V AS base\n# NAME who\nARG NAME=x\nFROM base\nRUN --mount=type=secret,id=s,required x\n";
        let (shown, json) = ask("frontend.outline", text);
        let names: Vec<&str> = json["args"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|one| one["name"].as_str())
            .collect();
        assert_eq!(names, ["V", "NAME"]);
        assert_eq!(
            (&json["args"][1]["description"], &json["secrets"][0]["required"]),
            (&json!("who"), &json!(true))
        );
        assert!(shown.contains("BUILD ARG   VALUE"), "{shown}");
    }

    #[test]
    fn other_questions_are_refused_by_name() {
        let options = Options {
            request: "frontend.nosuch".into(),
            ..Options::default()
        };
        assert!(
            answer(&options, &file("FROM a\n"))
                .unwrap_err()
                .message
                .contains("frontend.nosuch")
        );
    }
}
