//! The Dockerfile before it is built: its bytes, and which files of the context it will ask for.

use std::{collections::BTreeSet, path::Path};

use corten_dockerfile::{Command, Copy, Dockerfile, MountKind, Source, clean_path};

use crate::grpc::{Result, Status};

/// The most bytes of a file that is read whole.
const LONGEST: u64 = 16 << 20;

/// Reads the Dockerfile; one of the usual name may be written in lower case.
pub(crate) fn read(root: &Path, name: &str) -> Result<Vec<u8>> {
    let lower = match name.rsplit_once('/') {
        Some((folder, file)) => format!("{folder}/{}", file.to_lowercase()),
        None => name.to_lowercase(),
    };
    for name in [name, &lower] {
        if let Some(bytes) = bytes(root, name)? {
            return Ok(bytes);
        }
    }
    Err(Status::unknown(format!(
        "failed to read dockerfile: open {name}: no such file or directory"
    )))
}

/// A file's text, if it is there.
pub(crate) fn text(root: &Path, name: &str) -> Result<Option<String>> {
    Ok(bytes(root, name)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// A file's bytes, if it is there. Links are followed within the root.
fn bytes(root: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
    use std::io::Read as _;
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, root, folder, Mode::empty()).map_err(std::io::Error::from)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = openat2(root, name.trim_start_matches('/'), flags, Mode::empty(), inside);
    let file = match file {
        Ok(file) => std::fs::File::from(file),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        Err(errno) => return Err(std::io::Error::from(errno).into()),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(Status::unknown(format!("failed to read dockerfile: {name} is no file")));
    }
    if metadata.len() > LONGEST {
        return Err(Status::unknown(format!(
            "failed to read dockerfile: {name} is too long"
        )));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Paths and patterns of the context that a target asks for; none when they are not known before variables are.
pub(crate) fn sources(bytes: &[u8], target: &str) -> Option<Vec<String>> {
    let file = Dockerfile::parse(bytes).ok()?;
    let mut sources = BTreeSet::new();
    for index in needed(&file, file.target(target).ok()?) {
        for instruction in &file.stages[index].instructions {
            match &instruction.command {
                Command::Copy(copy) => take(copy, &mut sources),
                Command::Add(add) => take(&add.copy, &mut sources),
                Command::Run(run) => {
                    for mount in &run.mounts {
                        if let MountKind::Bind { from: None, source } = &mount.kind {
                            sources.insert(source.clone());
                        }
                    }
                }
                _ => {}
            }
        }
    }
    if sources.iter().any(|source| source.contains('$')) {
        return None;
    }
    Some(sources.iter().map(|source| clean_path(source)).collect())
}

fn take(copy: &Copy, sources: &mut BTreeSet<String>) {
    if copy.from.is_some() {
        return;
    }
    for source in &copy.sources {
        if let Source::Path(path) = source
            && !path.contains("://")
        {
            sources.insert(path.clone());
        }
    }
}

/// Stages that a stage needs, as far as names without variables tell.
fn needed(file: &Dockerfile, target: usize) -> BTreeSet<usize> {
    let mut needed = BTreeSet::from([target]);
    for index in (0..=target).rev() {
        if !needed.contains(&index) {
            continue;
        }
        let stage = &file.stages[index];
        let mut names = vec![stage.from.image.as_str()];
        for instruction in &stage.instructions {
            match &instruction.command {
                Command::Copy(copy) => names.extend(copy.from.as_deref()),
                Command::Run(run) => names.extend(run.mounts.iter().filter_map(|mount| match &mount.kind {
                    MountKind::Bind { from, .. } | MountKind::Cache { from, .. } => from.as_deref(),
                    _ => None,
                })),
                _ => {}
            }
        }
        if names.iter().any(|name| name.contains('$')) {
            return (0..file.stages.len()).collect();
        }
        needed.extend(names.into_iter().filter_map(|name| file.stage_before(name, index)));
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str, target: &str) -> Option<Vec<String>> {
        sources(text.as_bytes(), target)
    }

    #[test]
    fn what_a_target_needs_is_known_before() {
        let text = "FROM a AS one\nCOPY ./x /y/ /\nFROM b AS two\nADD http://h/f z/*.c /\nFROM scratch\n\
                    COPY --from=one / /\nCOPY <<EOF /t\nEOF\nRUN --mount=target=/m,source=src x\n";
        let mut found = find(text, "").unwrap();
        found.sort();
        assert_eq!(found, ["src", "x", "y"]);
        assert_eq!(find(text, "two").unwrap(), ["z/*.c"]);
        assert_eq!(find("FROM a\nCOPY . .\n", "").unwrap(), [""]);
        assert_eq!(find("FROM a\nCOPY $X .\n", ""), None);
    }
}
