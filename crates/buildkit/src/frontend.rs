//! The Dockerfile frontend: from what a client asks to an order for the builder.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use corten_api::{
    container::{Resources, Ulimit},
    image::AuthConfig,
};
use corten_build::{Allowed, Attest, Context, Event, Given, Named, Output, Request, StepsFrom};
use corten_engine::builds::{Credentials, StepSettings};
use corten_oci::digest::Digest;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::{
    content::ContentStore,
    context::{Progress, SessionContext, Source, small_files},
    dockerfile,
    errors::{self, File},
    gateway::outcome,
    graph,
    grpc::{Result, Status},
    inner::Inner,
    offers::{Offers, credentials},
    options::Options,
    outputs::Outputs,
    proto::{
        gateway::{Outcome, SolveRequest},
        ops::{Definition, SourceInfo},
    },
    provenance, questions,
    session::Session,
    solve::Solve,
    unnamed::Unnamed,
    upload,
};

/// What the Dockerfile and its surroundings are.
pub(crate) struct Found {
    /// The Dockerfile.
    pub(crate) file: File,
    /// The vertex that brought it.
    pub(crate) vertex: Digest,
    /// The text of `.dockerignore`.
    pub(crate) ignore: String,
    /// The files, when they were fetched already.
    pub(crate) context: Option<Arc<dyn Context>>,
}

impl Inner {
    /// Builds, or answers a question.
    pub(crate) async fn frontend(
        self: &Arc<Self>,
        solve: &Arc<Solve>,
        request: Option<SolveRequest>,
    ) -> Result<Outcome> {
        let order = &solve.request;
        let mut attributes = order.frontend_attrs.clone();
        let mut inputs = order.frontend_inputs.clone();
        if let Some(request) = request {
            attributes.extend(request.frontend_opt);
            inputs.extend(request.frontend_inputs);
        } else if order.frontend != "dockerfile.v0" {
            return Err(Status::unimplemented(format!(
                "frontend {:?} is not supported: only dockerfile.v0 is",
                order.frontend
            )));
        }
        let options = Options::read(&attributes)?;
        let found = self.find(solve, &options).await?;
        if !options.request.is_empty() {
            return questions::answer(&options, &found.file);
        }
        self.build_image(solve, &options, &inputs, found).await
    }

    /// The session that has a folder.
    async fn session_of(&self, solve: &Solve, options: &Options, folder: &str) -> Result<Arc<Session>> {
        match options.sessions.get(folder) {
            Some(id) => self.sessions.get(id).await,
            None => Ok(Arc::clone(&solve.session)),
        }
    }

    /// Fetches the Dockerfile and what is to be ignored.
    async fn find(&self, solve: &Arc<Solve>, options: &Options) -> Result<Found> {
        if !options.remote.is_empty() {
            return self.find_remote(solve, options).await;
        }
        let name = &options.filename;
        let title = format!("[internal] load build definition from {name}");
        let follow = vec![name.clone(), format!("{name}.dockerignore"), name.to_lowercase()];
        let vertex = solve.internal(&title);
        let progress = vertex.progress("transferring dockerfile:");
        let session = self.session_of(solve, options, &options.dockerfile_key).await?;
        let wanted = name.clone();
        let read = move |root: &Path| {
            let bytes = dockerfile::read(root, &wanted)?;
            let own = dockerfile::text(root, &format!("{wanted}.dockerignore"))?;
            Ok((bytes, own))
        };
        let key = &options.dockerfile_key;
        let read = small_files(&self.copies, &session, key, follow, progress, read).await;
        let digest = vertex.digest().clone();
        let (bytes, own) = vertex.end(read)?;
        let ignore = match own {
            Some(ignore) => ignore,
            None => self.find_ignore(solve, options).await?,
        };
        Ok(Found {
            file: File {
                name: name.clone(),
                bytes,
            },
            vertex: digest,
            ignore,
            context: None,
        })
    }

