//! Repositories of Git, by the program `git`, in a way that runs nothing of theirs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use corten_compose::{Error, Result, remote::Local};
use corten_sys::program::{self, GitDanger};

use super::kept;

/// The names of the file that is wanted, the preferred one first.
const FILES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];
/// Lines of git's complaint that are told.
const LINES: usize = 5;

pub(super) fn fetch(cache: &Path, repository: &str, reference: &str, path: &str) -> Result<Local> {
    check(repository, reference, path)?;
    let commit = commit_of(repository, reference)?;
    let root = cache.join(&commit);
    kept(&root, |folder| check_out(folder, repository, reference, &commit))?;
    let file = file_in(&root.join(path))?;
    Ok(Local { file, root })
}

/// Nothing that git could take for an option, no transport that runs programs, no way out of the repository.
fn check(repository: &str, reference: &str, path: &str) -> Result<()> {
    match program::git_danger(repository, reference) {
        None => {}
        Some(GitDanger::Option) => return Err(Error::invalid("an address of git does not begin with a dash")),
        Some(GitDanger::Helper | GitDanger::Control) => {
            return Err(Error::invalid("an address of git names no helper program"));
        }
    }
    let steps: Vec<&str> = path.split(['/', '\\']).collect();
    if path.starts_with('/') || steps.contains(&"..") {
        return Err(Error::invalid(format!(
            "git subdirectory path traversal detected: {path}"
        )));
    }
    if steps.first() == Some(&".git") {
        return Err(Error::invalid(format!("{path} is no folder of the repository")));
    }
    Ok(())
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The commit that a reference means now.
fn commit_of(repository: &str, reference: &str) -> Result<String> {
    let wanted = if reference.is_empty() { "HEAD" } else { reference };
    if is_commit(wanted) {
        return Ok(wanted.to_owned());
    }
    // A tag with a message has two lines: its own, and one with what it is of.
    let peeled = format!("{wanted}^{{}}");
    let listed = git(Path::new("/"), &["ls-remote", "--", repository, wanted, &peeled])
        .map_err(|said| Error::unavailable(format!("failed to access repository at {repository}:\n {said}")))?;
    let lines: Vec<(&str, &str)> = listed.lines().filter_map(|line| line.split_once('\t')).collect();
    let of_tag = lines.iter().find(|(_, name)| name.ends_with("^{}"));
    match of_tag.or(lines.first()) {
        Some((commit, _)) if is_commit(commit) => Ok((*commit).to_owned()),
        Some((commit, _)) => Err(Error::invalid(format!("invalid commit sha {commit:?}"))),
        None => Err(Error::not_found(format!("repository does not contain ref {wanted}"))),
    }
}

fn check_out(folder: &Path, repository: &str, reference: &str, commit: &str) -> Result<()> {
    let failed = |said: String| Error::unavailable(format!("failed to fetch {commit}: {said}"));
    git(folder, &["init", "-q", "."]).map_err(failed)?;
    let shallow = git(folder, &["fetch", "-q", "--depth=1", "--", repository, commit]);
    // Servers without a mind of their own give away whole histories only, and only what has a name.
    if shallow.is_err() {
        let wanted = if reference.is_empty() { "HEAD" } else { reference };
        let all = [
            "fetch",
            "-q",
            "--tags",
            "--",
            repository,
            "+refs/heads/*:refs/remotes/origin/*",
        ];
        git(folder, &["fetch", "-q", "--", repository, wanted])
            .or_else(|_| git(folder, &all))
            .map_err(failed)?;
    }
    git(folder, &["checkout", "-q", "--detach", commit]).map_err(failed)?;
    let found = git(folder, &["rev-parse", "HEAD"]).map_err(failed)?;
    if found.trim() != commit {
        return Err(Error::invalid(format!(
            "{repository} gave {} for {commit}",
            found.trim()
        )));
    }
    Ok(())
}

/// The file itself, or that of a folder.
fn file_in(place: &Path) -> Result<PathBuf> {
    let data = corten_sys::fs::metadata(place).map_err(|error| {
        let reason = corten_sys::fs::reason(&error);
        Error::not_found(format!("stat {}: {reason}", place.display()))
    })?;
    if !data.is_dir() {
        return Ok(place.to_owned());
    }
    let found = FILES.map(|name| place.join(name));
    let mut found = found.into_iter();
    let is_file = |file: &PathBuf| corten_sys::fs::metadata(file).is_ok_and(|data| !data.is_dir());
    found
        .find(is_file)
        .ok_or_else(|| Error::not_found(format!("{} has no Compose file: not found", place.display())))
}

/// Runs git with the user's credentials, and without hooks, monitors, helpers of transports and questions.
fn git(folder: &Path, arguments: &[&str]) -> std::result::Result<String, String> {
    let mut command = Command::new("git");
    command
        .env("LC_ALL", "C")
        .env("GIT_ALLOW_PROTOCOL", "http:https:git:ssh")
        .env("GIT_LFS_SKIP_SMUDGE", "1");
    let unless_set = |command: &mut Command, name: &str, value: &str| {
        if std::env::var_os(name).is_none_or(|value| value.is_empty()) {
            command.env(name, value);
        }
    };
    unless_set(&mut command, "GIT_TERMINAL_PROMPT", "0");
    if std::env::var_os("GIT_SSH").is_none() {
        unless_set(
            &mut command,
            "GIT_SSH_COMMAND",
            "ssh -o ControlMaster=no -o BatchMode=yes",
        );
    }
    let output = command
        .args(program::GIT_SETTINGS.iter().flat_map(|setting| ["-c", setting]))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("git: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let said: Vec<&str> = said.lines().take(LINES).collect();
    Err(said.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_run_programs_or_leave_the_repository_are_refused() {
        for (repository, reference, path) in [
            ("ext::sh -c x", "", ""),
            ("--upload-pack=x", "", ""),
            ("https://x/y.git", "--output=x", ""),
            ("https://x/y.git", "a\nb", ""),
            ("https://x/y.git", "", "../up"),
            ("https://x/y.git", "", "a/../../up"),
            ("https://x/y.git", "", "/etc"),
            ("https://x/y.git", "", ".git/hooks"),
        ] {
            assert!(
                check(repository, reference, path).is_err(),
                "{repository} {reference} {path}"
            );
        }
        assert!(check("https://x/y.git", "main", "a/b").is_ok());
    }
}
