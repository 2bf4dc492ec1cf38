//! Repositories of git, checked out by the program `git` in a way that runs nothing of theirs.

use std::{
    ffi::OsStr,
    path::Path,
    process::Stdio,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use corten_build::{Agents, GitSource};
use corten_sys::{
    fs,
    program::{self, GitDanger},
};
use tokio::process::Command;

use crate::{
    containers::AgentSocket,
    error::{Error, Kind, Result, blocking},
};

/// Lines of git's complaint that are told.
const LINES: usize = 5;

/// Which agent's keys open repositories, as BuildKit has it.
const AGENT: &str = "default";

/// Checks a repository out into an empty folder; gives the commit.
pub(super) async fn check_out(
    source: &GitSource,
    agents: &Arc<dyn Agents>,
    exec_root: &Path,
    folder: &Path,
) -> Result<String> {
    check(source)?;
    let socket = match source.is_ssh() {
        true => Some(agent(agents, exec_root).await?),
        false => None,
    };
    let all = tempfile_beside(folder)?;
    let git = Git {
        folder: &all,
        socket: socket.as_ref(),
    };
    let result = git.fetch(source).await.and_then(|commit| verify(source, commit));
    let commit = match result {
        Ok(commit) => commit,
        Err(error) => {
            fs::if_there(fs::remove_dir_all(&all))?;
            return Err(error);
        }
    };
    if !source.keep_git_dir {
        fs::if_there(fs::remove_dir_all(all.join(".git")))?;
    }
    let wanted = inside(&all, &source.folder)?;
    for entry in fs::read_dir(&wanted)? {
        let entry = entry?;
        fs::rename(entry.path(), folder.join(entry.file_name()))?;
    }
    fs::if_there(fs::remove_dir_all(&all))?;
    Ok(commit)
}

/// A socket at which the client's agent answers. Without one nothing is asked: the engine's own keys are not the
/// client's.
async fn agent(agents: &Arc<dyn Agents>, exec_root: &Path) -> Result<AgentSocket> {
    /// For names that differ.
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let asked = Arc::clone(agents);
    let has = blocking(move || {
        asked
            .has(AGENT)
            .map_err(|error| Error::new(error.kind(), error.to_string()))
    });
    if !has.await? {
        let message = format!("no SSH key {AGENT:?} forwarded from the client");
        return Err(Error::invalid(message).hint("give one with --ssh default"));
    }
    let name = format!("git-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    AgentSocket::listen(exec_root, &name, agents, AGENT)
}

fn verify(source: &GitSource, commit: String) -> Result<String> {
    match commit.starts_with(&source.checksum) {
        true => Ok(commit),
        false => Err(Error::invalid(format!(
            "expected checksum to match {}, got {commit}",
            source.checksum
        ))),
    }
}

fn tempfile_beside(folder: &Path) -> Result<std::path::PathBuf> {
    let beside = folder.with_file_name("git");
    fs::if_there(fs::remove_dir_all(&beside))?;
    fs::create_dir(&beside)?;
    Ok(beside)
}

/// Nothing that git could take for an option, and no transport but those of the network.
fn check(source: &GitSource) -> Result<()> {
    let bad = |what: &str| {
        Err(Error::invalid(format!(
            "invalid git address {:?}: {what}",
            source.address
        )))
    };
    match program::git_danger(&source.address, &source.reference) {
        Some(GitDanger::Option) => bad("it begins with a dash"),
        Some(GitDanger::Helper) => bad("it names a helper program"),
        None if !source.reference.contains(char::is_whitespace) => Ok(()),
        Some(GitDanger::Control) | None => bad("the reference has white space in it"),
    }
}

/// The program, at work in one folder.
struct Git<'a> {
    folder: &'a Path,
    /// Who has the keys, when it speaks SSH.
    socket: Option<&'a AgentSocket>,
}

impl Git<'_> {
    async fn fetch(&self, source: &GitSource) -> Result<String> {
        self.run(&["init", "-q", "."]).await?;
        let wanted = match source.reference.as_str() {
            "" => "HEAD",
            reference => reference,
        };
        let address = source.address.as_str();
        let mut fetched = self.run(&["fetch", "-q", "--depth=1", "--", address, wanted]).await;
        if fetched.is_err() {
            // A server without commands of its own gives away whole histories only.
            fetched = self.run(&["fetch", "-q", "--tags", "--", address, wanted]).await;
        }
        match fetched {
            Ok(_) => self.run(&["checkout", "-q", "--detach", "FETCH_HEAD"]).await?,
            Err(error) => {
                // The beginning of a commit's name, or one that the server gives away only with all else.
                let is_commit = wanted.len() >= 4 && wanted.bytes().all(|byte| byte.is_ascii_hexdigit());
                let all = [
                    "fetch",
                    "-q",
                    "--tags",
                    "--",
                    address,
                    "+refs/heads/*:refs/remotes/origin/*",
                ];
                if !is_commit || self.run(&all).await.is_err() {
                    return Err(error);
                }
                self.run(&["checkout", "-q", "--detach", wanted]).await?
            }
        };
        if fs::exists(self.folder.join(".gitmodules"))? {
            self.submodules(address).await?;
        }
        Ok(self.run(&["rev-parse", "HEAD"]).await?.trim().to_owned())
    }

    /// Submodules may name repositories beside this one.
    async fn submodules(&self, address: &str) -> Result<()> {
        self.run(&["remote", "add", "origin", address]).await?;
        let modules = ["submodule", "update", "-q", "--init", "--recursive", "--depth=1"];
        self.run(&modules).await.map(drop)
    }

    /// Runs git with nothing of the machine's configuration and without hooks.
    async fn run(&self, arguments: &[impl AsRef<OsStr>]) -> Result<String> {
        let mut command = Command::new(git()?);
        command
            .env_clear()
            .envs(ENVIRONMENT)
            .args(program::GIT_SETTINGS.iter().flat_map(|setting| ["-c", setting]))
            .args(["-c", "core.symlinks=true"])
            .args(arguments)
            .current_dir(self.folder)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        match self.socket {
            Some(socket) => command
                .env("GIT_ALLOW_PROTOCOL", "http:https:git:ssh")
                .env("SSH_AUTH_SOCK", &socket.path)
                .env("GIT_SSH_VARIANT", "ssh")
                .env("GIT_SSH_COMMAND", ssh(&socket.beside("known_hosts"))),
            None => command.env("GIT_ALLOW_PROTOCOL", "http:https:git"),
        };
        let output = command.output().await?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let said: Vec<&str> = said.lines().take(LINES).collect();
        Err(Error::new(
            Kind::NotFound,
            format!("failed to fetch remote repository: {}", said.join("\n")),
        ))
    }
}

