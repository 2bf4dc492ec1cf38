//! Commands of Compose that are refused by name until they work.

use crate::{
    command::{Command, Flag},
    error::Error,
};

const DRY: Flag = Flag::switch("dry-run", "Not supported yet");

/// `compose publish`.
pub(crate) static PUBLISH: Command = Command::new("[OPTIONS] REPOSITORY[:TAG]", "Not supported yet", |_, _| {
    Err(Error::new("compose publish is not supported yet"))
})
.paths(&["compose publish"])
.flags(&[&[
    Flag::switch("app", "Not supported yet"),
    DRY,
    Flag::string("oci-version", "Not supported yet"),
    Flag::switch("resolve-image-digests", "Not supported yet"),
    Flag::switch("with-env", "Not supported yet"),
    Flag::switch("yes", "Not supported yet").short('y'),
]]);
