//! The configuration file's shape.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use corten_sys::fs;
use serde::Deserialize;

use super::{Pattern, Quantity, Span};

/// The whole file. What a flag says comes first.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct File {
    pub(super) listen: Vec<String>,
    pub(super) data_root: Option<PathBuf>,
    pub(super) tls: Option<TlsFiles>,
    pub(super) metrics_addr: Option<String>,
    pub(super) log_level: Option<String>,
    pub(super) delete: Option<bool>,
    pub(super) durable: Option<bool>,
    pub(super) upload_expiry: Option<Span>,
    pub(super) gc: Gc,
    pub(super) retention: Vec<Retention>,
    pub(super) quota: Quota,
    pub(super) auth: Auth,
    pub(super) groups: BTreeMap<String, Vec<String>>,
    pub(super) rules: Vec<Rule>,
    pub(super) upstreams: Vec<Upstream>,
}

/// When what nobody needs is collected.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct Gc {
    pub(super) interval: Option<Span>,
    pub(super) grace: Option<Span>,
}

/// Which tags and manifests go by themselves.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Retention {
    /// The repositories that this is about.
    pub(crate) repositories: Pattern,
    /// The tags that this is about; all unless told.
    #[serde(default = "everything")]
    pub(crate) tags: Pattern,
    /// So many of the tags stay, the youngest.
    pub(crate) keep_last: Option<usize>,
    /// Tags that were pushed within this time stay.
    pub(crate) keep_for: Option<Span>,
    /// Manifests that no tag leads to go after this time; unless told they stay.
    pub(crate) untagged_for: Option<Span>,
}

fn everything() -> Pattern {
    Pattern("*".into())
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct Quota {
    pub(super) total: Option<Quantity>,
    pub(super) repositories: Vec<RepositoryQuota>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RepositoryQuota {
    pub(super) repositories: Pattern,
    pub(super) size: Quantity,
}

/// Certificate and key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct TlsFiles {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// How clients say who they are.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Auth {
    /// User names and passwords, as `htpasswd -B` writes them.
    pub(crate) htpasswd: Option<PathBuf>,
    /// What browsers show to who is asked.
    pub(crate) realm: Option<String>,
    pub(crate) token: Option<TokenAuth>,
}

/// Tokens instead of passwords: of our own, signed with `key`, or somebody else's, checked by `keys`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct TokenAuth {
    /// Where tokens are to be had; our own `/token` unless told.
    pub(crate) realm: Option<String>,
    /// Who the tokens are for.
    pub(crate) service: String,
    /// Who they must be from.
    pub(crate) issuer: String,
    /// Files with public keys: PEM (certificates or keys), or a JSON Web Key Set.
    #[serde(default)]
    pub(crate) keys: Vec<PathBuf>,
    /// Our own private key (PKCS #8, P-256, PEM); made when it is not there.
    pub(crate) key: Option<PathBuf>,
    /// How long our tokens are good.
    pub(crate) expiration: Option<Span>,
}

/// What somebody does with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Action {
    Pull,
    Push,
    Delete,
}

/// Who may do what.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Rule {
    pub(crate) repositories: Pattern,
    /// User names; `*` is everybody who has one, `anonymous` who has none.
    #[serde(default)]
    pub(crate) users: Vec<Pattern>,
    #[serde(default)]
    pub(crate) groups: Vec<String>,
    pub(crate) allow: Vec<Action>,
}

/// Rules and the groups that they name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Access {
    pub(crate) rules: Vec<Rule>,
    pub(crate) groups: BTreeMap<String, Vec<String>>,
}

/// A registry whose images are fetched when they are asked for here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Upstream {
    /// Repositories below this name are that registry's, without the name; empty for all.
    pub(crate) prefix: String,
    /// `https://registry-1.docker.io`
    pub(crate) url: String,
    pub(crate) username: Option<String>,
    /// A file with the password.
    pub(crate) password_file: Option<PathBuf>,
    /// How long a tag is taken as it was last found.
    pub(crate) ttl: Option<Span>,
    /// Whether the certificate is not looked at.
    #[serde(default)]
    pub(crate) insecure: bool,
}

/// Reads a file.
///
/// # Errors
/// A sentence with the path, and the place in the file.
pub(crate) fn read(path: &Path) -> Result<File, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))
}
