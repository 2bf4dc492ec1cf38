//! `save`, `load`, `import`: images as files.

use std::path::Path;

use corten_client::{Body, ImportOptions};

use super::tag::split;
use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    error::{Error, Result, file_error},
    flags::Matches,
    output_file,
    progress::{To, show},
};

/// `save`.
pub(crate) static SAVE: Command = Command::new(
    "[OPTIONS] IMAGE [IMAGE...]",
    "Write images to a tar archive (on standard output unless told otherwise)",
    save,
)
.paths(&["image save", "save"])
.arity(Arity::AtLeast(1))
.flags(&[&[
    Flag::string("output", "File to write to, instead of standard output").short('o'),
    Flag::string("platform", "Write only the image of this platform"),
]]);

/// `load`.
pub(crate) static LOAD: Command = Command::new("[OPTIONS]", "Read images from a tar archive", load)
    .paths(&["image load", "load"])
    .arity(Arity::None)
    .flags(&[&[
        Flag::string("input", "File to read, instead of standard input").short('i'),
        Flag::string("platform", "Read only the image of this platform"),
        Flag::switch("quiet", "Say less").short('q'),
    ]]);

/// `import`.
pub(crate) static IMPORT: Command = Command::new(
    "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    "Make an image of a tar archive of files",
    import,
)
.paths(&["image import", "import"])
.arity(Arity::Between(1, 2))
.flags(&[&[
    Flag::list("change", "Dockerfile instruction to apply").short('c'),
    Flag::string("message", "Message to keep with it").short('m'),
    Flag::string("platform", "Platform of the image"),
]]);

fn save(cli: &Cli, m: &Matches) -> Result<()> {
    let file = output_file::Target::open(cli, m.get("output"), "save")?;
    let platform = super::platform_json(m.get("platform"))?;
    cli.wait(async {
        let stream = cli.client()?.save(&m.args, &platform).await?;
        file.fill(stream).await
    })
}

/// Opens a file to read.
fn open(path: &str) -> Result<std::fs::File> {
    corten_sys::fs::open(Path::new(path)).map_err(|e| Error::new(file_error("open", path, &e)))
}

/// Feeds a body from a reader.
fn feed(mut source: impl std::io::Read + Send + 'static) -> Body {
    Body::written(move |out| std::io::copy(&mut source, out).map(drop))
}

fn load(cli: &Cli, m: &Matches) -> Result<()> {
    let body = match m.get("input") {
        "" if cli.in_is_terminal() => return Err(Error::new("requested load from stdin, but stdin is empty")),
        "" => feed(std::io::stdin()),
        path => feed(open(path)?),
    };
    let quiet = m.on("quiet") || !cli.out_is_terminal();
    let platform = super::platform_json(m.get("platform"))?;
    cli.wait(async {
        let messages = cli.client()?.load(quiet, &platform, body).await?;
        show(messages, To::Stdout, |_| {}).await
    })
}

fn import(cli: &Cli, m: &Matches) -> Result<()> {
    let source = m.arg(0);
    let (repository, tag) = split(m.arg(1))?;
    let is_url = source.starts_with("http://") || source.starts_with("https://");
    let (source, body) = match source {
        "-" => ("-", feed(std::io::stdin())),
        url if is_url => (url, Body::Empty),
        path => ("-", feed(open(path)?)),
    };
    let options = ImportOptions {
        source: source.to_owned(),
        repository,
        tag,
        message: m.get("message").to_owned(),
        changes: m.all("change").into_iter().map(str::to_owned).collect(),
        platform: cli.platform(m),
    };
    cli.wait(async {
        let messages = cli.client()?.import(&options, body).await?;
        show(messages, To::Stdout, |_| {}).await
    })
}
