//! Completion of command lines: scripts for shells, and the hidden command that they ask.

use crate::{
    cli::Cli,
    command::{Action, Arity, Command, Entry},
    error::Result,
    flags::Matches,
    tree,
};

/// `completion`.
pub(crate) static GROUP: Command = Command::group(
    "Write the completion script for a shell",
    &[
        Entry::new(&["bash"], &BASH),
        Entry::new(&["fish"], &FISH),
        Entry::new(&["zsh"], &ZSH),
    ],
);

static BASH: Command = Command::new("", "Write the script for bash", bash).arity(Arity::None);
static ZSH: Command = Command::new("", "Write the script for zsh", zsh).arity(Arity::None);
static FISH: Command = Command::new("", "Write the script for fish", fish).arity(Arity::None);

/// `__complete`, which the scripts ask.
pub(crate) static ASK: Command = Command::new("[WORD...]", "Suggest the next word", suggest_command).flags_first();

fn script(cli: &Cli, text: &str) -> Result<()> {
    cli.print(&text.replace("PROGRAM", cli.program));
    Ok(())
}

fn bash(cli: &Cli, _: &Matches) -> Result<()> {
    script(
        cli,
        r#"# bash completion for PROGRAM
_PROGRAM_complete() {
    local words=("${COMP_WORDS[@]:1:COMP_CWORD}")
    local IFS=$'\n'
    COMPREPLY=($(compgen -W "$(PROGRAM __complete -- "${words[@]}" 2>/dev/null | cut -f1)" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _PROGRAM_complete PROGRAM
"#,
    )
}

fn zsh(cli: &Cli, _: &Matches) -> Result<()> {
    script(
        cli,
        r#"#compdef PROGRAM
_PROGRAM() {
    local -a found
    local name about
    while IFS=$'\t' read -r name about; do
        found+=("${name//:/\\:}:$about")
    done < <(PROGRAM __complete -- "${(@)words[2,$CURRENT]}" 2>/dev/null)
    _describe 'PROGRAM' found || _files
}
compdef _PROGRAM PROGRAM
"#,
    )
}

fn fish(cli: &Cli, _: &Matches) -> Result<()> {
    script(
        cli,
        r"# fish completion for PROGRAM
function __PROGRAM_complete
    set -l words (commandline -opc) (commandline -ct)
    PROGRAM __complete -- $words[2..-1] 2>/dev/null
end
complete -c PROGRAM -a '(__PROGRAM_complete)'
",
    )
}

/// Lines of `word\twhat it is` for the last word of a command line.
fn suggest_command(cli: &Cli, m: &Matches) -> Result<()> {
    let (last, before) = match m.args.split_last() {
        Some((last, before)) => (last.as_str(), before),
        None => ("", &[][..]),
    };
    let mut command = &tree::ROOT;
    let mut names = Vec::new();
    for word in before.iter().filter(|w| !w.starts_with('-')) {
        if let Some(entry) = command.find(word) {
            command = entry.command;
            names.push(word.as_str());
        }
    }
    for (word, about) in suggest(command, last) {
        cli.out(&format!("{word}\t{about}"));
    }
    if let Action::Run(_) = command.action
        && !last.starts_with('-')
    {
        for name in objects(cli, command) {
            if name.starts_with(last) {
                cli.out(&name);
            }
        }
    }
    Ok(())
}

fn suggest(command: &Command, last: &str) -> Vec<(String, &'static str)> {
    let about = |text: &'static str| text.lines().next().unwrap_or_default();
    if last.starts_with('-') {
        let mut flags: Vec<_> = command
            .all_flags()
            .filter(|f| !f.hidden)
            .map(|f| (format!("--{}", f.long), about(f.about)))
            .filter(|(flag, _)| flag.starts_with(last))
            .collect();
        flags.sort();
        return flags;
    }
    let mut names: Vec<_> = command
        .entries()
        .iter()
        .filter(|e| !e.section.is_empty())
        .filter_map(|e| Some(((*e.names.first()?).to_owned(), about(e.command.about))))
        .filter(|(name, _)| name.starts_with(last))
        .collect();
    names.sort();
    names
}

/// Names of the objects that a command takes; none if the engine cannot be asked.
fn objects(cli: &Cli, command: &Command) -> Vec<String> {
    let arguments = command.arguments;
    let found = cli.wait(async {
        let client = cli.client()?;
        let none = corten_api::filters::Filters::default();
        Ok(if arguments.contains("CONTAINER") {
            let list = client.containers(true, 0, false, &none).await?;
            list.into_iter()
                .flat_map(|c| c.names)
                .map(|n| n.trim_start_matches('/').to_owned())
                .collect()
        } else if arguments.contains("IMAGE") {
            let list = client.images(corten_client::ListOptions::default(), &none).await?;
            list.into_iter().flat_map(|i| i.repo_tags).collect()
        } else if arguments.contains("VOLUME") {
            client
                .volumes(&none)
                .await?
                .volumes
                .into_iter()
                .map(|v| v.name)
                .collect()
        } else if arguments.contains("NETWORK") {
            client.networks(&none).await?.into_iter().map(|n| n.name).collect()
        } else {
            Vec::new()
        })
    });
    found.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_commands_and_flags() {
        let words = |command, last| suggest(command, last).into_iter().map(|(w, _)| w).collect::<Vec<_>>();
        assert!(words(&tree::ROOT, "ru").contains(&"run".to_owned()));
        assert_eq!(words(&crate::container::list::COMMAND, "--no"), ["--no-trunc"]);
        assert!(!words(&tree::ROOT, "").contains(&"__complete".to_owned()));
    }
}
