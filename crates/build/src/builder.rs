//! The build: stage after stage, step after step, each from the cache or done.

use std::collections::BTreeMap;
use std::sync::Arc;

use corten_dockerfile::{Command, Dockerfile, Instruction, expand};
use corten_oci::digest::Digest;
use corten_oci::image::ImageConfig;
use corten_oci::reference::Reference;
use corten_store::{Access, Lease, MountPoints, NewImage, Store};
use jiff::Timestamp;

use crate::arguments::Arguments;
use crate::cache::{Cache, Hit, Key};
use crate::error::{Error, Result};
use crate::event::{Event, Vertex};
use crate::executor::Executor;
use crate::metadata;
use crate::plan::{Base, Plan, Planned, plan};
use crate::request::Request;
use crate::roots::Root;
use crate::state::{Line, State};

/// What a build made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The image's id.
    pub image: Digest,
}

/// Builds an image and gives it its names.
///
/// # Errors
/// With the lines of the Dockerfile that failed.
pub fn build(
    store: &Store,
    cache: &Arc<Cache>,
    executor: &dyn Executor,
    request: &Request,
    tell: &mut dyn FnMut(Event),
) -> Result<Built> {
    let file = Dockerfile::parse(&request.dockerfile)?;
    let target = file.target(&request.target)?;
    let arguments = Arguments::new(request.arguments.clone(), &request.platform, &request.target);
    let mut builder = Builder {
        store,
        cache,
        executor,
        request,
        arguments,
        lease: store.lease(),
        stages: BTreeMap::new(),
        images: BTreeMap::new(),
        models: Vec::new(),
        tell,
        number: 0,
        total: 0,
        escape: file.directives.escape,
        file: Arc::new(file),
    };
    builder.run(target)
}

pub(crate) struct Builder<'a> {
    pub(crate) store: &'a Store,
    pub(crate) cache: &'a Arc<Cache>,
    pub(crate) executor: &'a dyn Executor,
    pub(crate) request: &'a Request,
    pub(crate) arguments: Arguments,
    pub(crate) lease: Lease,
    /// Stages that are done.
    stages: BTreeMap<usize, State>,
    /// Images that files were copied from.
    images: BTreeMap<String, State>,
    /// Configurations of images whose layers may be used again.
    models: Vec<ImageConfig>,
    pub(crate) tell: &'a mut dyn FnMut(Event),
    number: usize,
    total: usize,
    pub(crate) escape: char,
    file: Arc<Dockerfile>,
}

