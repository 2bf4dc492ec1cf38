//! `context …`: named engines, kept in the configuration's folder as Docker keeps them.

mod archive;
mod transfer;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use corten_oci::digest::Digest;

use corten_template::{Escape, Json, Missing, Mode, Template, Value, indent};

use crate::{
    cli::Cli,
    command::{Arity, Command, Entry, Flag},
    container::list::FORMAT_HELP,
    error::{Error, Result},
    flags::Matches,
    formatter::{Format, natural_order},
    opts::{self, quote},
    target::{Context, load_context},
};

/// `context`.
pub(crate) static GROUP: Command = Command::group(
    "Manage contexts",
    &[
        Entry::new(&["create"], &CREATE),
        Entry::new(&["export"], &transfer::EXPORT),
        Entry::new(&["import"], &transfer::IMPORT),
        Entry::new(&["inspect"], &INSPECT),
        Entry::new(&["ls", "list"], &LIST),
        Entry::new(&["rm", "remove"], &REMOVE),
        Entry::new(&["show"], &SHOW),
        Entry::new(&["update"], &UPDATE),
        Entry::new(&["use"], &USE),
    ],
);

static CREATE: Command = Command::new("[OPTIONS] CONTEXT", "Make a context", create)
    .arity(Arity::Exactly(1))
    .flags(&[
        DESCRIBED,
        &[Flag::string("from", "Make it as a context is that there is already")],
    ]);

static UPDATE: Command = Command::new("[OPTIONS] CONTEXT", "Change a context", update)
    .arity(Arity::Exactly(1))
    .flags(&[DESCRIBED]);

/// What a context says of itself and its engine.
const DESCRIBED: &[Flag] = &[
    Flag::string("description", "What the context is for"),
    Flag::value(
        "docker",
        "stringToString",
        check_pairs,
        "Where the engine is: host=ADDRESS,ca=FILE,cert=FILE,key=FILE,skip-tls-verify=BOOL,from=CONTEXT",
    )
    .shown("[]"),
];

/// The files that TLS needs, by the keys of `--docker`.
const TLS_KEYS: [(&str, &str); 3] = [("ca", "ca.pem"), ("cert", "cert.pem"), ("key", "key.pem")];

/// Their names alone.
const TLS_FILES: [&str; 3] = ["ca.pem", "cert.pem", "key.pem"];

static INSPECT: Command = Command::new(
    "[OPTIONS] [CONTEXT] [CONTEXT...]",
    "Show all there is to know of contexts",
    inspect,
)
.flags(&[&[Flag::string(
    "format",
    "How to write it:\n'json':             As JSON\n'TEMPLATE':         By a Go template",
)
.short('f')]]);

static LIST: Command = Command::new("[OPTIONS]", "List contexts", list)
    .paths(&["context ls", "context list"])
    .arity(Arity::None)
    .flags(&[&[
        Flag::string("format", FORMAT_HELP),
        Flag::switch("quiet", "Show only names").short('q'),
    ]]);

static REMOVE: Command = Command::new("CONTEXT [CONTEXT...]", "Remove contexts", remove)
    .paths(&["context rm", "context remove"])
    .arity(Arity::AtLeast(1))
    .flags(&[&[Flag::switch("force", "Remove it although it is in use").short('f')]]);

static SHOW: Command = Command::new("", "Print the name of the context in use", show).arity(Arity::None);

static USE: Command = Command::new("CONTEXT", "Choose the context to use", choose).arity(Arity::Exactly(1));

const OVERRIDDEN: &str = "Warning: DOCKER_HOST environment variable overrides the active context. To use a context, either set the global --context flag, or unset DOCKER_HOST environment variable.";
const DEFAULT: &str = "default";
const DEFAULT_DESCRIPTION: &str = "Current DOCKER_HOST based configuration";

fn check_pairs(text: &str) -> std::result::Result<(), String> {
    match text.split(',').find(|pair| !pair.contains('=')) {
        Some(pair) => Err(format!("{pair} must be formatted as key=value")),
        None => Ok(()),
    }
}

/// The folder that holds a context's description.
fn meta_folder(cli: &Cli, name: &str) -> PathBuf {
    cli.folder()
        .join("contexts/meta")
        .join(Digest::sha256(name.as_bytes()).hex())
}

fn tls_folder(cli: &Cli, name: &str) -> PathBuf {
    cli.folder()
        .join("contexts/tls")
        .join(Digest::sha256(name.as_bytes()).hex())
}

