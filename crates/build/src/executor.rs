//! What a build needs of an engine.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use corten_dockerfile::{Network, Security};
use corten_oci::digest::Digest;
use corten_oci::image::ImageConfig;

use crate::error::Result;
use crate::event::Transfer;
use crate::request::{Agents, Secret};

/// Which of a command's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// A command to be run in a container of its own.
#[derive(Debug, Clone)]
pub struct Process {
    /// The container's id, and that of the root that was made for it.
    pub id: String,
    /// Program and arguments.
    pub arguments: Vec<String>,
    /// Environment.
    pub environment: Vec<String>,
    /// Folder it starts in.
    pub folder: String,
    /// User and group.
    pub user: String,
    /// Its network.
    pub network: Network,
    /// What it may do.
    pub security: Security,
    /// A tree to be put below all layers, with an empty place for everything that is mounted.
    pub stubs: PathBuf,
    /// What is mounted.
    pub mounts: Vec<ProcessMount>,
    /// Full names of devices.
    pub devices: Vec<String>,
}

/// A device of this machine that steps may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FoundDevice {
    /// Its full name, `vendor/class=name`.
    pub name: String,
    /// Whether builds may have it without being allowed to.
    pub open: bool,
}

/// Something mounted while a command runs.
#[derive(Debug, Clone)]
pub enum ProcessMount {
    /// A file or folder of the host.
    Bind {
        /// Where it is.
        source: PathBuf,
        /// Where it appears.
        target: String,
        /// Whether it cannot be written.
        read_only: bool,
    },
    /// Memory.
    Tmpfs {
        /// Where it appears.
        target: String,
        /// Most bytes; 0 for no bound of its own.
        size: u64,
    },
    /// A secret's bytes, kept in memory only.
    Secret {
        /// Where they appear.
        target: String,
        /// The bytes.
        secret: Secret,
        /// Who may read them.
        access: FileAccess,
    },
    /// A socket at which an agent answers.
    Agent {
        /// Where it appears.
        target: String,
        /// The agent's name.
        id: String,
        /// Who has it.
        agents: Arc<dyn Agents>,
        /// Who may speak to it.
        access: FileAccess,
    },
}

/// Mode and owner of a file that is made for a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileAccess {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// The image that a stage begins with.
#[derive(Debug, Clone)]
pub struct BaseImage {
    /// Its id.
    pub id: Digest,
    /// Its configuration.
    pub config: ImageConfig,
}

/// A repository of git that files are wanted of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GitSource {
    /// Its address.
    pub address: String,
    /// Branch, tag or commit; empty for the default branch.
    pub reference: String,
    /// The folder that is wanted; empty for all.
    pub folder: String,
    /// Whether `.git` stays.
    pub keep_git_dir: bool,
    /// The beginning of the commit that it must be; empty for any.
    pub checksum: String,
}

/// The engine, as a build sees it. Its functions block, may be called by several steps at once, and return
/// soon after the build was cancelled.
pub trait Executor: Sync {
    /// Finds an image, pulling it when it is not there or when the build wants the newest.
    ///
    /// # Errors
    /// As the registry says.
    fn image(&self, reference: &str, platform: &str, pulling: &mut dyn FnMut(Transfer)) -> Result<BaseImage>;

    /// Runs a command to its end; gives its exit code. Nothing is left of it.
    ///
    /// # Errors
    /// When it cannot be started, or the build was cancelled.
    fn run(&self, process: &Process, output: &mut dyn FnMut(Stream, &[u8])) -> Result<i32>;

    /// Opens a file on a web server: its bytes, and when it was changed, in seconds since the epoch.
    ///
    /// # Errors
    /// As the server says.
    fn fetch(&self, url: &str) -> Result<(Box<dyn Read>, Option<i64>)>;

    /// Checks a repository out into an empty folder; gives the commit. One that is reached over SSH is asked for
    /// with the keys of the agent `default`.
    ///
    /// # Errors
    /// As git says, and without such an agent.
    fn git(&self, source: &GitSource, agents: &Arc<dyn Agents>, folder: &Path) -> Result<String>;

    /// The devices that a name stands for: `vendor/class=name`, or as BuildKit has it more of them.
    ///
    /// # Errors
    /// When it is no such name.
    fn devices(&self, name: &str) -> Result<Vec<FoundDevice>>;

    /// Whether nobody wants the result any more.
    fn is_cancelled(&self) -> bool;

