//! A registry to test against: OCI distribution over plain HTTP on a loopback port, from memory or an
//! OCI layout, with faults on demand and a record of what was asked.
//!
//! It is written apart from the product's own code, on threads and blocking sockets, so that the two do
//! not share mistakes. Pushing works too (monolithic, chunked, mounted).
//!
//! ```no_run
//! use corten_tests::images::TestImage;
//! use corten_tests::registry::{Fault, Registry};
//!
//! let registry = Registry::start();
//! registry.add_image("library/app", "1", &TestImage::small("hello"));
//! registry.inject("/blobs/", 1, Fault::CutAfter(100));
//! // … pull registry.host() + "/library/app:1" …
//! assert_eq!(registry.count("GET", "/manifests/1"), 1);
//! ```

mod content;
mod faults;
mod http;
mod routes;
mod uploads;

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use corten_oci::digest::Digest;

use crate::images::TestImage;
use content::{Blob, Content};
pub use faults::Fault;
use faults::Rule;
pub use http::Request;

/// Who may pull.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    #[default]
    Open,
    /// Who has user name and password.
    Basic(String, String),
    /// Who has a token. Tokens are given at `/token` to everybody (no user named), or to who has user
    /// name and password, or the identity token `identity-<user>`, which comes along with a token that is asked for so.
    Bearer(Option<(String, String)>),
}

/// A running registry; it stops when dropped.
#[derive(Debug)]
pub struct Registry {
    address: SocketAddr,
    state: Arc<State>,
}

/// What the threads share.
#[derive(Debug, Default)]
struct State {
    content: Mutex<Content>,
    rules: Mutex<Vec<Rule>>,
    access: Mutex<Access>,
    /// Where the token server is said to be, when not here.
    realm: Mutex<Option<String>>,
    tokens: Mutex<Vec<(String, String)>>,
    /// Whose tokens are good here, too.
    trusted: Mutex<Vec<Arc<State>>>,
    requests: Mutex<Vec<Request>>,
    connections: Mutex<Vec<TcpStream>>,
    accepted: AtomicUsize,
    healed: AtomicUsize,
    is_stopping: AtomicBool,
}