fn check_name(name: &str) -> Result<()> {
    if name == DEFAULT {
        return Err(Error::new("\"default\" is a reserved context name"));
    }
    let mut chars = name.chars();
    let valid = chars.next().is_some_and(|c| c.is_ascii_alphanumeric())
        && name.len() > 1
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '+' | '-'));
    if valid {
        return Ok(());
    }
    Err(Error::new(format!(
        "context name {} is invalid, names are validated against regexp \"^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$\"",
        quote(name)
    )))
}

/// Every stored context.
fn stored(folder: &Path) -> Vec<Context> {
    let Ok(entries) = corten_sys::fs::read_dir(folder.join("contexts/meta")) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| corten_sys::fs::read(entry.ok()?.path().join("meta.json")).ok())
        .filter_map(|bytes| corten_api::decode(&bytes).ok())
        .collect()
}

fn row(name: &str, description: &str, host: &str, current: bool) -> Value {
    Value::record(
        "*formatter.clientContextContext",
        vec![
            ("Current", Value::Bool(current)),
            ("Description", description.into()),
            ("DockerEndpoint", host.into()),
            ("Error", "".into()),
            ("Name", name.into()),
        ],
    )
}

const HEADINGS: [(&str, &str); 4] = [
    ("Name", "NAME"),
    ("Description", "DESCRIPTION"),
    ("DockerEndpoint", "DOCKER ENDPOINT"),
    ("Error", "ERROR"),
];

fn list(cli: &Cli, m: &Matches) -> Result<()> {
    let current = cli.context_name();
    let mut contexts: Vec<_> = stored(cli.folder())
        .into_iter()
        .map(|c| (c.name, c.metadata.description, c.endpoints.docker.host))
        .collect();
    contexts.push((DEFAULT.to_owned(), DEFAULT_DESCRIPTION.to_owned(), cli.default_host()));
    contexts.sort_by(|a, b| natural_order(&a.0, &b.0));
    let rows: Vec<_> = contexts
        .iter()
        .map(|(name, description, host)| row(name, description, host, *name == current))
        .collect();
    let format = match (m.on("quiet"), m.get("format")) {
        (true, "" | "table") => Format::plain("{{.Name}}"),
        (_, given) => Format::new(
            given,
            "{{.Name}}{{if .Current}} *{{end}}\t{{.Description}}\t{{.DockerEndpoint}}\t{{.Error}}",
        ),
    };
    cli.print(&format.render(&HEADINGS, &rows)?);
    if cli.default_host_is_set() && !m.on("quiet") {
        cli.err(OVERRIDDEN);
    }
    Ok(())
}

fn show(cli: &Cli, _: &Matches) -> Result<()> {
    cli.out(&cli.context_name());
    Ok(())
}

fn choose(cli: &Cli, m: &Matches) -> Result<()> {
    let name = m.arg(0);
    if name != DEFAULT {
        check_name(name)?;
        load_context(cli.folder(), name)?;
    }
    let kept = if name == DEFAULT { "" } else { name };
    crate::config::set(cli.folder(), "currentContext", kept)?;
    cli.out(name);
    cli.err(&format!("Current context is now {}", quote(name)));
    if cli.default_host_is_set() && name != DEFAULT {
        cli.err(OVERRIDDEN);
    }
    Ok(())
}

fn create(cli: &Cli, m: &Matches) -> Result<()> {
    let name = m.arg(0);
    check_name(name)?;
    if corten_sys::fs::exists(meta_folder(cli, name).join("meta.json")).unwrap_or(false) {
        return Err(Error::new(format!("context {} already exists", quote(name))));
    }
    if m.given("from") && m.given("docker") {
        return Err(Error::new("cannot use --docker flag when --from is set"));
    }
    let mut document = serde_json::Map::new();
    document.insert("Name".to_owned(), name.into());
    document.insert("Metadata".to_owned(), serde_json::Map::new().into());
    let pairs = match m.opt("from") {
        Some(from) => BTreeMap::from([("from".to_owned(), from.to_owned())]),
        None => pairs(m)?,
    };
    describe(&mut document, m);
    set_engine(cli, name, &mut document, &pairs)?;
    write(cli, name, &document)?;
    cli.out(name);
    cli.err(&format!("Successfully created context {}", quote(name)));
    Ok(())
}