    async fn find_ignore(&self, solve: &Arc<Solve>, options: &Options) -> Result<String> {
        let vertex = solve.internal("[internal] load .dockerignore");
        let progress = vertex.progress("transferring context:");
        let follow = vec![".dockerignore".to_owned()];
        let session = self.session_of(solve, options, &options.context_key).await?;
        let read = |root: &Path| dockerfile::text(root, ".dockerignore");
        let key = &options.context_key;
        let read = small_files(&self.copies, &session, key, follow, progress, read).await;
        Ok(vertex.end(read)?.unwrap_or_default())
    }

    /// A context that is no folder of the client's: an archive that it sends, or an address.
    async fn find_remote(&self, solve: &Arc<Solve>, options: &Options) -> Result<Found> {
        let vertex = solve.internal("[internal] load remote build context");
        let given = match upload::path(&options.remote) {
            Some(path) => upload::take(self, &solve.session, path, &options.filename).await,
            None => {
                let settings = self.settings(solve, options);
                let agents = Arc::new(Offers::new(&solve.session));
                let builds = self.engine.builds();
                let fetched = builds.fetch_context(settings, &options.remote, &options.filename, agents);
                fetched.await.map_err(|error| errors::status(&error, &File::default()))
            }
        };
        let digest = vertex.digest().clone();
        let given: Given = vertex.end(given)?;
        Ok(Found {
            file: File {
                name: given.name,
                bytes: given.dockerfile,
            },
            vertex: digest,
            ignore: String::new(),
            context: given.context,
        })
    }

    async fn build_image(
        self: &Arc<Self>,
        solve: &Arc<Solve>,
        options: &Options,
        inputs: &BTreeMap<String, Definition>,
        found: Found,
    ) -> Result<Outcome> {
        let settings = self.settings(solve, options);
        let cancel = watch::channel(false).0;
        let platforms = options.platforms()?;
        let attest = Attest::read(&options.attest);
        let attest = attest.map_err(|error| errors::status(&error, &File::default()))?;
        let outputs = Outputs {
            builds: self.engine.builds(),
            session: &solve.session,
            settings: &settings,
            cancel: &cancel,
            platforms: &platforms,
            attest: &attest,
        };
        let outputs = outputs.read(&solve.request.exporters)?;
        let mut request = self.order(solve, options, inputs, &found, outputs).await?;
        request.attest = attest;
        self.caches(solve, &mut request, &settings, &cancel)?;
        let told = Arc::clone(solve);
        let vertex = found.vertex.clone();
        let source = SourceInfo {
            filename: found.file.name.clone(),
            data: found.file.bytes.clone(),
            language: "Dockerfile".to_owned(),
        };
        let tell = move |event: Event| match event {
            Event::Warnings(warnings) => told.log.warnings(&vertex, &warnings, &source),
            Event::Warned(warning) => told.log.warnings(&vertex, &[warning], &source),
            event => told.log.event(event),
        };
        let outputs = request.outputs.clone();
        let builds = self.engine.builds();
        let built = builds.solve(request, settings, cancel, tell).await;
        drop(outputs);
        let built = built.map_err(|error| errors::status(&error, &found.file))?;
        let platform = platforms.first().map(ToString::to_string).unwrap_or_default();
        let image = builds.store().images().get(&built.image).ok();
        let config = image.map(|image| image.config_bytes().to_vec()).unwrap_or_default();
        let provenance = provenance::document(builds.store(), solve, options, &found.file.name, &platform);
        let name = solve.keep(built.image.clone(), built.answers, provenance);
        Ok(outcome(name, &built.image, config, &platform))
    }

    /// What a request is allowed, if the engine grants it.
    fn allowed(&self, entitlements: &[String]) -> Result<Allowed> {
        let allowed = Options::allowed(entitlements)?;
        let granted = self.engine.settings().granted.check(&allowed);
        granted.map_err(|error| errors::status(&error, &File::default()))?;
        Ok(allowed)
    }

