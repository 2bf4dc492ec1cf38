//! The command lines `corten registry serve` and `corten registry gc`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use corten_sys::fs;

use super::file::{Auth, File, TlsFiles, Upstream};
use super::{Access, Config, DATA_ROOT, FILE, LISTEN, Quantity, Span};
use crate::store::Limits;

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Request {
    /// Say this and end.
    Say(String),
    /// Serve.
    Serve(Box<Invocation>),
    /// Collect what nobody needs.
    Collect(Box<Collect>),
    /// Write a line for an htpasswd file.
    Password(String),
}

/// Flags from which a configuration can be made, again and again as the file changes.
#[derive(Debug, Clone)]
pub(crate) struct Invocation(ArgMatches);

/// `corten registry gc`.
#[derive(Debug, Clone)]
pub(crate) struct Collect {
    pub(crate) config: Config,
    /// What to take for recent instead of what the configuration says.
    pub(crate) grace: Option<Duration>,
    pub(crate) dry_run: bool,
}

/// Reads a command line, the words after `corten registry`.
///
/// # Errors
/// What to say about one that cannot be read.
pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Request, String> {
    let args: Vec<OsString> = args.collect();
    let command = command();
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        return Ok(Request::Say(help(&command, args.first())));
    }
    let words = std::iter::once(OsString::from("corten registry")).chain(args);
    let matches = command.clone().try_get_matches_from(words);
    let matches = matches.map_err(|error| {
        let said = error.to_string();
        let said = said.trim_end().trim_start_matches("error: ");
        format!("corten registry: {said}\n\nRun 'corten registry --help' for more information")
    })?;
    match matches.subcommand() {
        Some(("serve", matches)) => Ok(Request::Serve(Box::new(Invocation(matches.clone())))),
        Some(("gc", matches)) => Ok(Request::Collect(Box::new(Collect {
            config: Invocation(matches.clone()).config()?,
            grace: span(matches, "grace")?,
            dry_run: matches.get_flag("dry-run"),
        }))),
        Some(("htpasswd", matches)) => Ok(Request::Password(text(matches, "USER").unwrap_or_default())),
        _ => Ok(Request::Say(help(&command, None))),
    }
}

/// The help of all of it, or of one command.
fn help(all: &Command, named: Option<&OsString>) -> String {
    let about = |command: &Command| command.get_about().map(ToString::to_string).unwrap_or_default();
    let one = named.and_then(|name| all.get_subcommands().find(|command| name == command.get_name()));
    let Some(one) = one else {
        let mut text = format!("Usage:  corten registry COMMAND\n\n{}\n\nCommands:\n", about(all));
        for command in all.get_subcommands() {
            text += &format!("  {:<10}  {}\n", command.get_name(), about(command));
        }
        return text + "\nRun 'corten registry COMMAND --help' for more information on a command.\n";
    };
    let places: String = one
        .get_positionals()
        .map(|place| format!(" {}", place.get_id()))
        .collect();
    let mut text = format!(
        "Usage:  corten registry {} [OPTIONS]{places}\n\n{}\n",
        one.get_name(),
        about(one)
    );
    let options: Vec<&Arg> = one.get_opts().collect();
    if !options.is_empty() {
        text += "\nOptions:\n";
    }
    for option in options {
        let short = option
            .get_short()
            .map_or_else(|| "    ".to_owned(), |letter| format!("-{letter}, "));
        let value = option
            .get_value_names()
            .and_then(|names| names.first())
            .filter(|_| !is_switch(option));
        let value = value.map(|name| format!(" {name}")).unwrap_or_default();
        let flag = format!("{}{value}", option.get_long().unwrap_or_default());
        let help = option.get_help().map(ToString::to_string).unwrap_or_default();
        text += &format!("  {short}--{flag:<23} {help}\n");
    }
    text
}

fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

