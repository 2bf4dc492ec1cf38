//! Go's `text/template` with Docker's functions and Go's error texts: for `--format`, and for the
//! tags of logs. What else users meet of Go's formats is here too: quoted texts, [`number`]s, [`duration`]s and
//! [`size`]s.
//!
//! ```text
//!   text ── lex ──► tokens ── parse ──► tree ── exec (value, functions) ──► text
//! ```
//!
//! ```
//! use corten_template::{Missing, Mode, Template, Value};
//!
//! let data = Value::record("Container", vec![("Name", "web".into())]);
//! let text = Template::parse("{{upper .Name}}")?.execute(&data, Missing::Error, Mode::Rows)?;
//! assert_eq!(text, "WEB");
//! # Ok::<(), String>(())
//! ```

#![forbid(unsafe_code)]

pub mod duration;
mod exec;
mod functions;
mod json;
mod lex;
mod literal;
pub mod number;
mod number_format;
mod parse;
pub mod size;
mod tree;
mod value;

pub use json::{Escape, Json, indent, indent_by, string as json_string};
pub use number_format::general;
pub use value::{Method, Struct, Value};

/// What looking up a missing key of a map gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// No value.
    NoValue,
    /// An error.
    Error,
}

/// What functions mean: for rows, or for the row of headings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Functions do what they say.
    Rows,
    /// Text functions leave headings as they are.
    Headings,
    /// As [`Mode::Rows`], but `json` indents by two spaces, as the builder's commands do.
    Indented,
}

/// A template that can be executed.
#[derive(Debug)]
pub struct Template {
    tree: tree::Tree,
    text: String,
    name: &'static str,
}

impl Template {
    /// Reads a template without a name.
    ///
    /// # Errors
    /// Go's text: `template: :1: unclosed action`.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::named("", text)
    }

    /// Reads a template whose errors call it by this name.
    ///
    /// # Errors
    /// Go's text: `template: name:1: unclosed action`.
    pub fn named(name: &'static str, text: &str) -> Result<Self, String> {
        let tree = parse::parse(name, text, functions::is_defined)?;
        Ok(Self {
            tree,
            text: text.to_owned(),
            name,
        })
    }

    /// Fills it in.
    ///
    /// # Errors
    /// Go's text: `template: :1:2: executing "" at <.X>: …`.
    pub fn execute(&self, data: &Value, missing: Missing, mode: Mode) -> Result<String, String> {
        exec::execute(&self.tree, (self.name, &self.text), data, missing, mode)
    }
}

