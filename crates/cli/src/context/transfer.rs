//! `context export` and `context import`.

use std::io::{Read as _, Write as _};

use super::{TLS_FILES, archive, check_name, meta_folder, tls_folder};
use crate::{
    cli::{Cli, write_or_exit},
    command::{Arity, Command},
    error::{Error, Result, file_error},
    flags::Matches,
    opts::quote,
};

pub(super) static EXPORT: Command = Command::new(
    "CONTEXT [FILE|-]",
    "Write a context to an archive, CONTEXT.dockercontext, FILE or standard output",
    export,
)
.arity(Arity::Between(1, 2));

pub(super) static IMPORT: Command = Command::new(
    "CONTEXT FILE|-",
    "Make a context of an archive, a file or standard input",
    import,
)
.arity(Arity::Exactly(2));

/// The file with a context's description.
const META: &str = "meta.json";

fn export(cli: &Cli, m: &Matches) -> Result<()> {
    let name = m.arg(0);
    check_name(name)?;
    crate::target::load_context(cli.folder(), name)?;
    let read = |path: std::path::PathBuf| corten_sys::fs::read(&path).map_err(|e| Error::new(e.to_string()));
    let mut files = vec![(META.to_owned(), read(meta_folder(cli, name).join(META))?)];
    for file in TLS_FILES {
        let path = tls_folder(cli, name).join("docker").join(file);
        if corten_sys::fs::exists(&path).unwrap_or(false) {
            files.push((format!("tls/docker/{file}"), read(path)?));
        }
    }
    let archive = archive::pack(&files);
    let target = match m.arg(1) {
        "" => format!("{name}.dockercontext"),
        target => target.to_owned(),
    };
    if target == "-" {
        if cli.out_is_terminal() {
            return Err(Error::new(
                "cowardly refusing to export to a terminal, specify a file path",
            ));
        }
        write_or_exit(&mut std::io::stdout().lock(), &archive);
        return Ok(());
    }
    let failed = |e: std::io::Error| Error::new(file_error("open", &target, &e));
    let mut options = std::fs::File::options();
    let mut file = corten_sys::fs::open_with(options.write(true).create_new(true), &target).map_err(failed)?;
    // Keys may be in it.
    corten_sys::fs::set_mode(&target, 0o600).map_err(failed)?;
    file.write_all(&archive).map_err(failed)?;
    cli.err(&format!("Written file {}", quote(&target)));
    Ok(())
}

fn import(cli: &Cli, m: &Matches) -> Result<()> {
    let name = m.arg(0);
    check_name(name)?;
    let folder = meta_folder(cli, name);
    if corten_sys::fs::exists(folder.join(META)).unwrap_or(false) {
        return Err(Error::new(format!("context {} already exists", quote(name))));
    }
    let bytes = source(m.arg(1))?;
    if bytes.starts_with(b"PK") {
        return Err(Error::new(
            "zip archives are not supported: export the context as a tar",
        ));
    }
    let files = archive::unpack(&bytes).ok_or_else(|| Error::new("unexpected context file: it is no tar archive"))?;
    let mut meta = None;
    let mut secrets = Vec::new();
    for (path, content) in files {
        match path.strip_prefix("tls/docker/") {
            None if path == META => meta = Some(content),
            Some(file) if TLS_FILES.contains(&file) => secrets.push((file.to_owned(), content)),
            _ => return Err(Error::new(format!("unexpected context file: {path}"))),
        }
    }
    let meta = meta.ok_or_else(|| Error::new("unexpected context file: there is no meta.json in it"))?;
    let mut document: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&meta).map_err(|e| Error::new(format!("{META}: {e}")))?;
    // It goes by the name that it is given here.
    document.insert("Name".to_owned(), name.into());
    let failed = |e: std::io::Error| Error::new(e.to_string());
    for (file, content) in secrets {
        let target = tls_folder(cli, name).join("docker");
        corten_sys::fs::create_dir_all_mode(&target, 0o700).map_err(failed)?;
        corten_sys::fs::write_atomic_mode(target.join(file), content, 0o600).map_err(failed)?;
    }
    super::write(cli, name, &document)?;
    cli.out(name);
    cli.err(&format!("Successfully imported context {}", quote(name)));
    Ok(())
}

/// The bytes of a file, or of standard input.
fn source(path: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(archive::LIMIT).unwrap_or(u64::MAX) + 1;
    let read = if path == "-" {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        corten_sys::fs::open(path)
            .map_err(|e| Error::new(file_error("open", path, &e)))?
            .take(most)
            .read_to_end(&mut bytes)
    };
    read.map_err(|e| Error::new(file_error("read", path, &e)))?;
    if bytes.len() > archive::LIMIT {
        return Err(Error::new("unexpected context file: it is too large"));
    }
    Ok(bytes)
}
