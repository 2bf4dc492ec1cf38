//! Every command, by the names it is called by.

use crate::{
    build,
    command::{Action, Command, Entry, Flag},
    completion, compose, container, context, image, inspect, manifest, network, refused, registry, system, volume,
};

const COMMON: &str = "Common Commands";
const MANAGEMENT: &str = "Management Commands";

/// The program itself.
pub(crate) static ROOT: Command = Command {
    arguments: "[OPTIONS] COMMAND [ARG...]",
    action: Action::Group(ENTRIES),
    ..Command::group("Run containers, and manage what they need", ENTRIES)
}
.flags(&[&[
    Flag::string("config", "Folder of the client's configuration"),
    Flag::string(
        "context",
        "Context that says where the engine is (instead of DOCKER_HOST and the one in use)",
    )
    .short('c'),
    Flag::switch("debug", "Show more of what happens").short('D'),
    Flag::list("host", "Address of the engine").short('H'),
    Flag::string(
        "log-level",
        "How much to log (\"debug\", \"info\", \"warn\", \"error\", \"fatal\")",
    )
    .short('l')
    .default("info"),
    Flag::switch("tls", "Use TLS; implied by --tlsverify"),
    Flag::string("tlscacert", "File of the authorities to trust"),
    Flag::string("tlscert", "File of the client's certificate"),
    Flag::string("tlskey", "File of the client's key"),
    Flag::switch("tlsverify", "Use TLS and make the engine prove who it is"),
    Flag::switch("version", "Print the version and quit").short('v'),
]]);

static ENTRIES: &[Entry] = &[
    Entry::new(&["run"], &container::run::COMMAND).section(COMMON),
    Entry::new(&["exec"], &container::exec::COMMAND).section(COMMON),
    Entry::new(&["ps"], &container::list::COMMAND).section(COMMON),
    Entry::new(&["build"], &build::COMMAND).section(COMMON),
    Entry::new(&["pull"], &image::pull::COMMAND).section(COMMON),
    Entry::new(&["push"], &image::push::COMMAND).section(COMMON),
    Entry::new(&["images"], &image::list::COMMAND).section(COMMON),
    Entry::new(&["login"], &registry::LOGIN).section(COMMON),
    Entry::new(&["logout"], &registry::LOGOUT).section(COMMON),
    Entry::new(&["search"], &image::search::COMMAND).section(COMMON),
    Entry::new(&["version"], &system::version::COMMAND).section(COMMON),
    Entry::new(&["info"], &system::info::COMMAND).section(COMMON),
    Entry::new(&["bake"], &build::BAKE).section(""),
    Entry::new(&["builder"], &build::GROUP).section(MANAGEMENT),
    Entry::new(&["buildx"], &build::BUILDX).section(""),
    Entry::new(&["completion"], &completion::GROUP).section(MANAGEMENT),
    Entry::new(&["compose"], &compose::GROUP).section(MANAGEMENT),
    Entry::new(&["container"], &container::GROUP).section(MANAGEMENT),
    Entry::new(&["context"], &context::GROUP).section(MANAGEMENT),
    Entry::new(&["image"], &image::GROUP).section(MANAGEMENT),
    Entry::new(&["manifest"], &manifest::GROUP).section(MANAGEMENT),
    Entry::new(&["network"], &network::GROUP).section(MANAGEMENT),
    Entry::new(&["plugin"], &refused::PLUGIN).section(""),
    Entry::new(&["checkpoint"], &refused::CHECKPOINT).section(""),
    Entry::new(&["trust"], &refused::TRUST).section(""),
    Entry::new(&["system"], &system::GROUP).section(MANAGEMENT),
    Entry::new(&["volume"], &volume::GROUP).section(MANAGEMENT),
    Entry::new(&["attach"], &container::attach::COMMAND),
    Entry::new(&["commit"], &container::commit::COMMAND),
    Entry::new(&["cp"], &container::cp::COMMAND),
    Entry::new(&["create"], &container::create::COMMAND),
    Entry::new(&["diff"], &container::diff::COMMAND),
    Entry::new(&["events"], &system::events::COMMAND),
    Entry::new(&["export"], &container::export::COMMAND),
    Entry::new(&["history"], &image::history::COMMAND),
    Entry::new(&["import"], &image::archive::IMPORT),
    Entry::new(&["inspect"], &inspect::COMMAND),
    Entry::new(&["kill"], &container::lifecycle::KILL),
    Entry::new(&["load"], &image::archive::LOAD),
    Entry::new(&["logs"], &container::logs::COMMAND),
    Entry::new(&["pause"], &container::lifecycle::PAUSE),
    Entry::new(&["port"], &container::port::COMMAND),
    Entry::new(&["rename"], &container::lifecycle::RENAME),
    Entry::new(&["restart"], &container::lifecycle::RESTART),
    Entry::new(&["rm"], &container::lifecycle::REMOVE),
    Entry::new(&["rmi"], &image::remove::COMMAND),
    Entry::new(&["save"], &image::archive::SAVE),
    Entry::new(&["start"], &container::start::COMMAND),
    Entry::new(&["stats"], &container::stats::COMMAND),
    Entry::new(&["stop"], &container::lifecycle::STOP),
    Entry::new(&["tag"], &image::tag::COMMAND),
    Entry::new(&["top"], &container::top::COMMAND),
    Entry::new(&["unpause"], &container::lifecycle::UNPAUSE),
    Entry::new(&["update"], &container::update::COMMAND),
    Entry::new(&["wait"], &container::wait::COMMAND),
    Entry::new(&["__complete"], &completion::ASK).section(""),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks all commands.
    fn each(command: &'static Command, path: &str, visit: &mut impl FnMut(&str, &'static Command)) {
        visit(path, command);
        for entry in command.entries() {
            for name in entry.names {
                each(entry.command, &format!("{path} {name}"), visit);
            }
        }
    }

    #[test]
    fn flags_are_unambiguous() {
        each(&ROOT, "corten", &mut |path, command| {
            let flags: Vec<_> = command.all_flags().collect();
            for (index, flag) in flags.iter().enumerate() {
                for other in &flags[index + 1..] {
                    assert_ne!(flag.long, other.long, "{path}");
                    assert!(
                        flag.short.is_none() || flag.short != other.short,
                        "{path} -{:?}",
                        flag.short
                    );
                }
                if let Some(same) = flag.same_as {
                    assert!(command.flag(same).is_some(), "{path} --{}", flag.long);
                }
            }
        });
    }

    #[test]
    fn aliases_lead_to_the_same_command() {
        each(&ROOT, "corten", &mut |path, command| {
            for alias in command.paths {
                let mut found = &ROOT;
                for word in alias.split(' ') {
                    found = found.find(word).unwrap_or_else(|| panic!("{path}: no {alias}")).command;
                }
                assert!(std::ptr::eq(found, command), "{path}: {alias}");
            }
        });
    }
}
