//! The build: its stages side by side, each waiting for those it needs; then the outputs.

mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

use corten_dockerfile::{Command, Dockerfile};
use corten_oci::digest::Digest;
use corten_oci::image::ImageConfig;
use corten_oci::platform::Platform;
use corten_store::{Lease, Store};
use jiff::Timestamp;

use crate::arguments::Arguments;
use crate::attest::{self, Material};
use crate::cache::Cache;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, StepEvent, Vertex};
use crate::exchange::{self, Blobs, Done, Imported, import};
use crate::executor::Executor;
use crate::output::{Finished, Product};
use crate::plan::{Plan, plan};
use crate::request::Request;
use crate::stage::Stage;
use crate::state::State;

/// What a build made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The digest of the image's configuration: its id, when an output keeps it in the engine.
    pub image: Digest,
    /// What outputs say of it, by BuildKit's names.
    pub answers: BTreeMap<String, String>,
}

/// Builds what is asked for and hands it to the outputs.
///
/// # Errors
/// With the lines of the Dockerfile that failed.
pub fn build(
    store: &Store,
    cache: &Arc<Cache>,
    executor: &dyn Executor,
    request: &Request,
    tell: &(dyn Fn(Event) + Sync),
) -> Result<Built> {
    let check = request
        .arguments
        .get("BUILDKIT_DOCKERFILE_CHECK")
        .and_then(Option::as_deref);
    let file = Dockerfile::parse_with(&request.dockerfile, check)?;
    tell(Event::Warnings(file.warnings.clone()));
    insist(&file)?;
    let target = file.target(&request.target)?;
    let shared = Shared {
        store,
        cache,
        executor,
        request,
        lease: store.lease(),
        models: models(store, request),
        tell,
        imported: imported(request, tell),
        materials: Mutex::default(),
        done: Mutex::default(),
        contexts: Mutex::default(),
        ignored: AtomicBool::new(false),
    };
    let began = Timestamp::now();
    let mut products = Vec::new();
    for (number, platform) in request.platforms.iter().enumerate() {
        products.push(product(&shared, &file, target, platform, number == 0)?);
    }
    let mut stated = Vec::new();
    for product in &products {
        let materials = shared.materials.lock().unwrap_or_else(PoisonError::into_inner);
        let materials: Vec<Material> = materials
            .iter()
            .filter(|(platform, _)| *platform == product.platform.to_string())
            .map(|(_, material)| material.clone())
            .collect();
        stated.push(attest::state(&shared, &file, product, &materials, began)?);
    }
    for (product, stated) in products.iter_mut().zip(stated) {
        product.stated = stated;
    }
    let mut built = export(&shared, &products)?;
    export_caches(&shared, &products, &mut built)?;
    Ok(built)
}

/// Reads the caches that steps may come from. One that cannot be had is told of, and the build goes on.
fn imported(request: &Request, tell: &(dyn Fn(Event) + Sync)) -> Vec<Imported> {
    let read = |blobs: &Arc<dyn Blobs>| {
        let title = format!("importing cache manifest from {}", blobs.title());
        internal(tell, &title, Vec::new(), |_| import(blobs)).ok()
    };
    request.imports.iter().filter_map(read).collect()
}

/// Hands what was done to whoever gets the cache.
fn export_caches(shared: &Shared<'_>, products: &[Product], built: &mut Built) -> Result<()> {
    let done = shared.done.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let layers: Vec<Digest> = products
        .iter()
        .flat_map(|product| product.config.rootfs.diff_ids.clone())
        .collect();
    for to in &shared.request.exports {
        let of = (!to.options.max).then_some(layers.as_slice());
        let exported = internal(shared.tell, &to.target.title(), Vec::new(), |_| {
            let cache = exchange::export(shared.store, &shared.lease, shared.tell, &done, of);
            to.target.export(&cache, &to.options)
        });
        match exported {
            Ok(answers) => built.answers.extend(answers),
            Err(error) if to.options.ignore_error => tracing::warn!(%error, "a cache was not exported"),
            Err(error) => return Err(error.context("failed to export cache")),
        }
    }
    Ok(())
}