impl Builder<'_> {
    fn run(&mut self, target: usize) -> Result<Built> {
        let file = Arc::clone(&self.file);
        (self.tell)(Event::Warnings(file.warnings.clone()));
        self.find_models();
        for instruction in &file.arguments {
            if let Command::Arg(list) = &instruction.command {
                let declared = self.arguments.declare_global(list, self.escape);
                declared.map_err(|error| error.at(instruction.lines))?;
            }
        }
        let plan = plan(&file, target, &self.arguments)?;
        self.total = plan.total + usize::from(!self.request.labels.is_empty());
        for instruction in &file.arguments {
            self.begin(&instruction.text, &instruction.text, (String::new(), 0, 0));
        }
        for planned in &plan.stages {
            let state = self.stage(planned, &plan)?;
            self.stages.insert(planned.index, state);
        }
        let state = self.stages.remove(&target).unwrap_or_default();
        self.finish(state)
    }

    /// What `cachefrom` names and is here.
    fn find_models(&mut self) {
        for name in &self.request.cache_from {
            if let Ok(image) = self.store.images().resolve(name) {
                self.models.push(image.config().clone());
            }
        }
    }

    fn stage(&mut self, planned: &Planned, plan: &Plan) -> Result<State> {
        let file = Arc::clone(&self.file);
        let stage = &file.stages[planned.index];
        let name = match (&stage.from.name, plan.stages.len()) {
            (Some(name), _) if file.stages.len() > 1 => name.clone(),
            (None, _) if file.stages.len() > 1 => format!("stage-{}", planned.index),
            _ => String::new(),
        };
        let positions = 1 + stage
            .instructions
            .iter()
            .filter(|one| makes_files(&one.command))
            .count();
        let from = from_text(planned, &file);
        self.begin(&stage.begin.text, &from, (name.clone(), 1, positions));
        let mut state = self.base(planned).map_err(|error| error.of_step(stage.begin.lines))?;
        let id = state.base.clone();
        (self.tell)(Event::Done(id));
        self.triggers(&mut state, planned.index)
            .map_err(|error| error.of_step(stage.begin.lines))?;
        let mut position = 1;
        for instruction in &stage.instructions {
            let here = makes_files(&instruction.command);
            position += usize::from(here);
            let shown = self.shown(&state, instruction);
            self.begin(
                &instruction.text,
                &shown,
                (name.clone(), if here { position } else { 0 }, positions),
            );
            let done = self.step(&mut state, instruction, planned.index);
            done.map_err(|error| error.of_step(instruction.lines))?;
            let id = state.id()?;
            (self.tell)(Event::Done(Some(id)));
        }
        let id = state.id()?;
        (self.tell)(Event::Stage(id));
        Ok(state)
    }

    fn begin(&mut self, text: &str, expanded: &str, (stage, position, positions): (String, usize, usize)) {
        self.number += 1;
        (self.tell)(Event::Step(Vertex {
            number: self.number,
            total: self.total,
            text: text.to_owned(),
            expanded: expanded.to_owned(),
            stage,
            position,
            positions,
        }));
    }

    /// An instruction's text with its variables put in, for people.
    fn shown(&self, state: &State, instruction: &Instruction) -> String {
        let rest = instruction
            .text
            .get(instruction.name.len()..)
            .unwrap_or_default()
            .trim();
        let words: Vec<String> = rest
            .split(' ')
            .map(
                |word| match word.contains('$') && !word.contains(['\'', '"', self.escape]) {
                    true => expand(word, self.escape, &|name| state.lookup(name))
                        .map_or_else(|_| word.to_owned(), |found| found.text),
                    false => word.to_owned(),
                },
            )
            .collect();
        format!("{} {}", instruction.command.name(), words.join(" "))
    }

    fn base(&mut self, planned: &Planned) -> Result<State> {
        match &planned.base {
            Base::Scratch => {
                let platform = &self.request.platform;
                let mut state = State::new(ImageConfig {
                    architecture: platform.architecture.clone(),
                    variant: platform.variant.clone(),
                    os: platform.os.clone(),
                    ..ImageConfig::default()
                });
                state.image.rootfs.kind = "layers".into();
                Ok(state)
            }
            Base::Stage(index) => {
                let below = self.stages.get(index);
                let mut state = below
                    .cloned()
                    .ok_or_else(|| Error::internal("a stage comes before its base"))?;
                state.has_command = false;
                state.base = Some(state.id()?);
                Ok(state)
            }
            Base::Image(name) => self.image(name, planned.platform.as_deref()),
        }
    }

    /// The state that an image is.
    fn image(&mut self, name: &str, platform: Option<&str>) -> Result<State> {
        let platform = match platform {
            Some(platform) => platform.to_owned(),
            None if self.request.platform_given => self.request.platform.to_string(),
            None => String::new(),
        };
        let tell = &mut *self.tell;
        let found = self
            .executor
            .image(name, &platform, &mut |line| tell(Event::Pulling(line)))?;
        for layer in &found.config.rootfs.diff_ids {
            if !self.lease.hold(layer) {
                return Err(Error::internal(format!(
                    "a layer of {name} is not there: pull it again"
                )));
            }
        }
        let mut state = State::new(found.config);
        (state.image.container, state.image.comment) = (String::new(), String::new());
        state.image.docker_version = String::new();
        state.base = Some(found.id);
        Ok(state)
    }

    /// Runs what the base image wants run in builds on top of it.
    fn triggers(&mut self, state: &mut State, stage: usize) -> Result<()> {
        let triggers = std::mem::take(&mut state.image.config.on_build);
        if triggers.is_empty() {
            return Ok(());
        }
        (self.tell)(Event::Triggers(triggers.len()));
        for trigger in triggers {
            let instruction = corten_dockerfile::parse_instruction(&trigger, self.escape)?;
            if matches!(
                instruction.command,
                Command::From(_) | Command::Onbuild(_) | Command::Maintainer(_)
            ) {
                let name = instruction.command.name();
                return Err(Error::invalid(format!("{name} isn't allowed as an ONBUILD trigger")));
            }
            self.step(state, &instruction, stage)?;
        }
        Ok(())
    }

    fn step(&mut self, state: &mut State, instruction: &Instruction, stage: usize) -> Result<()> {
        if self.executor.is_cancelled() {
            return Err(Error::cancelled());
        }
        match &instruction.command {
            Command::Run(run) => self.run_step(state, run, instruction, stage),
            Command::Copy(copy) => {
                let add = corten_dockerfile::Add {
                    copy: copy.clone(),
                    ..corten_dockerfile::Add::default()
                };
                self.copy_step(state, &add, instruction, stage)
            }
            Command::Add(add) => self.copy_step(state, add, instruction, stage),
            Command::Workdir(path) => self.workdir_step(state, path, instruction),
            command => self.metadata_step(state, command, &instruction.text),
        }
    }

    fn metadata_step(&mut self, state: &mut State, command: &Command, text: &str) -> Result<()> {
        let before = state.id()?;
        let by = metadata::apply(state, &mut self.arguments, command, self.escape)?;
        let by = by.ok_or_else(|| Error::internal("an instruction is neither of files nor of the configuration"))?;
        let key = Key::new("configuration").with(before.as_str()).with(&by).finish();
        if self.reuse(state, &key, &by) {
            return Ok(());
        }
        self.in_passing()?;
        self.keep(state, &key, by, None, text)
    }

    /// What Docker shows for a step that needs no container, and its clients know to expect.
    pub(crate) fn in_passing(&mut self) -> Result<()> {
        let id = random_id()?;
        (self.tell)(Event::Running(id.clone()));
        (self.tell)(Event::Removed(id));
        Ok(())
    }

    /// Takes a step from the cache, if it is there.
    pub(crate) fn reuse(&mut self, state: &mut State, key: &Digest, by: &str) -> bool {
        if self.request.no_cache {
            return false;
        }
        // Whoever names images to take steps from wants no others (moby `ImageCache.GetCache`).
        let hit = match self.request.cache_from.is_empty() {
            true => self.cache.get(key),
            false => self.modelled(state, by),
        };
        let Some(hit) = hit else { return false };
        if hit.layer.as_ref().is_some_and(|layer| !self.lease.hold(layer)) {
            return false;
        }
        (self.tell)(Event::Cached);
        state.add(Line {
            by: by.to_owned(),
            created: hit.created,
            layer: hit.layer,
        });
        true
    }

    /// The step as an image of `cachefrom` made it: one that has the same layers and history so far.
    fn modelled(&self, state: &State, by: &str) -> Option<Hit> {
        let (layers, history) = (&state.image.rootfs.diff_ids, &state.image.history);
        let same = |a: &[corten_oci::image::History]| {
            a.len() == history.len() && a.iter().zip(history).all(|(a, b)| a.created_by == b.created_by)
        };
        self.models.iter().find_map(|model| {
            let line = model.history.get(history.len())?;
            let below = model.rootfs.diff_ids.get(..layers.len())?;
            (same(model.history.get(..history.len())?) && below == layers && line.created_by == by).then_some(())?;
            let layer = match line.empty_layer {
                true => None,
                false => Some(model.rootfs.diff_ids.get(layers.len())?.clone()),
            };
            Some(Hit {
                layer,
                created: line.created.clone()?,
            })
        })
    }

    /// Remembers a step that was done, and goes on from it.
    pub(crate) fn keep(
        &mut self,
        state: &mut State,
        key: &Digest,
        by: String,
        layer: Option<Digest>,
        text: &str,
    ) -> Result<()> {
        let hit = Hit {
            layer,
            created: Timestamp::now().to_string(),
        };
        self.cache.put(key, &hit, text)?;
        state.add(Line {
            by,
            created: hit.created,
            layer: hit.layer,
        });
        Ok(())
    }

    /// A root over layers, gone when dropped.
    pub(crate) fn work(&self, layers: &[Digest]) -> Result<Work> {
        let id = random_id()?;
        self.store.snapshots().prepare_layers(&id, layers)?;
        Ok(Work {
            id,
            store: self.store.clone(),
        })
    }

    /// The stage or image that files are taken from.
    pub(crate) fn source(&mut self, name: &str, stage: usize) -> Result<State> {
        if let Some(index) = self.file.stage_before(name, stage)
            && let Some(state) = self.stages.get(&index)
        {
            return Ok(state.clone());
        }
        if let Some(state) = self.images.get(name) {
            return Ok(state.clone());
        }
        let state = self.image(name, None).map_err(|error| {
            let names = self.file.stages.iter().filter_map(|stage| stage.from.name.as_deref());
            let names: Vec<&str> = names.collect();
            match names.is_empty() {
                true => error,
                false => error.context(format!(
                    "{name:?} is no stage of this Dockerfile ({}), and as an image",
                    names.join(", ")
                )),
            }
        })?;
        self.images.insert(name.to_owned(), state.clone());
        Ok(state)
    }

    /// Labels, names, and the image itself.
    fn finish(&mut self, mut state: State) -> Result<Built> {
        if !self.request.labels.is_empty() {
            let pairs: Vec<(String, String)> = self
                .request
                .labels
                .iter()
                .map(|(a, b)| (a.clone(), b.clone()))
                .collect();
            let words: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let text = format!("LABEL {}", words.join(" "));
            self.begin(&text, &text, (String::new(), 0, 0));
            let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
            let escape = self.escape;
            let quoted_pairs = pairs.iter().map(|(name, value)| {
                // Labels of the command line have no variables.
                let value = if escape == '\\' {
                    quoted(value)
                } else {
                    format!("'{value}'")
                };
                (name.clone(), value)
            });
            self.metadata_step(&mut state, &Command::Label(quoted_pairs.collect()), &text)?;
            let id = state.id()?;
            (self.tell)(Event::Done(Some(id)));
        }
        let unconsumed = self.arguments.unconsumed();
        if !unconsumed.is_empty() {
            (self.tell)(Event::Unconsumed(unconsumed));
        }
        let image = self.put(&state)?;
        (self.tell)(Event::Built(image.clone()));
        for name in &self.request.names {
            self.store.images().tag(name, &image)?;
            (self.tell)(Event::Tagged(Reference::clone(name).or_latest().familiar()));
        }
        Ok(Built { image })
    }

    fn put(&self, state: &State) -> Result<Digest> {
        if let Some(base) = &state.base
            && self.store.images().get(base).is_ok()
        {
            return Ok(base.clone());
        }
        if state.image.history.is_empty() && state.image.rootfs.diff_ids.is_empty() {
            return Err(Error::invalid("No image was generated. Is your Dockerfile empty?"));
        }
        let (bytes, _) = state.document()?;
        let new = NewImage {
            config: &bytes,
            ..NewImage::default()
        };
        Ok(self.store.images().put(new)?)
    }
}

