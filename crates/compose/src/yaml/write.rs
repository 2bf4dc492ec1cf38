//! Writes YAML as Compose does: blocks, two spaces a level, and the quotes that each text needs.

use super::scalar;
use crate::{node::Value, number, output::Output};

/// A whole document.
pub(crate) fn write(value: &Output) -> String {
    let mut writer = Writer {
        out: String::new(),
        column: 0,
        fresh: true,
    };
    writer.value(value, 0, Context::Root);
    if !writer.fresh {
        writer.break_line();
    }
    writer.out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    Root,
    Field,
    Item,
}

struct Writer {
    out: String,
    column: usize,
    /// Whether the line has nothing but indentation and dashes so far.
    fresh: bool,
}

impl Writer {
    fn value(&mut self, value: &Output, indent: usize, context: Context) {
        match value {
            Output::List(list) if !list.is_empty() => self.list(list, indent, context),
            Output::Map(fields) if !fields.is_empty() => self.map(fields, indent, context),
            _ => {
                if context != Context::Root {
                    self.put(" ");
                }
                self.scalar(value, indent);
            }
        }
    }

    fn list(&mut self, list: &[Output], indent: usize, context: Context) {
        let indent = if context == Context::Root { 0 } else { indent + 2 };
        for item in list {
            self.indent(indent);
            self.put("-");
            self.fresh = true;
            self.value(item, indent, Context::Item);
        }
    }

    fn map(&mut self, fields: &[(String, Output)], indent: usize, context: Context) {
        let indent = if context == Context::Root { 0 } else { indent + 2 };
        for (key, value) in fields {
            self.indent(indent);
            if is_simple_key(key) {
                self.key(key);
                self.put(":");
            } else {
                self.put("? ");
                self.text(key, indent, false);
                self.indent(indent);
                self.put(":");
            }
            self.fresh = false;
            self.value(value, indent, Context::Field);
        }
    }

    fn key(&mut self, key: &str) {
        self.text(key, 0, true);
    }

    fn scalar(&mut self, value: &Output, indent: usize) {
        let text = match value {
            Output::Null => "null".to_owned(),
            Output::Bool(value) => value.to_string(),
            Output::Int(value) => value.to_string(),
            Output::Float(value) => number::yaml(&format!("{value:e}")),
            Output::Float32(value) => number::yaml(&format!("{value:e}")),
            Output::Time(text) => text.clone(),
            Output::List(_) => "[]".to_owned(),
            Output::Map(_) => "{}".to_owned(),
            Output::Text(text) => return self.text(text, indent, false),
        };
        self.put(&text);
    }

    /// A text in the style that it needs.
    fn text(&mut self, text: &str, indent: usize, key: bool) {
        let looks = Looks::of(text);
        let many_lines = text.contains('\n');
        if many_lines && looks.block && !key {
            return self.literal(text, indent + 2);
        }
        let plain = !many_lines && is_text(text);
        if plain && looks.plain && !text.is_empty() {
            self.put(text);
        } else if plain && looks.single {
            self.put(&format!("'{}'", text.replace('\'', "''")));
        } else {
            self.put(&double_quoted(text));
        }
    }

