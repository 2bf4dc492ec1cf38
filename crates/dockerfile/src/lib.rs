//! The Dockerfile language and `.dockerignore`: parsing, variables, patterns, checks; no I/O.
//!
//! [`Dockerfile::parse`] gives typed instructions with the lines they stand on; variables in them are
//! put in later, by [`expand()`], because their values depend on what ran before. Sources: Dockerfile
//! reference (docs.docker.com/reference/dockerfile) and, where it is silent, what BuildKit does.
//!
//! ```
//! use corten_dockerfile::{Command, Dockerfile};
//!
//! let file = Dockerfile::parse(b"FROM alpine AS base\nRUN echo hi\n")?;
//! assert_eq!(file.stages.len(), 1);
//! assert!(matches!(file.stages[0].instructions[0].command, Command::Run(_)));
//! # Ok::<(), corten_dockerfile::Error>(())
//! ```

#![forbid(unsafe_code)]

mod error;
mod expand;
mod flags;
mod glob;
mod heredoc;
mod ignore;
mod instruction;
mod lint;
mod mounts;
mod parse;
mod paths;
mod ports;
mod source;
mod stages;
mod suggest;
mod values;
mod variables;

pub use error::{Error, Lines, Result};
pub use expand::{Expanded, expand, expand_list};
pub use glob::{PathPattern, matches as glob_matches};
pub use heredoc::Heredoc;
pub use ignore::Ignore;
pub use instruction::{
    Access, Add, Argument, Check, Command, Copy, Device, From, Health, Instruction, Line, Mount, MountKind, Network,
    Run, Security, Sharing, Source,
};
pub use lint::{Rule, Warning};
pub use parse::instruction as parse_instruction;
pub use paths::clean as clean_path;
pub use ports::exposed;
pub use source::Directives;
pub use stages::{Dockerfile, Stage, excerpt};
