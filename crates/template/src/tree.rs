//! A template as it was read: its nodes, and how they are shown in errors.

use std::collections::BTreeMap;

/// A template and the templates it defines.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: Vec<Node>,
    pub(super) defined: BTreeMap<String, Vec<Node>>,
}

/// A part of a template.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Text(String),
    Action(Pipe),
    If(Branch),
    Range(Branch),
    With(Branch),
    Template {
        name: String,
        pipe: Option<Pipe>,
        at: usize,
    },
    Break,
    Continue,
}

/// A condition or sequence, and what to do with it.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    pub(super) pipe: Pipe,
    pub(super) then: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// Commands, each fed by the one before.
#[derive(Debug, Clone)]
pub(super) struct Pipe {
    pub(super) variables: Vec<String>,
    /// Whether the variables are new.
    pub(super) declares: bool,
    pub(super) commands: Vec<Command>,
}

/// A value or a function with arguments.
#[derive(Debug, Clone)]
pub(super) struct Command {
    pub(super) args: Vec<Arg>,
    pub(super) at: usize,
}

/// An argument and where it is.
#[derive(Debug, Clone)]
pub(super) struct Arg {
    pub(super) what: Operand,
    pub(super) at: usize,
}

/// What an argument is.
#[derive(Debug, Clone)]
pub(super) enum Operand {
    Dot,
    Nil,
    Bool(bool),
    Int(i64, String),
    Float(f64, String),
    /// The value and how it was written.
    Str(String, String),
    Field(Vec<String>),
    Variable(String, Vec<String>),
    Function(String),
    Pipe(Box<Pipe>),
    /// Fields of something in parentheses.
    Chain(Box<Arg>, Vec<String>),
}

impl std::fmt::Display for Arg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.what {
            Operand::Dot => f.write_str("."),
            Operand::Nil => f.write_str("nil"),
            Operand::Bool(on) => write!(f, "{on}"),
            Operand::Int(_, text) | Operand::Float(_, text) | Operand::Str(_, text) => f.write_str(text),
            Operand::Field(names) => names.iter().try_for_each(|n| write!(f, ".{n}")),
            Operand::Variable(name, fields) => {
                f.write_str(name)?;
                fields.iter().try_for_each(|n| write!(f, ".{n}"))
            }
            Operand::Function(name) => f.write_str(name),
            Operand::Pipe(pipe) => write!(f, "({pipe})"),
            Operand::Chain(inner, names) => {
                write!(f, "{inner}")?;
                names.iter().try_for_each(|n| write!(f, ".{n}"))
            }
        }
    }
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, arg) in self.args.iter().enumerate() {
            let gap = if index > 0 { " " } else { "" };
            write!(f, "{gap}{arg}")?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Pipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.variables.is_empty() {
            let sign = if self.declares { ":=" } else { "=" };
            write!(f, "{} {sign} ", self.variables.join(", "))?;
        }
        for (index, command) in self.commands.iter().enumerate() {
            let gap = if index > 0 { " | " } else { "" };
            write!(f, "{gap}{command}")?;
        }
        Ok(())
    }
}