    /// How steps run, and who may ask registries.
    fn settings(&self, solve: &Arc<Solve>, options: &Options) -> StepSettings {
        let session = Arc::clone(&solve.session);
        let asked: Credentials = Credentials::new(move |host: String| {
            let session = Arc::clone(&session);
            Box::pin(async move {
                let (username, password) = credentials(&session, &host).await?;
                Some(AuthConfig {
                    username,
                    password,
                    server_address: host,
                    ..AuthConfig::default()
                })
            })
        });
        let ulimits: Vec<Ulimit> = options
            .ulimits
            .iter()
            .map(|(name, soft, hard)| Ulimit {
                name: name.clone(),
                soft: *soft,
                hard: *hard,
            })
            .collect();
        StepSettings {
            network: options.network.clone(),
            extra_hosts: options.hosts.clone(),
            shm_size: options.shm_size,
            resources: Resources {
                ulimits: Some(ulimits).filter(|ulimits| !ulimits.is_empty()),
                cgroup_parent: options.cgroup_parent.clone(),
                ..Resources::default()
            },
            pull: options.pull,
            credentials: Some(asked),
            ..StepSettings::default()
        }
    }

    async fn order(
        &self,
        solve: &Arc<Solve>,
        options: &Options,
        inputs: &BTreeMap<String, Definition>,
        found: &Found,
        mut outputs: Vec<Arc<dyn Output>>,
    ) -> Result<Request> {
        let offers = Offers::new(&solve.session);
        if outputs.is_empty() {
            outputs.push(Arc::new(Unnamed(Arc::clone(solve))) as Arc<dyn Output>);
        }
        let context = match &found.context {
            Some(context) => Arc::clone(context),
            None => self.context(solve, options, found).await?,
        };
        Ok(Request {
            dockerfile: found.file.bytes.clone(),
            name: found.file.name.clone(),
            context: Some(context),
            contexts: self.named(solve, options, inputs).await?,
            target: options.target.clone(),
            arguments: options.arguments.clone(),
            labels: options.labels.clone(),
            fresh: options.fresh.clone(),
            cache_from: options.cache_from.clone(),
            imports: Vec::new(),
            exports: Vec::new(),
            inline_cache: false,
            attest: Attest::default(),
            steps_from: StepsFrom::default(),
            platforms: options.platforms()?,
            platform_given: !options.platform.is_empty(),
            secrets: Arc::new(offers.clone()),
            agents: Arc::new(offers),
            allowed: self.allowed(&solve.request.entitlements)?,
            network: options.network.clone(),
            explain: false,
            squash: false,
            outputs,
        })
    }

    async fn context(&self, solve: &Arc<Solve>, options: &Options, found: &Found) -> Result<Arc<dyn Context>> {
        let session = self.session_of(solve, options, &options.context_key).await?;
        let context = SessionContext::open(Source {
            copies: &self.copies,
            session: &session,
            name: &options.context_key,
            ignore: &found.ignore,
            expected: dockerfile::sources(&found.file.bytes, &options.target),
            progress: solve.transfer("[internal] load build context", "transferring context:"),
        })
        .await?;
        Ok(Arc::new(context))
    }

    /// What stands for names.
    async fn named(
        &self,
        solve: &Arc<Solve>,
        options: &Options,
        inputs: &BTreeMap<String, Definition>,
    ) -> Result<BTreeMap<String, Named>> {
        let mut named = BTreeMap::new();
        for (name, value) in &options.contexts {
            // `name::platform` is for one platform of several.
            let name = name.split("::").next().unwrap_or(name).to_owned();
            let (kind, rest) = value.split_once(':').unwrap_or((value, ""));
            let context = match kind {
                "docker-image" => Named::Image(rest.trim_start_matches("//").to_owned()),
                "local" => {
                    let session = self.session_of(solve, options, rest).await?;
                    let progress = solve.transfer(&format!("[context {name}] load from client"), "transferring:");
                    let source = Source {
                        copies: &self.copies,
                        session: &session,
                        name: rest,
                        ignore: "",
                        expected: None,
                        progress,
                    };
                    Named::Files(Arc::new(SessionContext::open(source).await?))
                }
                "oci-layout" => Named::Layout(Arc::new(layout(solve, rest)?)),
                "input" => {
                    let missing = || Status::invalid(format!("context {name}: there is no input {rest:?}"));
                    Named::Image(graph::image(inputs.get(rest).ok_or_else(missing)?)?)
                }
                _ => {
                    return Err(Status::unimplemented(format!(
                        "context {name:?} from {value:?} is not supported"
                    )));
                }
            };
            named.insert(name, context);
        }
        Ok(named)
    }
}

