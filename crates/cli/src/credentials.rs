//! Registry credentials: in the configuration file, or kept by a helper program
//! (`docker-credential-NAME`, which speaks JSON on its standard streams).

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use corten_api::image::AuthConfig;
use serde::{Deserialize, Serialize};

use crate::config::Config;

/// The name that Docker Hub goes by in configuration files.
pub(crate) const HUB: &str = "https://index.docker.io/v1/";

/// The name that a registry goes by in configuration files.
pub(crate) fn key(domain: &str) -> &str {
    match domain {
        "docker.io" | "index.docker.io" => HUB,
        other => other,
    }
}

/// What helpers say and hear.
#[derive(Deserialize, Serialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Credentials {
    #[serde(rename = "ServerURL")]
    server_url: String,
    username: String,
    secret: String,
}

/// The helper for a registry.
fn helper<'a>(config: &'a Config, key: &str) -> Option<&'a str> {
    let helper = config.cred_helpers.get(key).unwrap_or(&config.creds_store);
    (!helper.is_empty()).then_some(helper)
}

fn ask(helper: &str, verb: &str, input: &[u8]) -> Result<Vec<u8>, String> {
    let program = format!("docker-credential-{helper}");
    let missing = |e: std::io::Error| format!("error getting credentials - err: exec: \"{program}\": {e}, out: ``");
    let mut child = Command::new(&program)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(missing)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that ends without reading has answered already.
        let _ = stdin.write_all(input);
    }
    let output = child.wait_with_output().map_err(missing)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Err(format!(
        "error getting credentials - err: {}, out: `{said}`",
        output.status
    ))
}

/// The credentials for a registry, if there are any.
pub(crate) fn find(config: &Config, domain: &str) -> Result<Option<AuthConfig>, String> {
    let key = key(domain);
    if let Some(helper) = helper(config, key) {
        return match ask(helper, "get", key.as_bytes()) {
            Ok(answer) => parse(&answer, key).map(Some),
            Err(error) if error.contains("credentials not found") => Ok(None),
            Err(error) => Err(error),
        };
    }
    if let Some(given) = from_environment(key)? {
        return Ok(Some(given));
    }
    let bare = |name: &str| {
        let name = name.split_once("://").map_or(name, |(_, rest)| rest);
        name.split('/').next().unwrap_or_default().to_owned()
    };
    let found = config
        .auths
        .iter()
        .find(|(name, _)| name.as_str() == key)
        .or_else(|| config.auths.iter().find(|(name, _)| bare(name) == bare(key)));
    Ok(found.map(|(name, auth)| decoded(name, auth)))
}

/// The credentials for all registries, as a configuration file that holds them itself.
pub(crate) fn all(config: &Config) -> Result<String, String> {
    let mut known = BTreeMap::new();
    for (name, auth) in &config.auths {
        known.insert(name.clone(), decoded(name, auth));
    }
    let mut kept: Vec<(String, String)> = Vec::new();
    if !config.creds_store.is_empty() {
        let listed = ask(&config.creds_store, "list", b"")?;
        let listed: BTreeMap<String, String> = corten_api::decode(&listed).map_err(|e| e.to_string())?;
        kept.extend(listed.into_keys().map(|name| (name, config.creds_store.clone())));
    }
    let helpers = config.cred_helpers.iter();
    kept.extend(helpers.map(|(name, helper)| (name.clone(), helper.clone())));
    for (name, helper) in kept {
        match ask(&helper, "get", name.as_bytes()) {
            Ok(answer) => _ = known.insert(name.clone(), parse(&answer, &name)?),
            Err(error) if error.contains("credentials not found") => {}
            Err(error) => return Err(error),
        }
    }
    let auths = known.into_iter().map(|(name, auth)| {
        let mut entry = serde_json::Map::new();
        if !auth.username.is_empty() {
            let pair = STANDARD.encode(format!("{}:{}", auth.username, auth.password));
            entry.insert("auth".to_owned(), pair.into());
        }
        if !auth.identity_token.is_empty() {
            entry.insert("identitytoken".to_owned(), auth.identity_token.into());
        }
        (name, serde_json::Value::Object(entry))
    });
    let auths: serde_json::Map<_, _> = auths.collect();
    Ok(serde_json::json!({ "auths": auths }).to_string())
}

