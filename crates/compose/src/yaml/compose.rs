//! From the parser's events to nodes: anchors, merges, tags, and limits for all of it.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span};

use super::scalar;
use crate::{
    error::{Error, Result},
    node::{Map, Node, Value},
    source::Position,
};

/// How many nodes a document may have once its aliases are filled in.
const MAX_NODES: usize = 250_000;
/// How deep it may nest.
const MAX_DEPTH: usize = 100;

/// A document of a file.
#[derive(Debug, Default)]
pub(crate) struct Document {
    /// What is in it.
    pub(crate) root: Node,
    /// The paths that `!reset` and `!override` stand at: what earlier files say there does not count.
    pub(crate) resets: Vec<Vec<String>>,
}

/// Reads the documents of a file.
pub(crate) fn documents(text: &str, file: u32) -> Result<Vec<Document>> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader {
        file,
        open: Vec::new(),
        anchors: HashMap::new(),
        roots: Vec::new(),
    };
    while let Some(next) = parser.next_event() {
        match next {
            Ok((event, span)) => reader.event(event, &span)?,
            Err(error) => {
                let marker = error.marker();
                let at = position(file, marker.line(), marker.col());
                return Err(Error::invalid(format!("yaml: {}", error.info())).at(at));
            }
        }
    }
    reader.roots.iter().map(|root| build(root)).collect()
}

fn position(file: u32, line: usize, column: usize) -> Position {
    Position {
        file,
        line: u32::try_from(line).unwrap_or(u32::MAX),
        column: u32::try_from(column + 1).unwrap_or(u32::MAX),
    }
}

/// A node as it is written, with aliases as references.
struct Raw {
    at: Position,
    tag: String,
    kind: RawKind,
}

enum RawKind {
    Scalar { text: String, plain: bool },
    List(Vec<Rc<Raw>>),
    Map(Vec<(Rc<Raw>, Rc<Raw>)>),
}

/// A collection that has not ended yet.
struct Open {
    at: Position,
    tag: String,
    anchor: usize,
    mapping: bool,
    items: Vec<Rc<Raw>>,
}

struct Reader {
    file: u32,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Raw>>,
    roots: Vec<Rc<Raw>>,
}

impl Reader {
    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<()> {
        let at = position(self.file, span.start.line(), span.start.col());
        let tag = |tag: Option<std::borrow::Cow<'_, granit_parser::Tag>>| {
            tag.map_or_else(String::new, |tag| format!("{}{}", tag.handle(), tag.suffix()))
        };
        match event {
            Event::Scalar(text, style, anchor, given) => {
                let kind = RawKind::Scalar {
                    text: text.into_owned(),
                    plain: style == ScalarStyle::Plain,
                };
                self.close(at, tag(given), anchor, kind);
            }
            Event::SequenceStart(_, anchor, given) => self.begin(at, tag(given), anchor, false),
            Event::MappingStart(_, anchor, given) => self.begin(at, tag(given), anchor, true),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(Error::invalid("yaml: the anchor's value contains itself").at(at));
                };
                self.add(node);
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, at: Position, tag: String, anchor: usize, mapping: bool) {
        self.open.push(Open {
            at,
            tag,
            anchor,
            mapping,
            items: Vec::new(),
        });
    }

    fn end(&mut self) {
        let Some(open) = self.open.pop() else { return };
        let kind = if open.mapping {
            let pairs = open.items.chunks_exact(2);
            RawKind::Map(pairs.map(|pair| (pair[0].clone(), pair[1].clone())).collect())
        } else {
            RawKind::List(open.items)
        };
        self.close(open.at, open.tag, open.anchor, kind);
    }

    fn close(&mut self, at: Position, tag: String, anchor: usize, kind: RawKind) {
        let node = Rc::new(Raw { at, tag, kind });
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.add(node);
    }

    fn add(&mut self, node: Rc<Raw>) {
        match self.open.last_mut() {
            Some(open) => open.items.push(node),
            None => self.roots.push(node),
        }
    }
}

fn build(root: &Raw) -> Result<Document> {
    let mut builder = Builder {
        path: Vec::new(),
        resets: Vec::new(),
        nodes: 0,
        depth: 0,
    };
    let root = builder.node(root)?.unwrap_or_default();
    Ok(Document {
        root,
        resets: builder.resets,
    })
}

struct Builder {
    path: Vec<String>,
    resets: Vec<Vec<String>>,
    nodes: usize,
    depth: usize,
}

