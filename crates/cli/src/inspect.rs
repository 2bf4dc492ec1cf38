//! `inspect` and its forms for each kind of object.

use bytes::Bytes;
use corten_client::Client;

use corten_template::{Json, Missing, Mode, Template, indent};

use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    error::{Error, Result},
    flags::Matches,
    schema::{self, Schema},
};

const FORMAT: Flag = Flag::string(
    "format",
    "How to write it:\n'json':             As JSON\n'TEMPLATE':         By a Go template",
)
.short('f');

/// `inspect`.
pub(crate) static COMMAND: Command = Command::new(
    "[OPTIONS] NAME|ID [NAME|ID...]",
    "Show all there is to know of objects",
    inspect_any,
)
.arity(Arity::AtLeast(1))
.flags(&[&[
    FORMAT,
    Flag::switch("size", "Count the size of containers' files").short('s'),
    Flag::string("type", "Look only for objects of this type"),
]]);

/// `container inspect`.
pub(crate) static CONTAINER: Command = Command::new(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Show all there is to know of containers",
    inspect_containers,
)
.arity(Arity::AtLeast(1))
.flags(&[&[FORMAT, Flag::switch("size", "Count the size of files").short('s')]]);

/// `image inspect`.
pub(crate) static IMAGE: Command = Command::new(
    "[OPTIONS] IMAGE [IMAGE...]",
    "Show all there is to know of images",
    inspect_images,
)
.arity(Arity::AtLeast(1))
.flags(&[&[FORMAT, Flag::string("platform", "Show the image of this platform")]]);

/// `network inspect`.
pub(crate) static NETWORK: Command = Command::new(
    "[OPTIONS] NETWORK [NETWORK...]",
    "Show all there is to know of networks",
    inspect_networks,
)
.arity(Arity::AtLeast(1))
.flags(&[&[
    FORMAT,
    Flag::switch("verbose", "Show more, for finding faults").short('v'),
]]);

/// `volume inspect`.
pub(crate) static VOLUME: Command = Command::new(
    "[OPTIONS] VOLUME [VOLUME...]",
    "Show all there is to know of volumes",
    inspect_volumes,
)
.arity(Arity::AtLeast(1))
.flags(&[&[FORMAT]]);

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Container,
    Image,
    Network,
    Volume,
}

/// How to look objects up.
struct Lookup<'a> {
    client: &'a Client,
    size: bool,
    verbose: bool,
    platform: String,
}

impl Lookup<'_> {
    async fn get(&self, kind: Kind, name: &str) -> corten_client::Result<Bytes> {
        match kind {
            Kind::Container => self.client.inspect_container(name, self.size).await,
            Kind::Image => self.client.inspect_image(name, &self.platform).await,
            Kind::Network => self.client.inspect_network(name, self.verbose).await,
            Kind::Volume => self.client.inspect_volume(name).await,
        }
    }

    /// Finds an object of whatever kind has that name.
    async fn find(&self, kinds: &[Kind], name: &str) -> Result<(Kind, Bytes)> {
        for kind in kinds {
            match self.get(*kind, name).await {
                Ok(document) => return Ok((*kind, document)),
                Err(error) if kinds.len() > 1 && error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::new(format!("Error: No such object: {name}")))
    }
}

fn inspect_any(cli: &Cli, m: &Matches) -> Result<()> {
    let kinds: &[Kind] = match m.get("type") {
        "" if !m.given("type") => &[Kind::Container, Kind::Image, Kind::Network, Kind::Volume],
        "container" => &[Kind::Container],
        "image" => &[Kind::Image],
        "network" => &[Kind::Network],
        "volume" => &[Kind::Volume],
        kind @ ("config" | "node" | "plugin" | "secret" | "service" | "task") => {
            return Err(Error::new(format!("objects of type {kind} are not supported yet")));
        }
        other => {
            return Err(Error::new(format!(
                "unknown type: {}: must be one of \"config\", \"container\", \"image\", \"network\", \"node\", \"plugin\", \"secret\", \"service\", \"task\", \"volume\"",
                crate::opts::quote(other)
            )));
        }
    };
    inspect(cli, m, kinds)
}

fn inspect_containers(cli: &Cli, m: &Matches) -> Result<()> {
    inspect(cli, m, &[Kind::Container])
}

fn inspect_images(cli: &Cli, m: &Matches) -> Result<()> {
    inspect(cli, m, &[Kind::Image])
}

fn inspect_networks(cli: &Cli, m: &Matches) -> Result<()> {
    inspect(cli, m, &[Kind::Network])
}

fn inspect_volumes(cli: &Cli, m: &Matches) -> Result<()> {
    inspect(cli, m, &[Kind::Volume])
}

fn inspect(cli: &Cli, m: &Matches, kinds: &[Kind]) -> Result<()> {
    let mut writer = Writer::new(m.get("format"))?;
    let errors = cli.wait(async {
        let lookup = Lookup {
            client: cli.client()?,
            size: m.on("size"),
            verbose: m.on("verbose"),
            platform: crate::image::platform_json(m.get("platform"))?,
        };
        let mut errors = Vec::new();
        for name in &m.args {
            match lookup.find(kinds, name).await {
                Ok((kind, document)) => {
                    if let Err(error) = writer.add(kind, &document) {
                        errors.push(error);
                        break;
                    }
                }
                Err(error) => errors.push(error),
            }
        }
        Ok(errors)
    })?;
    cli.print(&writer.finish());
    Error::all(errors)
}