fn command() -> Command {
    Command::new("corten registry")
        .about("A registry for images and other artifacts (OCI distribution 1.1)")
        .disable_help_subcommand(true)
        .subcommand(serve())
        .subcommand(collect())
        .subcommand(password())
}

fn serve() -> Command {
    let flag = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    Command::new("serve")
        .about("Serve a registry")
        .arg(
            flag(
                "listen",
                "ADDRESS",
                "Where to listen; may be given several times (default 127.0.0.1:5000)",
            )
            .short('l')
            .action(ArgAction::Append),
        )
        .args(places())
        .arg(flag(
            "tls-cert",
            "FILE",
            "Certificate chain (PEM); read again on SIGHUP",
        ))
        .arg(flag("tls-key", "FILE", "The certificate's private key (PEM)"))
        .arg(flag(
            "htpasswd",
            "FILE",
            "Ask for user name and password; the file is as 'htpasswd -B' writes it",
        ))
        .arg(
            flag(
                "upstream",
                "PREFIX=URL",
                "Fetch what is asked for below PREFIX from another registry, and keep it",
            )
            .action(ArgAction::Append),
        )
        .arg(flag("quota", "SIZE", "How much may be stored in all"))
        .arg(flag(
            "upload-expiry",
            "TIME",
            "Remove uploads to which nothing was added for so long (default 24h)",
        ))
        .arg(flag(
            "gc-interval",
            "TIME",
            "How often to collect what nobody needs; 0 for never (default 1h)",
        ))
        .arg(flag(
            "gc-grace",
            "TIME",
            "How long content stays that nobody refers to (default 1h)",
        ))
        .arg(
            Arg::new("no-delete")
                .long("no-delete")
                .action(ArgAction::SetTrue)
                .help("Refuse to delete blobs, manifests and tags"),
        )
        .arg(
            Arg::new("no-durable")
                .long("no-durable")
                .action(ArgAction::SetTrue)
                .help("Answer pushes and deletes before the disk has them; a power cut may take the last ones"),
        )
        .arg(flag("metrics-addr", "ADDRESS", "Serve metrics there too"))
        .arg(flag("log-level", "LEVEL", "debug, info, warn or error (default info)"))
}

fn collect() -> Command {
    Command::new("gc")
        .about("Collect what nobody needs, also while the registry runs")
        .args(places())
        .arg(
            Arg::new("grace")
                .long("grace")
                .value_name("TIME")
                .help("Spare what was pushed or asked for within this time (default: as configured, 1h)"),
        )
        .arg(
            Arg::new("dry-run")
                .long("dry-run")
                .action(ArgAction::SetTrue)
                .help("Only tell what would go"),
        )
}

fn password() -> Command {
    Command::new("htpasswd")
        .about("Read a password from standard input and write the user's line for an htpasswd file")
        .arg(Arg::new("USER").required(true))
}

fn places() -> [Arg; 2] {
    [
        Arg::new("data-root")
            .long("data-root")
            .value_name("FOLDER")
            .help("Where content is kept (default /var/lib/corten-registry)"),
        Arg::new("config-file")
            .long("config-file")
            .value_name("FILE")
            .help("Configuration (default /etc/corten/registry.json, if it is there)"),
    ]
}

fn text(matches: &ArgMatches, name: &str) -> Option<String> {
    matches.try_get_one::<String>(name).ok().flatten().cloned()
}

fn texts(matches: &ArgMatches, name: &str) -> Vec<String> {
    let values = matches.try_get_many::<String>(name).ok().flatten();
    values.map(|values| values.cloned().collect()).unwrap_or_default()
}

fn span(matches: &ArgMatches, name: &str) -> Result<Option<Duration>, String> {
    let parsed = text(matches, name).map(|text| text.parse::<Span>()).transpose();
    parsed
        .map(|span| span.map(|span| span.0))
        .map_err(|error| format!("--{name}: {error}"))
}