fn update(cli: &Cli, m: &Matches) -> Result<()> {
    let name = m.arg(0);
    check_name(name)?;
    load_context(cli.folder(), name)?;
    let bytes =
        corten_sys::fs::read(meta_folder(cli, name).join("meta.json")).map_err(|e| Error::new(e.to_string()))?;
    let mut document = serde_json::from_slice(&bytes).map_err(|e| Error::new(format!("meta.json: {e}")))?;
    describe(&mut document, m);
    if m.given("docker") {
        set_engine(cli, name, &mut document, &pairs(m)?)?;
    }
    write(cli, name, &document)?;
    cli.out(name);
    cli.err(&format!("Successfully updated context {}", quote(name)));
    Ok(())
}

/// A context's document.
type Document = serde_json::Map<String, serde_json::Value>;

/// The pairs of `--docker`.
fn pairs(m: &Matches) -> Result<BTreeMap<String, String>> {
    let pairs = opts::pairs(&m.strings("docker"));
    let known = ["host", "skip-tls-verify", "ca", "cert", "key", "from"];
    match pairs.keys().find(|k| !known.contains(&k.as_str())) {
        Some(key) => Err(Error::new(format!("unrecognized config key: {key}"))),
        None => Ok(pairs.into_iter().collect()),
    }
}

fn describe(document: &mut Document, m: &Matches) {
    if m.given("description")
        && let Some(metadata) = document
            .get_mut("Metadata")
            .and_then(|metadata| metadata.as_object_mut())
    {
        metadata.insert("Description".to_owned(), m.get("description").into());
    }
}

/// Writes where the engine is into the document, and what TLS needs beside it.
fn set_engine(cli: &Cli, name: &str, document: &mut Document, pairs: &BTreeMap<String, String>) -> Result<()> {
    let failed = |e: std::io::Error| Error::new(e.to_string());
    let target = tls_folder(cli, name).join("docker");
    let mut secrets = Vec::new();
    let (host, skip) = match pairs.get("from").map(String::as_str) {
        Some(DEFAULT) => (cli.default_host(), false),
        Some(from) => {
            let other = load_context(cli.folder(), from)?;
            for file in TLS_FILES {
                let path = tls_folder(cli, from).join("docker").join(file);
                if let Some(bytes) = corten_sys::fs::if_there(corten_sys::fs::read(path)).map_err(failed)? {
                    secrets.push((file, bytes));
                }
            }
            (other.endpoints.docker.host, other.endpoints.docker.skip_tls_verify)
        }
        None => {
            let host = pairs.get("host").cloned().unwrap_or_else(|| cli.default_host());
            let skip = match pairs.get("skip-tls-verify").map(String::as_str) {
                None | Some("false" | "0") => false,
                Some("true" | "1") => true,
                Some(other) => return Err(Error::new(format!("skip-tls-verify: invalid value: {}", quote(other)))),
            };
            (host, skip)
        }
    };
    crate::target::endpoint(&host, &crate::target::TlsChoice::default())
        .map_err(|e| Error::new(format!("unable to create docker endpoint config: {e}")))?;
    for (key, file) in TLS_KEYS {
        if let Some(path) = pairs.get(key) {
            secrets.push((file, corten_sys::fs::read(path).map_err(failed)?));
        }
    }
    for (file, bytes) in secrets {
        corten_sys::fs::create_dir_all_mode(&target, 0o700).map_err(failed)?;
        corten_sys::fs::write_atomic_mode(target.join(file), bytes, 0o600).map_err(failed)?;
    }
    let engine = serde_json::json!({"docker": {"Host": host, "SkipTLSVerify": skip}});
    document.insert("Endpoints".to_owned(), engine);
    Ok(())
}

/// Keeps a context's document.
fn write(cli: &Cli, name: &str, document: &Document) -> Result<()> {
    let failed = |e: std::io::Error| Error::new(e.to_string());
    let bytes = serde_json::to_vec(document).map_err(|e| Error::new(e.to_string()))?;
    let folder = meta_folder(cli, name);
    corten_sys::fs::create_dir_all_mode(&folder, 0o755).map_err(failed)?;
    corten_sys::fs::write_atomic(folder.join("meta.json"), bytes).map_err(failed)
}

/// The names of the files that TLS needs, as `inspect` lists them.
fn tls_material(cli: &Cli, name: &str) -> Json {
    let folder = tls_folder(cli, name).join("docker");
    let there: Vec<_> = TLS_FILES
        .iter()
        .filter(|file| corten_sys::fs::exists(folder.join(file)).unwrap_or(false))
        .map(|file| Json::String((*file).to_owned()))
        .collect();
    if there.is_empty() {
        return Json::Object(Vec::new());
    }
    Json::Object(vec![("docker".to_owned(), Json::Array(there))])
}