/// Builds for one platform.
fn product(
    shared: &Shared<'_>,
    file: &Dockerfile,
    target: usize,
    platform: &Platform,
    is_first: bool,
) -> Result<Product> {
    let request = shared.request;
    let mut arguments = Arguments::new(request.arguments.clone(), platform, &request.target);
    for instruction in &file.arguments {
        if let Command::Arg(list) = &instruction.command {
            let declared = arguments.declare_global(list, file.directives.escape);
            declared.map_err(|error| error.at(instruction.lines))?;
        }
    }
    let epoch = epoch(&arguments)?;
    let plan = plan(file, target, &arguments, &request.contexts)?;
    let total = plan.total + usize::from(!request.labels.is_empty());
    let slots = (0..file.stages.len()).map(|index| (index, Slot::default()));
    let late = Late {
        begun: plan.stages.iter().map(|stage| stage.index).collect(),
        edges: BTreeSet::new(),
    };
    let build = Build {
        shared,
        platform,
        arguments,
        slots: slots.collect(),
        late: Mutex::new(late),
        images: Mutex::default(),
        failure: Mutex::default(),
        epoch,
        total,
        escape: file.directives.escape,
        plan,
        file,
    };
    let mut state = build.run(target, is_first)?;
    if request.inline_cache && state.base.is_none() {
        let done = shared.done.lock().unwrap_or_else(PoisonError::into_inner);
        state.image.inline_cache = exchange::inline(&done, &state.image.rootfs.diff_ids)?;
    }
    let (bytes, id) = state.document()?;
    Ok(Product {
        platform: platform.clone(),
        id: state.base.clone().unwrap_or(id),
        config: state.image,
        bytes,
        base: state.base,
        vertex: state.vertex,
        stated: Vec::new(),
    })
}

/// The state that an image gives, when it has been looked for.
type Base = OnceLock<Result<State>>;

/// What builds for several platforms share.
pub(crate) struct Shared<'a> {
    pub(crate) store: &'a Store,
    pub(crate) cache: &'a Arc<Cache>,
    pub(crate) executor: &'a dyn Executor,
    pub(crate) request: &'a Request,
    pub(crate) lease: Lease,
    /// Configurations of images whose layers may be used again.
    pub(crate) models: Vec<ImageConfig>,
    pub(crate) tell: &'a (dyn Fn(Event) + Sync),
    /// Caches elsewhere.
    pub(crate) imported: Vec<Imported>,
    /// What base images were, by the platform that is built for.
    materials: Mutex<BTreeSet<(String, Material)>>,
    /// What was done, or found.
    done: Mutex<Vec<Done>>,
    /// Contexts that were told of.
    contexts: Mutex<BTreeMap<String, Digest>>,
    /// Whether it was told what of the context is left out.
    ignored: AtomicBool,
}

/// What the stages of a build for one platform share.
pub(crate) struct Build<'a> {
    shared: &'a Shared<'a>,
    /// What is built for.
    pub(crate) platform: &'a Platform,
    pub(crate) arguments: Arguments,
    /// What the stages became.
    slots: BTreeMap<usize, Slot>,
    /// Guards what is known of stages beside the plan.
    late: Mutex<Late>,
    /// Images by name and platform; each is looked for once.
    images: Mutex<BTreeMap<(String, String), Arc<Base>>>,
    /// Why the build failed first.
    failure: Mutex<Option<Error>>,
    /// The time of everything (`SOURCE_DATE_EPOCH`), in seconds.
    pub(crate) epoch: Option<i64>,
    pub(crate) total: usize,
    pub(crate) escape: char,
    pub(crate) plan: Plan,
    pub(crate) file: &'a Dockerfile,
}

impl Shared<'_> {
    /// Notes a step.
    pub(crate) fn done(&self, step: Done) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push(step);
    }
}

impl<'a> std::ops::Deref for Build<'a> {
    type Target = Shared<'a>;

    fn deref(&self) -> &Shared<'a> {
        self.shared
    }
}

/// What only base images ask for, by their triggers: that is known late.
struct Late {
    /// Stages that were begun, or will be.
    begun: BTreeSet<usize>,
    /// Which stage needs which, by triggers.
    edges: BTreeSet<(usize, usize)>,
}

/// What a stage became: nothing yet, nothing ever, or this.
#[derive(Default)]
struct Slot {
    done: Mutex<Option<Option<State>>>,
    changed: Condvar,
}