impl Invocation {
    /// The configuration: the file as it is now, and these flags.
    ///
    /// # Errors
    /// A sentence about what cannot be read or does not go together.
    pub(crate) fn config(&self) -> Result<Config, String> {
        let flags = &self.0;
        let file = match text(flags, "config-file") {
            Some(path) => super::read(Path::new(&path))?,
            None if fs::exists(FILE).unwrap_or(false) => super::read(Path::new(FILE))?,
            None => File::default(),
        };
        let listen = match (texts(flags, "listen"), file.listen) {
            (given, _) if !given.is_empty() => given,
            (_, given) if !given.is_empty() => given,
            _ => vec![LISTEN.to_owned()],
        };
        let hours = |count: u64| Duration::from_secs(count * 3600);
        let mut limits = Limits {
            total: file.quota.total.map(|size| size.0),
            repositories: Vec::new(),
        };
        let quotas = file.quota.repositories.into_iter();
        limits.repositories = quotas.map(|quota| (quota.repositories, quota.size.0)).collect();
        if let Some(quota) = text(flags, "quota") {
            limits.total = Some(
                quota
                    .parse::<Quantity>()
                    .map_err(|error| format!("--quota: {error}"))?
                    .0,
            );
        }
        let mut upstreams = file.upstreams;
        for upstream in texts(flags, "upstream") {
            upstreams.push(upstream_of(&upstream)?);
        }
        let config = Config {
            listen,
            data_root: text(flags, "data-root")
                .map(PathBuf::from)
                .or(file.data_root)
                .unwrap_or_else(|| DATA_ROOT.into()),
            tls: tls(flags, file.tls)?,
            metrics: text(flags, "metrics-addr").or(file.metrics_addr),
            log_level: level(text(flags, "log-level").or(file.log_level))?,
            delete: !switch(flags, "no-delete") && file.delete.unwrap_or(true),
            durable: !switch(flags, "no-durable") && file.durable.unwrap_or(true),
            upload_expiry: span(flags, "upload-expiry")?
                .or(file.upload_expiry.map(|span| span.0))
                .unwrap_or(hours(24)),
            gc_interval: span(flags, "gc-interval")?
                .or(file.gc.interval.map(|span| span.0))
                .unwrap_or(hours(1)),
            gc_grace: span(flags, "gc-grace")?
                .or(file.gc.grace.map(|span| span.0))
                .unwrap_or(hours(1)),
            retention: file.retention,
            limits,
            auth: Auth {
                htpasswd: text(flags, "htpasswd").map(PathBuf::from).or(file.auth.htpasswd),
                ..file.auth
            },
            access: Access {
                rules: file.rules,
                groups: file.groups,
            },
            upstreams,
        };
        check(&config)?;
        Ok(config)
    }
}

fn switch(flags: &ArgMatches, name: &str) -> bool {
    flags.try_get_one::<bool>(name).ok().flatten().copied().unwrap_or(false)
}

fn upstream_of(text: &str) -> Result<Upstream, String> {
    let (prefix, url) = text
        .split_once('=')
        .ok_or_else(|| format!("--upstream {text:?}: write PREFIX=URL, for all repositories =URL"))?;
    Ok(Upstream {
        prefix: prefix.to_owned(),
        url: url.to_owned(),
        username: None,
        password_file: None,
        ttl: None,
        insecure: false,
    })
}

fn tls(flags: &ArgMatches, file: Option<TlsFiles>) -> Result<Option<TlsFiles>, String> {
    match (text(flags, "tls-cert"), text(flags, "tls-key")) {
        (Some(cert), Some(key)) => Ok(Some(TlsFiles {
            cert: cert.into(),
            key: key.into(),
        })),
        (None, None) => Ok(file),
        _ => Err("--tls-cert and --tls-key go together".to_owned()),
    }
}

