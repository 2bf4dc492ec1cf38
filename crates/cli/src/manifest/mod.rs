//! `manifest …`: lists of images for several platforms, put together here and sent to their registry. The engine
//! has no part in it.

mod entry;
mod list;
mod store;

use corten_distribution::{Documents, Purpose};
use corten_oci::{
    image::{Document, Manifest},
    reference::Reference,
};

use crate::{
    cli::Cli,
    command::{Arity, Command, Entry as Place, Flag},
    error::{Error, Result},
    flags::Matches,
    remote::{Remote, named, selector, take, wrong},
};
use entry::Entry;
use store::{Store, none};

const INSECURE: Flag = Flag::switch(
    "insecure",
    "Speak to a registry without TLS or a valid certificate, too",
);

/// `manifest`.
pub(crate) static GROUP: Command = Command::group(
    "Manage manifests and lists of them",
    &[
        Place::new(&["annotate"], &ANNOTATE),
        Place::new(&["create"], &CREATE),
        Place::new(&["inspect"], &INSPECT),
        Place::new(&["push"], &PUSH),
        Place::new(&["rm"], &REMOVE),
    ],
);

static ANNOTATE: Command = Command::new(
    "[OPTIONS] MANIFEST_LIST MANIFEST",
    "Say in a list which platform an image is for",
    annotate,
)
.arity(Arity::Exactly(2))
.flags(&[&[
    Flag::string("arch", "Architecture"),
    Flag::string("os", "Operating system"),
    Flag::strings("os-features", "Features of the operating system"),
    Flag::string("os-version", "Version of the operating system"),
    Flag::string("variant", "Variant of the architecture"),
]]);

static CREATE: Command = Command::new(
    "MANIFEST_LIST MANIFEST [MANIFEST...]",
    "Put a list together here, to be annotated and pushed",
    create,
)
.arity(Arity::AtLeast(2))
.flags(&[&[
    Flag::switch("amend", "Add to a list that is there").short('a'),
    INSECURE,
]]);

static INSPECT: Command = Command::new(
    "[OPTIONS] [MANIFEST_LIST] MANIFEST",
    "Show an image's manifest, or a list of them",
    inspect,
)
.arity(Arity::Between(1, 2))
.flags(&[&[
    INSECURE,
    Flag::switch("verbose", "Show where each comes from, and its layers and platform").short('v'),
]]);

static PUSH: Command = Command::new("[OPTIONS] MANIFEST_LIST", "Send a list to its registry", push)
    .arity(Arity::Exactly(1))
    .flags(&[&[
        INSECURE,
        Flag::switch("purge", "Forget the list here afterwards").short('p'),
    ]]);

static REMOVE: Command = Command::new(
    "MANIFEST_LIST [MANIFEST_LIST...]",
    "Forget lists that are put together here",
    remove,
)
.arity(Arity::AtLeast(1));

/// The registries for these names.
fn remote<'a>(cli: &'a Cli, m: &Matches, names: &[&Reference]) -> Result<Remote<'a>> {
    let domains: Vec<&str> = names.iter().map(|name| name.domain()).collect();
    Remote::new(cli, if m.on("insecure") { &domains } else { &[] })
}

fn create(cli: &Cli, m: &Matches) -> Result<()> {
    let list = named(m.arg(0))
        .map_err(|error| Error::new(format!("error parsing name for manifest list {}: {error}", m.arg(0))))?;
    let store = Store::new(cli.folder());
    if store.list(&list)?.is_some() && !m.on("amend") {
        return Err(Error::new(
            "refusing to amend an existing manifest list with no --amend flag",
        ));
    }
    for name in &m.args[1..] {
        let image = named(name)?;
        let entry = match store.get(&list, &image)? {
            Some(entry) => entry,
            None => {
                let remote = remote(cli, m, &[&image])?;
                cli.wait(async {
                    let documents = remote.open(&image, Purpose::Pull).await?;
                    Entry::fetch(&documents, &image).await
                })?
            }
        };
        store.save(&list, &image, &entry)?;
    }
    cli.out(&format!("Created manifest list {list}"));
    Ok(())
}

fn annotate(cli: &Cli, m: &Matches) -> Result<()> {
    let parse = |what: &str, text: &str| {
        named(text).map_err(|error| Error::new(format!("annotate: error parsing name for {what} {text}: {error}")))
    };
    let (list, image) = (parse("manifest list", m.arg(0))?, parse("manifest", m.arg(1))?);
    let store = Store::new(cli.folder());
    let mut entry = store.get(&list, &image)?.ok_or_else(|| {
        Error::new(format!(
            "manifest for image {} does not exist in {}",
            m.arg(1),
            m.arg(0)
        ))
    })?;
    let platform = entry.descriptor.platform.get_or_insert_default();
    let set = |field: &mut String, flag: &str| {
        if !m.get(flag).is_empty() {
            m.get(flag).clone_into(field);
        }
    };
    set(&mut platform.os, "os");
    set(&mut platform.architecture, "arch");
    set(&mut platform.variant, "variant");
    set(&mut platform.os_version, "os-version");
    for feature in m.strings("os-features") {
        if !platform.os_features.contains(&feature) {
            platform.os_features.push(feature);
        }
    }
    if !list::is_known(&platform.os, &platform.architecture) {
        return Err(Error::new(format!(
            "manifest entry for image has unsupported os/arch combination: {}/{}",
            m.get("os"),
            m.get("arch")
        )));
    }
    store.save(&list, &image, &entry)
}

