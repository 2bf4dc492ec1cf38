//! `RUN`: a command in a container over the stage's root.

use std::path::{Path, PathBuf};

use corten_dockerfile::{Ignore, Instruction, Line, Mount, MountKind, Run, Sharing, expand};
use corten_oci::digest::Digest;
use corten_store::{Access, Scratch};
use corten_sys::fs;

use crate::arguments;
use crate::builder::{Builder, Work};
use crate::cache::{InUse, Key};
use crate::contents::{self, Owners};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::executor::{Process, ProcessMount};
use crate::paths;
use crate::request::Context;
use crate::roots::Root;
use crate::state::State;
use crate::transfer::{self, Attributes, Place};

/// Where scripts in heredocs appear; `/dev` is memory, and nothing of it is left.
const SCRIPTS: &str = "/dev/pipes";

impl Builder<'_> {
    pub(crate) fn run_step(
        &mut self,
        state: &mut State,
        run: &Run,
        instruction: &Instruction,
        stage: usize,
    ) -> Result<()> {
        if let Some(device) = run.devices.first() {
            return Err(Error::unsupported(format!(
                "RUN --device={device} is not supported yet"
            )));
        }
        let line = command(run, state);
        let environment = self.environment(state);
        let by = history(&line.words, state);
        let layers = state.image.rootfs.diff_ids.clone();
        let mounts = self.resolve(run, state)?;
        let mut key = Key::new("run")
            .with_all(layers.iter().map(Digest::as_str))
            .with_all(&line.words)
            .with(line.script.as_deref().unwrap_or_default())
            .with_all(self.keyed(state))
            .with(state.folder())
            .with(&state.image.config.user)
            .with(format!("{:?} {:?} {}", run.network, run.security, self.request.network));
        for mount in &mounts {
            key = key.with(format!("{mount:?}"));
            if let MountKind::Bind { from, source } = &mount.kind {
                key = key.with(self.bound(from.as_deref(), source, stage, |root, path| {
                    Ok(contents::digest(root, path, &Ignore::default(), Owners::Keep)?
                        .as_str()
                        .to_owned())
                })?);
            }
        }
        let key = key.finish();
        if self.reuse(state, &key, &by) {
            return Ok(());
        }
        let work = self.work(&layers)?;
        let mut extras = Extras::new(self.store.scratch()?)?;
        for mount in &mounts {
            self.provide(mount, stage, &mut extras)?;
        }
        if let Some(script) = &line.script {
            extras.script(&line.words[0], script)?;
        }
        let process = Process {
            id: work.id.clone(),
            arguments: line.words.clone(),
            environment: [environment, extras.environment.clone()].concat(),
            folder: state.folder().to_owned(),
            user: state.image.config.user.clone(),
            network: run.network,
            security: run.security,
            stubs: extras.stubs.path(),
            mounts: extras.mounts.clone(),
        };
        self.execute(&process, &work)?;
        let layer = work.commit(&self.lease)?;
        (self.tell)(Event::Removed(work.id.clone()));
        drop(work);
        self.keep(state, &key, by, Some(layer), &instruction.text)
    }

    fn execute(&mut self, process: &Process, work: &Work) -> Result<()> {
        (self.tell)(Event::Running(work.id.clone()));
        let tell = &mut *self.tell;
        let ended = self.executor.run(process, &mut |stream, bytes| {
            tell(Event::Output(stream, bytes.to_vec()))
        });
        match ended {
            Ok(0) => Ok(()),
            Ok(code) => {
                (self.tell)(Event::Removed(work.id.clone()));
                Err(Error::failed(process.arguments.join(" "), code))
            }
            Err(error) => {
                (self.tell)(Event::Removed(work.id.clone()));
                Err(error)
            }
        }
    }

    /// What the command finds in its environment: the image's variables over the arguments.
    fn environment(&self, state: &State) -> Vec<String> {
        let mut all = self.keyed(state);
        for (name, value) in self.arguments.proxies() {
            if state.lookup(&name).is_none() {
                all.push(format!("{name}={value}"));
            }
        }
        all
    }

    /// The part of the environment that makes steps different.
    fn keyed(&self, state: &State) -> Vec<String> {
        let env = &state.image.config.env;
        let has = |name: &str| env.iter().any(|variable| variable.split('=').next() == Some(name));
        let arguments = state
            .arguments
            .iter()
            .filter(|(name, _)| !has(name) && !arguments::is_proxy(name));
        arguments
            .map(|(name, value)| format!("{name}={value}"))
            .chain(env.iter().cloned())
            .collect()
    }

    /// Mounts with their variables put in and their targets made absolute.
    fn resolve(&self, run: &Run, state: &State) -> Result<Vec<Mount>> {
        let value = |text: &str| -> Result<String> { Ok(expand(text, self.escape, &|name| state.lookup(name))?.text) };
        let mut mounts = run.mounts.clone();
        for mount in &mut mounts {
            let target = value(&mount.target)?;
            mount.target = if target.is_empty() {
                target
            } else {
                paths::join(state.folder(), &target)
            };
            match &mut mount.kind {
                MountKind::Bind { source, .. } => *source = value(source)?,
                MountKind::Cache { id, source, .. } => {
                    *id = value(id)?;
                    *source = value(source)?;
                }
                MountKind::Secret { id, .. } | MountKind::Ssh { id, .. } => *id = value(id)?,
                MountKind::Tmpfs { .. } => {}
            }
        }
        Ok(mounts)
    }

    /// Does something with what a mount binds.
    fn bound<T>(
        &mut self,
        from: Option<&str>,
        source: &str,
        stage: usize,
        with: impl FnOnce(&Root, &str) -> Result<T>,
    ) -> Result<T> {
        let path = paths::below(source);
        let Some(from) = from else {
            let Context::Files(files) = &self.request.context else {
                return Err(Error::invalid("there is no build context to mount files of"));
            };
            return with(&Root::open(&files.path())?, &path);
        };
        let source = self.source(from, stage)?;
        let work = self.work(&source.image.rootfs.diff_ids)?;
        let root = work.open(Access::ReadOnly)?;
        with(&root, &path)
    }

    /// Makes what a mount needs.
    fn provide(&mut self, mount: &Mount, stage: usize, extras: &mut Extras) -> Result<()> {
        match &mount.kind {
            MountKind::Tmpfs { size } => {
                extras.add_folder(&mount.target)?;
                extras.mounts.push(ProcessMount::Tmpfs {
                    target: mount.target.clone(),
                    size: *size,
                });
            }
            MountKind::Bind { from, source } => {
                let copied = self.store.scratch()?;
                // A copy: the command may not write to the context, and a stage has no folder of its own.
                let place = copied.path();
                let (path, is_folder) = self.bound(from.as_deref(), source, stage, |root, path| {
                    let to = Root::open(&place)?;
                    let is_folder = root.is_folder(path)?;
                    let target = Place {
                        path: if is_folder { String::new() } else { "file".into() },
                        is_folder: false,
                    };
                    transfer::copy(root, path, &to, &target, &Attributes::default())?;
                    Ok((if is_folder { place.clone() } else { place.join("file") }, is_folder))
                })?;
                extras.bind(path, mount, is_folder)?;
                extras.held.push(copied);
            }
            MountKind::Cache { id, sharing, from, .. } => {
                if from.is_some() {
                    return Err(Error::unsupported("RUN --mount=type=cache,from=… is not supported yet"));
                }
                let id = if id.is_empty() { &mount.target } else { id };
                self.cache_mount(id, *sharing, mount, extras)?;
            }
            MountKind::Secret { id, env, required, .. } => self.secret(id, env.as_deref(), *required, mount, extras)?,
            MountKind::Ssh { id, required } => {
                if *required {
                    return Err(Error::unsupported(format!(
                        "RUN --mount=type=ssh,id={id},required is not supported yet: this builder forwards no agent"
                    )));
                }
            }
        }
        Ok(())
    }

    fn cache_mount(&mut self, id: &str, sharing: Sharing, mount: &Mount, extras: &mut Extras) -> Result<()> {
        let MountKind::Cache { mode, uid, gid, .. } = &mount.kind else {
            return Ok(());
        };
        let make = |path: &Path| -> Result<()> {
            rustix::fs::chown(
                path,
                Some(rustix::fs::Uid::from_raw(*uid)),
                Some(rustix::fs::Gid::from_raw(*gid)),
            )?;
            Ok(fs::set_mode(path, *mode)?)
        };
        if sharing == Sharing::Private {
            let own = self.store.scratch()?;
            make(&own.path())?;
            extras.bind(own.path(), mount, true)?;
            extras.held.push(own);
            return Ok(());
        }
        let in_use = self.cache.mount(id, sharing == Sharing::Locked, make)?;
        extras.bind(in_use.path.clone(), mount, true)?;
        extras.caches.push(in_use);
        Ok(())
    }

    fn secret(
        &mut self,
        id: &str,
        env: Option<&str>,
        required: bool,
        mount: &Mount,
        extras: &mut Extras,
    ) -> Result<()> {
        let Some(secret) = self.request.secrets.get(id) else {
            return match required {
                true => Err(Error::invalid(format!("secret {id}: not found"))),
                false => Ok(()),
            };
        };
        if let Some(name) = env {
            let value = String::from_utf8_lossy(&secret.0);
            extras.environment.push(format!("{name}={value}"));
        }
        if env.is_none() || !mount.target.is_empty() {
            return Err(Error::unsupported(
                "RUN --mount=type=secret with a file is not supported yet: use env=NAME",
            ));
        }
        Ok(())
    }
}

