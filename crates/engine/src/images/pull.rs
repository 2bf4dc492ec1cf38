//! `POST /images/create?fromImage=…` and `GET /distribution/{name}/json`: images from registries.

use std::sync::Arc;

use corten_api::image::{AuthConfig, Progress, ProgressDetail};
use corten_distribution::{
    Event, Outcome, Pulled, Registries,
    endpoint::{Config, Proxies},
};
use corten_oci::{image::Descriptor, platform::Platform, reference::Reference};
use tokio::sync::mpsc;

use super::{Images, parse, signed};
use crate::{
    crash,
    error::{Error, Kind, Result, blocking},
    settings::Settings,
};

/// The image that is built in, for a first try without a network; no registry and no mirror is asked for it.
const BUILT_IN: &str = "docker.io/library/hello-world:latest";

/// What to pull.
#[derive(Debug, Clone)]
pub struct PullRequest {
    /// The name, with or without tag and digest.
    pub reference: String,
    /// The tag or digest, when it is given apart; without any all tags are pulled.
    pub tag: String,
    /// `os/arch[/variant]`; empty for this machine's.
    pub platform: String,
    /// Who asks.
    pub auth: Option<AuthConfig>,
}

/// What a registry has under a name.
#[derive(Debug, Clone)]
pub struct RemoteImage {
    /// The manifest or index.
    pub descriptor: Descriptor,
    /// The platforms it is for.
    pub platforms: Vec<Platform>,
}

impl Images {
    /// Pulls an image, and reports in Docker's words. Dropping the future ends the pull.
    ///
    /// # Errors
    /// As the registry says; `Invalid` for references and platforms that are none.
    pub async fn pull(&self, request: PullRequest, progress: mpsc::Sender<Progress>) -> Result<()> {
        let reference = whole_reference(&request)?;
        let platform = match request.platform.as_str() {
            "" => None,
            text => Some(
                text.parse::<Platform>()
                    .map_err(|error| Error::invalid(error.to_string()))?,
            ),
        };
        if reference.to_string() == BUILT_IN {
            return self.pull_built_in(&reference, &progress).await;
        }
        let registries = self.registries();
        let reporter = corten_distribution::Progress::new(move |event| send(&progress, &event));
        let auth = request.auth.map(credentials);
        let pulled = if reference.is_name_only() {
            let repository = reference.repository();
            registries
                .pull_all_tags(&self.0.store, repository, platform.as_ref(), auth.as_ref(), &reporter)
                .await
        } else {
            let request = corten_distribution::PullRequest {
                reference,
                platform,
                auth,
                is_nameless: false,
            };
            registries
                .pull(&self.0.store, &request, &reporter)
                .await
                .map(|pulled| vec![pulled])
        };
        let pulled = pulled.map_err(Error::from)?;
        crash::point("pull:stored");
        pulled.iter().for_each(|pulled| self.announce(pulled));
        Ok(())
    }

    /// Pulls an image for a platform that this machine has not, and leaves all names where they are; gives its id.
    ///
    /// # Errors
    /// As [`Images::pull`].
    pub(crate) async fn pull_nameless(
        &self,
        request: PullRequest,
        progress: mpsc::Sender<Progress>,
    ) -> Result<corten_oci::digest::Digest> {
        let reference = whole_reference(&request)?;
        let platform = request.platform.parse::<Platform>();
        let platform = platform.map_err(|error| Error::invalid(error.to_string()))?;
        let reporter = corten_distribution::Progress::new(move |event| send(&progress, &event));
        let request = corten_distribution::PullRequest {
            reference,
            platform: Some(platform),
            auth: request.auth.map(credentials),
            is_nameless: true,
        };
        let pulled = self.registries().pull(&self.0.store, &request, &reporter).await;
        Ok(pulled.map_err(Error::from)?.image)
    }

    /// Looks at what a registry has under a name.
    ///
    /// # Errors
    /// As the registry says.
    pub async fn inspect_remote(&self, reference: &str, auth: Option<AuthConfig>) -> Result<RemoteImage> {
        let reference = parse(reference)?.or_latest();
        let auth = auth.map(credentials);
        let found = self
            .registries()
            .inspect(&reference, auth.as_ref())
            .await
            .map_err(Error::from)?;
        Ok(RemoteImage {
            descriptor: found.descriptor,
            platforms: found.platforms,
        })
    }

