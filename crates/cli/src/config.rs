//! The client's configuration file: `~/.corten/config.json`, or Docker's `~/.docker/config.json`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// What the file says; what is not here is kept as it is when the file is written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Config {
    /// Credentials by registry, in the file itself.
    pub(crate) auths: BTreeMap<String, corten_api::image::AuthConfig>,
    /// The helper that keeps credentials.
    pub(crate) creds_store: String,
    /// Helpers by registry.
    pub(crate) cred_helpers: BTreeMap<String, String>,
    /// Headers to send with every call.
    #[serde(rename = "HttpHeaders")]
    pub(crate) http_headers: BTreeMap<String, String>,
    pub(crate) ps_format: String,
    pub(crate) images_format: String,
    pub(crate) networks_format: String,
    pub(crate) volumes_format: String,
    pub(crate) stats_format: String,
    /// The keys that detach from a container.
    pub(crate) detach_keys: String,
    /// The context in use.
    pub(crate) current_context: String,
    /// Proxies for containers, by engine.
    pub(crate) proxies: BTreeMap<String, Proxies>,
    /// Filters that every prune takes.
    pub(crate) prune_filters: Vec<String>,
}

/// Proxies for containers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Proxies {
    http_proxy: String,
    https_proxy: String,
    no_proxy: String,
    ftp_proxy: String,
    all_proxy: String,
}

impl Config {
    /// Reads the file in a folder; an absent one is empty.
    pub(crate) fn load(folder: &Path) -> Result<Self, String> {
        let path = folder.join("config.json");
        let Ok(bytes) = corten_sys::fs::read(&path) else {
            return Ok(Self::default());
        };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        corten_api::decode(&bytes).map_err(|e| format!("WARNING: Error loading config file: {}: {e}", path.display()))
    }

    /// Variables that tell programs in containers about proxies.
    pub(crate) fn proxy_environment(&self, host: &str) -> Vec<(String, String)> {
        let Some(proxies) = self.proxies.get(host).or_else(|| self.proxies.get("default")) else {
            return Vec::new();
        };
        [
            ("HTTP_PROXY", &proxies.http_proxy),
            ("HTTPS_PROXY", &proxies.https_proxy),
            ("NO_PROXY", &proxies.no_proxy),
            ("FTP_PROXY", &proxies.ftp_proxy),
            ("ALL_PROXY", &proxies.all_proxy),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .flat_map(|(name, value)| [(name.to_owned(), value.clone()), (name.to_lowercase(), value.clone())])
        .collect()
    }
}

/// Changes the file and leaves what is not touched as it is.
pub(crate) fn edit(
    folder: &Path,
    change: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>),
) -> Result<(), String> {
    let path = folder.join("config.json");
    let mut document = match corten_sys::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| format!("{}: {e}", path.display()))?,
        Err(_) => serde_json::Map::new(),
    };
    change(&mut document);
    let text = serde_json::to_string(&document).map_err(|e| e.to_string())?;
    let text = corten_template::indent_by(&text, "\t");
    corten_sys::fs::create_dir_all_mode(folder, 0o700).map_err(|e| e.to_string())?;
    corten_sys::fs::write_atomic_mode(&path, text.as_bytes(), 0o600).map_err(|e| e.to_string())
}

/// Sets a text in the file, or takes it away when it is empty.
pub(crate) fn set(folder: &Path, name: &str, value: &str) -> Result<(), String> {
    edit(folder, |document| {
        if value.is_empty() {
            document.remove(name);
        } else {
            document.insert(name.to_owned(), value.into());
        }
    })
}

/// The folder of the configuration: as the user says, else ours, else Docker's.
pub(crate) fn folder(program: &str, given: Option<&str>, variable: impl Fn(&str) -> Option<String>) -> PathBuf {
    let set = |name: &str| variable(name).filter(|v| !v.is_empty());
    if let Some(given) = given {
        return given.into();
    }
    if let Some(folder) = set("CORTEN_CONFIG").or_else(|| set("DOCKER_CONFIG")) {
        return folder.into();
    }
    let home = PathBuf::from(set("HOME").unwrap_or_else(|| "/".to_owned()));
    let (ours, dockers) = (home.join(".corten"), home.join(".docker"));
    let there = |folder: &Path| corten_sys::fs::exists(folder.join("config.json")).unwrap_or(false);
    if program == "docker" || (!there(&ours) && there(&dockers)) {
        dockers
    } else {
        ours
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_folder() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().to_string_lossy().into_owned();
        let env = |name: &str| (name == "HOME").then(|| path.clone());
        assert_eq!(folder("corten", None, env), home.path().join(".corten"));
        assert_eq!(folder("docker", None, env), home.path().join(".docker"));
        corten_sys::fs::create_dir(home.path().join(".docker")).unwrap();
        corten_sys::fs::write(
            home.path().join(".docker/config.json"),
            "{\"psFormat\":\"x\",\"auths\":null}",
        )
        .unwrap();
        assert_eq!(folder("corten", None, env), home.path().join(".docker"));
        assert_eq!(folder("corten", Some("/c"), env), Path::new("/c"));
        assert_eq!(Config::load(&home.path().join(".docker")).unwrap().ps_format, "x");
    }
}
