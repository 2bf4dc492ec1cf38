//! Registries with TLS: who is trusted, and what is said of those who are not.
//!
//! The loopback is never verified, so the registries here have far names, and are reached through a
//! proxy that leads them all to one TLS server.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use corten_distribution::endpoint::{Config, Proxies};
use corten_distribution::{Error, Pulled};
use corten_tests::images::TestImage;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::world::{World, quick};

const AUTHORITY: &[u8] = include_bytes!("../../data/tls/ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("../../data/tls/server.pem");
const KEY: &[u8] = include_bytes!("../../data/tls/server.key");

/// What stands before the TLS server.
#[derive(Clone, Copy, PartialEq)]
enum Door {
    Proxy,
    None,
}

/// Serves TLS on a free port and hands the plain bytes to a registry; for as long as the runtime lives.
async fn serve(registry: SocketAddr, door: Door) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(CERTIFICATE).expect("a certificate")],
            PrivateKeyDer::from_pem_slice(KEY).expect("a key"),
        )
        .expect("they fit");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if door == Door::Proxy {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await?);
                    }
                    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                }
                let mut plain = acceptor.accept(stream).await?;
                let mut inner = TcpStream::connect(registry).await?;
                tokio::io::copy_bidirectional(&mut plain, &mut inner).await
            });
        }
    });
    address
}

/// Pulls `domain/app:1` through the proxy.
async fn pull_from(domain: &str, change: impl FnOnce(&mut Config)) -> Result<Pulled, Error> {
    let mut world = World::new();
    let image = TestImage::small("secret");
    world.registry.add_image("app", "1", &image);
    let proxy = serve(world.registry.address(), Door::Proxy).await;
    let mut config = Config {
        proxies: Proxies {
            https: Some(format!("http://{proxy}")),
            ..Proxies::default()
        },
        ..quick()
    };
    change(&mut config);
    world.registries = corten_distribution::Registries::new(config);
    let request = world.request(&format!("{domain}/app:1"));
    let pulled = world.pull_request(&request).await?;
    world.check(&pulled, &image);
    Ok(pulled)
}

fn trust(folder: &Path, domain: &str) {
    let folder = folder.join(domain);
    corten_sys::fs::create_dir_all(&folder).expect("made");
    corten_sys::fs::write(folder.join("ca.crt"), AUTHORITY).expect("written");
}

#[tokio::test]
async fn an_authority_from_the_registrys_folder_is_trusted() {
    let folder = TempDir::new().expect("a folder");
    for domain in ["registry.test:5000", "registry.test", "192.0.2.10:5000"] {
        trust(folder.path(), domain);
        pull_from(domain, |config| config.certificates = vec![folder.path().into()])
            .await
            .unwrap_or_else(|error| panic!("{domain}: {error}"));
    }
}

#[tokio::test]
async fn strangers_are_refused_in_gos_words() {
    let folder = TempDir::new().expect("a folder");
    trust(folder.path(), "other.test");
    let error = pull_from("registry.test", |_| {}).await.expect_err("unknown authority");
    assert_eq!(
        error.to_string(),
        "Get \"https://registry.test/v2/\": tls: failed to verify certificate: x509: certificate signed by unknown authority"
    );
    let certificates = vec![folder.path().into()];
    let error = pull_from("other.test", |config| config.certificates = certificates)
        .await
        .expect_err("another name");
    assert_eq!(
        error.to_string(),
        "Get \"https://other.test/v2/\": tls: failed to verify certificate: x509: certificate is not valid for other.test"
    );
}

#[tokio::test]
async fn an_insecure_registry_needs_no_authority() {
    let insecure = vec!["registry.test:5000".parse().expect("a name")];
    pull_from("registry.test:5000", |config| config.insecure = insecure)
        .await
        .expect("pulled");
}

#[tokio::test]
async fn the_loopback_may_speak_tls() {
    let world = World::new();
    let image = TestImage::small("near");
    world.registry.add_image("app", "1", &image);
    let address = serve(world.registry.address(), Door::None).await;
    let request = world.request(&format!("{address}/app:1"));
    let pulled = world.pull_request(&request).await.expect("pulled");
    world.check(&pulled, &image);
}

#[tokio::test]
async fn a_registry_without_tls_must_be_configured_so() {
    let world = World::new();
    // The test registry takes CONNECT for a wrong request; a plain server behind a tunnel does not.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let proxy = listener.local_addr().expect("an address");
    let registry = world.registry.address();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await?);
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                let mut inner = TcpStream::connect(registry).await?;
                tokio::io::copy_bidirectional(&mut stream, &mut inner).await
            });
        }
    });
    let config = Config {
        proxies: Proxies {
            https: Some(format!("http://{proxy}")),
            ..Proxies::default()
        },
        ..quick()
    };
    let registries = corten_distribution::Registries::new(config);
    let request = world.request("registry.test/app:1");
    let progress = world.progress();
    let pull = registries.pull(&world.store, &request, &progress);
    let error = pull.await.expect_err("no TLS");
    assert_eq!(
        error.to_string(),
        "Get \"https://registry.test/v2/\": http: server gave HTTP response to HTTPS client"
    );
}
