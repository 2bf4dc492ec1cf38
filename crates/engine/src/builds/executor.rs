//! What a build asks of the engine: base images, commands run, files fetched.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{Buf, Bytes};
use corten_api::{
    container::{Config, DeviceRequest},
    host_config::HostConfig,
    image::{AuthConfig, Progress},
};
use corten_build::{
    Agents, BaseImage, Error, Executor, FoundDevice, GitSource, Network, Process, Security, Stream, Transfer,
};
use corten_oci::{digest::Digest, platform::Platform, reference::Reference};
use corten_store::{Force, PruneParents};
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
};

use super::{Builds, StepSettings};
use crate::{
    cdi::Catalogue,
    containers::Step,
    error::{Kind, Result},
    images::PullRequest,
};

/// Pieces of output that may wait.
const WAITING: usize = 64;

/// The engine, as one build sees it.
pub(super) struct EngineExecutor {
    pub(super) runtime: Handle,
    builds: Builds,
    pub(super) settings: StepSettings,
    host_config: HostConfig,
    pub(super) cancel: watch::Sender<bool>,
    /// Images for other machines, that are only wanted while the build goes on.
    passing: Mutex<Vec<Digest>>,
}

impl EngineExecutor {
    /// To be made where the engine's runtime is the current one.
    pub(super) fn new(builds: &Builds, settings: StepSettings, cancel: watch::Sender<bool>) -> Self {
        Self {
            runtime: Handle::current(),
            builds: builds.clone(),
            host_config: settings.host_config(),
            settings,
            cancel,
            passing: Mutex::default(),
        }
    }

    /// Removes what was only wanted for the build. What got a name meanwhile stays.
    pub(super) fn forget(&self) {
        let passing = std::mem::take(&mut *self.passing.lock().unwrap_or_else(PoisonError::into_inner));
        for id in passing {
            let images = self.builds.store().images();
            let _ = images.remove(id.as_str(), Force::No, PruneParents::No, &|_| Vec::new());
        }
    }

    /// Waits for something, unless the build is cancelled before.
    pub(super) fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> corten_build::Result<T> {
        let mut cancelled = self.cancel.subscribe();
        self.runtime.block_on(async {
            tokio::select! {
                result = work => result.map_err(|error| build_error(&error)),
                _ = cancelled.wait_for(|cancelled| *cancelled) => Err(Error::new(Kind::Cancelled, "the build was cancelled")),
            }
        })
    }

    fn here(&self, reference: &str, platform: &str) -> Option<BaseImage> {
        let wanted = match platform {
            "" => None,
            platform => Some(platform.parse::<Platform>().ok()?),
        };
        let found = self.builds.0.images.find_for(reference, wanted.as_ref()).ok()?;
        Some(BaseImage {
            id: found.id,
            config: (*found.config).clone(),
        })
    }

    /// Pulls an image. What is told of it is told on this thread, which may block.
    fn fetch_image(
        &self,
        reference: &Reference,
        platform: &str,
        pulling: &mut dyn FnMut(Transfer),
    ) -> corten_build::Result<Option<Digest>> {
        let mut request = PullRequest {
            reference: reference.clone().or_latest().to_string(),
            tag: String::new(),
            platform: platform.to_owned(),
            auth: auth_for(&self.settings.registries, reference.domain()),
        };
        let (credentials, domain) = (self.settings.credentials.clone(), reference.domain().to_owned());
        let (sender, mut messages) = mpsc::channel(WAITING);
        let images = self.builds.0.images.clone();
        let is_foreign = platform
            .parse::<Platform>()
            .is_ok_and(|platform| !Platform::host().accepts(&platform));
        let mut cancelled = self.cancel.subscribe();
        let pull = self.runtime.spawn(async move {
            let pulled = async move {
                if let (None, Some(credentials)) = (&request.auth, credentials) {
                    request.auth = credentials.of(&domain).await;
                }
                match is_foreign {
                    true => images.pull_nameless(request, sender).await.map(Some),
                    false => images.pull(request, sender).await.map(|()| None),
                }
            };
            tokio::select! {
                result = pulled => result,
                _ = cancelled.wait_for(|cancelled| *cancelled) => {
                    Err(crate::Error::new(Kind::Cancelled, "the build was cancelled"))
                }
            }
        });
        while let Some(message) = messages.blocking_recv() {
            pulling(transfer(message));
        }
        match self.runtime.block_on(pull) {
            Ok(result) => result.map_err(|error| build_error(&error)),
            Err(error) => Err(Error::new(
                Kind::Internal,
                format!("an internal task ended early: {error}"),
            )),
        }
    }
}

/// Who asks a registry.
pub(super) fn auth_for(registries: &BTreeMap<String, AuthConfig>, domain: &str) -> Option<AuthConfig> {
    let found = registries.iter().find(|(registry, _)| {
        let host = registry.trim_start_matches("https://").trim_start_matches("http://");
        let host = host.split('/').next().unwrap_or(host);
        host == domain || (domain == "docker.io" && host == "index.docker.io")
    });
    found.map(|(_, auth)| auth.clone())
}