impl State {
    /// What a token allows, if it is one.
    fn scope_of(&self, token: &str) -> Option<String> {
        let find = |tokens: &[(String, String)]| {
            let found = tokens.iter().find(|(known, _)| known == token);
            found.map(|(_, scope)| scope.clone())
        };
        let own = find(&lock(&self.tokens));
        own.or_else(|| {
            let trusted = lock(&self.trusted);
            trusted.iter().find_map(|other| find(&lock(&other.tokens)))
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    /// Starts an empty registry on a free loopback port.
    ///
    /// # Panics
    /// When no port can be had.
    pub fn start() -> Self {
        Self::start_on("127.0.0.1:0")
    }

    /// Starts an empty registry on a given address, for what must name its port beforehand.
    ///
    /// # Panics
    /// When the address cannot be had.
    pub fn start_on(address: &str) -> Self {
        let listener = TcpListener::bind(address).expect("the address is free");
        let address = listener.local_addr().expect("a bound listener has an address");
        let state = Arc::new(State::default());
        let shared = state.clone();
        thread::spawn(move || accept(&listener, &shared));
        Self { address, state }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The domain for image names, `127.0.0.1:<port>`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Adds an image with a tag; returns its manifest's digest.
    pub fn add_image(&self, repository: &str, tag: &str, image: &TestImage) -> Digest {
        let mut content = lock(&self.state.content);
        for blob in &image.blobs {
            content.add_blob(repository, Blob::Memory(blob.clone()));
        }
        let manifest = content.add_manifest(repository, &image.media_type, &image.manifest);
        content.tag(repository, tag, &manifest);
        manifest
    }

    /// Adds an index, or any other manifest, as bytes; with a tag if one is given.
    pub fn add_manifest(&self, repository: &str, tag: Option<&str>, media_type: &str, bytes: &[u8]) -> Digest {
        let mut content = lock(&self.state.content);
        let digest = content.add_manifest(repository, media_type, bytes);
        if let Some(tag) = tag {
            content.tag(repository, tag, &digest);
        }
        digest
    }

    /// Removes a tag; what it led to stays.
    pub fn remove_tag(&self, repository: &str, tag: &str) {
        lock(&self.state.content).untag(repository, tag);
    }

    /// Adds a blob as bytes.
    pub fn add_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        lock(&self.state.content).add_blob(repository, Blob::Memory(bytes.into()))
    }

    /// Serves every named image of an OCI layout: `nginx:latest` in its index becomes
    /// `library/nginx:latest`. Blobs are read from the folder when they are asked for.
    ///
    /// # Panics
    /// When the folder is no OCI layout.
    pub fn serve_layout(&self, folder: &Path) {
        lock(&self.state.content).add_layout(folder);
    }

    /// Lets the next `times` requests whose method and path (with query), `GET /v2/…?…`, hold `part` meet a fault.
    /// Of several that fit, the one injected first comes first.
    pub fn inject(&self, part: &str, times: usize, fault: Fault) {
        lock(&self.state.rules).push(Rule {
            part: part.into(),
            times,
            fault,
        });
    }

    /// Ends all faults, the ones that hold a connection open included.
    pub fn heal(&self) {
        lock(&self.state.rules).clear();
        self.state.healed.fetch_add(1, Ordering::SeqCst);
    }

    /// Says who may pull and push.
    pub fn restrict(&self, access: Access) {
        *lock(&self.state.access) = access;
    }

    /// Sends clients to another token server.
    pub fn set_realm(&self, realm: &str) {
        *lock(&self.state.realm) = Some(realm.into());
    }

    /// Takes another registry's tokens, too.
    pub fn trust(&self, other: &Self) {
        lock(&self.state.trusted).push(other.state.clone());
    }

    /// Makes all tokens given so far invalid.
    pub fn revoke_tokens(&self) {
        lock(&self.state.tokens).clear();
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.state.requests).clone()
    }

    /// How many requests of a method had a path (with query) that holds `part`.
    pub fn count(&self, method: &str, part: &str) -> usize {
        let requests = lock(&self.state.requests);
        let fits = |r: &&Request| r.method == method && r.path.contains(part);
        requests.iter().filter(fits).count()
    }

    /// How many connections that spoke HTTP were made.
    pub fn connections(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// Waits until as many requests as given fit.
    ///
    /// # Panics
    /// When they do not come within a minute.
    pub fn wait_for(&self, method: &str, part: &str, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.count(method, part) < count {
            assert!(Instant::now() < deadline, "no {count} requests {method} …{part}…");
            thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// The tags of a repository.
    pub fn tags(&self, repository: &str) -> Vec<String> {
        lock(&self.state.content).tags(repository)
    }

    /// A manifest's bytes, as pushed.
    pub fn manifest(&self, repository: &str, reference: &str) -> Option<Vec<u8>> {
        let content = lock(&self.state.content);
        content
            .manifest(repository, reference)
            .map(|found| found.bytes.to_vec())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.state.is_stopping.store(true, Ordering::SeqCst);
        self.heal();
        // Wakes the accepting thread; when it is gone already there is nobody to wake.
        let _ = TcpStream::connect(self.address);
        for connection in lock(&self.state.connections).drain(..) {
            // Closed by the peer already, as likely as not.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    while let Ok((stream, _)) = listener.accept() {
        if state.is_stopping.load(Ordering::SeqCst) {
            return;
        }
        if let Ok(copy) = stream.try_clone() {
            lock(&state.connections).push(copy);
        }
        let state = state.clone();
        thread::spawn(move || {
            // A client that goes away in the middle is what many tests are about.
            let _ = routes::serve(&stream, &state);
            let _ = stream.shutdown(Shutdown::Both);
        });
    }
}
