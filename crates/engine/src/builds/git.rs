//! Repositories of git, checked out by the program `git` in a way that runs nothing of theirs.

use std::{ffi::OsStr, path::Path, process::Stdio, sync::OnceLock};

use corten_build::{Agents, GitSource};
use corten_sys::fs;
use tokio::process::Command;

use crate::error::{Error, Kind, Result};

/// Lines of git's complaint that are told.
const LINES: usize = 5;

/// Checks a repository out into an empty folder; gives the commit.
pub(super) async fn check_out(source: &GitSource, _agents: &dyn Agents, folder: &Path) -> Result<String> {
    check(source)?;
    let all = tempfile_beside(folder)?;
    let result = fetch(source, &all).await;
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

fn tempfile_beside(folder: &Path) -> Result<std::path::PathBuf> {
    let beside = folder.with_file_name("git");
    fs::if_there(fs::remove_dir_all(&beside))?;
    fs::create_dir(&beside)?;
    Ok(beside)
}

/// Nothing that git could take for an option, and no transport but those of the network.
fn check(source: &GitSource) -> Result<()> {
    let bad = |what: &str| Error::invalid(format!("invalid git address {:?}: {what}", source.address));
    if source.address.starts_with('-') || source.reference.starts_with('-') {
        return Err(bad("it begins with a dash"));
    }
    if source.address.contains("::") || source.address.chars().any(char::is_control) {
        return Err(bad("it names a helper program"));
    }
    let is_ssh =
        source.address.starts_with("ssh://") || (!source.address.contains("://") && source.address.contains('@'));
    if is_ssh {
        return Err(Error::new(
            Kind::Unsupported,
            format!(
                "the repository {:?} over SSH is not supported: give its https address, or clone it and build the folder",
                source.address
            ),
        ));
    }
    if source.reference.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(bad("the reference has white space in it"));
    }
    Ok(())
}

async fn fetch(source: &GitSource, folder: &Path) -> Result<String> {
    git(folder, &["init", "-q", "."]).await?;
    let wanted = match source.reference.as_str() {
        "" => "HEAD",
        reference => reference,
    };
    let address = source.address.as_str();
    let mut fetched = git(folder, &["fetch", "-q", "--depth=1", "--", address, wanted]).await;
    if fetched.is_err() {
        // A server without commands of its own gives away whole histories only.
        fetched = git(folder, &["fetch", "-q", "--tags", "--", address, wanted]).await;
    }
    match fetched {
        Ok(_) => git(folder, &["checkout", "-q", "--detach", "FETCH_HEAD"]).await?,
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
            if !is_commit || git(folder, &all).await.is_err() {
                return Err(error);
            }
            git(folder, &["checkout", "-q", "--detach", wanted]).await?
        }
    };
    let modules = ["submodule", "update", "-q", "--init", "--recursive", "--depth=1"];
    if fs::exists(folder.join(".gitmodules"))? {
        git(folder, &modules).await?;
    }
    Ok(git(folder, &["rev-parse", "HEAD"]).await?.trim().to_owned())
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

/// Runs git with nothing of the machine's configuration and without hooks.
async fn git(folder: &Path, arguments: &[impl AsRef<OsStr>]) -> Result<String> {
    static PROGRAM: OnceLock<Option<std::path::PathBuf>> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let folders = ["/usr/local/bin", "/usr/bin", "/bin"].iter().map(Path::new);
        folders.map(|folder| folder.join("git")).find(|path| path.exists())
    });
    let program = program
        .as_ref()
        .ok_or_else(|| Error::new(Kind::Unavailable, "git is not installed on the engine's machine"))?;
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs([
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            ("HOME", "/nonexistent"),
            ("LC_ALL", "C"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ALLOW_PROTOCOL", "http:https:git"),
            ("GIT_LFS_SKIP_SMUDGE", "1"),
        ])
        .args([
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "core.fsmonitor=false",
            "-c",
            "core.symlinks=true",
            "-c",
            "protocol.file.allow=never",
            "-c",
            "protocol.ext.allow=never",
            "-c",
            "init.defaultBranch=main",
            "-c",
            "advice.detachedHead=false",
        ])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
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
        for refused in ["ssh://git@host/y.git", "git@host:y.git"] {
            assert_eq!(check(&source(refused, "")).unwrap_err().kind(), Kind::Unsupported);
        }
    }
}