/// The credentials in `DOCKER_AUTH_CONFIG`, which has the form of the configuration file.
fn from_environment(key: &str) -> Result<Option<AuthConfig>, String> {
    let Some(text) = std::env::var("DOCKER_AUTH_CONFIG").ok().filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let given: Config = corten_api::decode(text.as_bytes()).map_err(|e| format!("invalid DOCKER_AUTH_CONFIG: {e}"))?;
    Ok(given.auths.get(key).map(|auth| decoded(key, auth)))
}

fn parse(answer: &[u8], key: &str) -> Result<AuthConfig, String> {
    let credentials: Credentials = corten_api::decode(answer).map_err(|e| e.to_string())?;
    let mut auth = AuthConfig {
        server_address: key.to_owned(),
        ..AuthConfig::default()
    };
    if credentials.username == "<token>" {
        auth.identity_token = credentials.secret;
    } else {
        auth.username = credentials.username;
        auth.password = credentials.secret;
    }
    Ok(auth)
}

/// Name and password out of the file's `auth`.
fn decoded(name: &str, stored: &AuthConfig) -> AuthConfig {
    let mut auth = stored.clone();
    name.clone_into(&mut auth.server_address);
    let pair = STANDARD.decode(&auth.auth).ok().and_then(|b| String::from_utf8(b).ok());
    if let Some((user, password)) = pair.as_deref().and_then(|p| p.split_once(':')) {
        user.clone_into(&mut auth.username);
        password.trim_end_matches('\0').clone_into(&mut auth.password);
    }
    auth.auth.clear();
    auth
}

/// Keeps credentials with the registry's helper, or in the file.
pub(crate) fn store(folder: &Path, config: &Config, auth: &AuthConfig) -> Result<Kept, String> {
    let key = auth.server_address.as_str();
    if let Some(helper) = helper(config, key) {
        let (username, secret) = if auth.identity_token.is_empty() {
            (auth.username.clone(), auth.password.clone())
        } else {
            ("<token>".to_owned(), auth.identity_token.clone())
        };
        let credentials = Credentials {
            server_url: key.to_owned(),
            username,
            secret,
        };
        ask(helper, "store", &serde_json::to_vec(&credentials).unwrap_or_default())?;
        return Ok(Kept::Helper);
    }
    let mut entry = serde_json::Map::new();
    if auth.identity_token.is_empty() {
        let pair = STANDARD.encode(format!("{}:{}", auth.username, auth.password));
        entry.insert("auth".to_owned(), pair.into());
    } else {
        entry.insert("auth".to_owned(), STANDARD.encode(format!("{}:", auth.username)).into());
        entry.insert("identitytoken".to_owned(), auth.identity_token.clone().into());
    }
    edit(folder, |auths| {
        auths.insert(key.to_owned(), entry.into());
    })?;
    Ok(Kept::File)
}

/// Where credentials went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// In the configuration file.
    File,
    /// With a helper.
    Helper,
}

/// Forgets the credentials for a registry; whether there were any.
pub(crate) fn erase(folder: &Path, config: &Config, key: &str) -> Result<bool, String> {
    if let Some(helper) = helper(config, key) {
        ask(helper, "erase", key.as_bytes())?;
        return Ok(true);
    }
    if !config.auths.contains_key(key) {
        return Ok(false);
    }
    edit(folder, |auths| {
        auths.remove(key);
    })?;
    Ok(true)
}

/// Changes the file's `auths` and leaves the rest as it is.
fn edit(folder: &Path, change: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>)) -> Result<(), String> {
    crate::config::edit(folder, |document| {
        let auths = document.entry("auths").or_insert_with(|| serde_json::Map::new().into());
        if let Some(auths) = auths.as_object_mut() {
            change(auths);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_and_finds() {
        let dir = tempfile::tempdir().unwrap();
        corten_sys::fs::write(dir.path().join("config.json"), "{\"psFormat\":\"x\"}").unwrap();
        let auth = AuthConfig {
            username: "me".into(),
            password: "a:b".into(),
            server_address: "reg:5000".into(),
            ..AuthConfig::default()
        };
        let load = || Config::load(dir.path()).unwrap();
        assert_eq!(store(dir.path(), &load(), &auth), Ok(Kept::File));
        let found = find(&load(), "reg:5000").unwrap().unwrap();
        assert_eq!((&*found.username, &*found.password), ("me", "a:b"));
        assert_eq!(load().ps_format, "x");
        assert_eq!(erase(dir.path(), &load(), "reg:5000"), Ok(true));
        assert_eq!(erase(dir.path(), &load(), "reg:5000"), Ok(false));
        assert!(find(&load(), "reg:5000").unwrap().is_none());
    }
}