/// What goes with one command and ends with it.
struct Extras {
    /// An empty place for every mount, below all layers, so that none is made in the step's own.
    stubs: Scratch,
    mounts: Vec<ProcessMount>,
    environment: Vec<String>,
    held: Vec<Scratch>,
    caches: Vec<InUse>,
}

impl Extras {
    fn new(stubs: Scratch) -> Result<Self> {
        let root = stubs.path();
        for folder in ["dev", "proc", "sys", "etc"] {
            fs::create_dir(root.join(folder))?;
        }
        for file in ["hosts", "hostname", "resolv.conf"] {
            fs::write(root.join("etc").join(file), "")?;
        }
        Ok(Self {
            stubs,
            mounts: Vec::new(),
            environment: Vec::new(),
            held: Vec::new(),
            caches: Vec::new(),
        })
    }

    fn add_folder(&self, target: &str) -> Result<()> {
        Ok(fs::create_dir_all(self.stubs.path().join(paths::below(target)))?)
    }

    fn bind(&mut self, source: PathBuf, mount: &Mount, is_folder: bool) -> Result<()> {
        if is_folder {
            self.add_folder(&mount.target)?;
        } else {
            let (above, _) = mount.target.rsplit_once('/').unwrap_or(("", ""));
            self.add_folder(above)?;
            let stub = self.stubs.path().join(paths::below(&mount.target));
            if !fs::exists(&stub)? {
                fs::write(stub, "")?;
            }
        }
        self.mounts.push(ProcessMount::Bind {
            source,
            target: mount.target.clone(),
            read_only: mount.read_only,
        });
        Ok(())
    }

