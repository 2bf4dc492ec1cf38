//! `create`, and the part of `run` that makes a container.

use corten_api::container::CreateRequest;
use corten_oci::{platform::Platform, reference::Reference};

use super::{limits, run_flags::FLAGS, spec};
use crate::{
    cli::Cli,
    command::{Arity, Command},
    error::{Error, Result, file_error},
    flags::Matches,
    image::pull,
};

/// `create`.
pub(crate) static COMMAND: Command = Command::new(
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create a container without starting it",
    create,
)
.paths(&["container create", "create"])
.arity(Arity::AtLeast(1))
.flags_first()
.flags(&[FLAGS, limits::FLAGS]);

fn create(cli: &Cli, m: &Matches) -> Result<()> {
    let request = request(cli, m).map_err(|e| with_help(cli, "create", 125, &e))?;
    cli.wait(async {
        let id = make(cli, m, &request).await?;
        cli.out(&id);
        Ok(())
    })
}

/// An error with the hint that `run` and `create` give.
pub(crate) fn with_help(cli: &Cli, command: &str, status: u8, text: &str) -> Error {
    let program = cli.program;
    Error::with_status(
        status,
        format!("{program}: {text}\n\nRun '{program} {command} --help' for more information"),
    )
}

/// The request that the flags make.
pub(crate) fn request(cli: &Cli, m: &Matches) -> std::result::Result<CreateRequest, String> {
    if !matches!(m.get("pull"), "always" | "missing" | "never") {
        return Err(format!(
            "invalid pull option: '{}': must be one of \"always\", \"missing\" or \"never\"",
            m.get("pull")
        ));
    }
    if m.on("use-api-socket") {
        return Err("--use-api-socket is not supported".to_owned());
    }
    let around = spec::Surroundings {
        variable: &|name| std::env::var(name).ok(),
        environment: if cli.config().proxies.is_empty() {
            Vec::new()
        } else {
            cli.config().proxy_environment(&cli.default_host())
        },
    };
    spec::request(m, &around)
}

/// Makes the container, pulling its image when it must; gives its id.
pub(crate) async fn make(cli: &Cli, m: &Matches, request: &CreateRequest) -> Result<String> {
    let mut id_file = IdFile::reserve(m.get("cidfile"))?;
    let platform = cli.platform(m);
    if !platform.is_empty() {
        platform
            .parse::<Platform>()
            .map_err(|e| Error::new(format!("error parsing specified platform: {e}")))?;
    }
    let image = &request.config.image;
    let reference = named(image)?;
    let client = cli.client()?;
    let quiet = m.on("quiet");
    if let (Some(reference), "always") = (&reference, m.get("pull")) {
        pull::for_container(cli, reference, &platform, quiet).await?;
    }
    let name = m.get("name");
    let created = match client.create_container(name, &platform, request).await {
        Err(error) if error.is_not_found() && m.get("pull") == "missing" => {
            let Some(reference) = reference else {
                return Err(error.into());
            };
            if !quiet {
                cli.err(&format!("Unable to find image '{}' locally", reference.familiar()));
            }
            pull::for_container(cli, &reference, &platform, quiet).await?;
            client.create_container(name, &platform, request).await?
        }
        other => other?,
    };
    for warning in &created.warnings {
        cli.err(&format!("WARNING: {warning}"));
    }
    id_file.write(&created.id)?;
    Ok(created.id)
}

/// The image as a name that can be pulled; none when it is an id.
fn named(image: &str) -> Result<Option<Reference>> {
    let is_id = image.len() == 64 && image.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if is_id || image.starts_with("sha256:") {
        return Ok(None);
    }
    let reference: Reference = image
        .parse()
        .map_err(|e: corten_oci::reference::InvalidReference| Error::new(e.to_string()))?;
    Ok(Some(reference.or_latest()))
}

/// The file that takes the container's id; removed again when there is no container.
struct IdFile<'a> {
    path: &'a str,
    written: bool,
}

impl<'a> IdFile<'a> {
    fn reserve(path: &'a str) -> Result<Self> {
        if path.is_empty() {
            return Ok(Self { path, written: true });
        }
        if corten_sys::fs::exists(path).unwrap_or(false) {
            return Err(Error::new(format!(
                "container ID file found, make sure the other container isn't running or delete {path}"
            )));
        }
        corten_sys::fs::create(path).map_err(|e| {
            Error::new(format!(
                "failed to create the container ID file: {}",
                file_error("open", path, &e)
            ))
        })?;
        Ok(Self { path, written: false })
    }

    fn write(&mut self, id: &str) -> Result<()> {
        if self.path.is_empty() {
            return Ok(());
        }
        corten_sys::fs::write(self.path, id).map_err(|e| Error::new(e.to_string()))?;
        self.written = true;
        Ok(())
    }
}

impl Drop for IdFile<'_> {
    fn drop(&mut self) {
        if !self.written {
            // The error that brought us here is the one to report.
            let _ = corten_sys::fs::remove_file(self.path);
        }
    }
}