impl Builder {
    /// A node with its aliases filled in; nothing when it is to be reset.
    fn node(&mut self, raw: &Raw) -> Result<Option<Node>> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Error::invalid("yaml: document contains excessive aliasing").at(raw.at));
        }
        match raw.tag.as_str() {
            "!reset" => {
                self.resets.push(self.path.clone());
                return Ok(None);
            }
            "!override" => self.resets.push(self.path.clone()),
            _ => {}
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Error::invalid("yaml: exceeded max depth").at(raw.at));
        }
        let value = match &raw.kind {
            RawKind::Scalar { text, plain } => scalar(raw, text, *plain)?,
            RawKind::List(items) => self.list(items)?,
            RawKind::Map(pairs) => Value::Map(self.mapping(pairs)?),
        };
        self.depth -= 1;
        Ok(Some(Node::new(value, raw.at)))
    }

    fn list(&mut self, items: &[Rc<Raw>]) -> Result<Value> {
        let mut list = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            self.path.push(index.to_string());
            list.extend(self.node(item)?);
            self.path.pop();
        }
        Ok(Value::List(list))
    }

    fn mapping(&mut self, pairs: &[(Rc<Raw>, Rc<Raw>)]) -> Result<Map> {
        let mut map = Map::new();
        let mut merges = Vec::new();
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        for (key, value) in pairs {
            let name = self.key(key)?;
            if let Some(line) = seen.insert(name.clone(), key.at.line) {
                let message = format!("mapping key {name:?} already defined at line {line}");
                return Err(Error::invalid(message).at(key.at));
            }
            if name == "<<" && matches!(key.kind, RawKind::Scalar { plain: true, .. }) {
                merges.push((key.at, value));
                continue;
            }
            self.path.push(name.clone());
            if let Some(mut node) = self.node(value)? {
                node.key = key.at;
                map.insert(name, node);
            }
            self.path.pop();
        }
        for (at, value) in merges {
            self.merge(&mut map, at, value)?;
        }
        Ok(map)
    }

    /// Adds what `<<` brings; keys that are there stay.
    fn merge(&mut self, map: &mut Map, at: Position, value: &Raw) -> Result<()> {
        match &value.kind {
            RawKind::Map(_) => {
                let Some(Node {
                    value: Value::Map(other),
                    ..
                }) = self.node(value)?
                else {
                    return Ok(());
                };
                for (key, node) in other {
                    map.entry(key).or_insert(node);
                }
                Ok(())
            }
            RawKind::List(items) if items.iter().all(|item| matches!(item.kind, RawKind::Map(_))) => {
                items.iter().try_for_each(|item| self.merge(map, at, item))
            }
            _ => Err(Error::invalid("yaml: map merge requires map or sequence of maps as the value").at(at)),
        }
    }

    /// A key, which must be a text.
    fn key(&self, key: &Raw) -> Result<String> {
        let place = || {
            if self.path.is_empty() {
                "at top level".to_owned()
            } else {
                format!("in {}", self.path.join("."))
            }
        };
        let RawKind::Scalar { text, plain } = &key.kind else {
            let what = "a mapping or a list cannot be a key";
            return Err(Error::invalid(format!("non-string key {}: {what}", place())).at(key.at));
        };
        match scalar(key, text, *plain)? {
            Value::Text(text) => Ok(text),
            _ => {
                let error = Error::invalid(format!("non-string key {}: {text}", place())).at(key.at);
                Err(error.hint(format!("put it in quotes: \"{text}\"")))
            }
        }
    }
}

/// The value of a scalar, by its tag or by its looks.
fn scalar(raw: &Raw, text: &str, plain: bool) -> Result<Value> {
    let short = raw.tag.strip_prefix("tag:yaml.org,2002:").unwrap_or(&raw.tag);
    let wrong = || Error::invalid(format!("yaml: cannot decode `{text}` as a !!{short}")).at(raw.at);
    let resolved = scalar::resolve(text);
    match short {
        "" | "!override" if plain => Ok(resolved),
        "null" if resolved == Value::Null => Ok(resolved),
        "bool" if matches!(resolved, Value::Bool(_)) => Ok(resolved),
        "int" if matches!(resolved, Value::Int(_)) => Ok(resolved),
        "float" => match resolved {
            Value::Float(_) => Ok(resolved),
            #[expect(clippy::cast_precision_loss, reason = "the file asks for it")]
            Value::Int(value) => Ok(Value::Float(value as f64)),
            _ => Err(wrong()),
        },
        "binary" => {
            use base64::Engine as _;
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(text.replace(char::is_whitespace, ""))
                .map_err(|_| Error::invalid("yaml: !!binary value contains invalid base64 data").at(raw.at))?;
            let text = String::from_utf8(bytes).map_err(|_| {
                Error::unsupported("yaml: a !!binary value that is no text has no use in a Compose file").at(raw.at)
            })?;
            Ok(Value::Text(text))
        }
        "null" | "bool" | "int" => Err(wrong()),
        // A text by its quotes or its tag, or a tag that is nobody's.
        _ => Ok(Value::Text(text.to_owned())),
    }
}
