//! User names and passwords: the file that `htpasswd -B` writes.
//!
//! bcrypt is slow on purpose. A password that was right is remembered for a while, as a keyed hash, so
//! that a client's next request costs nothing; two passwords at most are looked at at once, on threads
//! that nobody waits for.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use corten_sys::fs;
use ring::hmac;
use tokio::sync::Semaphore;

/// How long a password is remembered.
const REMEMBERED: Duration = Duration::from_secs(600);
/// How many are.
const MOST: usize = 4096;
/// Longest password that is looked at, in bytes. bcrypt reads 72.
const LONGEST: usize = 1024;
/// What is compared for users that there are not, for the answer to take as long.
const NOBODY: &str = "$2y$10$abcdefghijklmnopqrstuuV0d/jDxnQjbxsTQ5y5Mh1pWw1gkHPHm";
/// bcrypt's work for new lines: 2^10 rounds.
const COST: u32 = 10;

/// The users.
#[derive(Debug)]
pub(crate) struct Htpasswd {
    path: PathBuf,
    /// Guards the users as last read.
    users: RwLock<Users>,
    key: hmac::Key,
    /// Passwords that were right, by their keyed hash, and when. Guards itself only.
    right: Mutex<HashMap<Vec<u8>, Instant>>,
    slots: Arc<Semaphore>,
}

#[derive(Debug)]
struct Users {
    hashes: HashMap<String, String>,
    modified: Option<SystemTime>,
}

impl Htpasswd {
    /// Reads a file.
    ///
    /// # Errors
    /// A sentence about the line that cannot be used.
    pub(crate) fn load(path: &Path) -> Result<Self, String> {
        let mut secret = [0_u8; 32];
        // As in `store::uploads::new_id`.
        let _ = rustix::rand::getrandom(&mut secret, rustix::rand::GetRandomFlags::empty());
        Ok(Self {
            users: RwLock::new(read(path)?),
            path: path.to_owned(),
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            right: Mutex::default(),
            slots: Arc::new(Semaphore::new(2)),
        })
    }

    /// Reads the file again.
    ///
    /// # Errors
    /// As [`Self::load`]; the users stay as they were then.
    pub(crate) fn reload(&self) -> Result<(), String> {
        let users = read(&self.path)?;
        *self.users.write().unwrap_or_else(PoisonError::into_inner) = users;
        self.right.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(())
    }

    /// Reads the file again when it has changed.
    fn refresh(&self) {
        let modified = fs::metadata(&self.path).and_then(|metadata| metadata.modified()).ok();
        let known = self.users.read().unwrap_or_else(PoisonError::into_inner).modified;
        if modified.is_some()
            && modified != known
            && let Err(error) = self.reload()
        {
            tracing::error!(error, "the users stay as they were");
        }
    }

    /// Whether this is the user's password.
    pub(crate) async fn check(&self, user: &str, password: &str) -> bool {
        if password.len() > LONGEST {
            return false;
        }
        self.refresh();
        let known = self
            .users
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .hashes
            .get(user)
            .cloned();
        let is_known = known.is_some();
        let hash = known.unwrap_or_else(|| NOBODY.to_owned());
        let proof = hmac::sign(&self.key, format!("{hash}\0{user}\0{password}").as_bytes());
        let proof = proof.as_ref().to_vec();
        if is_known && self.was_right(&proof) {
            return true;
        }
        let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
            return false;
        };
        let password = password.to_owned();
        let verified = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            bcrypt::verify(password, &hash).unwrap_or(false)
        });
        let is_right = verified.await.unwrap_or(false) && is_known;
        if is_right {
            self.remember(proof);
        }
        is_right
    }

    /// Whether there is a user of this name.
    pub(super) fn knows(&self, user: &str) -> bool {
        self.refresh();
        let users = self.users.read().unwrap_or_else(PoisonError::into_inner);
        users.hashes.contains_key(user)
    }

    fn was_right(&self, proof: &[u8]) -> bool {
        let right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        right.get(proof).is_some_and(|when| when.elapsed() < REMEMBERED)
    }

    fn remember(&self, proof: Vec<u8>) {
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        if right.len() >= MOST {
            right.clear();
        }
        right.insert(proof, Instant::now());
    }
}

fn read(path: &Path) -> Result<Users, String> {
    let failed = |error: std::io::Error| error.to_string();
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let text = fs::read_to_string(path).map_err(failed)?;
    let hashes = parse(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Users { hashes, modified })
}

fn parse(text: &str) -> Result<HashMap<String, String>, String> {
    let mut users = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |why: &str| format!("line {}: {why}", number + 1);
        let (user, hash) = line.split_once(':').ok_or_else(|| wrong("no colon"))?;
        let is_bcrypt = ["$2y$", "$2a$", "$2b$"].iter().any(|start| hash.starts_with(start));
        if user.is_empty() || !is_bcrypt || hash.parse::<bcrypt::HashParts>().is_err() {
            return Err(wrong(
                "only bcrypt is taken: write it with 'htpasswd -B' or 'corten registry htpasswd'",
            ));
        }
        users.insert(user.to_owned(), hash.to_owned());
    }
    Ok(users)
}

/// A user's line for the file.
///
/// # Errors
/// A sentence about a name or password that cannot be used.
pub(crate) fn line(user: &str, password: &str) -> Result<String, String> {
    if user.is_empty() || user.contains(':') || user.chars().any(char::is_control) {
        return Err(format!("{user:?} cannot be a user name"));
    }
    if password.is_empty() {
        return Err("the password is empty".to_owned());
    }
    let parts = bcrypt::hash_with_result(password, COST).map_err(|error| error.to_string())?;
    Ok(format!("{user}:{}", parts.format_for_version(bcrypt::Version::TwoY)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn passwords_are_checked_and_the_file_is_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users");
        let hash = bcrypt::hash("secret", 4).expect("a hash");
        fs::write(&path, format!("# users\nann:{hash}\n")).expect("a file");
        let users = Htpasswd::load(&path).expect("good");
        assert!(users.check("ann", "secret").await);
        assert!(users.check("ann", "secret").await);
        assert!(!users.check("ann", "Secret").await);
        assert!(!users.check("bob", "secret").await);
        assert!(!users.check("", "").await);
        fs::write(&path, "").expect("a file");
        users.reload().expect("good");
        assert!(!users.check("ann", "secret").await);
    }

    #[test]
    fn other_hashes_are_refused() {
        for bad in [
            "ann",
            "ann:",
            ":x",
            "ann:{SHA}x",
            "ann:$apr1$x$y",
            "ann:plain",
            "ann:$2y$99$short",
        ] {
            let error = parse(&format!("\n{bad}")).expect_err(bad);
            assert!(error.starts_with("line 2"), "{error}");
        }
        let line = line("ann", "pw").expect("a line");
        assert!(parse(&line).expect("good").contains_key("ann"));
        assert!(super::line("a:b", "x").is_err() && super::line("a", "").is_err());
        NOBODY.parse::<bcrypt::HashParts>().expect("well formed");
    }
}
