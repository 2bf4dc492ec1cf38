//! Dockerfile instructions in `--change`, applied to an image's configuration (`import`, `commit`).

use corten_oci::image::{ContainerConfig, Empty};

use super::health_change;
use crate::error::{Error, Result};

/// Instructions of a Dockerfile that change more than a configuration.
const OTHERS: [&str; 7] = ["FROM", "RUN", "COPY", "ADD", "ARG", "MAINTAINER", "SHELL"];

/// Applies instructions in their order.
///
/// # Errors
/// `Invalid` for other instructions than CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD,
/// STOPSIGNAL, USER, VOLUME and WORKDIR, and for those that are malformed.
pub fn apply(mut config: ContainerConfig, changes: &[String]) -> Result<ContainerConfig> {
    let mut command_set = false;
    let lines = changes.iter().flat_map(|change| change.lines()).map(str::trim);
    for (number, line) in lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .enumerate()
    {
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let (name, rest) = (name.to_ascii_uppercase(), rest.trim());
        if OTHERS.contains(&name.as_str()) {
            return Err(Error::invalid(format!("{name} is not a valid change command")));
        }
        if rest.is_empty() && !matches!(name.as_str(), "CMD" | "ENTRYPOINT") {
            return Err(Error::invalid(format!("{name} requires at least one argument")));
        }
        if name == "ENTRYPOINT" && !command_set {
            config.cmd = None;
        }
        command_set |= name == "CMD";
        instruction(&mut config, &name, rest, number + 1)?;
    }
    Ok(config)
}

fn instruction(config: &mut ContainerConfig, name: &str, rest: &str, number: usize) -> Result<()> {
    match name {
        "CMD" => config.cmd = Some(command(config, rest)),
        "ENTRYPOINT" => config.entrypoint = Some(command(config, rest)),
        "ENV" => {
            let env = config.env.clone();
            for (key, value) in pairs(name, rest, &env)? {
                set_variable(&mut config.env, &key, &value);
            }
        }
        "LABEL" => {
            let env = config.env.clone();
            config.labels.extend(pairs(name, rest, &env)?);
        }
        "EXPOSE" => {
            for port in words(rest, &config.env) {
                config.exposed_ports.insert(exposed(&port)?, Empty {});
            }
        }
        "HEALTHCHECK" => config.healthcheck = Some(health_change::parse(rest)?),
        "VOLUME" => {
            let paths = list(rest).unwrap_or_else(|| words(rest, &config.env));
            config.volumes.extend(paths.into_iter().map(|path| (path, Empty {})));
        }
        "USER" => config.user = words(rest, &config.env).join(" "),
        "WORKDIR" => {
            let path = words(rest, &config.env).join(" ");
            config.working_dir = if path.starts_with('/') {
                path
            } else {
                format!("{}/{path}", config.working_dir.trim_end_matches('/'))
            };
        }
        "STOPSIGNAL" => {
            let signal = words(rest, &config.env).join(" ");
            if crate::containers::parse_signal(&signal).is_none() {
                return Err(Error::invalid(format!("invalid signal: {signal}")));
            }
            config.stop_signal = signal;
        }
        "ONBUILD" => config.on_build.push(trigger(rest)?),
        other => {
            return Err(Error::invalid(format!(
                "dockerfile parse error on line {number}: unknown instruction: {other}"
            )));
        }
    }
    Ok(())
}

fn trigger(rest: &str) -> Result<String> {
    let name = rest.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    match name.as_str() {
        "ONBUILD" => Err(Error::invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")),
        "MAINTAINER" | "FROM" => Err(Error::invalid(format!("{name} isn't allowed as an ONBUILD trigger"))),
        _ => Ok(rest.to_owned()),
    }
}

fn set_variable(env: &mut Vec<String>, key: &str, value: &str) {
    let variable = format!("{key}={value}");
    match env.iter_mut().find(|have| have.split('=').next() == Some(key)) {
        Some(have) => *have = variable,
        None => env.push(variable),
    }
}

/// The JSON form, or a line for the shell.
fn command(config: &ContainerConfig, rest: &str) -> Vec<String> {
    list(rest).unwrap_or_else(|| {
        let shell = match config.shell.as_slice() {
            [] => vec!["/bin/sh".to_owned(), "-c".to_owned()],
            own => own.to_vec(),
        };
        [shell, vec![rest.to_owned()]].concat()
    })
}

/// A JSON list of texts, if it is one.
pub(super) fn list(rest: &str) -> Option<Vec<String>> {
    rest.starts_with('[').then(|| serde_json::from_str(rest).ok()).flatten()
}

fn exposed(port: &str) -> Result<String> {
    let bad = || Error::invalid(format!("invalid containerPort: {port}"));
    let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    let number: u16 = number.parse().map_err(|_| bad())?;
    if !matches!(protocol, "tcp" | "udp" | "sctp") {
        return Err(Error::invalid(format!("invalid proto: {protocol}")));
    }
    Ok(format!("{number}/{protocol}"))
}

/// `NAME=value …` with quotes, or the old form `NAME value`.
fn pairs(instruction: &str, rest: &str, env: &[String]) -> Result<Vec<(String, String)>> {
    let split = words(rest, env);
    let first = rest.split_whitespace().next().unwrap_or_default();
    if !first.contains('=') {
        let (key, value) = rest
            .split_once(char::is_whitespace)
            .ok_or_else(|| Error::invalid(format!("{instruction} must have two arguments")))?;
        return Ok(vec![(key.to_owned(), words(value.trim(), env).join(" "))]);
    }
    split
        .into_iter()
        .map(|word| match word.split_once('=') {
            Some(("", _)) | None => Err(Error::invalid(format!(
                "Syntax error - can't find = in {word:?}. Must be of the form: name=value"
            ))),
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        })
        .collect()
}

/// Splits at white space; quotes hold together and vanish, a backslash takes the next character as it
/// is, and outside of single quotes `$NAME` and `${NAME}` become what the environment has.
fn words(text: &str, env: &[String]) -> Vec<String> {
    let (mut words, mut word, mut quote, mut begun) = (Vec::new(), String::new(), None, false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => word.extend(chars.next()),
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            ('$', None | Some('"')) => word.push_str(&variable(&mut chars, env)),
            (c, None) if c.is_whitespace() => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
                continue;
            }
            (c, _) => word.push(c),
        }
        begun = true;
    }
    if begun {
        words.push(word);
    }
    words
}