/// `//store[:tag]@digest`, in a store that the session offers.
fn layout(solve: &Arc<Solve>, text: &str) -> Result<ContentStore> {
    let wrong = || Status::invalid(format!("oci-layout:{text}: no digest is given"));
    let (store, digest) = text.trim_start_matches("//").split_once('@').ok_or_else(wrong)?;
    let digest = digest.parse().map_err(|_| wrong())?;
    let store = format!("oci:{}", store.split(':').next().unwrap_or(store));
    Ok(ContentStore::new(&solve.session, store, Some(digest)))
}

/// A vertex of the frontend's own, that goes on.
pub(crate) struct Internal<'a> {
    solve: &'a Arc<Solve>,
    vertex: corten_build::Vertex,
    began: Timestamp,
    transfer: Mutex<Option<String>>,
}

impl Solve {
    /// Begins a vertex.
    pub(crate) fn internal(self: &Arc<Self>, name: &str) -> Internal<'_> {
        let began = Timestamp::now();
        let vertex = corten_build::Vertex {
            digest: Digest::sha256(name.as_bytes()),
            name: name.to_owned(),
            inputs: Vec::new(),
            started: Some(began),
            completed: None,
            cached: false,
            error: String::new(),
        };
        self.log.event(Event::Vertex(vertex.clone()));
        Internal {
            solve: self,
            vertex,
            began,
            transfer: Mutex::default(),
        }
    }

    /// What hears of a transfer that belongs to a vertex of the builder's.
    pub(crate) fn transfer(self: &Arc<Self>, vertex: &str, id: &'static str) -> Progress {
        let (solve, vertex) = (Arc::downgrade(self), Digest::sha256(vertex.as_bytes()));
        let began = Timestamp::now();
        Arc::new(move |bytes| {
            if let Some(solve) = solve.upgrade() {
                solve.log.event(moved(&vertex, id, bytes, began, None));
            }
        })
    }
}

fn moved(vertex: &Digest, id: &str, bytes: u64, began: Timestamp, completed: Option<Timestamp>) -> Event {
    Event::Status(corten_build::Status {
        vertex: vertex.clone(),
        id: id.to_owned(),
        name: "transferring".to_owned(),
        current: bytes,
        total: 0,
        timestamp: Timestamp::now(),
        started: began,
        completed,
    })
}

impl Internal<'_> {
    /// Its identity.
    pub(crate) fn digest(&self) -> &Digest {
        &self.vertex.digest
    }

    /// What hears how much came; it hears once, when all has come.
    pub(crate) fn progress(&self, id: &'static str) -> Progress {
        *self.transfer.lock().unwrap_or_else(PoisonError::into_inner) = Some(id.to_owned());
        let (solve, vertex, began) = (Arc::clone(self.solve), self.vertex.digest.clone(), self.began);
        Arc::new(move |bytes| {
            let event = moved(&vertex, id, bytes, began, Some(Timestamp::now()));
            solve.log.event(event);
        })
    }

    /// Ends it.
    pub(crate) fn end<T>(mut self, result: Result<T>) -> Result<T> {
        self.vertex.completed = Some(Timestamp::now());
        if let Err(status) = &result {
            self.vertex.error.clone_from(&status.message);
        }
        self.solve.log.event(Event::Vertex(self.vertex));
        result
    }
}
