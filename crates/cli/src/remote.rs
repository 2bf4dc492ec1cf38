//! Registries, asked by the command line itself, and not by the engine.

use corten_distribution::{
    AuthConfig, Documents, Purpose, Registries,
    endpoint::{Config, Proxies},
};
use corten_oci::{image::Descriptor, reference::Reference};

use crate::{
    cli::Cli,
    credentials,
    error::{Error, Result},
};

/// Attempts at a request that meets passing trouble.
const ATTEMPTS: u32 = 3;

/// Registries, with the user's credentials.
pub(crate) struct Remote<'a> {
    cli: &'a Cli,
    registries: Registries,
}

impl<'a> Remote<'a> {
    /// Registries as the environment says; those named need no valid certificate, and no TLS.
    pub(crate) fn new(cli: &'a Cli, insecure: &[&str]) -> Result<Self> {
        let variable = |name: &str| cli.variable(name).or_else(|| cli.variable(&name.to_lowercase()));
        let insecure = insecure.iter().map(|name| name.parse().map_err(wrong));
        let config = Config {
            insecure: insecure.collect::<Result<_>>()?,
            proxies: Proxies {
                http: variable("HTTP_PROXY"),
                https: variable("HTTPS_PROXY"),
                no_proxy: variable("NO_PROXY").unwrap_or_default(),
            },
            max_download_attempts: ATTEMPTS,
            ..Config::default()
        };
        Ok(Self {
            cli,
            registries: Registries::new(config),
        })
    }

    /// Opens the repository of a reference.
    pub(crate) async fn open(&self, reference: &Reference, purpose: Purpose) -> Result<Documents> {
        let found = credentials::find(self.cli.config(), reference.domain())?;
        let auth = found.map(|auth| AuthConfig {
            username: auth.username,
            password: auth.password.into(),
            serveraddress: auth.server_address,
            identitytoken: auth.identity_token.into(),
            registrytoken: auth.registry_token.into(),
            auth: auth.auth.into(),
        });
        let opened = self
            .registries
            .documents(reference.repository(), auth.as_ref(), purpose);
        opened.await.map_err(wrong)
    }
}

/// The registry's error, as the user sees it.
pub(crate) fn wrong(error: corten_distribution::Error) -> Error {
    Error {
        not_found: error.kind() == corten_distribution::Kind::NotFound,
        ..Error::new(error.to_string())
    }
}

/// What to ask a registry for: the digest counts when a tag is written, too.
pub(crate) fn selector(reference: &Reference) -> String {
    match (reference.digest(), reference.tag()) {
        (Some(digest), _) => digest.to_string(),
        (None, tag) => tag.unwrap_or("latest").to_owned(),
    }
}

/// Sees to it that a repository has all that a manifest refers to.
pub(crate) async fn take(into: &Documents, from: &Documents, blobs: &[Descriptor]) -> Result<()> {
    for blob in blobs {
        into.take_blob(from, blob).await.map_err(wrong)?;
    }
    Ok(())
}

/// Reads a name; `latest` when it has neither tag nor digest.
pub(crate) fn named(text: &str) -> Result<Reference> {
    crate::image::pull::parse(text).map(Reference::or_latest)
}
