//! Builds a template's tree (the grammar of Go's `text/template/parse`).

use std::collections::BTreeMap;

use super::{
    lex::{KEYWORDS, Kind, Token, lex},
    literal::{character, number, unquote},
    tree::{Arg, Branch, Command, Node, Operand, Pipe, Tree},
};

/// How deep actions and parentheses may nest.
const MAX_DEPTH: usize = 200;

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    variables: Vec<String>,
    defined: BTreeMap<String, Vec<Node>>,
    is_function: fn(&str) -> bool,
    depth: usize,
    loops: usize,
}

type Result<T> = std::result::Result<T, (usize, String)>;

/// Reads a template.
pub(super) fn parse(name: &str, text: &str, is_function: fn(&str) -> bool) -> std::result::Result<Tree, String> {
    let show = |(line, message): (usize, String)| format!("template: {name}:{line}: {message}");
    let mut parser = Parser {
        tokens: lex(text).map_err(show)?,
        next: 0,
        variables: vec!["$".to_owned()],
        defined: BTreeMap::new(),
        is_function,
        depth: 0,
        loops: 0,
    };
    let (root, end) = parser.list().map_err(show)?;
    if let End::Word(word, line) = end {
        return Err(show((line, format!("unexpected {{{{{word}}}}}"))));
    }
    Ok(Tree {
        root,
        defined: parser.defined,
    })
}