fn inspect(cli: &Cli, m: &Matches) -> Result<()> {
    let store = Store::new(cli.folder());
    let verbose = m.on("verbose");
    if m.args.len() == 2 {
        let (list, image) = (named(m.arg(0))?, named(m.arg(1))?);
        let entry = store.get(&list, &image)?.ok_or_else(|| none(&image))?;
        cli.print(&entry.shown(verbose)?);
        return Ok(());
    }
    let name = named(m.arg(0))?;
    if let Some(entries) = store.list(&name)? {
        cli.print(&shown(&name, &entries, verbose)?);
        return Ok(());
    }
    let remote = remote(cli, m, &[&name])?;
    let text = cli.wait(async {
        let documents = remote.open(&name, Purpose::Pull).await?;
        let fetched = documents.manifest(&selector(&name)).await.map_err(wrong)?;
        match entry::parse(&fetched)? {
            Document::Manifest(manifest) => {
                let entry = Entry::new(&documents, &name, &fetched, &manifest).await?;
                entry.shown(verbose)
            }
            Document::Index(index) if !verbose => {
                let bytes = list::write(list::kind(&index.manifests), &index.manifests)?;
                Ok(String::from_utf8_lossy(&bytes).into_owned() + "\n")
            }
            Document::Index(index) => {
                let mut entries = Vec::new();
                for descriptor in index.manifests {
                    let digest = &descriptor.digest;
                    let image = crate::image::pull::parse(&format!("{name}@{digest}"))?;
                    let mut entry = Entry::fetch(&documents, &image).await?;
                    // What the list says of the platform counts.
                    entry.descriptor.platform = descriptor.platform.or(entry.descriptor.platform);
                    entries.push(entry);
                }
                shown(&name, &entries, true)
            }
        }
    })?;
    cli.print(&text);
    Ok(())
}

/// A list, for people.
fn shown(name: &Reference, entries: &[Entry], verbose: bool) -> Result<String> {
    let text = if verbose {
        let text = serde_json::to_string(entries).map_err(|error| Error::new(error.to_string()))?;
        corten_template::indent_by(&text, "\t")
    } else {
        let manifests = list::descriptors(name, entries)?;
        String::from_utf8_lossy(&list::write(list::kind(&manifests), &manifests)?).into_owned()
    };
    Ok(text + "\n")
}

fn push(cli: &Cli, m: &Matches) -> Result<()> {
    let target = named(m.arg(0))?;
    let store = Store::new(cli.folder());
    let entries = store.known(&target)?;
    let lacking = |entry: &&Entry| {
        let platform = entry.descriptor.platform.as_ref();
        platform.is_none_or(|platform| platform.os.is_empty() || platform.architecture.is_empty())
    };
    if let Some(entry) = entries.iter().find(lacking) {
        return Err(Error::new(format!(
            "manifest {} must have an OS and Architecture to be pushed to a registry",
            entry.reference
        )));
    }
    let manifests = list::descriptors(&target, &entries)?;
    let kind = list::kind(&manifests);
    let bytes = list::write(kind, &manifests)?;
    let digest = corten_oci::digest::Digest::sha256(&bytes);
    let remote = remote(cli, m, &[&target])?;
    cli.wait(async {
        let documents = remote.open(&target, Purpose::Push).await?;
        for entry in &entries {
            let name = entry.name()?;
            if name.repository() != target.repository() {
                let from = remote.open(&name, Purpose::Pull).await?;
                bring(cli, &documents, &from, &target, entry).await?;
            }
        }
        let put = documents.put_manifest(target.tag().unwrap_or("latest"), kind, bytes.into());
        put.await.map_err(wrong)
    })?;
    cli.out(digest.as_str());
    if m.on("purge") { store.remove(&target) } else { Ok(()) }
}

/// Brings an image of another repository into the list's.
async fn bring(cli: &Cli, into: &Documents, from: &Documents, target: &Reference, entry: &Entry) -> Result<()> {
    let bytes = entry.bytes()?;
    let manifest = Manifest::parse(&bytes).map_err(|error| Error::new(error.to_string()))?;
    let mut blobs = manifest.layers;
    blobs.push(manifest.config);
    take(into, from, &blobs).await?;
    let (digest, kind) = (entry.descriptor.digest.as_str(), &entry.descriptor.media_type);
    into.put_manifest(digest, kind, bytes.into()).await.map_err(wrong)?;
    cli.out(&format!(
        "Pushed ref {}@{digest} with digest: {digest}",
        target.repository()
    ));
    Ok(())
}

fn remove(cli: &Cli, m: &Matches) -> Result<()> {
    let store = Store::new(cli.folder());
    let errors = m.args.iter().filter_map(|name| {
        let removed = named(name).and_then(|list| {
            store.known(&list)?;
            store.remove(&list)
        });
        removed.err()
    });
    Error::all(errors.collect())
}