    /// A heredoc that names its own interpreter.
    fn script(&mut self, target: &str, content: &str) -> Result<()> {
        let path = self.stubs.beside().join("script");
        fs::write(&path, content)?;
        fs::set_mode(&path, 0o755)?;
        self.mounts.push(ProcessMount::Bind {
            source: path,
            target: target.to_owned(),
            read_only: true,
        });
        Ok(())
    }
}

/// A command line ready to run.
struct Ready {
    words: Vec<String>,
    /// The text of the program that the first word names.
    script: Option<String>,
}

/// Puts heredocs where the command finds them.
fn command(run: &Run, state: &State) -> Ready {
    let text = match &run.line {
        Line::Exec(words) => {
            return Ready {
                words: words.clone(),
                script: None,
            };
        }
        Line::Shell(text) => text,
    };
    let alone = run.heredocs.len() == 1 && text.split_whitespace().count() == 1 && text.starts_with("<<");
    if let ([heredoc], true) = (run.heredocs.as_slice(), alone) {
        if heredoc.content.starts_with("#!") {
            return Ready {
                words: vec![format!("{SCRIPTS}/{}", heredoc.name)],
                script: Some(heredoc.content.clone()),
            };
        }
        return Ready {
            words: [state.shell(), vec![heredoc.content.clone()]].concat(),
            script: None,
        };
    }
    let mut text = text.clone();
    for heredoc in &run.heredocs {
        text.push_str(&format!("\n{}{}", heredoc.content, heredoc.name));
    }
    Ready {
        words: [state.shell(), vec![text]].concat(),
        script: None,
    }
}

/// The line of the history: with the arguments that the command sees.
fn history(words: &[String], state: &State) -> String {
    let arguments: Vec<String> = state
        .arguments
        .iter()
        .filter(|(name, _)| !arguments::is_proxy(name))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let line = words.join(" ");
    match arguments.len() {
        0 => format!("RUN {line}"),
        count => format!("RUN |{count} {} {line}", arguments.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corten_dockerfile::Command;

    fn ready(text: &str) -> (Vec<String>, Option<String>) {
        let Command::Run(run) = corten_dockerfile::parse_instruction(text, '\\').unwrap().command else {
            panic!("{text}");
        };
        let ready = command(&run, &State::default());
        (ready.words, ready.script)
    }

    #[test]
    fn heredocs_reach_the_shell() {
        let shell = |text: &str| vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()];
        assert_eq!(ready("RUN echo hi"), (shell("echo hi"), None));
        assert_eq!(ready("RUN <<EOF\na\nb\nEOF").0, shell("a\nb\n"));
        assert_eq!(ready("RUN cat <<A > /x\ntext\nA").0, shell("cat <<A > /x\ntext\nA"));
        let script = ready("RUN <<EOF\n#!/bin/cat\nx\nEOF");
        assert_eq!(
            script,
            (vec!["/dev/pipes/EOF".to_owned()], Some("#!/bin/cat\nx\n".to_owned()))
        );
        assert_eq!(ready("RUN [\"a\", \"b\"]").0, ["a", "b"]);
    }

    #[test]
    fn history_tells_arguments() {
        let mut state = State::default();
        let words = ["/bin/sh".to_owned(), "-c".to_owned(), "x".to_owned()];
        assert_eq!(history(&words, &state), "RUN /bin/sh -c x");
        state.declare("V", Some("9".into()));
        state.declare("HTTP_PROXY", Some("secret".into()));
        assert_eq!(history(&words, &state), "RUN |1 V=9 /bin/sh -c x");
    }
}
