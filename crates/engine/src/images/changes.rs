//! Dockerfile instructions in `--change`, applied to an image's configuration (`import`, `commit`).

use std::collections::BTreeMap;

use corten_oci::image::{ContainerConfig, Empty};

use crate::error::{Error, Result};

/// Applies instructions in their order.
///
/// # Errors
/// `Invalid` for other instructions than CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL,
/// USER, VOLUME and WORKDIR, and for those that are malformed.
pub fn apply(mut config: ContainerConfig, changes: &[String]) -> Result<ContainerConfig> {
    for line in changes
        .iter()
        .flat_map(|change| change.lines())
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let (name, rest) = (name.to_ascii_uppercase(), rest.trim());
        if rest.is_empty() {
            return Err(Error::invalid(format!("{name} requires at least one argument")));
        }
        instruction(&mut config, &name, rest)?;
    }
    Ok(config)
}

fn instruction(config: &mut ContainerConfig, name: &str, rest: &str) -> Result<()> {
    match name {
        "CMD" => config.cmd = Some(command(rest)),
        "ENTRYPOINT" => {
            config.entrypoint = Some(command(rest));
            config.cmd = None;
        }
        "ENV" => {
            for (key, value) in pairs(name, rest)? {
                config.env.retain(|have| have.split('=').next() != Some(key.as_str()));
                config.env.push(format!("{key}={value}"));
            }
        }
        "LABEL" => config.labels.extend(pairs(name, rest)?),
        "EXPOSE" => {
            for port in rest.split_whitespace() {
                config.exposed_ports.insert(exposed(port)?, Empty {});
            }
        }
        "VOLUME" => {
            let paths = list(rest).unwrap_or_else(|| rest.split_whitespace().map(str::to_owned).collect());
            config.volumes.extend(paths.into_iter().map(|path| (path, Empty {})));
        }
        "USER" => rest.clone_into(&mut config.user),
        "WORKDIR" if rest.starts_with('/') => rest.clone_into(&mut config.working_dir),
        "WORKDIR" => config.working_dir = format!("{}/{rest}", config.working_dir.trim_end_matches('/')),
        "STOPSIGNAL" => rest.clone_into(&mut config.stop_signal),
        "ONBUILD" => config.on_build.push(rest.to_owned()),
        other => return Err(Error::invalid(format!("{other} is not a valid change command"))),
    }
    Ok(())
}

/// The JSON form, or a line for the shell.
fn command(rest: &str) -> Vec<String> {
    list(rest).unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned(), rest.to_owned()])
}

fn list(rest: &str) -> Option<Vec<String>> {
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
fn pairs(instruction: &str, rest: &str) -> Result<BTreeMap<String, String>> {
    let words = words(rest);
    if let Some(first) = words.first()
        && !first.contains('=')
    {
        let (key, value) = rest
            .split_once(char::is_whitespace)
            .ok_or_else(|| Error::invalid(format!("{instruction} must have two arguments")))?;
        return Ok(BTreeMap::from([(key.to_owned(), value.trim().to_owned())]));
    }
    words
        .into_iter()
        .map(|word| match word.split_once('=') {
            Some(("", _)) | None => Err(Error::invalid(format!(
                "Syntax error - can't find = in {word:?}. Must be of the form: name=value"
            ))),
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        })
        .collect()
}

/// Splits at white space; quotes hold together and vanish, a backslash takes the next character as it is.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut begun) = (Vec::new(), String::new(), None, false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => word.extend(chars.next()),
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => quote = Some(c),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_applied() {
        let changes = [
            "CMD [\"cat\",\"/f.txt\"]",
            "env A=1 B=\"x y\"",
            "ENV A 2 3",
            "LABEL k=v",
            "EXPOSE 80 53/udp",
            "VOLUME [\"/data\"]",
            "WORKDIR /a",
            "WORKDIR b",
            "USER me",
            "STOPSIGNAL SIGINT",
        ]
        .map(str::to_owned);
        let config = apply(ContainerConfig::default(), &changes).unwrap();
        assert_eq!(config.cmd.unwrap(), ["cat", "/f.txt"]);
        assert_eq!(config.env, ["B=x y", "A=2 3"]);
        assert_eq!(config.exposed_ports.keys().collect::<Vec<_>>(), ["53/udp", "80/tcp"]);
        assert_eq!((config.working_dir.as_str(), config.user.as_str()), ("/a/b", "me"));
        assert_eq!(config.volumes.keys().collect::<Vec<_>>(), ["/data"]);
        let shell = apply(ContainerConfig::default(), &["CMD echo hi".to_owned()]).unwrap();
        assert_eq!(shell.cmd.unwrap(), ["/bin/sh", "-c", "echo hi"]);
    }

    #[test]
    fn others_are_refused() {
        let refused = |change: &str| apply(ContainerConfig::default(), &[change.to_owned()]).unwrap_err();
        assert_eq!(refused("RUN x").message(), "RUN is not a valid change command");
        assert_eq!(refused("EXPOSE x").message(), "invalid containerPort: x");
        refused("CMD");
        refused("ENV A=1 B");
    }
}