/// What git finds around itself.
const ENVIRONMENT: [(&str, &str); 7] = [
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", "/nonexistent"),
    ("LC_ALL", "C"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_LFS_SKIP_SMUDGE", "1"),
];

/// How SSH is spoken: with the keys of the client's agent, and none of this machine's. A host that the machine knows
/// (`/etc/ssh/ssh_known_hosts`) must have the key that it is known by; any other may have one of its own, for as long as this
/// takes, as with BuildKit, which looks at the host's keys just before.
fn ssh(known: &Path) -> String {
    format!(
        "ssh -F /dev/null -o BatchMode=yes -o IdentityFile=none -o ClearAllForwardings=yes -o ConnectTimeout=30 \
         -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile='{}'",
        known.display()
    )
}

fn git() -> Result<&'static Path> {
    static PROGRAM: OnceLock<Option<std::path::PathBuf>> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let folders = ["/usr/local/bin", "/usr/bin", "/bin"];
        program::find_in(folders, "git")
    });
    let missing = || Error::new(Kind::Unavailable, "git is not installed on the engine's machine");
    program.as_deref().ok_or_else(missing)
}

/// A folder of what was checked out; links do not lead out of it.
fn inside(all: &Path, folder: &str) -> Result<std::path::PathBuf> {
    let wanted = all.join(folder.trim_matches('/'));
    let missing = || Error::new(Kind::NotFound, format!("the repository has no folder {folder:?}"));
    let found = fs::canonicalize(&wanted).map_err(|_| missing())?;
    if !found.starts_with(fs::canonicalize(all)?) || !found.is_dir() {
        return Err(missing());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_run_programs_are_refused() {
        let source = |address: &str, reference: &str| GitSource {
            address: address.into(),
            reference: reference.into(),
            ..GitSource::default()
        };
        for bad in ["ext::sh -c x", "--upload-pack=x", "a\nb"] {
            assert!(check(&source(bad, "")).is_err(), "{bad}");
        }
        assert!(check(&source("https://x/y.git", "--output=x")).is_err());
        assert!(check(&source("https://x/y.git", "main")).is_ok());
        for ssh in ["ssh://git@host/y.git", "git@host:y.git"] {
            assert!(check(&source(ssh, "")).is_ok() && source(ssh, "").is_ssh(), "{ssh}");
        }
    }
}
