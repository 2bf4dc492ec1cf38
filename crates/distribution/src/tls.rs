//! TLS as a client: the machine's trusted roots, the folders of certificates per registry, and the
//! verifier that verifies nothing, for registries configured as insecure.
//!
//! A folder is named as the registry is in images, `certs.d/<host[:port]>/`, and holds `*.crt` (more
//! roots), `*.cert` and `*.key` (pairs that say who we are), as Docker's does.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::endpoint::Verification;
use crate::error::{Error, Kind, Result};

/// How long the certificates read for a registry are used before they are read again.
const FRESH: Duration = Duration::from_secs(60);

/// TLS configurations in use, by registry.
#[derive(Debug)]
pub(crate) struct TlsConfigs {
    folders: Vec<PathBuf>,
    provider: Arc<CryptoProvider>,
    roots: Arc<OnceLock<RootCertStore>>,
    made: Mutex<HashMap<(String, Verification), Made>>,
}

#[derive(Debug, Clone)]
struct Made {
    config: Arc<ClientConfig>,
    at: Instant,
}

impl TlsConfigs {
    pub(crate) fn new(folders: &[PathBuf]) -> Self {
        Self {
            folders: folders.to_vec(),
            provider: Arc::new(rustls::crypto::ring::default_provider()),
            roots: Arc::default(),
            made: Mutex::default(),
        }
    }

    /// The configuration for a registry, `host[:port]`.
    ///
    /// # Errors
    /// Invalid, when a certificate in its folder is unreadable.
    pub(crate) async fn get(&self, authority: &str, verification: Verification) -> Result<Arc<ClientConfig>> {
        let key = (authority.to_owned(), verification);
        if let Some(config) = self.find(&key) {
            return Ok(config);
        }
        let maker = Maker {
            folders: self.folders.iter().map(|f| f.join(authority)).collect(),
            provider: self.provider.clone(),
            roots: self.roots.clone(),
            verification,
        };
        let config = tokio::task::spawn_blocking(move || maker.make())
            .await
            .map_err(|e| Error::new(Kind::Internal, "reading certificates failed").with_source(e))?;
        let (config, at) = (Arc::new(config?), Instant::now());
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|_, made| made.at.elapsed() < FRESH);
        let config = made.entry(key).or_insert(Made { config, at }).config.clone();
        Ok(config)
    }

    fn find(&self, key: &(String, Verification)) -> Option<Arc<ClientConfig>> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let found = made.get(key).filter(|made| made.at.elapsed() < FRESH);
        found.map(|made| made.config.clone())
    }
}

/// What it takes to make one configuration, off the async threads.
struct Maker {
    folders: Vec<PathBuf>,
    provider: Arc<CryptoProvider>,
    roots: Arc<OnceLock<RootCertStore>>,
    verification: Verification,
}

impl Maker {
    fn make(self) -> Result<ClientConfig> {
        let own = OwnCertificates::read(&self.folders)?;
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::new(Kind::Internal, "TLS is not usable").with_source(e))?;
        let builder = match self.verification {
            Verification::Skipped => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AcceptAny(self.provider))),
            Verification::Full => {
                let mut roots = self.roots.get_or_init(system_roots).clone();
                for certificate in own.roots {
                    roots
                        .add(certificate)
                        .map_err(|e| Error::invalid(format!("invalid CA certificate for a registry: {e}")))?;
                }
                builder.with_root_certificates(roots)
            }
        };
        match own.identity {
            None => Ok(builder.with_no_client_auth()),
            Some((chain, key)) => builder
                .with_client_auth_cert(chain, key)
                .map_err(|e| Error::invalid(format!("invalid client certificate for a registry: {e}"))),
        }
    }
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "some of the system's certificates cannot be read");
    }
    roots.add_parsable_certificates(found.certs);
    roots
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// What a registry's folders hold.
#[derive(Default)]
struct OwnCertificates {
    roots: Vec<CertificateDer<'static>>,
    identity: Option<Identity>,
}

impl OwnCertificates {
    fn read(folders: &[PathBuf]) -> Result<Self> {
        let mut own = Self::default();
        for folder in folders {
            let files =
                files_in(folder).map_err(|e| Error::invalid(format!("cannot read registry certificates: {e}")))?;
            for file in files {
                match file.extension().and_then(OsStr::to_str) {
                    Some("crt") => own.roots.extend(certificates(&file)?),
                    Some("cert") if own.identity.is_none() => {
                        let key = file.with_extension("key");
                        own.identity = Some((certificates(&file)?, private_key(&key)?));
                    }
                    _ => {}
                }
            }
        }
        Ok(own)
    }
}

fn files_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(entries) = corten_sys::fs::if_there(corten_sys::fs::read_dir(folder))? else {
        return Ok(Vec::new());
    };
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()?;
    files.sort();
    Ok(files)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = corten_sys::fs::read(file).map_err(|e| Error::invalid(e.to_string()))?;
    CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|e| Error::invalid(format!("{} is no certificate: {e}", file.display())))
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>> {
    let bytes =
        corten_sys::fs::read(file).map_err(|e| Error::invalid(format!("missing key for a client certificate: {e}")))?;
    PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|e| Error::invalid(format!("{} is no private key: {e}", file.display())))
}

/// Takes any certificate, yet checks that the server has the key to it.
#[derive(Debug)]
pub struct AcceptAny(Arc<CryptoProvider>);

impl AcceptAny {
    /// A verifier for connections of this provider.
    #[must_use]
    pub fn new(provider: Arc<CryptoProvider>) -> Self {
        Self(provider)
    }
}

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
