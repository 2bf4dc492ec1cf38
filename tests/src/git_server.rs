//! A server of git over SSH: OpenSSH's, in a container of the engine under test.

use std::path::PathBuf;

use corten_sys::fs;

use crate::{engine::Engine, until};

/// The image it runs in; an engine that has a server was started with it.
pub const IMAGE: &str = "git-server:latest";

/// A server with one repository, which opens to one key.
#[derive(Debug)]
pub struct GitServer {
    /// Its address in the engine's network.
    pub host: String,
    /// The file of the key that opens it.
    pub key: PathBuf,
    folder: PathBuf,
}

impl GitServer {
    /// Starts a server whose repository has these files, and then in a second commit `again` in the file `f`.
    /// The first commit is tagged `v1`.
    ///
    /// # Panics
    /// When it does not come up.
    #[track_caller]
    pub fn start(engine: &Engine, files: &[(&str, &str)]) -> Self {
        let folder = engine.work().join("git-server");
        let tree = folder.join("tree");
        for (path, text) in files {
            let path = tree.join(path);
            fs::create_dir_all(path.parent().expect("below the tree")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        let made = "git init -q -b main . && git config user.email a@b && git config user.name n && git add . && \
                    git commit -q -m 1 && git tag v1 && echo again > f && git add . && git commit -q -m 2 && \
                    git clone -q --bare . ../repo.git && chmod 700 .. && chown -R 0:0 ..";
        engine.sh(&format!("cd {} && {made}", tree.display())).ok();
        let keys = "for name in user other host; do ssh-keygen -q -t ed25519 -N '' -C '' -f $name; done";
        engine.sh(&format!("cd {} && {keys}", folder.display())).ok();
        engine.corten(["pull", "-q", IMAGE]).ok();
        let volume = format!("{}:/srv:ro", folder.display());
        let server = [
            "run",
            "-d",
            "--name",
            "git-server",
            "-v",
            &volume,
            IMAGE,
            "/usr/sbin/sshd",
        ];
        let options = ["-D", "-e", "-h", "/srv/host", "-o", "AuthorizedKeysFile=/srv/user.pub"];
        engine
            .corten([&server[..], &options[..], &["-o", "StrictModes=no"]].concat())
            .ok();
        let host = engine.inspect("git-server", "{{.NetworkSettings.Networks.bridge.IPAddress}}");
        let host = host.trim().to_owned();
        until::is("the server answers", || {
            engine.inside(|| std::net::TcpStream::connect((host.as_str(), 22)).is_ok())
        });
        Self {
            host,
            key: folder.join("user"),
            folder,
        }
    }

    /// A key that does not open it.
    pub fn other_key(&self) -> PathBuf {
        self.folder.join("other")
    }

    /// The repository's address, as ssh has it.
    pub fn address(&self) -> String {
        format!("ssh://root@{}/srv/repo.git", self.host)
    }

    /// The same, as scp has it.
    pub fn short_address(&self) -> String {
        format!("root@{}:/srv/repo.git", self.host)
    }
}
