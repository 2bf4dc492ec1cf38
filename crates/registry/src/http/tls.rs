//! The certificate, which may be changed while the registry runs.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use corten_sys::fs;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::TlsFiles;

/// What new connections are greeted with.
#[derive(Debug)]
pub(crate) struct Certificates {
    files: TlsFiles,
    /// Guards the one configuration that is in use.
    current: RwLock<Arc<ServerConfig>>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// A sentence about the one that cannot be used.
    pub(crate) fn load(files: &TlsFiles) -> Result<Self, String> {
        Ok(Self {
            current: RwLock::new(Arc::new(read(files)?)),
            files: files.clone(),
        })
    }

    /// Reads the files again. The old certificate stays in use when they are not good.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub(crate) fn reload(&self) -> Result<(), String> {
        let new = Arc::new(read(&self.files)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current))
    }
}

fn read(files: &TlsFiles) -> Result<ServerConfig, String> {
    let chain = certificates(&files.cert)?;
    let bytes = fs::read(&files.key).map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|error| format!("{} holds no private key: {error}", files.key.display()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| {
            format!(
                "the certificate {} and its key cannot be used: {error}",
                files.cert.display()
            )
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{} is no PEM file: {error}", path.display()))?;
    if found.is_empty() {
        return Err(format!("{} holds no certificate", path.display()));
    }
    Ok(found)
}
