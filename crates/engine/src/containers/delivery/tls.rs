//! TLS to receivers: which certificates are trusted, and which one is ours.

use std::{path::Path, sync::Arc};

use corten_distribution::AcceptAny;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// Files that the options name; empty for none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Files {
    /// Certificates of authorities to trust beside the machine's.
    pub(super) ca: String,
    /// Our certificate.
    pub(super) certificate: String,
    /// The key to it.
    pub(super) key: String,
    /// Whether any certificate is taken.
    pub(super) skip_verify: bool,
}

impl Files {
    /// Whether the files can be used; errors are in Docker's words.
    pub(super) fn check(&self) -> Result<(), String> {
        self.config().map(drop)
    }

    /// The configuration that they make.
    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match self.skip_verify {
            true => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AcceptAny::new(provider))),
            false => builder.with_root_certificates(self.roots()?),
        };
        let config = match self.identity()? {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| format!("could not load X509 key pair: {error}"))?,
        };
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if self.ca.is_empty() {
            return Ok(roots);
        }
        let bytes =
            read(&self.ca).map_err(|error| format!("could not read CA certificate \"{}\": {error}", self.ca))?;
        let unusable = || format!("failed to append certificates from PEM file: \"{}\"", self.ca);
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
            .collect::<Result<_, _>>()
            .map_err(|_| unusable())?;
        match roots.add_parsable_certificates(certificates) {
            (0, _) => Err(unusable()),
            _ => Ok(roots),
        }
    }

    fn identity(&self) -> Result<Option<Identity>, String> {
        if self.certificate.is_empty() && self.key.is_empty() {
            return Ok(None);
        }
        let failed = |error: String| format!("could not load X509 key pair: {error}");
        let chain = read(&self.certificate).map_err(failed)?;
        let key = read(&self.key).map_err(failed)?;
        let chain = CertificateDer::pem_slice_iter(&chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| failed(error.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| failed(error.to_string()))?;
        Ok(Some((chain, key)))
    }
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Reads a file; errors are as Go's.
fn read(path: &str) -> Result<Vec<u8>, String> {
    corten_sys::fs::read(Path::new(path)).map_err(|error| {
        let bare = corten_sys::fs::raw_os_error(&error).map(std::io::Error::from_raw_os_error);
        format!("open {path}: {}", corten_sys::fs::reason(&bare.unwrap_or(error)))
    })
}
