//! Fills a template in (the rules of Go's `text/template`).

use super::{
    Missing, Mode, functions,
    tree::{Arg, Branch, Command, Node, Operand, Pipe, Tree},
    value::Value,
};

/// How deep templates may call each other.
const MAX_DEPTH: usize = 500;
/// The most that a template may write.
const MAX_OUTPUT: usize = 256 << 20;

/// Fills a template in.
pub(super) fn execute(
    tree: &Tree,
    (name, text): (&str, &str),
    data: &Value,
    missing: Missing,
    mode: Mode,
) -> Result<String> {
    let mut state = State {
        tree,
        name,
        text,
        missing,
        mode,
        variables: vec![("$".to_owned(), data.clone())],
        out: String::new(),
        depth: 0,
    };
    state.list(&tree.root, data)?;
    Ok(state.out)
}

struct State<'a> {
    tree: &'a Tree,
    name: &'a str,
    text: &'a str,
    missing: Missing,
    mode: Mode,
    variables: Vec<(String, Value)>,
    out: String,
    depth: usize,
}

/// How a list of nodes ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

type Result<T> = std::result::Result<T, String>;

impl State<'_> {
    /// An error at a place.
    fn error<T>(&self, at: usize, context: &str, message: &str) -> Result<T> {
        let before = &self.text[..at.min(self.text.len())];
        let line = 1 + before.matches('\n').count();
        let column = before.len() - before.rfind('\n').map_or(0, |n| n + 1);
        Err(format!(
            "template: {0}:{line}:{column}: executing {1} at <{context}>: {message}",
            self.name,
            crate::quote(self.name)
        ))
    }

    fn list(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow> {
        for node in nodes {
            let flow = self.node(node, dot)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<Flow> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Action(pipe) => {
                let value = self.pipe(pipe, dot)?;
                if pipe.variables.is_empty() {
                    self.out.push_str(&value.print());
                    if self.out.len() > MAX_OUTPUT {
                        return Err("template: the output is too long".to_owned());
                    }
                }
            }
            Node::If(branch) => return self.choose(branch, dot, false),
            Node::With(branch) => return self.choose(branch, dot, true),
            Node::Range(branch) => return self.range(branch, dot),
            Node::Template { name, pipe, at } => self.call(name, pipe.as_ref(), *at, dot)?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    /// `if` and `with`.
    fn choose(&mut self, branch: &Branch, dot: &Value, rebind: bool) -> Result<Flow> {
        let scope = self.variables.len();
        let value = self.pipe(&branch.pipe, dot)?;
        let flow = match (value.is_true(), rebind) {
            (true, true) => self.list(&branch.then, &value),
            (true, false) => self.list(&branch.then, dot),
            (false, _) => self.list(&branch.otherwise, dot),
        };
        self.variables.truncate(scope);
        flow
    }

    fn range(&mut self, branch: &Branch, dot: &Value) -> Result<Flow> {
        let scope = self.variables.len();
        let value = self.pipe(&branch.pipe, dot)?;
        let items: Vec<(Value, Value)> = match &value {
            Value::List(items) => {
                let keys = (0i64..).map(Value::Int);
                keys.zip(items.iter().cloned()).collect()
            }
            Value::Map(members) => members
                .iter()
                .map(|(k, v)| (Value::from(k.as_str()), v.clone()))
                .collect(),
            Value::Int(n) => (0..*n).map(|i| (Value::Int(i), Value::Int(i))).collect(),
            Value::Nil | Value::NilList | Value::NilMap | Value::NilPointer(_) => Vec::new(),
            other => {
                let at = branch.pipe.commands.first().map_or(0, |c| c.at);
                let message = format!("range can't iterate over {}", other.print_inner());
                return self.error(at, &branch.pipe.to_string(), &message);
            }
        };
        let mut flow = Flow::Next;
        if items.is_empty() {
            flow = self.list(&branch.otherwise, dot)?;
        }
        let inner = self.variables.len();
        for (key, item) in items {
            self.bind_item(&branch.pipe, scope, &key, &item);
            let end = self.list(&branch.then, &item)?;
            self.variables.truncate(inner);
            if end == Flow::Break {
                break;
            }
        }
        self.variables.truncate(scope);
        Ok(flow)
    }

    /// Gives the variables of a `range` their values.
    fn bind_item(&mut self, pipe: &Pipe, scope: usize, key: &Value, item: &Value) {
        let values = match pipe.variables.len() {
            0 => return,
            1 => vec![item],
            _ => vec![key, item],
        };
        for (index, value) in values.into_iter().enumerate() {
            if pipe.declares {
                if let Some(slot) = self.variables.get_mut(scope + index) {
                    slot.1 = value.clone();
                } else {
                    self.variables.push((pipe.variables[index].clone(), value.clone()));
                }
            } else {
                self.assign(&pipe.variables[index], value.clone());
            }
        }
    }

    fn assign(&mut self, name: &str, value: Value) {
        if let Some(slot) = self.variables.iter_mut().rev().find(|(n, _)| n == name) {
            slot.1 = value;
        }
    }

    /// `{{template}}`.
    fn call(&mut self, name: &str, pipe: Option<&Pipe>, at: usize, dot: &Value) -> Result<()> {
        let tree = self.tree;
        let Some(nodes) = tree.defined.get(name) else {
            let context = format!("{{{{template {}}}}}", crate::quote(name));
            return self.error(at, &context, &format!("template {} not defined", crate::quote(name)));
        };
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("template: exceeded maximum template depth ({MAX_DEPTH})"));
        }
        let data = match pipe {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => Value::Nil,
        };
        let variables = std::mem::replace(&mut self.variables, vec![("$".to_owned(), data.clone())]);
        let result = self.list(nodes, &data);
        self.variables = variables;
        self.depth -= 1;
        result.map(drop)
    }

    /// The value of a pipeline; also gives its variables their values.
    fn pipe(&mut self, pipe: &Pipe, dot: &Value) -> Result<Value> {
        let mut value: Option<Value> = None;
        for command in &pipe.commands {
            value = Some(self.command(command, dot, value)?);
        }
        let value = value.unwrap_or(Value::Nil);
        for name in &pipe.variables {
            if pipe.declares {
                self.variables.push((name.clone(), value.clone()));
            } else {
                self.assign(name, value.clone());
            }
        }
        Ok(value)
    }

    fn command(&mut self, command: &Command, dot: &Value, last: Option<Value>) -> Result<Value> {
        let Some((first, rest)) = command.args.split_first() else {
            return Ok(Value::Nil);
        };
        match &first.what {
            Operand::Function(name) => self.function(name, command, rest, dot, last),
            Operand::Field(_) | Operand::Variable(..) | Operand::Chain(..) => self.with_fields(first, rest, dot, last),
            Operand::Pipe(pipe) if rest.is_empty() && last.is_none() => self.pipe(pipe, dot),
            _ if !rest.is_empty() || last.is_some() => self.error(
                first.at,
                &first.to_string(),
                &format!("can't give argument to non-function {first}"),
            ),
            Operand::Nil => self.error(first.at, "nil", "nil is not a command"),
            _ => self.arg(first, dot),
        }
    }

    fn function(
        &mut self,
        name: &str,
        command: &Command,
        rest: &[Arg],
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value> {
        // These two stop as soon as the answer is known.
        if let "and" | "or" = name {
            let mut value = Value::Nil;
            for arg in rest {
                value = self.arg(arg, dot)?;
                if value.is_true() == (name == "or") {
                    return Ok(value);
                }
            }
            return Ok(last.unwrap_or(value));
        }
        let mut args = Vec::with_capacity(rest.len() + 1);
        for arg in rest {
            args.push(self.arg(arg, dot)?);
        }
        args.extend(last);
        match functions::call(name, &args, self.mode) {
            Ok(value) => Ok(value),
            Err(functions::Failure::Arguments(message)) => {
                let at = command.args.first().map_or(0, |a| a.at);
                self.error(at, name, &message)
            }
            Err(functions::Failure::Call(message)) => self.error(
                command.at,
                &command.to_string(),
                &format!("error calling {name}: {message}"),
            ),
        }
    }

    /// A value for an argument.
    fn arg(&mut self, arg: &Arg, dot: &Value) -> Result<Value> {
        Ok(match &arg.what {
            Operand::Dot => dot.clone(),
            Operand::Nil => Value::Nil,
            Operand::Bool(on) => Value::Bool(*on),
            Operand::Int(n, _) => Value::Int(*n),
            Operand::Float(n, _) => Value::Float(*n),
            Operand::Str(text, _) => Value::from(text.as_str()),
            Operand::Field(_) | Operand::Variable(..) | Operand::Chain(..) => {
                return self.with_fields(arg, &[], dot, None);
            }
            Operand::Pipe(pipe) => return self.pipe(pipe, dot),
            Operand::Function(name) => {
                let command = Command {
                    args: vec![arg.clone()],
                    at: arg.at,
                };
                return self.function(name, &command, &[], dot, None);
            }
        })
    }

    /// A chain of fields; the last one may be a method that takes arguments.
    fn with_fields(&mut self, arg: &Arg, rest: &[Arg], dot: &Value, last: Option<Value>) -> Result<Value> {
        let (mut value, names) = match &arg.what {
            Operand::Field(names) => (dot.clone(), names),
            Operand::Variable(name, names) => {
                let found = self.variables.iter().rev().find(|(n, _)| n == name);
                (found.map_or(Value::Nil, |(_, v)| v.clone()), names)
            }
            Operand::Chain(inner, names) => (self.arg(inner, dot)?, names),
            _ => return Ok(Value::Nil),
        };
        let mut args = Vec::new();
        for arg in rest {
            args.push(self.arg(arg, dot)?);
        }
        args.extend(last);
        for (index, name) in names.iter().enumerate() {
            let final_args: &[Value] = if index + 1 == names.len() { &args } else { &[] };
            value = self.field(arg, &value, name, final_args, index)?;
        }
        if names.is_empty() && !args.is_empty() {
            return self.error(
                arg.at,
                &arg.to_string(),
                &format!("can't give argument to non-function {arg}"),
            );
        }
        Ok(value)
    }

    fn field(&self, arg: &Arg, value: &Value, name: &str, args: &[Value], index: usize) -> Result<Value> {
        let context = arg.to_string();
        let found = match value {
            Value::Struct(s) => match s.get(name) {
                Some(found) => found.clone(),
                None => {
                    let message = format!("can't evaluate field {name} in type {}", s.kind);
                    return self.error(arg.at, &context, &message);
                }
            },
            Value::Map(members) => match members.get(name) {
                Some(found) => found.clone(),
                None => return self.missing(arg, &context, name),
            },
            Value::NilMap => return self.missing(arg, &context, name),
            Value::Nil if index == 0 => {
                if self.missing == Missing::Error {
                    let message = format!("nil data; no entry for key {}", crate::quote(name));
                    return self.error(arg.at, &context, &message);
                }
                return Ok(Value::Nil);
            }
            Value::Nil => {
                return self.error(
                    arg.at,
                    &context,
                    &format!("nil pointer evaluating interface {{}}.{name}"),
                );
            }
            Value::NilPointer(kind) => {
                return self.error(arg.at, &context, &format!("nil pointer evaluating {kind}.{name}"));
            }
            other => {
                let message = format!("can't evaluate field {name} in type {}", other.kind());
                return self.error(arg.at, &context, &message);
            }
        };
        if let Value::Method(method) = &found {
            return method(args).or_else(|e| self.error(arg.at, &context, &format!("error calling {name}: {e}")));
        }
        if args.is_empty() {
            return Ok(found);
        }
        let message = format!("{name} has arguments but cannot be invoked as function");
        self.error(arg.at, &context, &message)
    }

    fn missing(&self, arg: &Arg, context: &str, name: &str) -> Result<Value> {
        match self.missing {
            Missing::NoValue => Ok(Value::Nil),
            Missing::Error => {
                let message = format!("map has no entry for key {}", crate::quote(name));
                self.error(arg.at, context, &message)
            }
        }
    }
}
