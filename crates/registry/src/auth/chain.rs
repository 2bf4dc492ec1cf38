//! Certificates that come along with a token, in its head's `x5c` (RFC 7515 §4.1.6): the first one's key
//! signed the token, and the others lead to one that is known here.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::keys::PublicKey;

/// The most certificates of a token.
const LONGEST: usize = 8;

/// The certificates that others may lead to.
#[derive(Debug, Clone)]
pub(super) struct Authorities(Arc<dyn ClientCertVerifier>);

impl Authorities {
    /// `None` when there are none.
    ///
    /// # Errors
    /// A sentence about a certificate that cannot be read.
    pub(super) fn new(certificates: Vec<CertificateDer<'static>>) -> Result<Option<Self>, String> {
        if certificates.is_empty() {
            return Ok(None);
        }
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            let added = roots.add(certificate);
            added.map_err(|error| format!("a certificate for tokens cannot be read: {error}"))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        match verifier {
            Ok(verifier) => Ok(Some(Self(verifier))),
            Err(error) => Err(format!("the certificates for tokens are of no use: {error}")),
        }
    }

    /// The key of the first certificate, when the chain leads to one that is known and all are good now.
    pub(super) fn key(&self, chain: &[String]) -> Option<PublicKey> {
        if chain.len() > LONGEST {
            return None;
        }
        let decoded: Option<Vec<CertificateDer<'static>>> = chain
            .iter()
            .map(|text| STANDARD.decode(text).ok().map(CertificateDer::from))
            .collect();
        let decoded = decoded?;
        let (first, others) = decoded.split_first()?;
        self.0.verify_client_cert(first, others, UnixTime::now()).ok()?;
        PublicKey::of_certificate(first)
    }
}
