//! Steps that change an image's configuration and no file.

use corten_dockerfile::{Argument, Check, Command, Line, expand, expand_list, exposed};
use corten_oci::image::{Empty, Healthcheck};

use crate::arguments::Arguments;
use crate::error::{Error, Result};
use crate::paths;
use crate::state::State;

/// Applies an instruction and tells what the history says of it; none for an instruction that makes files.
pub(crate) fn apply(
    state: &mut State,
    arguments: &Arguments,
    command: &Command,
    escape: char,
) -> Result<Option<String>> {
    let before = state.clone();
    let value = |word: &str| -> Result<String> { Ok(expand(word, escape, &|name| before.lookup(name))?.text) };
    let pairs = |pairs: &[(String, String)]| -> Result<Vec<(String, String)>> {
        pairs
            .iter()
            .map(|(name, text)| Ok((value(name)?, value(text)?)))
            .collect()
    };
    let config = &mut state.image.config;
    let by = match command {
        Command::Env(list) => {
            let list = pairs(list)?;
            list.iter().for_each(|(name, text)| state.set_variable(name, text));
            format!("ENV {}", joined(&list))
        }
        Command::Label(list) => {
            let list = pairs(list)?;
            let by = format!("LABEL {}", joined(&list));
            config.labels.extend(list);
            by
        }
        Command::Cmd(line) => {
            let words = words(line, &before);
            let by = format!("CMD {words:?}").replace("\", \"", "\" \"");
            config.cmd = Some(words);
            state.has_command = true;
            by
        }
        Command::Entrypoint(line) => {
            let words = words(line, &before);
            let by = format!("ENTRYPOINT {words:?}").replace("\", \"", "\" \"");
            config.entrypoint = Some(words);
            if !state.has_command {
                config.cmd = None;
            }
            by
        }
        Command::Expose(words) => {
            let mut ports = Vec::new();
            for word in expand_list(words, escape, &|name| before.lookup(name))? {
                ports.extend(exposed(&word)?);
            }
            let by = format!("EXPOSE [{}]", ports.join(" "));
            config
                .exposed_ports
                .extend(ports.into_iter().map(|port| (port, Empty {})));
            by
        }
        Command::User(user) => {
            config.user = value(user)?;
            format!("USER {}", config.user)
        }
        Command::Volume(list) => {
            let list = list.iter().map(|path| value(path)).collect::<Result<Vec<_>>>()?;
            let by = format!("VOLUME [{}]", list.join(" "));
            config.volumes.extend(list.into_iter().map(|path| (path, Empty {})));
            by
        }
        Command::Stopsignal(signal) => {
            config.stop_signal = value(signal)?;
            format!("STOPSIGNAL {}", config.stop_signal)
        }
        Command::Shell(words) => {
            config.shell.clone_from(words);
            format!("SHELL [{}]", words.join(" "))
        }
        Command::Onbuild(trigger) => {
            config.on_build.push(trigger.clone());
            format!("ONBUILD {trigger}")
        }
        Command::Maintainer(name) => {
            state.image.author.clone_from(name);
            format!("MAINTAINER {name}")
        }
        Command::Healthcheck(check) => {
            let check = healthcheck(check);
            let by = format!("HEALTHCHECK {}", check.test.join(" "));
            config.healthcheck = Some(check);
            by
        }
        Command::Arg(list) => declare(state, arguments, list, escape)?,
        Command::From(_) | Command::Run(_) | Command::Copy(_) | Command::Add(_) | Command::Workdir(_) => {
            return Ok(None);
        }
    };
    Ok(Some(by))
}

/// The folder that `WORKDIR` leads to.
pub(crate) fn workdir(state: &State, path: &str, escape: char) -> Result<String> {
    let path = expand(path, escape, &|name| state.lookup(name))?.text;
    if path.is_empty() {
        return Err(Error::invalid("WORKDIR needs a path that is not empty"));
    }
    Ok(paths::join(state.folder(), &path))
}

/// A command line as the image keeps it.
fn words(line: &Line, state: &State) -> Vec<String> {
    match line {
        Line::Exec(words) => words.clone(),
        Line::Shell(text) => [state.shell(), vec![text.clone()]].concat(),
    }
}

fn joined(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(" ")
}