impl Build<'_> {
    fn run(&self, target: usize, is_first: bool) -> Result<State> {
        for (number, instruction) in self.file.arguments.iter().enumerate() {
            let begun = StepEvent::Begun {
                total: self.total,
                text: instruction.text.clone(),
            };
            (self.tell)(Event::Step(number + 1, begun));
            (self.tell)(Event::Step(number + 1, StepEvent::Ended));
        }
        self.stages();
        if let Some(error) = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error);
        }
        let mut state = self.stage_result(target)?;
        if self.request.squash {
            crate::squash::squash(self, &mut state)?;
        }
        self.label(&mut state)?;
        let unconsumed = self.arguments.unconsumed();
        if !unconsumed.is_empty() && is_first {
            (self.tell)(Event::Unconsumed(unconsumed));
        }
        Ok(state)
    }

    /// Runs all stages of the plan, each on a thread of its own.
    fn stages(&self) {
        let mut first = self.file.arguments.len() + 1;
        std::thread::scope(|scope| {
            let mut last = None;
            for planned in &self.plan.stages {
                let begins = first;
                first += 1 + self.file.stages[planned.index].instructions.len();
                let work = move || {
                    let result = Stage::new(self, planned, begins).run();
                    self.stage_done(planned.index, result);
                };
                // The last stage, often the only one, needs no thread of its own.
                if let Some(before) = last.replace(work) {
                    scope.spawn(before);
                }
            }
            if let Some(work) = last {
                work();
            }
        });
    }

    fn stage_done(&self, index: usize, result: Result<State>) {
        let state = match result {
            Ok(state) => Some(state),
            Err(error) => {
                self.fail(error);
                None
            }
        };
        if let Some(slot) = self.slots.get(&index) {
            *slot.done.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
            slot.changed.notify_all();
        }
    }

    /// Remembers why the build failed and ends what still runs. What only failed because of that is
    /// not the reason.
    fn fail(&self, error: Error) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.as_ref().is_none_or(|first| first.kind() == Kind::Cancelled) {
            *failure = Some(error);
        }
        drop(failure);
        self.executor.abort();
    }

    /// The time of everything, RFC 3339.
    pub(crate) fn epoch_text(&self) -> Option<String> {
        Some(Timestamp::from_second(self.epoch?).ok()?.to_string())
    }

    /// Sees that a stage is built that a trigger of another's base image asks for.
    pub(crate) fn also(&self, asking: usize, index: usize) -> Result<()> {
        let needed = plan(self.file, index, &self.arguments, &self.request.contexts)?;
        self.connect(asking, index)?;
        for planned in &needed.stages {
            if !self.late().begun.insert(planned.index) {
                continue;
            }
            let result = Stage::new(self, planned, self.total).run();
            self.stage_done(planned.index, result);
        }
        Ok(())
    }

    /// Notes that a stage needs another; refuses circles, in which each would wait for the other.
    fn connect(&self, asking: usize, index: usize) -> Result<()> {
        let mut late = self.late();
        let (mut seen, mut open) = (BTreeSet::new(), vec![index]);
        while let Some(stage) = open.pop() {
            if stage == asking {
                let name = self.file.stages[index].from.name.clone();
                let name = name.unwrap_or_else(|| index.to_string());
                return Err(Error::invalid(format!("circular dependency detected on stage: {name}")));
            }
            if !seen.insert(stage) {
                continue;
            }
            let below = plan(self.file, stage, &self.arguments, &self.request.contexts)?;
            open.extend(below.stages.iter().map(|planned| planned.index));
            open.extend(late.edges.iter().filter(|(from, _)| *from == stage).map(|(_, to)| *to));
        }
        late.edges.insert((asking, index));
        Ok(())
    }

    fn late(&self) -> std::sync::MutexGuard<'_, Late> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a stage became; waits for it.
    pub(crate) fn stage_result(&self, index: usize) -> Result<State> {
        let slot = self
            .slots
            .get(&index)
            .ok_or_else(|| Error::internal("a stage that is needed is not planned"))?;
        let mut done = slot.done.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*done {
                Some(Some(state)) => return Ok(state.clone()),
                Some(None) => return Err(Error::cancelled()),
                None => done = slot.changed.wait(done).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Does something that has a vertex and is no step.
    pub(crate) fn internal<T>(
        &self,
        name: &str,
        inputs: Vec<Digest>,
        work: impl FnOnce(&Digest) -> Result<T>,
    ) -> Result<T> {
        internal(self.tell, name, inputs, work)
    }

    /// Labels of the request, as a last instruction.
    fn label(&self, state: &mut State) -> Result<()> {
        if self.request.labels.is_empty() {
            return Ok(());
        }
        let labels = self.request.labels.iter();
        let words: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
        let text = format!("LABEL {}", words.join(" "));
        let quoted = self.request.labels.iter().map(|(name, value)| {
            // Labels of the request have no variables.
            let value = match self.escape {
                '\\' => format!("'{}'", value.replace('\'', "'\\''")),
                _ => format!("'{value}'"),
            };
            (name.clone(), value)
        });
        let command = Command::Label(quoted.collect());
        Stage::after_all(self, &self.plan.stages[0]).last(state, &command, &text)
    }
}

/// Hands the results to the outputs.
fn export(shared: &Shared<'_>, products: &[Product]) -> Result<Built> {
    let main = crate::output::main(products)?;
    let mut answers = BTreeMap::new();
    for output in &shared.request.outputs {
        let inputs: Vec<Digest> = products.iter().filter_map(|product| product.vertex.clone()).collect();
        let answer = internal(shared.tell, &output.title(), inputs, |vertex| {
            output.export(&Finished {
                store: shared.store,
                lease: &shared.lease,
                tell: shared.tell,
                vertex: vertex.clone(),
                products,
                main,
            })
        })?;
        answers.extend(answer);
    }
    Ok(Built {
        image: main.id.clone(),
        answers,
    })
}

/// Does something that has a vertex and is no step.
pub(crate) fn internal<T>(
    tell: &(dyn Fn(Event) + Sync),
    name: &str,
    inputs: Vec<Digest>,
    work: impl FnOnce(&Digest) -> Result<T>,
) -> Result<T> {
    let mut vertex = Vertex {
        digest: vertex_digest(name, &inputs),
        name: name.to_owned(),
        inputs,
        started: Some(Timestamp::now()),
        completed: None,
        cached: false,
        error: String::new(),
    };
    tell(Event::Vertex(vertex.clone()));
    let result = work(&vertex.digest);
    vertex.completed = Some(Timestamp::now());
    if let Err(error) = &result {
        vertex.error = error.told();
    }
    tell(Event::Vertex(vertex));
    result
}

/// Fails for warnings, if the Dockerfile wants that.
fn insist(file: &Dockerfile) -> Result<()> {
    let Some(first) = file.warnings.first().filter(|_| file.insists()) else {
        return Ok(());
    };
    let mut rules: Vec<&str> = file.warnings.iter().map(|warning| warning.rule.name()).collect();
    rules.sort_unstable();
    rules.dedup();
    let message = format!("lint violation found for rules: {}", rules.join(", "));
    Err(Error::invalid(message).at(first.lines))
}

/// The time that the build's argument `SOURCE_DATE_EPOCH` asks for.
fn epoch(arguments: &Arguments) -> Result<Option<i64>> {
    let Some(text) = arguments.given("SOURCE_DATE_EPOCH").filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let seconds = text
        .parse::<i64>()
        .ok()
        .filter(|seconds| Timestamp::from_second(*seconds).is_ok());
    match seconds {
        Some(seconds) => Ok(Some(seconds)),
        None => Err(Error::invalid(format!("invalid SOURCE_DATE_EPOCH: {text}"))),
    }
}

/// What `cachefrom` names and is here.
fn models(store: &Store, request: &Request) -> Vec<ImageConfig> {
    let found = request
        .cache_from
        .iter()
        .filter_map(|name| store.images().resolve(name).ok());
    found.map(|image| image.config().clone()).collect()
}

/// A vertex's identity.
pub(crate) fn vertex_digest(name: &str, inputs: &[Digest]) -> Digest {
    let text: Vec<&str> = std::iter::once(name).chain(inputs.iter().map(Digest::as_str)).collect();
    Digest::sha256(text.join("\n").as_bytes())
}
