//! Engines on other machines, by way of the ssh program and `system dial-stdio` there, as Docker's client does it.

use std::{
    io,
    os::fd::OwnedFd,
    os::unix::net::UnixStream as BlockingStream,
    process::{Command, Stdio},
};

use tokio::net::UnixStream;

/// How long ssh may take to connect, in seconds.
const CONNECT_SECONDS: u32 = 30;

/// Where an engine is, for ssh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// The user there; ssh's own choice when absent.
    pub user: Option<String>,
    /// The host, or a name in ssh's configuration.
    pub host: String,
    /// The port; ssh's own choice when absent.
    pub port: Option<u16>,
    /// The socket there; the default one of the program when absent.
    pub path: Option<String>,
    /// The command line that is run there.
    pub program: String,
}

impl Ssh {
    /// Reads what comes after `ssh://`.
    ///
    /// # Errors
    /// Docker's words for what is no address.
    pub fn parse(address: &str) -> Result<Self, String> {
        let bad = |why: &str| Err(format!("invalid SSH URL: {why}"));
        let (authority, path) = match address.split_once('/') {
            Some((authority, path)) => (authority, path),
            None => (address, ""),
        };
        if address.contains(['?', '#']) {
            return bad(&format!("extra query after the host: {address:?}"));
        }
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return bad("plain-text password is not supported");
        }
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => match port.parse() {
                Ok(port) => (host, Some(port)),
                Err(_) => return bad(&format!("invalid port: {port:?}")),
            },
            _ => (place, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        // Neither may be taken for one of ssh's flags.
        if host.is_empty() || host.starts_with('-') || user.is_some_and(|user| user.starts_with('-')) {
            return bad("no host specified");
        }
        Ok(Self {
            user: user.filter(|user| !user.is_empty()).map(str::to_owned),
            host: host.to_owned(),
            port,
            path: Some(path)
                .filter(|path| !path.is_empty())
                .map(|path| format!("/{path}")),
            program: "corten".to_owned(),
        })
    }

    /// The arguments for ssh.
    fn arguments(&self) -> Vec<String> {
        let mut all = vec![
            "-o".to_owned(),
            format!("ConnectTimeout={CONNECT_SECONDS}"),
            "-T".to_owned(),
        ];
        if let Some(user) = &self.user {
            all.extend(["-l".to_owned(), user.clone()]);
        }
        if let Some(port) = self.port {
            all.extend(["-p".to_owned(), port.to_string()]);
        }
        all.extend(["--".to_owned(), self.host.clone(), self.program.clone()]);
        if let Some(path) = &self.path {
            // A shell reads it there.
            all.extend(["--host".to_owned(), quoted(&format!("unix://{path}"))]);
        }
        all.extend(["system".to_owned(), "dial-stdio".to_owned()]);
        all
    }

    /// Starts ssh; its standard streams are the connection, and what it complains of is seen by the user.
    pub(crate) fn connect(&self) -> io::Result<UnixStream> {
        let (near, far) = BlockingStream::pair()?;
        let far = OwnedFd::from(far);
        // It ends when this end is closed.
        drop(
            Command::new("ssh")
                .args(self.arguments())
                .stdin(Stdio::from(far.try_clone()?))
                .stdout(Stdio::from(far))
                .stderr(Stdio::inherit())
                .spawn()?,
        );
        near.set_nonblocking(true)?;
        UnixStream::from_std(near)
    }
}

/// A word for a POSIX shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+=".contains(c);
    if word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

impl std::fmt::Display for Ssh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ssh://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        f.write_str(&self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(self.path.as_deref().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_arguments() {
        let case = |address: &str, expected: &str| {
            let ssh = Ssh::parse(address).unwrap();
            assert_eq!(ssh.arguments().join(" "), format!("-o ConnectTimeout=30 -T {expected}"));
            assert_eq!(ssh.to_string(), format!("ssh://{address}"));
        };
        case("host", "-- host corten system dial-stdio");
        case("me@host:2222", "-l me -p 2222 -- host corten system dial-stdio");
        case(
            "host/run/x.sock",
            "-- host corten --host unix:///run/x.sock system dial-stdio",
        );
        case("host/a b;c", "-- host corten --host 'unix:///a b;c' system dial-stdio");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let case = |address: &str, expected: &str| {
            assert_eq!(Ssh::parse(address).unwrap_err(), format!("invalid SSH URL: {expected}"));
        };
        case("", "no host specified");
        case("me@", "no host specified");
        case("-oProxyCommand=x", "no host specified");
        case("-l@host", "no host specified");
        case("me:secret@host", "plain-text password is not supported");
        case("host:port", "invalid port: \"port\"");
        case("host?x=y", "extra query after the host: \"host?x=y\"");
    }
}
