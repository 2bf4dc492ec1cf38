//! Which attributes there are, and what they may be: the Compose specification as tables.
//!
//! The first thing that is wrong is reported, in the words of Compose, with its place and the key that was
//! probably meant.

mod check;
mod deploy;
mod resources;
mod service;

use crate::{error::Result, node::Node};

/// What a value may be: one of these.
pub(super) type Rule = &'static [Shape];

/// A key and what its value may be.
pub(super) type Field = (&'static str, Rule);

/// A way for a value to be.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Null,
    Bool,
    Text,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// `always`, `every_12h` and so on.
    PullPolicy,
    Int,
    /// A whole number from one to another.
    Between(i64, i64),
    /// A whole number from there on.
    From(i64),
    Number,
    List(Rule),
    /// A list in which nothing is twice.
    Set(Rule),
    /// These keys, and those that begin with `x-`; the second are those that must be there.
    Object(&'static [Field], &'static [&'static str]),
    /// Just these keys.
    Closed(&'static [Field], &'static [&'static str]),
    /// These keys, and any other.
    Open(&'static [Field]),
    /// Any key.
    Any(Rule),
    /// Names of services and resources; those that begin with `x-` are no exception.
    Names(Rule),
    /// Names of resources, and whatever else.
    LooseNames(Rule),
    /// Any value.
    Anything,
}

use Shape::{Any, Anything, Bool, Closed, Int, List, LooseNames, Names, Null, Number, Object, Set, Text};

pub(super) const TEXT: Rule = &[Text];
pub(super) const TEXTS: Rule = &[List(TEXT)];
pub(super) const TEXT_SET: Rule = &[Set(TEXT)];
pub(super) const TEXT_OR_SET: Rule = &[Text, Set(TEXT)];
pub(super) const TEXT_OR_LIST: Rule = &[Text, List(TEXT)];
pub(super) const FLAG: Rule = &[Bool, Text];
pub(super) const NUMBER: Rule = &[Number, Text];
pub(super) const INT: Rule = &[Int, Text];
pub(super) const LIST_OR_MAP: Rule = &[Any(&[Text, Number, Bool, Null]), Set(TEXT)];
pub(super) const OPTIONS: Rule = &[Any(&[Text, Number])];
pub(super) const EXTRA_HOSTS: Rule = &[Any(TEXT_OR_LIST), Set(TEXT)];
pub(super) const COMMAND: Rule = &[Null, Text, List(TEXT)];

/// `include`.
const INCLUDE: Rule = &[
    Text,
    Closed(
        &[
            ("path", TEXT_OR_SET),
            ("env_file", TEXT_OR_SET),
            ("project_directory", TEXT),
        ],
        &[],
    ),
];

/// A whole file.
const FILE: Rule = &[Object(
    &[
        ("version", TEXT),
        ("name", TEXT),
        ("include", &[List(INCLUDE)]),
        ("services", &[Names(service::SERVICE)]),
        ("models", &[LooseNames(resources::MODEL)]),
        ("networks", &[LooseNames(resources::NETWORK)]),
        ("volumes", &[Names(resources::VOLUME)]),
        ("secrets", &[Names(resources::SECRET)]),
        ("configs", &[Names(resources::CONFIG)]),
    ],
    &[],
)];

/// Checks a tree.
pub(crate) fn check(root: &Node) -> Result<()> {
    check::check(root, FILE, &mut Vec::new())
}

/// Checks one entry of `include`.
pub(crate) fn check_include(node: &Node) -> Result<()> {
    check::check(node, INCLUDE, &mut vec!["include".to_owned()])
}

/// Whatever a value is.
pub(super) const ANYTHING: Rule = &[Anything];