    /// Ends what still runs: a step failed, and the others are not wanted any more.
    fn abort(&self);
}

impl GitSource {
    /// Reads an address as `docker build` has it: `https://host/path.git#reference:folder`, `user@host:path`,
    /// `git://…`, `ssh://…`, `github.com/…`, and since 1.19 `?ref=…&subdir=…`; none for what is no repository.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (before, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (plain, query) = before.split_once('?').unwrap_or((before, ""));
        let is_web = plain.starts_with("http://") || plain.starts_with("https://");
        let is_git = plain.starts_with("git://")
            || plain.starts_with("ssh://")
            || is_scp(plain)
            || plain.starts_with("github.com/")
            || (is_web && plain.trim_end_matches('/').ends_with(".git"))
            || plain.starts_with("https://github.com/") && plain.split('/').count() == 5;
        if !is_git {
            return None;
        }
        let (reference, folder) = fragment.split_once(':').unwrap_or((fragment, ""));
        let mut source = Self {
            address: match plain.strip_prefix("github.com/") {
                Some(path) => format!("https://github.com/{path}"),
                None => plain.to_owned(),
            },
            reference: reference.to_owned(),
            folder: folder.trim_matches('/').to_owned(),
            keep_git_dir: false,
            checksum: String::new(),
        };
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match key {
                "ref" | "branch" | "tag" => value.clone_into(&mut source.reference),
                "commit" | "checksum" => value.clone_into(&mut source.checksum),
                "subdir" => value.trim_matches('/').clone_into(&mut source.folder),
                "keep-git-dir" => source.keep_git_dir = matches!(value, "1" | "true"),
                _ => {}
            }
        }
        if source.reference.is_empty() {
            source.checksum.clone_into(&mut source.reference);
        }
        Some(source)
    }

    /// Whether it is reached over SSH.
    #[must_use]
    pub fn is_ssh(&self) -> bool {
        self.address.starts_with("ssh://") || is_scp(&self.address)
    }
}

/// Whether an address is one of scp(1)'s: `user@host:path`.
fn is_scp(text: &str) -> bool {
    let is_word = |text: &str| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !text.is_empty() && !text.starts_with('-') && text.bytes().all(is_part)
    };
    let Some((host, path)) = text.split_once(':') else {
        return false;
    };
    match host.split_once('@') {
        Some((user, host)) => is_word(user) && is_word(host) && !path.is_empty() && !path.starts_with("//"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_repositories() {
        let check = |text: &str, expected: Option<(&str, &str, &str)>| {
            let found = GitSource::parse(text);
            let found = found
                .as_ref()
                .map(|s| (s.address.as_str(), s.reference.as_str(), s.folder.as_str()));
            assert_eq!(found, expected, "{text}");
        };
        check("https://x/y.git", Some(("https://x/y.git", "", "")));
        check("https://x/y.git#main:a/b", Some(("https://x/y.git", "main", "a/b")));
        check("https://x/y.git#:d", Some(("https://x/y.git", "", "d")));
        check("git@github.com:a/b.git#v1", Some(("git@github.com:a/b.git", "v1", "")));
        check("git://x/y", Some(("git://x/y", "", "")));
        check("github.com/a/b", Some(("https://github.com/a/b", "", "")));
        check("https://x/y.git?ref=v2&subdir=d", Some(("https://x/y.git", "v2", "d")));
        check("me@host.example:~/a#v1:d", Some(("me@host.example:~/a", "v1", "d")));
        check("ssh://git@h:2222/a", Some(("ssh://git@h:2222/a", "", "")));
        for other in [
            "https://x/y.tar.gz",
            "a.git",
            "./x",
            "https://x/y.git/archive.tar",
            "a@b/c:d",
            "-a@b:c",
            "git@host",
        ] {
            check(other, None);
        }
    }

    #[test]
    fn commits_are_verified_or_wanted() {
        let read = |text: &str| {
            let source = GitSource::parse(text).expect("a repository");
            (source.reference, source.checksum)
        };
        let expected = |reference: &str, checksum: &str| (reference.to_owned(), checksum.to_owned());
        assert_eq!(read("https://x/y.git?tag=v1&commit=ab12"), expected("v1", "ab12"));
        assert_eq!(read("https://x/y.git?checksum=ab12"), expected("ab12", "ab12"));
        assert_eq!(read("https://x/y.git?branch=b"), expected("b", ""));
    }
}