/// A root that a step works in.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) id: String,
    store: Store,
}

impl Work {
    pub(crate) fn open(&self, access: Access) -> Result<Root> {
        Ok(Root::of(self.store.snapshots().open_root(&self.id, access)?))
    }

    /// Makes a layer of what was changed.
    pub(crate) fn commit(&self, lease: &Lease) -> Result<Digest> {
        Ok(self
            .store
            .layers()
            .from_snapshot(lease, &self.id, &MountPoints::default())?
            .diff_id()
            .clone())
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Err(error) = self.store.snapshots().remove(&self.id) {
            tracing::warn!(%error, "cannot remove the root of a build's step");
        }
    }
}

fn makes_files(command: &Command) -> bool {
    matches!(
        command,
        Command::Run(_) | Command::Copy(_) | Command::Add(_) | Command::Workdir(_)
    )
}

/// `FROM` with the base's whole name, as BuildKit shows it.
fn from_text(planned: &Planned, file: &Dockerfile) -> String {
    match &planned.base {
        Base::Scratch => "FROM scratch".to_owned(),
        Base::Stage(index) => format!("FROM {}", file.stages[*index].from.name.clone().unwrap_or_default()),
        Base::Image(name) => match name.parse::<Reference>() {
            Ok(reference) => format!("FROM {}", reference.or_latest()),
            Err(_) => format!("FROM {name}"),
        },
    }
}

/// 64 hexadecimal digits that nobody has had.
pub(crate) fn random_id() -> Result<String> {
    let mut bytes = [0_u8; 32];
    rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