    async fn pull_built_in(&self, reference: &Reference, progress: &mpsc::Sender<Progress>) -> Result<()> {
        let (images, name) = (self.clone(), reference.clone());
        let (outcome, image, digest) = blocking(move || {
            let store = &images.0.store;
            let before = store.images().by_reference(&name).map(|image| image.id().clone());
            let id = store
                .builtin(&name.to_string())?
                .ok_or_else(|| Error::unsupported(format!("{} is not built for this machine", name.familiar())))?;
            let outcome = if before.as_ref() == Some(&id) {
                Outcome::UpToDate
            } else {
                Outcome::Downloaded
            };
            let image = store.images().get(&id)?;
            let digest = store.images().manifest(&image)?.map(|(digest, _, _)| digest);
            Ok((outcome, image, digest))
        })
        .await?;
        let tag = reference.tag().unwrap_or_default().to_owned();
        send(
            progress,
            &Event::Pulling {
                id: tag,
                from: reference.path().to_owned(),
            },
        );
        if let Some(digest) = digest {
            send(progress, &Event::Digest(digest));
        }
        send(
            progress,
            &Event::Finished {
                reference: reference.familiar(),
                outcome,
            },
        );
        let labels = &image.config().config.labels;
        self.emit(
            "pull",
            &reference.familiar(),
            &reference.repository().familiar(),
            Some(labels),
        );
        Ok(())
    }

    fn announce(&self, pulled: &Pulled) {
        let labels = self
            .0
            .store
            .images()
            .get(&pulled.image)
            .map(|image| image.config().config.labels.clone());
        let name = pulled.reference.repository().familiar();
        self.emit("pull", &pulled.reference.familiar(), &name, labels.as_ref().ok());
    }
}

/// The registries, as the settings say.
pub(super) fn registries(settings: &Arc<Settings>) -> Result<Registries> {
    let now = settings.now();
    let proxy = |name: &str| now.proxies.get(name).filter(|proxy| !proxy.is_empty()).cloned();
    let config = Config {
        mirrors: now
            .registry_mirrors
            .iter()
            .map(|text| text.parse())
            .collect::<Result<_, _>>()
            .map_err(Error::from)?,
        insecure: now
            .insecure_registries
            .iter()
            .map(|text| text.parse())
            .collect::<Result<_, _>>()
            .map_err(Error::from)?,
        proxies: Proxies {
            http: proxy("http-proxy"),
            https: proxy("https-proxy"),
            no_proxy: now.proxies.get("no-proxy").cloned().unwrap_or_default(),
        },
        max_concurrent_downloads: now.max_concurrent_downloads.max(1),
        max_concurrent_uploads: now.max_concurrent_uploads.max(1),
        max_download_attempts: u32::try_from(now.max_download_attempts.max(1)).unwrap_or(u32::MAX),
        ..Config::default()
    };
    Ok(Registries::new(config))
}

/// Puts name and tag together.
fn whole_reference(request: &PullRequest) -> Result<Reference> {
    let text = match request.tag.as_str() {
        "" => request.reference.trim_end_matches(':').to_owned(),
        // Only a digest has a colon.
        digest if digest.contains(':') => format!("{}@{digest}", request.reference),
        tag => {
            let name = parse(&request.reference)?;
            return name
                .repository()
                .with_tag(tag)
                .map_err(|error| Error::invalid(error.to_string()));
        }
    };
    parse(&text)
}

pub(crate) fn credentials(auth: AuthConfig) -> corten_distribution::AuthConfig {
    corten_distribution::AuthConfig {
        username: auth.username,
        password: auth.password.into(),
        serveraddress: auth.server_address,
        identitytoken: auth.identity_token.into(),
        registrytoken: auth.registry_token.into(),
        auth: auth.auth.into(),
    }
}

/// Sends an event on. Counts of bytes are left out when the listener is behind: newer ones follow.
pub(super) fn send(progress: &mpsc::Sender<Progress>, event: &Event) {
    let is_count = matches!(event, Event::Layer { step, .. } if step.counts().is_some());
    if is_count && progress.capacity() < progress.max_capacity() / 2 {
        return;
    }
    // Nobody listening any more is no error: the future is about to be dropped.
    let _ = progress.try_send(message(event));
    if let Event::Pushed { tag, digest, size } = event {
        let _ = progress.try_send(Progress {
            detail: Some(ProgressDetail::default()),
            aux: Some(serde_json::json!({"Tag": tag, "Digest": digest.as_str(), "Size": size})),
            ..Progress::default()
        });
    }
}

/// An event as Docker's JSON message.
fn message(event: &Event) -> Progress {
    let counts = match event {
        Event::Layer { step, .. } => step.counts(),
        _ => None,
    };
    let detail = counts.map(|(current, total)| ProgressDetail {
        current: signed(current),
        total: signed(total),
    });
    let is_layer = matches!(event, Event::Layer { .. });
    Progress {
        status: event.text().into_owned(),
        progress: detail
            .map(|detail| bar(detail.current, detail.total))
            .unwrap_or_default(),
        detail: detail.or_else(|| is_layer.then(ProgressDetail::default)),
        id: event.id().unwrap_or_default().to_owned(),
        ..Progress::default()
    }
}

