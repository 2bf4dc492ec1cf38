//! Collection of what nobody needs, while the registry works.
//!
//! Nothing stops meanwhile. A repository's manifests say which of its links are needed; the others go
//! when their lease is over: nobody pushed, mounted or asked for them within the time of grace. Whoever
//! pushes a manifest renews the leases of what it refers to before it is written, under the lock that
//! the sweep takes for each digest; so the sweep either sees the new lease, or the push finds that the
//! blob is gone and says so. Content that no repository has is removed in the same way.

mod retention;

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use corten_oci::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::config::Retention;
use crate::document::NeedKind;
use crate::name::Name;
use crate::store::{Removed, Store, Uploads};

/// A grace shorter than this keeps pushes of a repository's manifests waiting while it is swept: leases
/// are renewed only when they are older.
const SHORT: Duration = Duration::from_secs(600);

/// What is to go.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) grace: Duration,
    pub(crate) retention: Vec<Retention>,
    pub(crate) upload_expiry: Duration,
    pub(crate) dry_run: bool,
}

/// What went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) tags: u64,
    pub(crate) manifests: u64,
    /// Links of repositories to blobs.
    pub(crate) blobs: u64,
    /// Content that no repository had any more.
    pub(crate) contents: u64,
    pub(crate) uploads: u64,
    /// Bytes of content and uploads.
    pub(crate) bytes: u64,
}

/// Collects once.
///
/// # Errors
/// What the disk refuses; what was collected before is gone.
pub(crate) fn collect(store: &Store, uploads: &Uploads, options: &Options) -> io::Result<Report> {
    let mut report = Report::default();
    let mut names = Vec::new();
    store.each_repository(&mut |name| names.push(name))?;
    for name in names {
        retention::apply(store, &name, options, &mut report)?;
        sweep_repository(store, &name, options, &mut report)?;
    }
    if !options.dry_run {
        let (count, bytes) = uploads.expire(store, options.upload_expiry)?;
        report.uploads += count;
        report.bytes += bytes;
    }
    sweep_contents(store, options, &mut report)?;
    Ok(report)
}

fn sweep_repository(store: &Store, name: &Name, options: &Options, report: &mut Report) -> io::Result<()> {
    let _guard = (options.grace < SHORT).then(|| store.lock_repository(name));
    let Some(needed) = needed(store, name)? else {
        tracing::error!(repository = %name, "a manifest cannot be read: nothing of its repository is collected");
        return Ok(());
    };
    for digest in store.links(name)? {
        if needed.contains(&digest) {
            continue;
        }
        let removed = match options.dry_run {
            true => store.would_sweep(name, &digest, options.grace)?,
            false => store.sweep_blob(name, &digest, options.grace)?,
        };
        if matches!(removed, Removed::Yes(_)) {
            report.blobs += 1;
        }
    }
    if !options.dry_run {
        store.sweep_strays(name, options.grace)?;
        store.remove_if_empty(name)?;
    }
    Ok(())
}

/// The blobs that a repository's manifests need; none when one of them cannot be read.
fn needed(store: &Store, name: &Name) -> io::Result<Option<HashSet<Digest>>> {
    let mut needed = HashSet::new();
    for digest in store.manifests(name)? {
        match store.read_manifest(name, &digest)? {
            Some(document) => {
                // An index may list what is no manifest, and is a blob here.
                let needs = document.needs.into_iter();
                needed.extend(needs.map(|need| need.digest));
            }
            // Deleted since it was listed, or damaged.
            None if store.record(name, &digest)?.is_some() => return Ok(None),
            None => {}
        }
    }
    Ok(Some(needed))
}

fn sweep_contents(store: &Store, options: &Options, report: &mut Report) -> io::Result<()> {
    let mut digests = Vec::new();
    store.each_content(&mut |digest, _| digests.push(digest))?;
    for digest in digests {
        let removed = match options.dry_run {
            true => store.would_sweep_content(&digest, options.grace)?,
            false => store.sweep_content(&digest, options.grace)?,
        };
        if let Removed::Yes(bytes) = removed {
            report.contents += 1;
            report.bytes += bytes;
        }
    }
    Ok(())
}

/// Whether a need is for a manifest.
pub(crate) fn is_manifest(kind: NeedKind) -> bool {
    kind == NeedKind::Manifest
}
