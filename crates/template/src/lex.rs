//! Splits a template into tokens (the rules of Go's `text/template/parse`).

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// Text outside actions.
    Text,
    /// `{{`.
    Open,
    /// `}}`.
    Close,
    /// `.Name`.
    Field,
    /// `$name` or `$`.
    Variable,
    /// A name or a keyword.
    Word,
    /// `.` alone.
    Dot,
    /// A number.
    Number,
    /// A quoted string, with its quotes.
    Str,
    /// A raw string, with its quotes.
    RawStr,
    /// A character, with its quotes.
    Char,
    /// `|`.
    Pipe,
    /// `(`.
    OpenParen,
    /// `)`.
    CloseParen,
    /// `:=`.
    Declare,
    /// `=`.
    Assign,
    /// `,`.
    Comma,
    /// Blanks between arguments.
    Space,
    /// The end.
    Eof,
}

/// A token.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) text: String,
    pub(super) at: usize,
    pub(super) line: usize,
}

/// Words that are no functions.
pub(super) const KEYWORDS: [&str; 11] = [
    "if", "else", "end", "range", "with", "define", "template", "block", "break", "continue", "nil",
];

impl Token {
    /// How messages show it.
    pub(super) fn show(&self) -> String {
        match self.kind {
            Kind::Eof => "EOF".to_owned(),
            Kind::Word if KEYWORDS.contains(&self.text.as_str()) => format!("<{}>", self.text),
            _ if self.text.len() > 10 => {
                let head: String = self.text.chars().take(10).collect();
                format!("{}...", crate::quote(&head))
            }
            _ => crate::quote(&self.text),
        }
    }
}

/// An error and the line it is on.
pub(super) type LexError = (usize, String);

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    parens: usize,
    tokens: Vec<Token>,
}