/// Writes objects: all of them as one JSON list, or each by a template.
enum Writer {
    Documents(Vec<String>),
    Template {
        template: Template,
        text: String,
    },
    /// One JSON list on one line.
    Line(Vec<String>),
}

impl Writer {
    fn new(format: &str) -> Result<Self> {
        Ok(match format {
            "" => Self::Documents(Vec::new()),
            "json" => Self::Line(Vec::new()),
            format => Self::Template {
                template: Template::parse(format)
                    .map_err(|e| Error::with_status(64, format!("template parsing error: {e}")))?,
                text: String::new(),
            },
        })
    }

    fn add(&mut self, kind: Kind, document: &[u8]) -> Result<()> {
        match self {
            Self::Documents(documents) => documents.push(String::from_utf8_lossy(document).trim().to_owned()),
            Self::Line(documents) => {
                let (json, mut text) = (Json::parse(document).map_err(Error::new)?, String::new());
                json.write(corten_template::Escape::Plain, &mut text);
                documents.push(text);
            }
            Self::Template { template, text } => {
                let json = Json::parse(document).map_err(Error::new)?;
                text.push_str(&fill(template, schema_of(kind), &json)?);
                text.push('\n');
            }
        }
        Ok(())
    }

    fn finish(self) -> String {
        match self {
            Self::Documents(documents) if documents.is_empty() => "[]\n".to_owned(),
            Self::Documents(documents) => format!("{}\n", indent(&format!("[{}]", documents.join(",")))),
            Self::Line(documents) => format!("[{}]\n", documents.join(",")),
            Self::Template { text, .. } if text.is_empty() => "\n".to_owned(),
            Self::Template { text, .. } => text,
        }
    }
}

fn schema_of(kind: Kind) -> &'static Schema {
    match kind {
        Kind::Container => &schema::CONTAINER,
        Kind::Image => &schema::IMAGE,
        Kind::Network => &schema::NETWORK,
        Kind::Volume => &schema::VOLUME,
    }
}

/// Fills a template with the typed object, or with the document as it is when the type has no such field.
fn fill(template: &Template, schema: &'static Schema, json: &Json) -> Result<String> {
    template
        .execute(&schema.value(json), Missing::NoValue, Mode::Rows)
        .or_else(|_| template.execute(&json.to_value(), Missing::Error, Mode::Rows))
        .map_err(|e| Error::new(format!("template parsing error: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTAINER: &str = r#"{"Id":"abc","Name":"/gp-a","State":{"Running":false,"Status":"created"},"Args":["-c","sleep 1"],"Config":{"Cmd":["-c","sleep 1"],"Env":["K=V"],"Labels":{"a":"b"},"Entrypoint":["sh"]},"HostConfig":{"CapAdd":null,"Dns":[],"Privileged":false,"Memory":67108864,"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":3}},"Path":"sh"}"#;

    fn run(format: &str) -> std::result::Result<String, Error> {
        let mut writer = Writer::new(format)?;
        writer.add(Kind::Container, CONTAINER.as_bytes())?;
        Ok(writer.finish())
    }

    #[test]
    fn fills_templates_as_docker() {
        let check = |format: &str, expected: &str| assert_eq!(run(format).unwrap(), expected, "{format}");
        check(
            "{{.State.Running}} {{.HostConfig.Privileged}} {{.HostConfig.CapAdd}} {{json .HostConfig.CapAdd}} {{.HostConfig.Dns}}",
            "false false <no value> null []\n",
        );
        check(
            "{{.HostConfig.CapAdd}}|{{.Config.Env}}|{{.Config.Labels}}",
            "[]|[K=V]|map[a:b]\n",
        );
        check(
            "{{upper .Name}} {{len .Config.Env}} {{index .Config.Labels \"a\"}} {{if .State.Running}}r{{else}}n{{end}} {{slice .Id 0 0}}|{{split .Path \"h\"}}|{{title \"ab\"}}|{{pad \"x\" 1 2}}|{{truncate .Path 1}}",
            "/GP-A 1 b n |[s ]|Ab| x  |s\n",
        );
        check("{{join .Config.Cmd \",\"}}", "-c,sleep 1\n");
        check("{{range .Config.Env}}{{println .}}{{end}}", "K=V\n\n");
        check(
            "{{.Name}} {{.Args}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}",
            "/gp-a [-c sleep 1] 3\n",
        );
        check(
            "{{json .Config.Labels}} {{json .Config.Entrypoint}}",
            "{\"a\":\"b\"} [\"sh\"]\n",
        );
    }

    #[test]
    fn fails_as_docker() {
        let error = run("{{.Name").unwrap_err();
        assert_eq!(
            (error.status, &*error.message),
            (64, "template parsing error: template: :1: unclosed action")
        );
        assert_eq!(
            run("{{.Nope}}").unwrap_err().message,
            "template parsing error: template: :1:2: executing \"\" at <.Nope>: map has no entry for key \"Nope\""
        );
    }
}
