//! `version`.

use jiff::Timestamp;

use corten_template::{Escape, Json, Missing, Mode, Template};

use crate::{
    cli::{COMPATIBLE_VERSION, Cli},
    command::{Arity, Command, Flag},
    error::{Error, Result},
    flags::Matches,
    formatter::align,
    schema,
};

/// `version`.
pub(crate) static COMMAND: Command = Command::new("[OPTIONS]", "Show the versions of client and engine", version)
    .arity(Arity::None)
    .flags(&[&[
        Flag::switch("client", "Show only the client's, without asking the engine").hidden(),
        Flag::string(
            "format",
            "How to write it:\n'json':             As JSON\n'TEMPLATE':         By a Go template",
        )
        .short('f'),
    ]]);

/// The commit that this was built from.
const COMMIT: &str = match option_env!("CORTEN_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};
/// When this was built.
const BUILD_TIME: &str = match option_env!("CORTEN_BUILD_TIME") {
    Some(time) => time,
    None => "",
};

/// The version that the program answers with under its name.
pub(crate) fn own_version(program: &str) -> &'static str {
    if program == "docker" {
        COMPATIBLE_VERSION
    } else {
        env!("CARGO_PKG_VERSION")
    }
}

/// The line of `--version`.
pub(crate) fn line(program: &str) -> String {
    let name = if program == "docker" { "Docker" } else { "Corten" };
    format!("{name} version {}, build {COMMIT}", own_version(program))
}

/// What there is to know of the client.
pub(crate) fn client(cli: &Cli) -> Vec<(String, Json)> {
    let spoken = match cli.client() {
        Ok(client) => client.api_version(),
        Err(_) => corten_api::VERSION.to_owned(),
    };
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    [
        ("Version", own_version(cli.program)),
        ("ApiVersion", &spoken),
        ("DefaultAPIVersion", corten_api::VERSION),
        ("GitCommit", COMMIT),
        ("GoVersion", "none"),
        ("Os", "linux"),
        ("Arch", arch),
        ("BuildTime", BUILD_TIME),
        ("Context", &cli.context_name()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), Json::String(value.to_owned())))
    .collect()
}

fn version(cli: &Cli, m: &Matches) -> Result<()> {
    let format = m.get("format");
    let template = match format {
        "" | "json" => None,
        text => Some(
            Template::named("version", text)
                .map_err(|e| Error::with_status(64, format!("template parsing error: {e}")))?,
        ),
    };
    let server = if m.on("client") {
        Ok(None)
    } else {
        cli.wait(async {
            let bytes = cli.client()?.version_document().await?;
            Ok(Some(Json::parse(&bytes).map_err(Error::new)?))
        })
    };
    let (server, failure) = match server {
        Ok(server) => (server, None),
        Err(error) => (None, Some(error)),
    };
    // The engine's answer may have changed the version that is spoken.
    let client = Json::Object(client(cli));
    let both = Json::Object(vec![
        ("Client".to_owned(), client.clone()),
        ("Server".to_owned(), server.clone().unwrap_or(Json::Null)),
    ]);
    let text = match template {
        None if format == "json" => {
            let mut text = String::new();
            both.write(Escape::Plain, &mut text);
            format!("{text}\n")
        }
        Some(template) => {
            let value = schema::VERSION.value(&both);
            match template.execute(&value, Missing::NoValue, Mode::Rows) {
                Ok(text) => format!("{text}\n"),
                Err(error) => {
                    cli.out("");
                    return Err(Error::new(error));
                }
            }
        }
        None => {
            cli.print(&table(cli.program, &client, server.as_ref()));
            return failure.map_or(Ok(()), Err);
        }
    };
    cli.print(&text);
    failure.map_or(Ok(()), Err)
}

/// `2026-09-15T11:02:57.000000000+00:00` as `Tue Sep 15 11:02:57 2026`.
fn build_date(text: &str) -> String {
    text.parse::<Timestamp>()
        .map_or_else(|_| text.to_owned(), |t| t.strftime("%a %b %e %H:%M:%S %Y").to_string())
}

fn table(program: &str, client: &Json, server: Option<&Json>) -> String {
    let api = match (client.text("ApiVersion"), client.text("DefaultAPIVersion")) {
        (spoken, newest) if spoken != newest => format!("{spoken} (downgraded from {newest})"),
        (spoken, _) => spoken.to_owned(),
    };
    let mut text = String::from("Client:\n");
    let mut row = |name: &str, value: &str| text.push_str(&format!(" {name}:\t{value}\n"));
    row("Version", client.text("Version"));
    row("API version", &api);
    if program == "docker" {
        row("Go version", client.text("GoVersion"));
    }
    row("Git commit", client.text("GitCommit"));
    row("Built", &build_date(client.text("BuildTime")));
    row("OS/Arch", &format!("{}/{}", client.text("Os"), client.text("Arch")));
    row("Context", client.text("Context"));
    if let Some(server) = server {
        text.push_str(&server_table(server));
    }
    align(&text, 20, 1)
}

fn server_table(server: &Json) -> String {
    let platform = server.get("Platform").map_or("", |p| p.text("Name"));
    let gap = if platform.is_empty() { "" } else { " " };
    let mut text = format!("\nServer:{gap}{platform}\n");
    for component in server.items("Components") {
        let details = component.get("Details").cloned().unwrap_or(Json::Null);
        text.push_str(&format!(" {}:\n", component.text("Name")));
        let mut row = |name: &str, value: &str| text.push_str(&format!("  {name}:\t{value}\n"));
        row("Version", component.text("Version"));
        if component.text("Name") == "Engine" {
            let api = format!(
                "{} (minimum version {})",
                details.text("ApiVersion"),
                details.text("MinAPIVersion")
            );
            row("API version", &api);
            row("Go version", details.text("GoVersion"));
            row("Git commit", details.text("GitCommit"));
            row("Built", &build_date(details.text("BuildTime")));
            row("OS/Arch", &format!("{}/{}", details.text("Os"), details.text("Arch")));
            row("Experimental", details.text("Experimental"));
            continue;
        }
        if let Json::Object(mut members) = details {
            members.sort_by(|a, b| a.0.cmp(&b.0));
            for (name, value) in &members {
                row(name, value.as_str().unwrap_or_default());
            }
        }
    }
    text
}