/// Splits a template.
pub(super) fn lex(text: &str) -> Result<Vec<Token>, LexError> {
    let mut lexer = Lexer {
        text,
        at: 0,
        parens: 0,
        tokens: Vec::new(),
    };
    while lexer.at < text.len() {
        if !lexer.outside()? {
            break;
        }
        lexer.inside()?;
    }
    lexer.push(Kind::Eof, text.len());
    Ok(lexer.tokens)
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn line(&self, at: usize) -> usize {
        1 + self.text[..at].matches('\n').count()
    }

    fn error(&self, message: impl Into<String>) -> LexError {
        (self.line(self.at), message.into())
    }

    /// Emits what is between here and `end`.
    fn push(&mut self, kind: Kind, end: usize) {
        self.tokens.push(Token {
            kind,
            text: self.text[self.at..end].to_owned(),
            at: self.at,
            line: self.line(self.at),
        });
        self.at = end;
    }

    /// Text up to an action; false at the end.
    fn outside(&mut self) -> Result<bool, LexError> {
        let Some(open) = self.rest().find("{{") else {
            if !self.rest().is_empty() {
                self.push(Kind::Text, self.text.len());
            }
            return Ok(false);
        };
        let open = self.at + open;
        let trim = self.text[open + 2..].starts_with('-') && self.text[open + 3..].starts_with([' ', '\t', '\r', '\n']);
        let end = if trim {
            self.at + self.text[self.at..open].trim_end_matches([' ', '\t', '\r', '\n']).len()
        } else {
            open
        };
        if end > self.at {
            self.push(Kind::Text, end);
        }
        self.at = open;
        let after = open + 2 + if trim { 2 } else { 0 };
        if self.text[after..].starts_with("/*") {
            self.at = after;
            self.comment()?;
            return if self.at < self.text.len() {
                self.outside()
            } else {
                Ok(false)
            };
        }
        self.push(Kind::Open, open + 2);
        self.at = after;
        Ok(true)
    }

    fn comment(&mut self) -> Result<(), LexError> {
        let Some(end) = self.rest().find("*/") else {
            return Err(self.error("unclosed comment"));
        };
        self.at += end + 2;
        match self.close() {
            Some(after) => {
                self.at = after;
                Ok(())
            }
            None => Err(self.error("comment ends before closing delimiter")),
        }
    }

    /// Where an action that closes here ends, white space that it takes included.
    fn close(&self) -> Option<usize> {
        let rest = self.rest();
        if rest.starts_with("}}") {
            return Some(self.at + 2);
        }
        let trimmed = rest.strip_prefix([' ', '\t', '\r', '\n'])?;
        if !trimmed.starts_with("-}}") {
            return None;
        }
        let after = self.at + 4;
        let blank = self.text[after..].len() - self.text[after..].trim_start_matches([' ', '\t', '\r', '\n']).len();
        Some(after + blank)
    }

    /// An action's inside.
    fn inside(&mut self) -> Result<(), LexError> {
        self.parens = 0;
        loop {
            if let Some(after) = self.close() {
                if self.parens > 0 {
                    return Err(self.error("unclosed left paren"));
                }
                self.push(Kind::Close, self.at);
                self.at = after;
                return Ok(());
            }
            let Some(c) = self.rest().chars().next() else {
                return Err(self.error("unclosed action"));
            };
            self.item(c)?;
        }
    }

    fn item(&mut self, c: char) -> Result<(), LexError> {
        let rest = self.rest();
        match c {
            ' ' | '\t' | '\r' | '\n' => {
                let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
                // A closing `-}}` needs one blank before it.
                let keep = usize::from(blank > 0 && rest[blank..].starts_with("-}}"));
                if blank > keep {
                    self.push(Kind::Space, self.at + blank - keep);
                }
            }
            '"' => self.quoted('"', Kind::Str, "unterminated quoted string")?,
            '`' => {
                let Some(end) = rest[1..].find('`') else {
                    return Err(self.error("unterminated raw quoted string"));
                };
                self.push(Kind::RawStr, self.at + end + 2);
            }
            '\'' => self.quoted('\'', Kind::Char, "unterminated character constant")?,
            '|' => self.push(Kind::Pipe, self.at + 1),
            ',' => self.push(Kind::Comma, self.at + 1),
            '=' => self.push(Kind::Assign, self.at + 1),
            ':' if rest.starts_with(":=") => self.push(Kind::Declare, self.at + 2),
            ':' => return Err(self.error("expected :=")),
            '(' => {
                self.parens += 1;
                self.push(Kind::OpenParen, self.at + 1);
            }
            ')' if self.parens == 0 => return Err(self.error("unexpected right paren")),
            ')' => {
                self.parens -= 1;
                self.push(Kind::CloseParen, self.at + 1);
            }
            '.' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                let word = word_end(&rest[1..]);
                let kind = if word == 0 { Kind::Dot } else { Kind::Field };
                self.push(kind, self.at + 1 + word);
                self.check_terminator(".")?;
            }
            '$' => {
                self.push(Kind::Variable, self.at + 1 + word_end(&rest[1..]));
                self.check_terminator("variable")?;
            }
            c if c.is_ascii_digit() || matches!(c, '.' | '+' | '-') => self.number()?,
            c if c.is_alphanumeric() || c == '_' => self.push(Kind::Word, self.at + word_end(rest)),
            c => {
                let shown = format!("unrecognized character in action: U+{:04X} '{c}'", u32::from(c));
                return Err(self.error(shown));
            }
        }
        Ok(())
    }

    fn quoted(&mut self, quote: char, kind: Kind, unterminated: &str) -> Result<(), LexError> {
        let mut escaped = false;
        for (offset, c) in self.rest().char_indices().skip(1) {
            match c {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                c if c == quote => {
                    self.push(kind, self.at + offset + 1);
                    return Ok(());
                }
                _ => {}
            }
        }
        Err(self.error(unterminated))
    }

    fn number(&mut self) -> Result<(), LexError> {
        let rest = self.rest();
        let mut end = 0;
        let mut previous = ' ';
        for c in rest.chars() {
            let sign = matches!(c, '+' | '-') && (end == 0 || matches!(previous, 'e' | 'E' | 'p' | 'P'));
            if !(sign || c.is_ascii_alphanumeric() || matches!(c, '.' | '_')) {
                break;
            }
            previous = c;
            end += c.len_utf8();
        }
        let text = &rest[..end];
        if !text.contains(|c: char| c.is_ascii_digit()) {
            return Err(self.error(format!("bad number syntax: {}", crate::quote(text))));
        }
        self.push(Kind::Number, self.at + end);
        Ok(())
    }

    /// What may follow a field or variable.
    fn check_terminator(&self, _what: &str) -> Result<(), LexError> {
        match self.rest().chars().next() {
            None | Some(' ' | '\t' | '\r' | '\n' | '.' | ',' | '|' | ':' | ')' | '(' | '=' | '}') => Ok(()),
            Some(c) => Err(self.error(format!("bad character U+{:04X} '{c}'", u32::from(c)))),
        }
    }
}

/// How long the word at the start is.
fn word_end(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len())
}