/// A text in quotes, as Go's `%q`.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> Value {
        let json = Json::parse(
            br#"{"Name":"/a","N":3,"F":1.5,"Null":null,"L":["x","y"],"M":{"a":"b","c":"d"},"B":true,"E":[],"S":{"T":{"U":1}}}"#,
        )
        .unwrap();
        json.to_value()
    }

    fn run(text: &str) -> Result<String, String> {
        Template::parse(text)?.execute(&data(), Missing::Error, Mode::Rows)
    }

    #[test]
    fn executes_as_go() {
        let check = |text: &str, expected: &str| assert_eq!(run(text).as_deref(), Ok(expected), "{text}");
        check(
            "{{.Name}} {{.N}} {{.F}} {{.L}} {{.M}} {{.B}} {{.Null}} {{.E}}",
            "/a 3 1.5 [x y] map[a:b c:d] true <no value> []",
        );
        check("{{upper .Name}}|{{lower \"AB\"}}|{{title \"ab cd\"}}", "/A|ab|Ab Cd");
        check(
            "{{json .L}} {{json .M}} {{json .Null}} {{json .Name}}",
            "[\"x\",\"y\"] {\"a\":\"b\",\"c\":\"d\"} null \"/a\"",
        );
        check(
            "{{join .L \",\"}}|{{split .Name \"a\"}}|{{pad \"x\" 1 2}}|{{truncate .Name 1}}",
            "x,y|[/ ]| x  |/",
        );
        check("{{range .L}}{{println .}}{{end}}", "x\ny\n");
        check("{{range $i, $v := .L}}{{$i}}={{$v}} {{end}}", "0=x 1=y ");
        check("{{range $k, $v := .M}}{{$k}}={{$v}};{{end}}", "a=b;c=d;");
        check("{{range .E}}x{{else}}none{{end}}", "none");
        check(
            "{{if .B}}y{{else}}n{{end}}{{if .E}}y{{else if eq .N 3}}three{{end}}",
            "ythree",
        );
        check("{{with .M}}{{.a}}{{end}}{{with .E}}x{{else}}e{{end}}", "be");
        check("{{index .M \"a\"}}{{index .L 1}}{{len .L}}{{slice .Name 0 1}}", "by2/");
        check(
            "{{(index .L 0) | printf \"%5s|%-3s|%q|%d|%v\" \"a\" \"b\" \"c\" 7}}",
            "    a|b  |\"c\"|7|x",
        );
        check(
            "{{.S.T.U}}{{$x := 5}}{{$x}}{{$x = 6}}{{$x}}{{with $y := .N}}{{$y}}{{end}}",
            "1563",
        );
        check("a {{- .N -}} b{{/* no */}}", "a3b");
        check(
            "{{and .B .N}} {{or .E .Name}} {{not .B}} {{lt 1 2}} {{ne \"a\" \"b\"}} {{print 1 2 \"x\"}}",
            "3 /a false true true 1 2x",
        );
        check("{{define \"t\"}}<{{.}}>{{end}}{{template \"t\" .N}}", "<3>");
        check("{{range .L}}{{if eq . \"y\"}}{{break}}{{end}}{{.}}{{end}}", "x");
        check(
            "{{`raw`}} {{'a'}} {{0x10}} {{1.50}} {{true}} {{$.N}}",
            "raw 97 16 1.5 true 3",
        );
        check("{{\"a\\tb\"}}", "a\tb");
        check("{{.Name | upper | printf \"%s!\"}}", "/A!");
    }

    #[test]
    fn fails_as_go() {
        let check = |text: &str, expected: &str| assert_eq!(run(text).unwrap_err(), expected, "{text}");
        check(
            "{{.Nope}}",
            "template: :1:2: executing \"\" at <.Nope>: map has no entry for key \"Nope\"",
        );
        check(
            "x {{.S.Nope}}",
            "template: :1:6: executing \"\" at <.S.Nope>: map has no entry for key \"Nope\"",
        );
        check(
            "{{.Name.X}}",
            "template: :1:7: executing \"\" at <.Name.X>: can't evaluate field X in type string",
        );
        check(
            "{{.Null.X}}",
            "template: :1:7: executing \"\" at <.Null.X>: nil pointer evaluating interface {}.X",
        );
        check("{{.Name", "template: :1: unclosed action");
        check("{{", "template: :1: unclosed action");
        check("{{foo .}}", "template: :1: function \"foo\" not defined");
        check("{{if .B}}", "template: :1: unexpected EOF");
        check("{{end}}", "template: :1: unexpected {{end}}");
        check("{{.Name}}\n{{}}", "template: :2: missing value for command");
        check(
            "{{index .L 5}}",
            "template: :1:2: executing \"\" at <index .L 5>: error calling index: index out of range: 5",
        );
    }

    #[test]
    fn leaves_headings_alone() {
        let heads = Value::map([("Names", Value::from("NAMES"))]);
        let run = |text: &str| {
            Template::parse(text)
                .unwrap()
                .execute(&heads, Missing::NoValue, Mode::Headings)
        };
        assert_eq!(
            run("{{.Names | lower}} {{json .Names}} {{truncate .Names 2}}").unwrap(),
            "NAMES NAMES NAMES"
        );
    }
}