fn level(text: Option<String>) -> Result<tracing::Level, String> {
    match text.as_deref() {
        None | Some("info") => Ok(tracing::Level::INFO),
        Some("debug") => Ok(tracing::Level::DEBUG),
        Some("warn") => Ok(tracing::Level::WARN),
        Some("error") => Ok(tracing::Level::ERROR),
        Some(other) => Err(format!("unknown log level {other:?}: use debug, info, warn or error")),
    }
}

/// What can be seen to go wrong before anything is begun.
fn check(config: &Config) -> Result<(), String> {
    for rule in &config.access.rules {
        if let Some(group) = rule
            .groups
            .iter()
            .find(|group| !config.access.groups.contains_key(*group))
        {
            return Err(format!(
                "a rule names the group {group:?}, which is not among the groups"
            ));
        }
        if rule.users.is_empty() && rule.groups.is_empty() {
            return Err(format!("the rule for {:?} names nobody", rule.repositories.0));
        }
    }
    let has_users = config.auth.htpasswd.is_some() || config.auth.token.is_some();
    if !config.access.rules.is_empty() && !has_users {
        return Err("there are rules, and no way to say who somebody is: configure auth".to_owned());
    }
    if let Some(token) = &config.auth.token {
        let is_own = token.key.is_some();
        if !is_own && (token.keys.is_empty() || token.realm.is_none()) {
            return Err("auth.token needs a key of our own, or realm and keys of a token server".to_owned());
        }
        if is_own && config.auth.htpasswd.is_none() {
            return Err("auth.token with a key of our own needs auth.htpasswd, to know who asks for tokens".to_owned());
        }
    }
    for upstream in &config.upstreams {
        let named = upstream.prefix.is_empty() || upstream.prefix.parse::<crate::name::Name>().is_ok();
        if !named {
            return Err(format!(
                "upstream {:?}: the prefix is no repository name",
                upstream.prefix
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(line: &str) -> Result<Config, String> {
        match parse(line.split_whitespace().map(OsString::from))? {
            Request::Serve(invocation) => invocation.config(),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn flags_come_before_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("registry.json");
        let text = r#"{"listen":["127.0.0.1:1"],"delete":false,"gc":{"grace":"2h"},"quota":{"total":"1GB"},
            "retention":[{"repositories":"*","keep-last":3}]}"#;
        fs::write(&path, text).expect("a file");
        let line = format!("serve --config-file {} -l 127.0.0.1:2 --quota 5KB", path.display());
        let config = config(&line).expect("good");
        assert_eq!(config.listen, ["127.0.0.1:2"]);
        assert_eq!(config.limits.total, Some(5000));
        assert_eq!(config.gc_grace, Duration::from_secs(7200));
        assert!(!config.delete);
        assert_eq!(config.retention[0].keep_last, Some(3));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let check = |text: &str, word: &str| {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("registry.json");
            fs::write(&path, text).expect("a file");
            let error = config(&format!("serve --config-file {}", path.display())).expect_err(text);
            assert!(error.contains(word), "{error}");
        };
        check(r#"{"lisen":[]}"#, "lisen");
        check(r#"{"gc":{"grace":"soon"}}"#, "soon");
        check(
            r#"{"rules":[{"repositories":"*","users":["a"],"allow":["pull"]}]}"#,
            "configure auth",
        );
        check(
            r#"{"auth":{"htpasswd":"x"},"rules":[{"repositories":"*","groups":["g"],"allow":["pull"]}]}"#,
            "group",
        );
        check(r#"{"auth":{"token":{"service":"s","issuer":"i"}}}"#, "auth.token");
        check(r#"{"upstreams":[{"prefix":"../x","url":"https://a"}]}"#, "prefix");
        assert!(config("serve --tls-cert x").expect_err("half").contains("go together"));
        assert!(config("serve --quota lots").expect_err("no size").contains("--quota"));
        assert!(config("serve --bogus").expect_err("unknown").contains("--bogus"));
    }
}