/// The bar that old clients print: `[=====>      ]  1.2MB/3.4MB`.
pub(crate) fn bar(current: i64, total: i64) -> String {
    if total <= 0 || current > total {
        return size(current);
    }
    let filled = usize::try_from(i128::from(current) * 50 / i128::from(total)).unwrap_or(0);
    let (line, rest) = ("=".repeat(filled.saturating_sub(1)), " ".repeat(50 - filled.max(1)));
    format!("[{line}>{rest}]  {:>8}/{}", size(current), size(total))
}

/// Go-units' `HumanSize`, four digits.
fn size(bytes: i64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut value, mut unit, mut scale) = (bytes, 0, 1_i64);
    while value >= 1000 && unit + 1 < units.len() {
        value /= 1000;
        unit += 1;
        scale = scale.saturating_mul(1000);
    }
    let digits = match value {
        _ if unit == 0 => 0,
        0..=9 => 3,
        10..=99 => 2,
        _ => 1,
    };
    let tens = 10_i64.pow(digits);
    let scaled = i128::from(bytes) * i128::from(tens) / i128::from(scale);
    let (whole, fraction) = (scaled / i128::from(tens), scaled % i128::from(tens));
    let width = usize::try_from(digits).unwrap_or(0);
    let fraction = format!("{fraction:0width$}");
    let fraction = fraction.trim_end_matches('0');
    match (digits, fraction) {
        (0, _) | (_, "") => format!("{whole}{}", units[unit]),
        _ => format!("{whole}.{fraction}{}", units[unit]),
    }
}

impl From<corten_distribution::Error> for Error {
    fn from(error: corten_distribution::Error) -> Self {
        let kind = match error.kind() {
            // Docker answers 500 when a registry cannot be reached; 503 means that the node is no
            // swarm manager.
            Kind::Unavailable => Kind::Internal,
            kind => kind,
        };
        let mut converted = Self::new(kind, error.to_string());
        if let Some(hint) = error.hint() {
            converted = converted.hint(hint);
        }
        match std::error::Error::source(&error) {
            Some(cause) => converted.source(crate::error::Cause(cause.to_string())),
            None => converted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corten_distribution::Step;

    fn json(event: &Event) -> String {
        serde_json::to_string(&message(event)).unwrap()
    }

    #[test]
    fn events_become_docker_s_messages() {
        let layer = |step| Event::Layer {
            id: "0123456789ab".to_owned(),
            step,
        };
        assert_eq!(
            json(&Event::Pulling {
                id: "1".to_owned(),
                from: "gp/fresh".to_owned()
            }),
            r#"{"status":"Pulling from gp/fresh","id":"1"}"#
        );
        assert_eq!(
            json(&layer(Step::PullingFsLayer)),
            r#"{"status":"Pulling fs layer","progressDetail":{},"id":"0123456789ab"}"#
        );
        let counting = json(&layer(Step::Downloading {
            current: 500,
            total: 1000,
        }));
        assert!(counting.starts_with(r#"{"status":"Downloading","progressDetail":{"current":500,"total":1000},"#));
        let finished = Event::Finished {
            reference: "a:1".to_owned(),
            outcome: Outcome::UpToDate,
        };
        assert_eq!(json(&finished), r#"{"status":"Status: Image is up to date for a:1"}"#);
    }

    #[test]
    fn bars_are_docker_s() {
        assert_eq!(
            bar(500, 1000),
            format!("[{}>{}]      500B/1kB", "=".repeat(24), " ".repeat(25))
        );
        assert_eq!(size(1_234_567), "1.234MB");
        assert_eq!(size(45_600_000), "45.6MB");
        assert_eq!(bar(7, 0), "7B");
    }

    #[test]
    fn name_and_tag_are_put_together() {
        let whole = |reference: &str, tag: &str| {
            let request = PullRequest {
                reference: reference.to_owned(),
                tag: tag.to_owned(),
                platform: String::new(),
                auth: None,
            };
            whole_reference(&request)
                .map(|reference| reference.familiar())
                .map_err(|error| error.kind())
        };
        let digest = format!("sha256:{}", "0".repeat(64));
        assert_eq!(whole("busybox", "1"), Ok("busybox:1".to_owned()));
        assert_eq!(whole("busybox:2", "1"), Ok("busybox:1".to_owned()));
        assert_eq!(whole("busybox", &digest), Ok(format!("busybox@{digest}")));
        assert_eq!(whole("busybox", ""), Ok("busybox".to_owned()));
        assert_eq!(whole("UPPER", ""), Err(Kind::Invalid));
    }
}
