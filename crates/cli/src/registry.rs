//! `login` and `logout`.

use std::io::{BufRead as _, Read as _, Write as _};

use corten_api::{image::AuthConfig, system::AuthResult};

use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    credentials::{self, Kept},
    error::{Error, Result},
    flags::Matches,
};

/// `login`.
pub(crate) static LOGIN: Command = Command::new("[OPTIONS] [SERVER]", "Keep credentials for a registry", login)
    .arity(Arity::AtMost(1))
    .flags(&[&[
        Flag::string("password", "Password or personal access token").short('p'),
        Flag::switch("password-stdin", "Read the password from standard input"),
        Flag::string("username", "User name").short('u'),
    ]]);

/// `logout`.
pub(crate) static LOGOUT: Command =
    Command::new("[SERVER]", "Forget the credentials for a registry", logout).arity(Arity::AtMost(1));

/// The name that a registry's credentials are kept under.
fn server(given: &str) -> String {
    match given {
        "" | "docker.io" | "index.docker.io" => credentials::HUB.to_owned(),
        credentials::HUB => credentials::HUB.to_owned(),
        given => {
            let bare = given.split_once("://").map_or(given, |(_, rest)| rest);
            bare.split('/').next().unwrap_or_default().to_owned()
        }
    }
}

fn login(cli: &Cli, m: &Matches) -> Result<()> {
    let server = server(m.arg(0));
    let (user, password) = given(cli, m)?;
    let known = match (user.as_str(), password.as_str()) {
        ("", "") => with_known(cli, &server)?,
        _ => None,
    };
    let (mut auth, result) = match known {
        Some(known) => known,
        None => {
            let (username, password) = prompted(cli, user, password)?;
            let auth = AuthConfig {
                username,
                password,
                server_address: server,
                ..AuthConfig::default()
            };
            let result = authenticate(cli, &auth)?;
            (auth, result)
        }
    };
    if !result.identity_token.is_empty() {
        auth.password.clear();
        auth.identity_token = result.identity_token;
    }
    let kept = credentials::store(cli.folder(), cli.config(), &auth)
        .map_err(|e| Error::new(format!("Error saving credentials: {e}")))?;
    if kept == Kept::File {
        let path = cli.folder().join("config.json");
        cli.err(&format!(
            "\nWARNING! Your credentials are stored unencrypted in '{}'.\nA credential helper would keep them safer: set \"credsStore\" there.\n",
            path.display()
        ));
    }
    if !result.status.is_empty() {
        cli.out(&result.status);
    }
    Ok(())
}

fn authenticate(cli: &Cli, auth: &AuthConfig) -> Result<AuthResult> {
    cli.wait(async { Ok(cli.client()?.authenticate(auth).await?) })
}

/// Tries what an earlier login has kept; none when nothing was kept, or it is no good any more.
fn with_known(cli: &Cli, server: &str) -> Result<Option<(AuthConfig, AuthResult)>> {
    let Some(known) = credentials::find(cli.config(), server)? else {
        return Ok(None);
    };
    let auth = AuthConfig {
        server_address: server.to_owned(),
        ..known
    };
    let who = match auth.username.as_str() {
        "" => String::new(),
        name => format!(" [Username: {name}]"),
    };
    cli.out(&format!("Authenticating with existing credentials...{who}"));
    match authenticate(cli, &auth) {
        Ok(result) => Ok(Some((auth, result))),
        Err(error) => {
            cli.err(&format!("Login did not succeed, error: {}", error.message));
            Ok(None)
        }
    }
}

/// User name and password as far as the flags give them.
fn given(cli: &Cli, m: &Matches) -> Result<(String, String)> {
    let user = m.get("username").to_owned();
    if m.given("password") {
        if m.on("password-stdin") {
            return Err(Error::new("--password and --password-stdin are mutually exclusive"));
        }
        cli.err("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
        return Ok((user, m.get("password").to_owned()));
    }
    if !m.on("password-stdin") {
        return Ok((user, String::new()));
    }
    if user.is_empty() {
        return Err(Error::new("Must provide --username with --password-stdin"));
    }
    let mut password = String::new();
    std::io::stdin()
        .lock()
        .read_to_string(&mut password)
        .map_err(|e| Error::new(e.to_string()))?;
    Ok((user, password.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Asks for what is missing.
fn prompted(cli: &Cli, user: String, password: String) -> Result<(String, String)> {
    if !user.is_empty() && !password.is_empty() {
        return Ok((user, password));
    }
    if !cli.in_is_terminal() {
        return Err(Error::new(
            "Error: Cannot perform an interactive login from a non TTY device",
        ));
    }
    let user = if user.is_empty() { ask(cli, "Username: ")? } else { user };
    if user.is_empty() {
        return Err(Error::new("Error: Non-null Username Required"));
    }
    let password = if password.is_empty() {
        ask_unseen(cli, "Password: ")?
    } else {
        password
    };
    if password.is_empty() {
        return Err(Error::new("Error: Password Required"));
    }
    Ok((user, password))
}

fn ask(cli: &Cli, prompt: &str) -> Result<String> {
    cli.print(prompt);
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|e| Error::new(e.to_string()))?;
    Ok(line.trim().to_owned())
}

/// Asks without showing what is typed.
fn ask_unseen(cli: &Cli, prompt: &str) -> Result<String> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let before = tcgetattr(std::io::stdin()).map_err(|e| Error::new(e.to_string()))?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(std::io::stdin(), OptionalActions::Now, &silent).map_err(|e| Error::new(e.to_string()))?;
    let answer = ask(cli, prompt);
    // The answer is there; a terminal that is gone needs no echo.
    let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &before);
    // The line break that was typed was not shown either.
    let _ = writeln!(std::io::stdout().lock());
    answer
}

fn logout(cli: &Cli, m: &Matches) -> Result<()> {
    let server = server(m.arg(0));
    let shown = if server == credentials::HUB { &server } else { m.arg(0) };
    cli.out(&format!("Removing login credentials for {shown}"));
    if let Err(error) = credentials::erase(cli.folder(), cli.config(), &server) {
        cli.err(&format!("WARNING: could not erase credentials:\n{server}: {error}"));
    }
    Ok(())
}