/// What stands for the name after a dollar sign: its value, or with `:-` another word when it has none,
/// or with `:+` another word when it has one.
fn variable(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, env: &[String]) -> String {
    let value = |name: &str| {
        let mut variables = env.iter().filter_map(|variable| variable.split_once('='));
        variables
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.to_owned())
    };
    if chars.next_if_eq(&'{').is_none() {
        let mut name = String::new();
        while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(c);
        }
        return if name.is_empty() {
            "$".to_owned()
        } else {
            value(&name).unwrap_or_default()
        };
    }
    let inside: String = chars.by_ref().take_while(|c| *c != '}').collect();
    match (inside.split_once(":-"), inside.split_once(":+")) {
        (Some((name, other)), _) => value(name)
            .filter(|value| !value.is_empty())
            .unwrap_or_else(|| other.to_owned()),
        (_, Some((name, other))) => value(name)
            .filter(|value| !value.is_empty())
            .map_or_else(String::new, |_| other.to_owned()),
        _ => value(&inside).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_applied() {
        let changes = [
            "CMD [\"cat\",\"/f.txt\"]",
            "env A=1 B=\"x y\"",
            "ENV A 2 3",
            "ENV C=$B:${A:-no}:${Z:-none}${A:+!}",
            "LABEL k=v",
            "EXPOSE 80 53/udp",
            "VOLUME [\"/data\"]",
            "WORKDIR /a",
            "WORKDIR b",
            "USER me",
            "STOPSIGNAL SIGINT",
            "ENTRYPOINT run it",
            "HEALTHCHECK --interval=1m30s --retries=2 CMD test -e /f",
        ]
        .map(str::to_owned);
        let config = apply(ContainerConfig::default(), &changes).unwrap();
        assert_eq!(config.cmd.unwrap(), ["cat", "/f.txt"]);
        assert_eq!(config.env, ["A=2 3", "B=x y", "C=x y:2 3:none!"]);
        assert_eq!(config.exposed_ports.keys().collect::<Vec<_>>(), ["53/udp", "80/tcp"]);
        assert_eq!((config.working_dir.as_str(), config.user.as_str()), ("/a/b", "me"));
        assert_eq!(config.volumes.keys().collect::<Vec<_>>(), ["/data"]);
        assert_eq!(config.entrypoint.unwrap(), ["/bin/sh", "-c", "run it"]);
        let check = config.healthcheck.unwrap();
        assert_eq!(
            (check.test.join(" "), check.interval, check.retries),
            ("CMD-SHELL test -e /f".to_owned(), 90_000_000_000, 2)
        );
        let base = ContainerConfig {
            cmd: Some(vec!["old".to_owned()]),
            ..ContainerConfig::default()
        };
        let config = apply(base, &["ENTRYPOINT [\"x\"]".to_owned()]).unwrap();
        assert_eq!(
            (config.entrypoint.unwrap().as_slice(), config.cmd),
            (&["x".to_owned()][..], None)
        );
    }

    #[test]
    fn others_are_refused() {
        let refused = |change: &str| apply(ContainerConfig::default(), &[change.to_owned()]).unwrap_err();
        assert_eq!(refused("RUN x").message(), "RUN is not a valid change command");
        assert_eq!(
            refused("nosuch x").message(),
            "dockerfile parse error on line 1: unknown instruction: NOSUCH"
        );
        assert_eq!(refused("EXPOSE x").message(), "invalid containerPort: x");
        refused("USER");
        refused("ENV A=1 B");
        refused("STOPSIGNAL nosuch");
        refused("ONBUILD ONBUILD RUN x");
        refused("HEALTHCHECK CMD");
        refused("HEALTHCHECK --retries=-1 CMD x");
        refused("HEALTHCHECK --nosuch=1 CMD x");
    }
}
