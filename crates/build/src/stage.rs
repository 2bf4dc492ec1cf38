//! A stage: step after step, each from the cache or done.

mod base;

use corten_dockerfile::{Command, Dockerfile, Instruction, expand};
use corten_oci::digest::Digest;
use corten_oci::reference::Reference;
use jiff::Timestamp;

use crate::builder::{Build, vertex_digest};
use crate::cache::{Done, Hit};
use crate::error::{Error, Result};
use crate::event::{Event, Log, StepEvent, Vertex};
use crate::executor::Stream;
use crate::key::{Key, Keyed};
use crate::metadata;
use crate::plan::{Base, Planned};
use crate::request::{Fresh, StepsFrom};
use crate::state::{Line, State};
use crate::work::{Work, random_id};

/// A stage being built.
pub(crate) struct Stage<'a> {
    pub(crate) build: &'a Build<'a>,
    planned: &'a Planned,
    /// The stage's number in the Dockerfile.
    pub(crate) index: usize,
    /// The number of the step under way.
    number: usize,
    /// The number of the stage's last step.
    last: usize,
    /// The vertex of the step under way, if it has one.
    vertex: Option<Vertex>,
    /// Whether nothing is taken from the cache.
    fresh: bool,
    /// Whether what the base image wants run is run now.
    triggered: bool,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(build: &'a Build<'a>, planned: &'a Planned, first: usize) -> Self {
        let name = build.file.stages[planned.index].from.name.as_ref();
        let fresh = match &build.request.fresh {
            Fresh::Nothing => false,
            Fresh::Everything => true,
            Fresh::Stages(names) => {
                name.is_some_and(|name| names.contains(name)) || names.contains(&planned.index.to_string())
            }
        };
        Self {
            build,
            planned,
            index: planned.index,
            number: first,
            last: first + build.file.stages[planned.index].instructions.len(),
            vertex: None,
            fresh,
            triggered: false,
        }
    }

    /// What comes after all stages.
    pub(crate) fn after_all(build: &'a Build<'a>, planned: &'a Planned) -> Self {
        Self {
            fresh: build.request.fresh == Fresh::Everything,
            ..Self::new(build, planned, build.total)
        }
    }

    pub(crate) fn run(mut self) -> Result<State> {
        let build = self.build;
        let stage = &build.file.stages[self.index];
        let name = self.name();
        let made = stage.instructions.iter().filter(|one| makes_files(&one.command));
        // A base that was built or is empty is no step of its own.
        let shows_base = self.planned.base.is_fetched();
        let positions = usize::from(shows_base) + made.count();
        let title = |position: usize, text: &str| {
            let gap = if name.is_empty() { "" } else { " " };
            format!("[{name}{gap}{position}/{positions}] {text}")
        };
        let mut state = self
            .begin_stage(shows_base.then(|| title(1, &from_text(self.planned, build.file))))
            .map_err(|error| error.of_step(stage.begin.lines))?;
        let mut position = usize::from(shows_base);
        for instruction in &stage.instructions {
            let here = makes_files(&instruction.command);
            position += usize::from(here);
            let shown = here.then(|| title(position, &self.shown(&state, instruction)));
            self.number += 1;
            self.begin(&instruction.text, shown, &state);
            if matches!(instruction.command, Command::Run(_) | Command::Workdir(_)) {
                self.announce();
            }
            let done = self.step(&mut state, instruction);
            let done = self.end(&mut state, done);
            done.map_err(|error| error.of_step(instruction.lines))?;
        }
        let id = state.id()?;
        self.say(StepEvent::Stage(id));
        self.say(StepEvent::Ended);
        Ok(state)
    }

    /// `FROM`, and what the base image wants run.
    fn begin_stage(&mut self, title: Option<String>) -> Result<State> {
        let build = self.build;
        let stage = &build.file.stages[self.index];
        self.begin(&stage.begin.text, title, &State::default());
        let mut pulled = false;
        let based = self.base(&mut pulled);
        build.ignored();
        let mut state = match based {
            Ok(state) => state,
            Err(error) => return self.end(&mut State::default(), Err(error)).map(|()| State::default()),
        };
        self.check_platform(&state);
        if let Some(vertex) = &mut self.vertex {
            vertex.cached = !pulled;
            vertex.inputs = state.vertex.iter().cloned().collect();
        }
        self.complete(&mut state, String::new());
        self.say(StepEvent::Done(state.base.clone()));
        self.triggers(&mut state)?;
        if !stage.instructions.is_empty() {
            self.say(StepEvent::Ended);
        }
        Ok(state)
    }

    /// The stage's name for people; empty when there is only one. With several platforms, whose it is comes first.
    fn name(&self) -> String {
        let stages = &self.build.file.stages;
        let name = match &stages[self.index].from.name {
            _ if stages.len() == 1 => String::new(),
            Some(name) => name.clone(),
            None => format!("stage-{}", self.index),
        };
        match self.build.request.platforms.len() {
            0 | 1 => name,
            _ => format!("{} {name}", self.build.platform).trim_end().to_owned(),
        }
    }

    pub(crate) fn say(&self, event: StepEvent) {
        (self.build.tell)(Event::Step(self.number, event));
    }

    /// Tells what the step's command wrote.
    pub(crate) fn log(&self, stream: Stream, bytes: &[u8]) {
        let Some(vertex) = &self.vertex else { return };
        (self.build.tell)(Event::Log(Log {
            vertex: vertex.digest.clone(),
            step: self.number,
            stream,
            timestamp: Timestamp::now(),
            bytes: bytes.to_vec(),
        }));
    }

    /// Begins a step; those that make files have a title and a vertex.
    fn begin(&mut self, text: &str, title: Option<String>, state: &State) {
        self.say(StepEvent::Begun {
            total: self.build.total,
            text: text.to_owned(),
        });
        self.vertex = title.map(|name| Vertex {
            digest: vertex_digest(&format!("{}/{} {name}", self.index, self.number), &[]),
            name,
            inputs: state.vertex.iter().cloned().collect(),
            started: Some(Timestamp::now()),
            completed: None,
            cached: false,
            error: String::new(),
        });
    }

    /// Tells that the vertex under way has begun.
    pub(crate) fn announce(&self) {
        if let Some(vertex) = &self.vertex {
            (self.build.tell)(Event::Vertex(vertex.clone()));
        }
    }

    /// Adds what the step under way needs.
    pub(crate) fn needs(&mut self, vertex: &Digest) {
        if let Some(own) = &mut self.vertex
            && !own.inputs.contains(vertex)
        {
            own.inputs.push(vertex.clone());
        }
    }

    /// Completes the vertex under way, if there is one.
    fn complete(&mut self, state: &mut State, error: String) {
        let Some(mut vertex) = self.vertex.take() else { return };
        vertex.completed = Some(Timestamp::now());
        vertex.error = error;
        state.vertex = Some(vertex.digest.clone());
        (self.build.tell)(Event::Vertex(vertex));
    }

    fn end(&mut self, state: &mut State, done: Result<()>) -> Result<()> {
        let error = done.as_ref().err().map(Error::told).unwrap_or_default();
        self.complete(state, error);
        done?;
        let id = state.id()?;
        self.say(StepEvent::Done(Some(id)));
        if self.number != self.last {
            self.say(StepEvent::Ended);
        }
        Ok(())
    }

    /// An instruction's text with its variables put in, for people.
    fn shown(&self, state: &State, instruction: &Instruction) -> String {
        let escape = self.build.escape;
        let rest = instruction
            .text
            .get(instruction.name.len()..)
            .unwrap_or_default()
            .trim();
        let word = |word: &str| match word.contains('$') && !word.contains(['\'', '"', escape]) {
            true => {
                expand(word, escape, &|name| state.lookup(name)).map_or_else(|_| word.to_owned(), |found| found.text)
            }
            false => word.to_owned(),
        };
        let words: Vec<String> = rest.split(' ').map(word).collect();
        format!("{} {}", instruction.command.name(), words.join(" "))
    }

    /// Runs what the base image wants run in builds on top of it.
    fn triggers(&mut self, state: &mut State) -> Result<()> {
        let triggers = std::mem::take(&mut state.image.config.on_build);
        if triggers.is_empty() {
            return Ok(());
        }
        self.say(StepEvent::Triggers(triggers.len()));
        self.triggered = true;
        let count = triggers.len();
        for (at, trigger) in triggers.into_iter().enumerate() {
            let instruction = corten_dockerfile::parse_instruction(&trigger, self.build.escape)?;
            if matches!(
                instruction.command,
                Command::From(_) | Command::Onbuild(_) | Command::Maintainer(_)
            ) {
                let name = instruction.command.name();
                return Err(Error::invalid(format!("{name} isn't allowed as an ONBUILD trigger")));
            }
            if makes_files(&instruction.command) {
                let shown = self.shown(state, &instruction);
                self.vertex = Some(self.trigger_vertex(&format!("[onbuild {}/{count}] {shown}", at + 1), state));
            }
            let done = self.step(state, &instruction);
            let error = done.as_ref().err().map(Error::told).unwrap_or_default();
            self.complete(state, error);
            done?;
        }
        self.triggered = false;
        Ok(())
    }

    fn trigger_vertex(&self, name: &str, state: &State) -> Vertex {
        let vertex = Vertex {
            digest: vertex_digest(&format!("{} {name}", self.index), &[]),
            name: name.to_owned(),
            inputs: state.vertex.iter().cloned().collect(),
            started: Some(Timestamp::now()),
            completed: None,
            cached: false,
            error: String::new(),
        };
        (self.build.tell)(Event::Vertex(vertex.clone()));
        vertex
    }

    fn step(&mut self, state: &mut State, instruction: &Instruction) -> Result<()> {
        if self.build.executor.is_cancelled() {
            return Err(Error::cancelled());
        }
        match &instruction.command {
            Command::Run(run) => self.run_step(state, run, instruction),
            Command::Copy(copy) => {
                let add = corten_dockerfile::Add {
                    copy: copy.clone(),
                    ..corten_dockerfile::Add::default()
                };
                self.copy_step(state, &add, instruction)
            }
            Command::Add(add) => self.copy_step(state, add, instruction),
            Command::Workdir(path) => self.workdir_step(state, path, instruction),
            command => self.metadata_step(state, command, &instruction.text),
        }
    }

    /// A step after all of the Dockerfile's.
    pub(crate) fn last(mut self, state: &mut State, command: &Command, text: &str) -> Result<()> {
        self.begin(text, None, state);
        self.metadata_step(state, command, text)?;
        let id = state.id()?;
        self.say(StepEvent::Done(Some(id)));
        self.say(StepEvent::Ended);
        Ok(())
    }

    fn metadata_step(&mut self, state: &mut State, command: &Command, text: &str) -> Result<()> {
        let before = state.id()?;
        let by = metadata::apply(state, &self.build.arguments, command, self.build.escape)?;
        let by = by.ok_or_else(|| Error::internal("an instruction is neither of files nor of the configuration"))?;
        let key = Key::new("configuration").with(before.as_str()).with(&by).finish();
        if self.reuse(state, &key, &by, text) {
            return Ok(());
        }
        self.in_passing()?;
        self.keep(state, &key, by, None, text)
    }

    /// What Docker shows for a step that needs no container, and its clients know to expect.
    pub(crate) fn in_passing(&mut self) -> Result<()> {
        let id = random_id()?;
        self.say(StepEvent::Running(id.clone()));
        self.say(StepEvent::Removed(id));
        Ok(())
    }

    /// Takes a step from the cache, if it is there.
    pub(crate) fn reuse(&mut self, state: &mut State, key: &Keyed, by: &str, text: &str) -> bool {
        if self.fresh {
            return false;
        }
        let hit = match self.build.request.steps_from {
            StepsFrom::Cache => self
                .build
                .cache
                .get(&key.digest)
                .or_else(|| self.modelled(state, by))
                .or_else(|| self.imported(state, key, text)),
            StepsFrom::Images => self.modelled(state, by),
        };
        let Some(hit) = hit else {
            self.explain(key, text);
            return false;
        };
        if hit.layer.as_ref().is_some_and(|layer| !self.build.lease.hold(layer)) {
            return false;
        }
        self.done(key, &hit, text);
        self.say(StepEvent::Cached);
        if let Some(vertex) = &mut self.vertex {
            vertex.cached = true;
        }
        state.add(Line {
            by: by.to_owned(),
            created: self.build.epoch_text().unwrap_or(hit.created),
            layer: hit.layer,
        });
        true
    }

    /// Says why a step is not in the cache.
    fn explain(&self, key: &Keyed, text: &str) {
        if !self.build.request.explain {
            return;
        }
        let text: String = text.chars().take(1000).collect();
        let why = match self.build.cache.difference(key, &text) {
            Some(why) => format!("not cached: {why}\n"),
            None => "not cached: nothing is remembered of this instruction\n".to_owned(),
        };
        self.log(Stream::Err, why.as_bytes());
    }

    /// The step as an image of `cachefrom` made it: one that has the same layers and history so far.
    fn modelled(&self, state: &State, by: &str) -> Option<Hit> {
        let (layers, history) = (&state.image.rootfs.diff_ids, &state.image.history);
        let same = |a: &[corten_oci::image::History]| {
            a.len() == history.len() && a.iter().zip(history).all(|(a, b)| a.created_by == b.created_by)
        };
        self.build.models.iter().find_map(|model| {
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
        key: &Keyed,
        by: String,
        layer: Option<Digest>,
        text: &str,
    ) -> Result<()> {
        let hit = Hit {
            layer,
            created: self.build.epoch_text().unwrap_or_else(|| Timestamp::now().to_string()),
        };
        let began = self.vertex.as_ref().and_then(|vertex| vertex.started);
        let took = began.map(|began| Timestamp::now().duration_since(began));
        let done = Done {
            instruction: text,
            took: took.and_then(|took| took.try_into().ok()).unwrap_or_default(),
            below: state.image.rootfs.diff_ids.last(),
        };
        self.build.cache.put(key, &hit, done)?;
        self.done(key, &hit, text);
        state.add(Line {
            by,
            created: hit.created,
            layer: hit.layer,
        });
        Ok(())
    }

    /// A root over layers, gone when dropped.
    pub(crate) fn work(&self, layers: &[Digest]) -> Result<Work> {
        Work::new(self.build.store, layers)
    }

    /// Makes a layer of what a step changed.
    pub(crate) fn commit(&self, work: &Work) -> Result<Digest> {
        if let Some(epoch) = self.build.epoch {
            work.clamp(epoch)?;
        }
        work.commit(&self.build.lease)
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
        Base::Image(name) => format!("FROM {}", whole_name(name)),
        Base::Context(name) => format!("FROM {name}"),
    }
}

/// An image's name with registry and tag.
pub(crate) fn whole_name(name: &str) -> String {
    match name.parse::<Reference>() {
        Ok(reference) => reference.or_latest().to_string(),
        Err(_) => name.to_owned(),
    }
}
