//! What a command has at hand: names, configuration, the client, the terminal.

use std::{
    cell::{OnceCell, RefCell},
    future::Future,
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

use corten_client::{Client, Endpoint};
use tokio::{runtime::Runtime, sync::watch};

use crate::{
    config::{self, Config},
    error::{Error, Result},
    flags::Matches,
    interrupts::{self, Interrupts},
    target::{self, TlsChoice},
};

/// The version of Docker's command line that ours answers as.
pub(crate) const COMPATIBLE_VERSION: &str = "28.5.2";

/// What a command has at hand.
pub(crate) struct Cli {
    /// The name it was called by: `docker` or `corten`.
    pub(crate) program: &'static str,
    /// The flags before the command.
    globals: Matches,
    folder: OnceCell<PathBuf>,
    config: OnceCell<Config>,
    client: OnceCell<Client>,
    runtime: OnceCell<Runtime>,
    /// Signals that ask to end, once they are caught.
    interrupts: RefCell<Option<Interrupts>>,
    /// Who else asks to end.
    stop: Option<watch::Receiver<bool>>,
}

impl Cli {
    pub(crate) fn new(program: &'static str, globals: Matches) -> Self {
        Self {
            program,
            globals,
            folder: OnceCell::new(),
            config: OnceCell::new(),
            client: OnceCell::new(),
            runtime: OnceCell::new(),
            interrupts: RefCell::default(),
            stop: None,
        }
    }

    /// The same command line once more, for another thread, until it is asked to end.
    pub(crate) fn again(&self, stop: watch::Receiver<bool>) -> Self {
        Self {
            stop: Some(stop),
            ..Self::new(self.program, self.globals.clone())
        }
    }

    /// Catches signals that ask to end, from now on: they end what is waited for, unless that takes them itself.
    pub(crate) fn catch_interrupts(&self) -> Result<()> {
        if self.interrupts.borrow().is_none() {
            let caught = self.wait(async { Interrupts::catch() })?;
            self.interrupts.replace(Some(caught));
        }
        Ok(())
    }

    /// Leaves signals to somebody else, who catches them.
    pub(crate) fn leave_interrupts(&self) {
        self.interrupts.replace(None);
    }

    /// Waits until this is asked to end, which it never is before signals are caught.
    pub(crate) async fn interrupted(&self) {
        if let Some(stop) = &self.stop {
            // Whoever asked is gone when this fails.
            let _ = stop.clone().wait_for(|stop| *stop).await;
            return;
        }
        std::future::poll_fn(|context| match &mut *self.interrupts.borrow_mut() {
            Some(interrupts) => interrupts.poll(context),
            None => std::task::Poll::Pending,
        })
        .await;
    }

    /// A variable of the environment.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }

    /// A variable by our name, or by Docker's.
    fn ours_or_dockers(&self, name: &str) -> Option<String> {
        self.variable(&format!("CORTEN_{name}"))
            .or_else(|| self.variable(&format!("DOCKER_{name}")))
    }

    /// Whether `--debug` was given.
    pub(crate) fn is_debug(&self) -> bool {
        self.globals.on("debug") || self.variable("DEBUG").is_some()
    }

    /// The flags before the command, as words that give them again.
    pub(crate) fn words(&self) -> Vec<String> {
        self.globals.words()
    }

    /// The folder of the configuration.
    pub(crate) fn folder(&self) -> &Path {
        self.folder
            .get_or_init(|| config::folder(self.program, self.globals.opt("config"), |n| self.variable(n)))
    }

    /// The configuration.
    pub(crate) fn config(&self) -> &Config {
        self.config.get_or_init(|| {
            Config::load(self.folder()).unwrap_or_else(|warning| {
                self.err(&warning);
                Config::default()
            })
        })
    }

    /// The context in use.
    pub(crate) fn context_name(&self) -> String {
        if self.globals.given("host") {
            return "default".to_owned();
        }
        if let Some(name) = self.globals.opt("context") {
            return name.to_owned();
        }
        if self.ours_or_dockers("HOST").is_some() {
            return "default".to_owned();
        }
        let named = self
            .ours_or_dockers("CONTEXT")
            .unwrap_or_else(|| self.config().current_context.clone());
        if named.is_empty() { "default".to_owned() } else { named }
    }

    /// The address of the engine in the default context.
    pub(crate) fn default_host(&self) -> String {
        match self.globals.opt("host") {
            Some(host) => host.to_owned(),
            None => self
                .ours_or_dockers("HOST")
                .unwrap_or_else(|| target::default_host(self.program)),
        }
    }

    /// Whether the environment says where the engine is.
    pub(crate) fn default_host_is_set(&self) -> bool {
        self.ours_or_dockers("HOST").is_some()
    }

    fn tls(&self) -> TlsChoice {
        let verify = match self.globals.opt("tlsverify") {
            Some(_) => self.globals.on("tlsverify"),
            None => self.ours_or_dockers("TLS_VERIFY").is_some(),
        };
        let folder = self
            .ours_or_dockers("CERT_PATH")
            .map_or_else(|| self.folder().to_path_buf(), PathBuf::from);
        let file = |flag: &str, name: &str| match self.globals.opt(flag) {
            Some(path) => (PathBuf::from(path.trim_matches('"')), true),
            None => (folder.join(name), false),
        };
        TlsChoice {
            on: verify || self.globals.on("tls") || self.ours_or_dockers("TLS").is_some(),
            verify,
            files: [
                file("tlscacert", "ca.pem"),
                file("tlscert", "cert.pem"),
                file("tlskey", "key.pem"),
            ],
        }
    }

    fn connect(&self) -> Result<Client> {
        if self.globals.given("host") && self.globals.given("context") {
            return Err(Error::new(
                "conflicting options: cannot specify both --host and --context",
            ));
        }
        let context = self.context_name();
        let refuse = |e: String| Error::new(format!("Failed to initialize: unable to resolve docker endpoint: {e}"));
        let (host, tls) = if context == "default" {
            (self.default_host(), self.tls())
        } else {
            let context = target::load_context(self.folder(), &context).map_err(refuse)?;
            (
                context.endpoints.docker.host.clone(),
                target::context_tls(self.folder(), &context),
            )
        };
        let mut endpoint = target::endpoint(&host, &tls).map_err(refuse)?;
        if let Endpoint::Ssh(ssh) = &mut endpoint {
            self.program.clone_into(&mut ssh.program);
        }
        let mut client = Client::new(endpoint);
        if let Some(version) = self.ours_or_dockers("API_VERSION") {
            client = client.with_version(version.trim_start_matches('v'));
        }
        // The file is read here only for its headers; most installations have none of either.
        for (name, value) in &self.config().http_headers {
            client = client.with_header(name, value);
        }
        Ok(client)
    }

    /// The client; nothing is sent before the first call.
    pub(crate) fn client(&self) -> Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = self.connect()?;
        Ok(self.client.get_or_init(|| client))
    }

    /// Runs a future to its end.
    pub(crate) fn wait<F: Future<Output = Result<T>>, T>(&self, future: F) -> Result<T> {
        if self.runtime.get().is_none() {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .enable_time()
                .build()
                .map_err(|e| Error::new(format!("cannot start the event loop: {e}")))?;
            // Only this thread sets it.
            let _ = self.runtime.set(runtime);
        }
        match self.runtime.get() {
            Some(runtime) => runtime.block_on(async {
                tokio::select! {
                    biased;
                    result = future => result,
                    () = self.interrupted() => Err(Error::silent(interrupts::STATUS)),
                }
            }),
            None => Err(Error::new("cannot start the event loop")),
        }
    }

    /// Writes text to standard output.
    pub(crate) fn print(&self, text: &str) {
        write_or_exit(&mut std::io::stdout().lock(), text.as_bytes());
    }

    /// Writes a line to standard output.
    pub(crate) fn out(&self, line: &str) {
        self.print(&format!("{line}\n"));
    }

    /// Writes a line to standard error.
    pub(crate) fn err(&self, line: &str) {
        // There is nowhere left to say that it failed.
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }

    /// Whether standard output is a terminal.
    pub(crate) fn out_is_terminal(&self) -> bool {
        std::io::stdout().is_terminal()
    }

    /// Whether standard input is a terminal.
    pub(crate) fn in_is_terminal(&self) -> bool {
        std::io::stdin().is_terminal()
    }

    /// The platform that the environment asks for.
    pub(crate) fn platform(&self, m: &Matches) -> String {
        match m.opt("platform") {
            Some(platform) => platform.to_owned(),
            None => self.ours_or_dockers("DEFAULT_PLATFORM").unwrap_or_default(),
        }
    }
}

/// Writes all bytes; ends the program quietly when nobody reads any more, as SIGPIPE would.
pub(crate) fn write_or_exit(out: &mut impl std::io::Write, bytes: &[u8]) {
    if let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) {
        let status = if error.kind() == std::io::ErrorKind::BrokenPipe {
            141
        } else {
            1
        };
        if status == 1 {
            // There is nowhere left to say that it failed.
            let _ = writeln!(std::io::stderr().lock(), "write /dev/stdout: {error}");
        }
        std::process::exit(status);
    }
}
