//! `POST /auth`: credentials checked with a registry.

use corten_api::{image::AuthConfig, system::AuthResult};

use super::{Images, pull::credentials};
use crate::error::{Error, Result};

/// The name that the default registry goes by in configuration files.
const HUB: &str = "https://index.docker.io/v1/";

impl Images {
    /// Checks credentials with their registry.
    ///
    /// # Errors
    /// `Unauthorized` when the registry does not know them.
    pub async fn login(&self, auth: AuthConfig) -> Result<AuthResult> {
        let host = host(&auth.server_address).to_owned();
        if host.is_empty() {
            return Err(Error::invalid(format!(
                "invalid registry address: \"{}\"",
                auth.server_address
            )));
        }
        let token = self
            .registries()
            .login(&host, &credentials(auth))
            .await
            .map_err(Error::from)?;
        Ok(AuthResult {
            status: "Login Succeeded".to_owned(),
            identity_token: token.expose().to_owned(),
        })
    }
}

/// The host of an address as configuration files have it.
fn host(address: &str) -> &str {
    if matches!(address, "" | HUB | "docker.io" | "index.docker.io") {
        return "docker.io";
    }
    let bare = address.split_once("://").map_or(address, |(_, rest)| rest);
    match bare.split('/').next().unwrap_or_default() {
        "index.docker.io" => "docker.io",
        host => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host() {
        for (address, expected) in [
            ("", "docker.io"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("https://index.docker.io/v2/", "docker.io"),
            ("127.0.0.1:5000", "127.0.0.1:5000"),
            ("http://reg.example/v2/", "reg.example"),
            ("https://", ""),
        ] {
            assert_eq!(host(address), expected, "{address}");
        }
    }
}
