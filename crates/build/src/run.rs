//! `RUN`: a command in a container over the stage's root.

use corten_dockerfile::{Instruction, Line, Mount, MountKind, Network, Run, Security, expand};
use corten_oci::digest::Digest;
use corten_oci::platform::Platform;
use corten_store::Access;

use crate::arguments;
use crate::contents;
use crate::error::{Error, Result};
use crate::event::StepEvent;
use crate::executor::Process;
use crate::key::{Key, Keyed};
use crate::mounts::Extras;
use crate::paths;
use crate::stage::Stage;
use crate::state::State;
use crate::work::Work;

/// Where scripts in heredocs appear; `/dev` is memory, and nothing of it is left.
const SCRIPTS: &str = "/dev/pipes";

impl Stage<'_> {
    pub(crate) fn run_step(&mut self, state: &mut State, run: &Run, instruction: &Instruction) -> Result<()> {
        let devices = self.allowed(run)?;
        let line = command(run, state);
        let by = format!("{} # buildkit", history(&line.words, state));
        let layers = state.image.rootfs.diff_ids.clone();
        let mounts = self.resolve(run, state)?;
        let key = self.run_key(state, run, &line, &mounts)?;
        if self.reuse(state, &key, &by, &instruction.text) {
            return Ok(());
        }
        can_run(state)?;
        let work = self.work(&layers)?;
        let below = (!mounts.is_empty()).then(|| work.open(Access::ReadOnly)).transpose()?;
        let mut extras = Extras::new(self.build.store.scratch()?, below)?;
        for mount in &mounts {
            self.provide(mount, &mut extras)?;
        }
        extras.close();
        if let Some(script) = &line.script {
            extras.script(&line.words[0], script)?;
        }
        let process = Process {
            id: work.id.clone(),
            arguments: line.words.clone(),
            environment: [self.environment(state), extras.environment.clone()].concat(),
            folder: state.folder().to_owned(),
            user: state.image.config.user.clone(),
            network: run.network,
            security: run.security,
            stubs: extras.stubs.path(),
            mounts: extras.mounts.clone(),
            devices,
        };
        self.execute(&process, &work)?;
        let layer = self.commit(&work)?;
        self.say(StepEvent::Removed(work.id.clone()));
        drop(work);
        self.keep(state, &key, by, Some(layer), &instruction.text)
    }

    /// Refuses what the request does not allow (BuildKit's entitlements); gives the full names of devices.
    fn allowed(&self, run: &Run) -> Result<Vec<String>> {
        let allowed = &self.build.request.allowed;
        if run.network == Network::Host && !allowed.host_network {
            return Err(Error::new(crate::Kind::Forbidden, "network.host is not allowed"));
        }
        if run.security == Security::Insecure && !allowed.insecure {
            return Err(Error::new(crate::Kind::Forbidden, "security.insecure is not allowed"));
        }
        let mut names: Vec<String> = Vec::new();
        for wanted in &run.devices {
            let found = self.build.executor.devices(&wanted.name)?;
            if found.is_empty() && wanted.required {
                let message = format!("required device {:?} is not registered", wanted.name);
                return Err(Error::new(crate::Kind::NotFound, message));
            }
            for device in found {
                if !allowed.allows(&device) {
                    let message = format!("device {} is requested by the build but not allowed", device.name);
                    return Err(Error::new(crate::Kind::Forbidden, message));
                }
                if !names.contains(&device.name) {
                    names.push(device.name);
                }
            }
        }
        Ok(names)
    }

    fn run_key(&mut self, state: &State, run: &Run, line: &Ready, mounts: &[Mount]) -> Result<Keyed> {
        let mut key = Key::new("run")
            .with_all(state.image.rootfs.diff_ids.iter().map(Digest::as_str))
            .with_all(&line.words)
            .with(line.script.as_deref().unwrap_or_default())
            .with_all(self.keyed(state))
            .with(state.folder())
            .with(&state.image.config.user)
            .with(format!(
                "{:?} {:?} {}",
                run.network, run.security, self.build.request.network
            ))
            .with_all(self.build.epoch.map(i64::to_le_bytes))
            .with_all(run.devices.iter().map(|device| &device.name))
            .noted(
                "what is below",
                state
                    .image
                    .rootfs
                    .diff_ids
                    .iter()
                    .map(Digest::as_str)
                    .collect::<String>(),
            )
            .noted("the shell or the command", line.words.join("\0"))
            .noted("the folder", state.folder())
            .noted("the user", &state.image.config.user)
            .noted(
                "the network",
                format!("{:?} {}", run.network, self.build.request.network),
            );
        for variable in self.keyed(state) {
            let (name, value) = variable.split_once('=').unwrap_or((&variable, ""));
            key = key.noted(format!("the variable {name}"), value);
        }
        for mount in mounts {
            key = key.with(format!("{mount:?}"));
            let (MountKind::Bind { from, source } | MountKind::Cache { from, source, .. }) = &mount.kind else {
                continue;
            };
            // A cache begins empty unless it is told with what.
            if from.is_none() && matches!(mount.kind, MountKind::Cache { .. }) {
                continue;
            }
            let origin = self.origin(from.as_deref(), std::slice::from_ref(source))?;
            let path = paths::below(source);
            if !origin.has(&path)? {
                return Err(contents::missing(&path));
            }
            let filter = origin.filter(&path, None);
            let known = &self.build.cache.known;
            let (digest, named) = contents::digest(&origin.root, &path, &filter, origin.owners, known)?;
            key = key.with(digest.as_str()).noted_all(named);
        }
        Ok(key.finish())
    }

    fn execute(&mut self, process: &Process, work: &Work) -> Result<()> {
        self.say(StepEvent::Running(work.id.clone()));
        let executor = self.build.executor;
        let ended = executor.run(process, &mut |stream, bytes| self.log(stream, bytes));
        let error = match ended {
            Ok(0) => return Ok(()),
            Ok(code) => Error::failed(process.arguments.join(" "), code),
            Err(error) => error,
        };
        self.say(StepEvent::Removed(work.id.clone()));
        Err(error)
    }

    /// What the command finds in its environment: the image's variables over the arguments.
    fn environment(&self, state: &State) -> Vec<String> {
        let mut all = self.keyed(state);
        for (name, value) in self.build.arguments.proxies() {
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
        let value =
            |text: &str| -> Result<String> { Ok(expand(text, self.build.escape, &|name| state.lookup(name))?.text) };
        let mut mounts = run.mounts.clone();
        for mount in &mut mounts {
            let target = value(&mount.target)?;
            mount.target = match target.as_str() {
                "" => String::new(),
                target => paths::join(state.folder(), target),
            };
            if mount.target == "/" {
                return Err(Error::invalid(format!(
                    "invalid mount target {target:?}: a mount cannot take the place of the whole root"
                )));
            }
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
/// Refuses what this machine's processor cannot run, unless the kernel knows an emulator for it.
fn can_run(state: &State) -> Result<()> {
    let (host, wanted) = (Platform::host(), state.image.platform());
    if wanted.architecture.is_empty() || host.accepts(&wanted) {
        return Ok(());
    }
    let name = match wanted.architecture.as_str() {
        "arm64" => "aarch64",
        "amd64" => "x86_64",
        "386" => "i386",
        other => other,
    };
    let handlers = corten_sys::fs::read_dir("/proc/sys/fs/binfmt_misc");
    let is_there = handlers.into_iter().flatten().flatten().any(|entry| {
        let file = entry.file_name().to_string_lossy().into_owned();
        let text = corten_sys::fs::read_to_string(entry.path()).unwrap_or_default();
        file.ends_with(name) && text.starts_with("enabled")
    });
    match is_there {
        true => Ok(()),
        false => Err(Error::unsupported(format!(
            "cannot run commands for {wanted} on {host}: no emulator is registered with the kernel (binfmt_misc); \
             a stage that begins with FROM --platform=$BUILDPLATFORM runs here"
        ))),
    }
}

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