fn endpoints(host: &str, skip_tls_verify: bool) -> Json {
    let docker = Json::Object(vec![
        ("Host".to_owned(), Json::String(host.to_owned())),
        ("SkipTLSVerify".to_owned(), Json::Bool(skip_tls_verify)),
    ]);
    Json::Object(vec![("docker".to_owned(), docker)])
}

fn remove(cli: &Cli, m: &Matches) -> Result<()> {
    let current = cli.context_name();
    let mut errors = Vec::new();
    for name in &m.args {
        match remove_one(cli, name, &current, m.on("force")) {
            Ok(()) => cli.out(name),
            Err(error) => errors.push(error),
        }
    }
    Error::all(errors)
}

fn remove_one(cli: &Cli, name: &str, current: &str, force: bool) -> Result<()> {
    if name == DEFAULT {
        return Err(Error::new("context \"default\" cannot be removed"));
    }
    let folder = meta_folder(cli, name);
    if !corten_sys::fs::exists(&folder).unwrap_or(false) {
        return if force {
            Ok(())
        } else {
            Err(Error::new(format!("context {} does not exist", quote(name))))
        };
    }
    if name == current {
        if !force {
            return Err(Error::new(format!(
                "context {} is in use, set -f flag to force remove",
                quote(name)
            )));
        }
        crate::config::set(cli.folder(), "currentContext", "")?;
    }
    corten_sys::fs::remove_dir_all(&folder).map_err(|e| Error::new(e.to_string()))?;
    corten_sys::fs::if_there(corten_sys::fs::remove_dir_all(tls_folder(cli, name)))
        .map_err(|e| Error::new(e.to_string()))?;
    Ok(())
}

/// A context as `inspect` shows it.
fn document(cli: &Cli, name: &str) -> Result<Json> {
    let text = |value: &str| Json::String(value.to_owned());
    let (metadata, endpoints, meta, tls) = if name == DEFAULT {
        let memory = "<IN MEMORY>".to_owned();
        (
            Json::Object(Vec::new()),
            endpoints(&cli.default_host(), false),
            memory.clone(),
            memory,
        )
    } else {
        let context = load_context(cli.folder(), name)?;
        let metadata = match context.metadata.description.as_str() {
            "" => Vec::new(),
            description => vec![("Description".to_owned(), text(description))],
        };
        let docker = &context.endpoints.docker;
        (
            Json::Object(metadata),
            endpoints(&docker.host, docker.skip_tls_verify),
            meta_folder(cli, name).display().to_string(),
            tls_folder(cli, name).display().to_string(),
        )
    };
    let storage = Json::Object(vec![
        ("MetadataPath".to_owned(), Json::String(meta)),
        ("TLSPath".to_owned(), Json::String(tls)),
    ]);
    Ok(Json::Object(vec![
        ("Name".to_owned(), text(name)),
        ("Metadata".to_owned(), metadata),
        ("Endpoints".to_owned(), endpoints),
        ("TLSMaterial".to_owned(), tls_material(cli, name)),
        ("Storage".to_owned(), storage),
    ]))
}

fn inspect(cli: &Cli, m: &Matches) -> Result<()> {
    let names = if m.args.is_empty() {
        vec![cli.context_name()]
    } else {
        m.args.clone()
    };
    let template = match m.get("format") {
        "" | "json" => None,
        text => {
            Some(Template::parse(text).map_err(|e| Error::with_status(64, format!("template parsing error: {e}")))?)
        }
    };
    let (mut documents, mut lines, mut errors) = (Vec::new(), String::new(), Vec::new());
    for name in &names {
        match (document(cli, name), &template) {
            (Err(error), _) => errors.push(error),
            (Ok(document), None) => documents.push(document),
            (Ok(document), Some(template)) => {
                let line = template
                    .execute(&document.to_value(), Missing::Error, Mode::Rows)
                    .map_err(|e| Error::new(format!("template parsing error: {e}")))?;
                lines.push_str(&format!("{line}\n"));
            }
        }
    }
    if template.is_none() {
        let mut text = String::new();
        Json::Array(documents).write(Escape::Html, &mut text);
        lines = if m.get("format") == "json" {
            format!("{text}\n")
        } else {
            format!("{}\n", indent(&text))
        };
    }
    cli.print(&lines);
    Error::all(errors)
}
