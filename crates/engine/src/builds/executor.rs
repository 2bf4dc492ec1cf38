//! What a build asks of the engine: base images, commands run, files fetched.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use corten_api::{
    container::Config,
    host_config::HostConfig,
    image::{AuthConfig, Progress},
};
use corten_build::{BaseImage, Error, Executor, Network, Process, ProcessMount, Security, Stream};
use corten_oci::{platform::Platform, reference::Reference};
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
};

use super::{BuildRequest, Builds, host_config};
use crate::{
    containers::{Step, StepMount},
    error::{Kind, Result},
    images::PullRequest,
};

/// Pieces of output that may wait.
const WAITING: usize = 64;

/// The engine, as one build sees it.
pub(super) struct EngineExecutor {
    runtime: Handle,
    builds: Builds,
    host_config: HostConfig,
    pull: bool,
    registries: std::collections::BTreeMap<String, AuthConfig>,
    cancelled: watch::Receiver<bool>,
    lines: mpsc::Sender<Progress>,
    quiet: bool,
}

impl EngineExecutor {
    pub(super) fn new(
        builds: &Builds,
        request: &BuildRequest,
        cancelled: watch::Receiver<bool>,
        lines: mpsc::Sender<Progress>,
    ) -> Result<Self> {
        Ok(Self {
            runtime: Handle::current(),
            builds: builds.clone(),
            host_config: host_config(request),
            pull: request.pull,
            registries: request.registries.clone(),
            cancelled,
            lines,
            quiet: request.quiet,
        })
    }

    /// Waits for something, unless the build is cancelled before.
    fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> corten_build::Result<T> {
        let mut cancelled = self.cancelled.clone();
        self.runtime.block_on(async {
            tokio::select! {
                result = work => result.map_err(|error| build_error(&error)),
                _ = cancelled.wait_for(|cancelled| *cancelled) => Err(Error::new(Kind::Cancelled.into(), "the build was cancelled")),
            }
        })
    }

    fn here(&self, reference: &str, platform: &str) -> Option<BaseImage> {
        let found = self.builds.0.images.find(reference).ok()?;
        if !platform.is_empty() {
            let wanted: Platform = platform.parse().ok()?;
            if !wanted.accepts(&found.config.platform()) {
                return None;
            }
        }
        Some(BaseImage {
            id: found.id,
            config: (*found.config).clone(),
        })
    }

    async fn fetch_image(&self, reference: &Reference, platform: &str) -> Result<()> {
        let domain = reference.domain();
        let auth = self.registries.iter().find(|(registry, _)| {
            let host = registry.trim_start_matches("https://").trim_start_matches("http://");
            let host = host.split('/').next().unwrap_or(host);
            host == domain || (domain == "docker.io" && host == "index.docker.io")
        });
        let request = PullRequest {
            reference: reference.clone().or_latest().to_string(),
            tag: String::new(),
            platform: platform.to_owned(),
            auth: auth.map(|(_, auth)| auth.clone()),
        };
        let (sender, mut nobody) = mpsc::channel(WAITING);
        // The one that is not used must go at once: it would keep the other end waiting.
        let lines = Some(sender)
            .filter(|_| self.quiet)
            .unwrap_or_else(|| self.lines.clone());
        let drain = async { while nobody.recv().await.is_some() {} };
        let pull = self.builds.0.images.pull(request, lines);
        let (pulled, ()) = tokio::join!(pull, drain);
        pulled
    }
}

impl Executor for EngineExecutor {
    fn image(
        &self,
        reference: &str,
        platform: &str,
        _pulling: &mut dyn FnMut(String),
    ) -> corten_build::Result<BaseImage> {
        let by_id = reference.parse::<Reference>().is_err() || reference.len() == 64;
        if (!self.pull || by_id)
            && let Some(found) = self.here(reference, platform)
        {
            return Ok(found);
        }
        let parsed = reference.parse::<Reference>();
        let parsed = parsed.map_err(|error| {
            Error::new(
                Kind::Invalid.into(),
                format!("failed to parse stage name {reference:?}: {error}"),
            )
        })?;
        self.wait(self.fetch_image(&parsed, platform))?;
        self.here(reference, platform).ok_or_else(|| {
            let message = format!("image with reference {reference} was found but does not match the specified platform: wanted {platform}");
            Error::new(Kind::NotFound.into(), message)
        })
    }

    fn run(&self, process: &Process, output: &mut dyn FnMut(Stream, &[u8])) -> corten_build::Result<i32> {
        let mut host_config = self.host_config.clone();
        match process.network {
            Network::Default => {}
            Network::None => host_config.network_mode = "none".into(),
            Network::Host if host_config.network_mode == "host" => {}
            Network::Host => {
                return Err(refused(
                    "RUN --network=host needs the entitlement network.host",
                    "build with --network=host",
                ));
            }
        }
        if process.security == Security::Insecure {
            return Err(refused(
                "RUN --security=insecure needs the entitlement security.insecure",
                "which is not supported yet",
            ));
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
            mounts: process.mounts.iter().map(mount).collect(),
        };
        let (sender, mut pieces) = mpsc::channel(WAITING);
        let containers = self.builds.0.containers.clone();
        let cancelled = self.cancelled.clone();
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
                Kind::Internal.into(),
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
            cancelled: self.cancelled.clone(),
        };
        Ok((Box::new(body), modified))
    }

    fn is_cancelled(&self) -> bool {
        *self.cancelled.borrow()
    }
}

fn refused(what: &str, hint: &str) -> Error {
    Error::new(Kind::Forbidden.into(), format!("{what} ({hint})"))
}

fn mount(mount: &ProcessMount) -> StepMount {
    match mount.clone() {
        ProcessMount::Bind {
            source,
            target,
            read_only,
        } => StepMount::Bind {
            source,
            target,
            read_only,
        },
        ProcessMount::Tmpfs { target, size } => StepMount::Tmpfs { target, size },
    }
}

/// The engine's error as the builder's.
fn build_error(error: &crate::Error) -> Error {
    Error::new(error.kind().into(), error.report())
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
