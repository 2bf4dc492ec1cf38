//! TLS for TCP listeners: `--tls`, `--tlsverify`, `--tlscacert`, `--tlscert`, `--tlskey`.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio_rustls::TlsAcceptor;

use crate::config::Config;

/// Whether TLS is used: `--tlsverify` asks for it whatever its value, as in dockerd.
pub(crate) fn is_on(config: &Config) -> bool {
    verifies(config) || config.get("tlsverify").is_some() || config.switch("tls", false)
}

/// Whether clients must prove who they are.
pub(crate) fn verifies(config: &Config) -> bool {
    config.switch(
        "tlsverify",
        config.environment("tlsverify").is_some_and(|value| !value.is_empty()),
    )
}

/// Where dockerd looks for certificates unless told otherwise.
fn folder(config: &Config) -> PathBuf {
    match config.environment("certificates") {
        Some(folder) => folder.into(),
        None => PathBuf::from(config.environment("home").unwrap_or("/root")).join(".docker"),
    }
}

/// The acceptor that the configuration asks for; none without TLS.
///
/// # Errors
/// A sentence about the file that cannot be used.
pub(crate) fn acceptor(config: &Config) -> Result<Option<TlsAcceptor>, String> {
    if !is_on(config) {
        return Ok(None);
    }
    let verify = verifies(config);
    let folder = folder(config);
    let path = |option: &str, name: &str| config.text(option).map_or_else(|| folder.join(name), PathBuf::from);
    let certificates = certificates(&path("tlscert", "cert.pem"))?;
    let key = key(&path("tlskey", "key.pem"))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    let builder = if verify {
        let authorities = path("tlscacert", "ca.pem");
        let mut roots = RootCertStore::empty();
        for certificate in self::certificates(&authorities)? {
            roots
                .add(certificate)
                .map_err(|error| format!("{}: {error}", authorities.display()))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| format!("{}: {error}", authorities.display()))?;
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let mut server = builder
        .with_single_cert(certificates, key)
        .map_err(|error| format!("the TLS certificate and its key cannot be used: {error}"))?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(server))))
}

fn certificates(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = corten_sys::fs::read(path).map_err(|error| format!("could not load X509 key pair: {error}"))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{} is no PEM file: {error}", path.display()))?;
    if found.is_empty() {
        return Err(format!("{} holds no certificate", path.display()));
    }
    Ok(found)
}

fn key(path: &std::path::Path) -> Result<PrivateKeyDer<'static>, String> {
    let bytes = corten_sys::fs::read(path).map_err(|error| format!("could not load X509 key pair: {error}"))?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| format!("{} holds no private key: {error}", path.display()))
}
