//! `buildx imagetools …`: images looked at and put together at their registries, without a builder.

mod attestations;
mod create;
mod inspect;
mod progress;
mod source;

use corten_oci::reference::Reference;

use crate::{
    command::{Arity, Command, Entry, Flag},
    error::{Error, Result},
    flags::Matches,
};

const BUILDER: Flag = Flag::string("builder", "Builder to use: there is one, \"default\"");
const DEBUG: Flag = Flag::switch("debug", "Say what is fetched").short('D');

/// `buildx imagetools`.
pub(crate) static GROUP: Command = Command::group(
    "Work on images at registries",
    &[Entry::new(&["create"], &CREATE), Entry::new(&["inspect"], &INSPECT)],
);

static INSPECT: Command = Command::new("[OPTIONS] NAME", "Show what a registry has under a name", inspect::run)
    .paths(&["buildx imagetools inspect", "builder imagetools inspect"])
    .arity(Arity::Exactly(1))
    .flags(&[&[
        BUILDER,
        DEBUG,
        Flag::string("format", "How to write it, by a Go template"),
        Flag::switch("raw", "Show the manifest's bytes as they are"),
    ]]);

static CREATE: Command = Command::new("[OPTIONS] [SOURCE...]", "Make an image of others", create::run)
    .paths(&["buildx imagetools create", "builder imagetools create"])
    .arity(Arity::Any)
    .flags(&[&[
        Flag::list("annotation", "Annotation for the image"),
        Flag::switch("append", "Add to the image that is there under the first name"),
        BUILDER,
        DEBUG,
        Flag::switch("dry-run", "Show the image, and send nothing"),
        Flag::list("file", "Read the description of a source from a file").short('f'),
        Flag::list("platform", "Take only the images of these platforms").short('p'),
        Flag::switch_on(
            "prefer-index",
            "Make an index of a single image, too, rather than a copy",
        ),
        Flag::string(
            "progress",
            "How to show what goes on (\"auto\", \"none\", \"plain\", \"tty\")",
        )
        .default("auto"),
        Flag::list("tag", "Name of the image").short('t'),
    ]]);

/// An error in the words of the builder's commands.
fn failed(error: Error) -> Error {
    Error {
        message: format!("ERROR: {}", error.message),
        ..error
    }
}

/// The error for what a registry does not have, or another.
fn about(reference: &Reference, error: Error) -> Error {
    match error.not_found {
        true => Error::new(format!("{reference}: not found")),
        false => error,
    }
}

fn check_builder(m: &Matches) -> Result<()> {
    match m.get("builder") {
        "" | "default" => Ok(()),
        other => Err(Error::new(format!("no builder \"{other}\" found"))),
    }
}