/// A message of a pull as the builder's.
fn transfer(message: Progress) -> Transfer {
    let detail = message.detail.unwrap_or_default();
    let count = |count: i64| u64::try_from(count).unwrap_or(0);
    Transfer {
        id: message.id,
        status: message.status,
        current: count(detail.current),
        total: count(detail.total),
    }
}

impl Executor for EngineExecutor {
    fn image(
        &self,
        reference: &str,
        platform: &str,
        pulling: &mut dyn FnMut(Transfer),
    ) -> corten_build::Result<BaseImage> {
        let by_id = reference.parse::<Reference>().is_err() || reference.len() == 64;
        if (!self.settings.pull || by_id)
            && let Some(found) = self.here(reference, platform)
        {
            return Ok(found);
        }
        let parsed = reference.parse::<Reference>();
        let parsed = parsed.map_err(|error| {
            Error::new(
                Kind::Invalid,
                format!("failed to parse stage name {reference:?}: {error}"),
            )
        })?;
        if let Some(id) = self.fetch_image(&parsed, platform, pulling)? {
            self.passing
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(id.clone());
            return self.here(id.as_str(), platform).ok_or_else(|| {
                let message = format!("image with reference {reference} was found but does not match the specified platform: wanted {platform}");
                Error::new(Kind::NotFound, message)
            });
        }
        self.here(reference, platform).ok_or_else(|| {
            let message = format!("image with reference {reference} was found but does not match the specified platform: wanted {platform}");
            Error::new(Kind::NotFound, message)
        })
    }

    fn run(&self, process: &Process, output: &mut dyn FnMut(Stream, &[u8])) -> corten_build::Result<i32> {
        // The builder has checked that these are allowed.
        let mut host_config = self.host_config.clone();
        match process.network {
            Network::Default => {}
            Network::None => host_config.network_mode = "none".into(),
            Network::Host => host_config.network_mode = "host".into(),
        }
        host_config.privileged = process.security == Security::Insecure;
        if !process.devices.is_empty() {
            let request = DeviceRequest {
                driver: "cdi".to_owned(),
                device_ids: Some(process.devices.clone()),
                ..DeviceRequest::default()
            };
            host_config.resources.device_requests = Some(vec![request]);
        }
        let step = Step {
            id: process.id.clone(),
            command: process.arguments.clone(),
            config: Config {
                user: process.user.clone(),
                env: Some(process.environment.clone()),
                working_dir: process.folder.clone(),
                ..Config::default()
            },
            host_config,
            stubs: process.stubs.clone(),
            mounts: process.mounts.clone(),
        };
        let (sender, mut pieces) = mpsc::channel(WAITING);
        let containers = self.builds.0.containers.clone();
        let cancelled = self.cancel.subscribe();
        let running = self
            .runtime
            .spawn(async move { containers.run_step(step, sender, cancelled).await });
        while let Some((stream, bytes)) = pieces.blocking_recv() {
            let stream = if stream == 2 { Stream::Err } else { Stream::Out };
            output(stream, &bytes);
        }
        match self.runtime.block_on(running) {
            Ok(result) => result.map_err(|error| build_error(&error)),
            Err(error) => Err(Error::new(
                Kind::Internal,
                format!("an internal task ended early: {error}"),
            )),
        }
    }

    fn fetch(&self, url: &str) -> corten_build::Result<(Box<dyn Read>, Option<i64>)> {
        let registries = self.builds.0.images.registries();
        let download = self.wait(async { Ok(registries.download(url).await?) });
        let download = download.map_err(|error| Error::new(error.kind(), format!("failed to load {url}: {error}")))?;
        let modified = download.last_modified().and_then(|text| {
            let parsed = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
            Some(parsed.as_second())
        });
        let body = Body {
            runtime: self.runtime.clone(),
            download,
            current: Bytes::new(),
            cancelled: self.cancel.subscribe(),
        };
        Ok((Box::new(body), modified))
    }

    fn git(&self, source: &GitSource, agents: &Arc<dyn Agents>, folder: &Path) -> corten_build::Result<String> {
        let exec_root = &self.builds.0.settings.exec_root;
        self.wait(super::git::check_out(source, agents, exec_root, folder))
    }

    fn devices(&self, name: &str) -> corten_build::Result<Vec<FoundDevice>> {
        let folders = self.builds.0.settings.cdi.as_deref().unwrap_or_default();
        let found = Catalogue::read(folders).named(name);
        found.map_err(|why| Error::new(Kind::Invalid, why))
    }

    fn is_cancelled(&self) -> bool {
        *self.cancel.borrow()
    }

    fn abort(&self) {
        self.cancel.send_replace(true);
    }
}

/// The engine's error as the builder's.
pub(super) fn build_error(error: &crate::Error) -> Error {
    Error::new(error.kind(), error.report())
}

/// A file as it comes.
struct Body {
    runtime: Handle,
    download: corten_distribution::Download,
    current: Bytes,
    cancelled: watch::Receiver<bool>,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            if *self.cancelled.borrow() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            match self.runtime.block_on(self.download.chunk()).map_err(io::Error::other)? {
                Some(chunk) => self.current = chunk,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