/// What ended a list.
enum End {
    Eof(usize),
    /// `end` or `else`, whose action is still to be read to its close for `else`.
    Word(&'static str, usize),
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    fn skip_space(&mut self) {
        while self.peek().kind == Kind::Space {
            self.next += 1;
        }
    }

    fn peek_solid(&mut self) -> &Token {
        self.skip_space();
        self.peek()
    }

    fn take_solid(&mut self) -> Token {
        self.skip_space();
        self.take()
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T> {
        let line = self.tokens[self.next.saturating_sub(1).min(self.tokens.len() - 1)].line;
        Err((line, message.into()))
    }

    fn unexpected<T>(&self, token: &Token, context: &str) -> Result<T> {
        Err((token.line, format!("unexpected {} in {context}", token.show())))
    }

    fn expect(&mut self, kind: &Kind, context: &str) -> Result<Token> {
        let token = self.take_solid();
        if token.kind == *kind {
            Ok(token)
        } else {
            self.unexpected(&token, context)
        }
    }

    fn enter(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            self.fail("max expression depth exceeded")
        } else {
            Ok(())
        }
    }

    /// Nodes up to the end, `{{end}}` or `{{else}}`.
    fn list(&mut self) -> Result<(Vec<Node>, End)> {
        let mut nodes = Vec::new();
        loop {
            let token = self.take();
            match token.kind {
                Kind::Eof => return Ok((nodes, End::Eof(token.line))),
                Kind::Text => nodes.push(Node::Text(token.text)),
                _ => {
                    let word = self.peek_solid().clone();
                    if word.kind == Kind::Word {
                        match word.text.as_str() {
                            "end" => {
                                self.take();
                                self.expect(&Kind::Close, "end")?;
                                return Ok((nodes, End::Word("end", word.line)));
                            }
                            "else" => {
                                self.take();
                                return Ok((nodes, End::Word("else", word.line)));
                            }
                            _ => {}
                        }
                    }
                    self.enter()?;
                    nodes.extend(self.action()?);
                    self.depth -= 1;
                }
            }
        }
    }

    /// One action, after its `{{`.
    fn action(&mut self) -> Result<Option<Node>> {
        let word = self.peek_solid().clone();
        if word.kind == Kind::Word && KEYWORDS.contains(&word.text.as_str()) && word.text != "nil" {
            self.take();
            return match word.text.as_str() {
                "if" => Ok(Some(Node::If(self.branch("if")?))),
                "range" => Ok(Some(Node::Range(self.branch("range")?))),
                "with" => Ok(Some(Node::With(self.branch("with")?))),
                "define" => self.define().map(|()| None),
                "template" => self.template("template clause").map(Some),
                "block" => self.block().map(Some),
                name => {
                    if self.loops == 0 {
                        return self.fail(format!("{{{{{name}}}}} outside {{{{range}}}}"));
                    }
                    self.expect(&Kind::Close, name)?;
                    Ok(Some(if name == "break" { Node::Break } else { Node::Continue }))
                }
            };
        }
        let pipe = self.pipe("command", &Kind::Close)?;
        Ok(Some(Node::Action(pipe)))
    }

    /// `if`, `range` or `with`, after the word.
    fn branch(&mut self, word: &str) -> Result<Branch> {
        let scope = self.variables.len();
        let pipe = self.pipe(word, &Kind::Close)?;
        if word == "range" {
            self.loops += 1;
        }
        let (then, end) = self.list()?;
        if word == "range" {
            self.loops -= 1;
        }
        let otherwise = match end {
            End::Eof(line) => return Err((line, "unexpected EOF".to_owned())),
            End::Word("else", _) => self.otherwise(word)?,
            End::Word(..) => Vec::new(),
        };
        self.variables.truncate(scope);
        Ok(Branch { pipe, then, otherwise })
    }

    /// What follows `{{else`.
    fn otherwise(&mut self, word: &str) -> Result<Vec<Node>> {
        let token = self.peek_solid().clone();
        if token.kind == Kind::Word && token.text == word && word != "range" {
            self.take();
            self.enter()?;
            let branch = self.branch(word)?;
            self.depth -= 1;
            return Ok(vec![if word == "if" {
                Node::If(branch)
            } else {
                Node::With(branch)
            }]);
        }
        self.expect(&Kind::Close, "else")?;
        let (nodes, end) = self.list()?;
        match end {
            End::Eof(line) => Err((line, "unexpected EOF".to_owned())),
            End::Word("else", line) => Err((line, "expected end; found {{else}}".to_owned())),
            End::Word(..) => Ok(nodes),
        }
    }

    fn name(&mut self, context: &str) -> Result<String> {
        let token = self.take_solid();
        match token.kind {
            Kind::Str | Kind::RawStr => unquote(&token.text).map_err(|e| (token.line, e)),
            _ => self.unexpected(&token, context),
        }
    }

    /// The nodes of a definition, up to its end.
    fn body(&mut self) -> Result<Vec<Node>> {
        let variables = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let loops = std::mem::take(&mut self.loops);
        let (nodes, end) = self.list()?;
        self.variables = variables;
        self.loops = loops;
        match end {
            End::Eof(line) => Err((line, "unexpected EOF".to_owned())),
            End::Word("else", line) => Err((line, "unexpected {{else}} in define clause".to_owned())),
            End::Word(..) => Ok(nodes),
        }
    }

    fn define(&mut self) -> Result<()> {
        let name = self.name("define clause")?;
        self.expect(&Kind::Close, "define clause")?;
        let body = self.body()?;
        self.defined.insert(name, body);
        Ok(())
    }

    fn template(&mut self, context: &str) -> Result<Node> {
        let at = self.peek_solid().at;
        let name = self.name(context)?;
        let pipe = if self.peek_solid().kind == Kind::Close {
            self.take();
            None
        } else {
            Some(self.pipe(context, &Kind::Close)?)
        };
        Ok(Node::Template { name, pipe, at })
    }

    fn block(&mut self) -> Result<Node> {
        let at = self.peek_solid().at;
        let name = self.name("block clause")?;
        let pipe = self.pipe("block clause", &Kind::Close)?;
        let body = self.body()?;
        self.defined.insert(name.clone(), body);
        Ok(Node::Template {
            name,
            pipe: Some(pipe),
            at,
        })
    }

    /// A pipeline up to the token that ends it.
    fn pipe(&mut self, context: &str, end: &Kind) -> Result<Pipe> {
        let mut pipe = Pipe {
            variables: Vec::new(),
            declares: false,
            commands: Vec::new(),
        };
        self.declaration(&mut pipe, context)?;
        loop {
            let token = self.take_solid();
            if token.kind == *end {
                if pipe.commands.is_empty() {
                    return Err((token.line, format!("missing value for {context}")));
                }
                if let Some(line) = self.misplaced_value(&pipe, &token) {
                    return line;
                }
                return Ok(pipe);
            }
            match token.kind {
                Kind::Word
                | Kind::Dot
                | Kind::Field
                | Kind::Number
                | Kind::Str
                | Kind::RawStr
                | Kind::Char
                | Kind::Variable
                | Kind::OpenParen => {
                    self.next -= 1;
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return self.unexpected(&token, context),
            }
        }
    }

    /// Only the first command may be a plain value.
    fn misplaced_value(&self, pipe: &Pipe, token: &Token) -> Option<Result<Pipe>> {
        let (index, command) = pipe.commands.iter().enumerate().skip(1).find(|(_, c)| {
            matches!(
                c.args.first().map(|a| &a.what),
                Some(
                    Operand::Bool(_)
                        | Operand::Dot
                        | Operand::Nil
                        | Operand::Int(..)
                        | Operand::Float(..)
                        | Operand::Str(..)
                )
            )
        })?;
        Some(Err((
            token.line,
            format!("non executable command in pipeline stage {}: {command}", index + 1),
        )))
    }

    /// `$x :=`, `$i, $v :=`, `$x =`.
    fn declaration(&mut self, pipe: &mut Pipe, context: &str) -> Result<()> {
        let start = self.next;
        let mut names = Vec::new();
        loop {
            let token = self.peek_solid().clone();
            if token.kind != Kind::Variable {
                break;
            }
            self.take();
            names.push(token.text);
            match self.peek_solid().kind {
                Kind::Declare | Kind::Assign => {
                    pipe.declares = self.take().kind == Kind::Declare;
                    if pipe.declares {
                        self.variables.extend(names.iter().cloned());
                    }
                    pipe.variables = names;
                    return Ok(());
                }
                Kind::Comma if context == "range" && names.len() == 1 => {
                    self.take();
                }
                _ => break,
            }
        }
        self.next = start;
        Ok(())
    }

    /// A command: operands up to a pipe or the end.
    fn command(&mut self) -> Result<Command> {
        let at = self.peek_solid().at;
        let mut args = Vec::new();
        loop {
            self.skip_space();
            if let Some(arg) = self.operand()? {
                args.push(arg);
            }
            let token = self.take();
            match token.kind {
                Kind::Space => continue,
                Kind::Close | Kind::CloseParen => self.next -= 1,
                Kind::Pipe => {
                    // A pipe must be followed by something.
                    if matches!(self.peek_solid().kind, Kind::Close | Kind::CloseParen) {
                        return self.fail("missing value for command");
                    }
                }
                _ => return self.unexpected(&token, "operand"),
            }
            break;
        }
        if args.is_empty() {
            return self.fail("empty command");
        }
        Ok(Command { args, at })
    }

    /// A term and the fields after it.
    fn operand(&mut self) -> Result<Option<Arg>> {
        let Some(term) = self.term()? else {
            return Ok(None);
        };
        if self.peek().kind != Kind::Field {
            return Ok(Some(term));
        }
        let at = self.peek().at;
        let mut names = Vec::new();
        while self.peek().kind == Kind::Field {
            names.push(self.take().text[1..].to_owned());
        }
        let what = match term.what {
            Operand::Field(mut fields) => {
                fields.extend(names);
                Operand::Field(fields)
            }
            Operand::Variable(name, mut fields) => {
                fields.extend(names);
                Operand::Variable(name, fields)
            }
            Operand::Bool(_)
            | Operand::Str(..)
            | Operand::Int(..)
            | Operand::Float(..)
            | Operand::Nil
            | Operand::Dot => {
                return self.fail(format!("unexpected . after term {}", crate::quote(&term.to_string())));
            }
            _ => Operand::Chain(Box::new(term), names),
        };
        Ok(Some(Arg { what, at }))
    }

    fn term(&mut self) -> Result<Option<Arg>> {
        let token = self.take_solid();
        let (at, line) = (token.at, token.line);
        let what = match token.kind {
            Kind::Word => match token.text.as_str() {
                "true" | "false" => Operand::Bool(token.text == "true"),
                "nil" => Operand::Nil,
                name if !(self.is_function)(name) => {
                    if KEYWORDS.contains(&name) {
                        return self.unexpected(&token, "operand");
                    }
                    return Err((line, format!("function {} not defined", crate::quote(name))));
                }
                name => Operand::Function(name.to_owned()),
            },
            Kind::Dot => Operand::Dot,
            Kind::Field => Operand::Field(vec![token.text[1..].to_owned()]),
            Kind::Variable => {
                if !self.variables.contains(&token.text) {
                    return Err((line, format!("undefined variable {}", crate::quote(&token.text))));
                }
                Operand::Variable(token.text, Vec::new())
            }
            Kind::Number => number(&token.text)
                .ok_or_else(|| (line, format!("illegal number syntax: {}", crate::quote(&token.text))))?,
            Kind::Char => {
                character(&token.text).ok_or_else(|| (line, format!("malformed character constant: {}", token.text)))?
            }
            Kind::Str | Kind::RawStr => Operand::Str(unquote(&token.text).map_err(|e| (line, e))?, token.text),
            Kind::OpenParen => {
                self.enter()?;
                let pipe = self.pipe("parenthesized pipeline", &Kind::CloseParen)?;
                self.depth -= 1;
                Operand::Pipe(Box::new(pipe))
            }
            _ => {
                self.next -= 1;
                return Ok(None);
            }
        };
        Ok(Some(Arg { what, at }))
    }
}