fn declare(state: &mut State, arguments: &Arguments, list: &[Argument], escape: char) -> Result<String> {
    let mut said = Vec::new();
    for argument in list {
        let default = match &argument.default {
            Some(default) => Some(expand(default, escape, &|name| state.lookup(name))?.text),
            None => None,
        };
        let value = arguments.declare(&argument.name, default);
        said.push(match &value {
            Some(value) if !crate::arguments::is_proxy(&argument.name) => format!("{}={value}", argument.name),
            _ => argument.name.clone(),
        });
        state.declare(&argument.name, value);
    }
    Ok(format!("ARG {}", said.join(" ")))
}

fn healthcheck(check: &Check) -> Healthcheck {
    match check {
        Check::None => Healthcheck {
            test: vec!["NONE".to_owned()],
            ..Healthcheck::default()
        },
        Check::Test(health) => Healthcheck {
            test: health.test.clone(),
            interval: health.interval,
            timeout: health.timeout,
            start_period: health.start_period,
            start_interval: health.start_interval,
            retries: health.retries,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corten_oci::platform::Platform;

    fn run(instructions: &[&str]) -> (State, Vec<String>) {
        let mut state = State::default();
        let arguments = Arguments::new(Default::default(), &Platform::host(), "");
        let mut said = Vec::new();
        for text in instructions {
            let command = corten_dockerfile::parse_instruction(text, '\\').unwrap().command;
            said.push(apply(&mut state, &arguments, &command, '\\').unwrap().unwrap());
        }
        (state, said)
    }

    #[test]
    fn variables_are_those_from_before_the_line() {
        let (state, said) = run(&[
            "ENV abc=hello",
            "ENV abc=bye def=$abc",
            "ENV ghi=$abc",
            "ENV abc=\"x y\"",
        ]);
        assert_eq!(state.image.config.env, ["abc=x y", "def=hello", "ghi=bye"]);
        assert_eq!(said[1], "ENV abc=bye def=hello");
    }

    #[test]
    fn entrypoint_takes_an_inherited_command_away() {
        let mut state = State::default();
        state.image.config.cmd = Some(vec!["inherited".into()]);
        let arguments = Arguments::default();
        let command = |text: &str| corten_dockerfile::parse_instruction(text, '\\').unwrap().command;
        apply(&mut state, &arguments, &command("ENTRYPOINT [\"e\"]"), '\\').unwrap();
        assert_eq!(state.image.config.cmd, None);
        apply(&mut state, &arguments, &command("CMD x"), '\\').unwrap();
        apply(&mut state, &arguments, &command("ENTRYPOINT e"), '\\').unwrap();
        assert_eq!(
            state.image.config.cmd.as_deref(),
            Some(&["/bin/sh".into(), "-c".into(), "x".into()][..])
        );
    }

    #[test]
    fn everything_else_lands_in_the_configuration() {
        let (state, said) = run(&[
            "ARG V=1",
            "LABEL a=$V b=\"2 3\"",
            "EXPOSE 80 81-82/udp",
            "USER u$V",
            "VOLUME /data",
            "STOPSIGNAL SIGINT",
            "SHELL [\"/bin/bash\", \"-c\"]",
            "CMD echo hi",
            "HEALTHCHECK --retries=2 CMD true",
            "ONBUILD RUN x",
            "MAINTAINER me",
        ]);
        let config = &state.image.config;
        assert_eq!((config.labels["a"].as_str(), config.labels["b"].as_str()), ("1", "2 3"));
        assert_eq!(
            config.exposed_ports.keys().collect::<Vec<_>>(),
            ["80/tcp", "81/udp", "82/udp"]
        );
        assert_eq!((config.user.as_str(), config.stop_signal.as_str()), ("u1", "SIGINT"));
        assert_eq!(
            config.cmd.as_deref(),
            Some(&["/bin/bash".into(), "-c".into(), "echo hi".into()][..])
        );
        assert_eq!(config.healthcheck.as_ref().map(|check| check.retries), Some(2));
        assert_eq!(
            (config.on_build.as_slice(), state.image.author.as_str()),
            (&["RUN x".to_owned()][..], "me")
        );
        assert_eq!(said[7], "CMD [\"/bin/bash\" \"-c\" \"echo hi\"]");
    }
}