    /// A text of several lines as it is.
    fn literal(&mut self, text: &str, indent: usize) {
        self.put("|");
        if text.starts_with([' ', '\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) {
            self.put("2");
        }
        let mut ends = text.chars().rev();
        match (ends.next().is_some_and(is_break), ends.next()) {
            (false, _) => self.put("-"),
            (true, before) if before.is_none_or(is_break) => self.put("+"),
            _ => {}
        }
        self.break_line();
        let mut begins = true;
        for c in text.chars() {
            if is_break(c) {
                if c == '\n' {
                    self.break_line();
                } else {
                    self.out.push(c);
                    self.column = 0;
                    self.fresh = true;
                }
                begins = true;
                continue;
            }
            if begins {
                self.indent(indent);
                begins = false;
            }
            self.out.push(c);
            self.column += 1;
            self.fresh = false;
        }
    }

    /// Goes to a column, on a new line unless this one has room.
    fn indent(&mut self, indent: usize) {
        if !self.fresh || self.column > indent {
            self.break_line();
        }
        while self.column < indent {
            self.out.push(' ');
            self.column += 1;
        }
    }

    fn put(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count();
        self.fresh = false;
    }

    fn break_line(&mut self) {
        self.out.push('\n');
        self.column = 0;
        self.fresh = true;
    }
}

/// Whether a text, written without quotes, is read as that text; also by readers of YAML 1.1.
fn is_text(text: &str) -> bool {
    let old_bool = matches!(
        text.to_ascii_lowercase().as_str(),
        "y" | "yes" | "on" | "n" | "no" | "off"
    ) && (text.chars().skip(1).all(|c| c.is_ascii_lowercase())
        || text.chars().all(|c| c.is_ascii_uppercase()));
    matches!(scalar::resolve(text), Value::Text(_)) && !old_bool && !is_base_60(text)
}

/// `1:30`, which was a number in YAML 1.1.
fn is_base_60(text: &str) -> bool {
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mut parts = body.split(':');
    let first = parts.next().unwrap_or_default();
    if !first.starts_with(|c: char| c.is_ascii_digit()) || !first.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
        return false;
    }
    let rest: Vec<_> = parts.collect();
    let Some((last, middle)) = rest.split_last() else {
        return false;
    };
    let sixtieth = |part: &str| match part.as_bytes() {
        [one] => one.is_ascii_digit(),
        [ten, one] => (b'0'..=b'5').contains(ten) && one.is_ascii_digit(),
        _ => false,
    };
    let (whole, fraction) = last.split_once('.').unwrap_or((last, ""));
    let fraction_fits = fraction.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    middle.iter().all(|part| sixtieth(part)) && sixtieth(whole) && fraction_fits
}

fn is_simple_key(key: &str) -> bool {
    key.len() <= 128 && !key.contains('\n')
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
}

/// Which styles may carry a text.
struct Looks {
    plain: bool,
    single: bool,
    block: bool,
}

impl Looks {
    fn of(text: &str) -> Self {
        if text.is_empty() {
            return Self {
                plain: true,
                single: true,
                block: false,
            };
        }
        let marks_block = has_block_indicators(text);
        let chars: Vec<char> = text.chars().collect();
        let (first, last) = (chars[0], chars[chars.len() - 1]);
        let special = chars.iter().any(|c| *c != '\t' && !is_printable(*c));
        let tabs = chars.contains(&'\t');
        let breaks = chars.iter().any(|c| is_break(*c));
        let pairs = || chars.windows(2);
        let break_space = pairs().any(|pair| is_break(pair[0]) && pair[1] == ' ');
        let space_break = pairs().any(|pair| pair[0] == ' ' && is_break(pair[1]));
        let edges = first == ' ' || last == ' ' || is_break(first) || is_break(last);
        let odd = break_space || space_break || tabs || special;
        Self {
            plain: !(edges || odd || breaks || marks_block),
            single: !odd,
            block: !(last == ' ' || space_break || special),
        }
    }
}

/// Whether something in a text would end it or mean something, outside of quotes.
fn has_block_indicators(text: &str) -> bool {
    if text.starts_with("---") || text.starts_with("...") {
        return true;
    }
    let is_blank = |c: Option<char>| c.is_none_or(|c| c == ' ' || c == '\t' || is_break(c));
    let mut before = None;
    let mut chars = text.chars().peekable();
    let mut first = true;
    while let Some(c) = chars.next() {
        let follows_blank = is_blank(chars.peek().copied());
        let marks = if first {
            match c {
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => true,
                '?' | ':' | '-' => follows_blank,
                _ => false,
            }
        } else {
            (c == ':' && follows_blank) || (c == '#' && is_blank(before))
        };
        if marks {
            return true;
        }
        first = false;
        before = Some(c);
    }
    false
}

fn double_quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        let short = match c {
            '\0' => '0',
            '\u{7}' => 'a',
            '\u{8}' => 'b',
            '\t' => 't',
            '\n' => 'n',
            '\u{b}' => 'v',
            '\u{c}' => 'f',
            '\r' => 'r',
            '\u{1b}' => 'e',
            '"' => '"',
            '\\' => '\\',
            '\u{85}' => 'N',
            '\u{2028}' => 'L',
            '\u{2029}' => 'P',
            c if is_printable(c) => {
                out.push(c);
                continue;
            }
            c => {
                let code = u32::from(c);
                out.push_str(&match code {
                    0..=0xff => format!("\\x{code:02X}"),
                    0x100..=0xffff => format!("\\u{code:04X}"),
                    _ => format!("\\U{code:08X}"),
                });
                continue;
            }
        };
        out.push('\\');
        out.push(short);
    }
    out.push('"');
    out
}
