//! Receivers of logs in an engine's network namespace: real ones where Debian has them, small ones
//! for the protocols of which it has none.

pub mod forward;
pub mod gelf;

use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use corten_sys::fs;

use crate::command::Running;
use crate::engine::Engine;
use crate::until;

/// The port that rsyslog listens on, with UDP and TCP; with TLS one more.
pub const SYSLOG: u16 = 5514;

/// rsyslog, whose messages go to a file as they came.
#[derive(Debug)]
pub struct Rsyslog {
    folder: PathBuf,
    _program: Running,
}

impl Rsyslog {
    /// Starts it, and waits until it listens.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn start(engine: &Engine) -> Self {
        let folder = engine.work().join("rsyslog");
        fs::create_dir_all(&folder).expect("a folder");
        let data = crate::programs::root().join("tests/data/tls");
        fs::write(folder.join("conf"), configuration(&folder, &data)).expect("a file");
        let (conf, pid) = (folder.join("conf"), folder.join("pid"));
        let arguments = [Path::new("-n"), Path::new("-f"), &conf, Path::new("-i"), &pid];
        let program = engine.program(Path::new("/usr/sbin/rsyslogd"), arguments).spawn();
        let this = Self {
            folder,
            _program: program,
        };
        until::is("rsyslog listens", || {
            let taken =
                || TcpListener::bind(("127.0.0.1", SYSLOG)).is_err() && UdpSocket::bind(("127.0.0.1", SYSLOG)).is_err();
            this.socket().exists() && engine.inside(taken)
        });
        this
    }

    /// Its datagram socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// What it has received, a message a line.
    pub fn messages(&self) -> String {
        fs::read_to_string(self.folder.join("messages")).unwrap_or_default()
    }

    /// Waits until it has received a text, and returns all of it.
    ///
    /// # Panics
    /// When the text does not come.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> String {
        until::some(&format!("rsyslog received {text:?}"), || {
            Some(self.messages()).filter(|messages| messages.contains(text))
        })
    }
}

fn configuration(folder: &Path, data: &Path) -> String {
    let (folder, data) = (folder.display(), data.display());
    let tls = SYSLOG + 1;
    format!(
        r#"global(workDirectory="{folder}"
  defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile="{data}/ca.pem"
  defaultNetstreamDriverCertFile="{data}/server.pem" defaultNetstreamDriverKeyFile="{data}/server.key")
module(load="imudp")
module(load="imtcp")
module(load="imuxsock" SysSock.Use="off")
input(type="imudp" port="{SYSLOG}" address="127.0.0.1")
input(type="imtcp" port="{SYSLOG}" address="127.0.0.1")
input(type="imtcp" port="{tls}" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")
input(type="imuxsock" socket="{folder}/socket" rateLimit.interval="0" useSysTimeStamp="off")
template(name="raw" type="string" string="%rawmsg%\n")
*.* action(type="omfile" file="{folder}/messages" template="raw")
"#
    )
}
