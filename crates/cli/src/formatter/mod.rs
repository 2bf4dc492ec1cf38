//! Lists of objects: tables, templates and JSON lines, one module a kind of object.
//!
//! Every list is written by a template over rows; the default tables are templates, too.

pub(crate) mod container;
pub(crate) mod disk;
pub(crate) mod history;
pub(crate) mod image;
pub(crate) mod network;
pub(crate) mod stats;
mod tabs;
pub(crate) mod volume;

use jiff::{Timestamp, tz::TimeZone};
pub(crate) use tabs::align;

use corten_template::{Missing, Mode, Struct, Template, Value};

use crate::error::{Error, Result};

/// The formats that a list knows by name.
pub(crate) struct BuiltIn<'a> {
    /// `table`.
    pub(crate) table: &'a str,
    /// The one field of `--quiet`.
    pub(crate) quiet: &'a str,
    /// What `raw` calls that field.
    pub(crate) raw_id: &'a str,
    /// The other lines of `raw`.
    pub(crate) raw: &'a str,
}

/// How a list is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Format {
    /// The template.
    template: String,
    /// Whether columns are aligned under a row of headings.
    table: bool,
}

impl Format {
    /// What `--format` asks for; `default` is a table's template, and also what `table` alone means.
    pub(crate) fn new(given: &str, default: &str) -> Self {
        let (template, table) = match given {
            "" | "table" => (default.to_owned(), true),
            "json" => ("{{json .}}".to_owned(), false),
            given => match given.strip_prefix("table") {
                Some(rest) if rest.starts_with(char::is_whitespace) => (rest.to_owned(), true),
                _ => (given.to_owned(), false),
            },
        };
        Self {
            template: template.trim_matches(' ').replace("\\t", "\t").replace("\\n", "\n"),
            table,
        }
    }

    /// What `--format` and `--quiet` ask for.
    pub(crate) fn choose(given: &str, quiet: bool, built_in: &BuiltIn<'_>) -> Self {
        match (given, quiet) {
            ("" | "table", true) => Self::plain(built_in.quiet),
            ("raw", true) => Self::plain(&format!("{}: {}", built_in.raw_id, built_in.quiet)),
            ("raw", false) => Self::plain(&format!("{}: {}\n{}", built_in.raw_id, built_in.quiet, built_in.raw)),
            (given, _) => Self::new(given, built_in.table),
        }
    }

    /// One field a line.
    pub(crate) fn plain(template: &str) -> Self {
        Self {
            template: template.to_owned(),
            table: false,
        }
    }

    /// The text for rows.
    ///
    /// # Errors
    /// When the template makes no sense, in Docker's words.
    pub(crate) fn render(&self, headings: &[(&'static str, &'static str)], rows: &[Value]) -> Result<String> {
        let template =
            Template::parse(&self.template).map_err(|e| Error::new(format!("failed to parse template: {e}")))?;
        let failed = |e: String| Error::new(format!("failed to execute template: {e}"));
        let mut text = String::new();
        for row in rows {
            text.push_str(&template.execute(row, Missing::NoValue, Mode::Rows).map_err(failed)?);
            text.push('\n');
        }
        if !self.table {
            return Ok(text);
        }
        let head = template
            .execute(&heading_row(headings), Missing::NoValue, Mode::Headings)
            .map_err(failed)?;
        Ok(align(&format!("{head}\n{text}"), 10, 3))
    }

    /// Whether rows need a field that is costly to compute.
    pub(crate) fn uses(&self, field: &str) -> bool {
        let whole = self.template.contains("json .}}") || self.template.contains("json . ");
        whole || self.template.contains(&format!(".{field}"))
    }
}

/// The row of headings; `.Label "a.b-c"` is headed by `b c`.
fn heading_row(headings: &[(&'static str, &'static str)]) -> Value {
    let label = Value::Method(std::rc::Rc::new(|args: &[Value]| {
        let name = args.first().map(Value::print).unwrap_or_default();
        let last = name.rsplit('.').next().unwrap_or_default();
        Ok(last.replace(['-', '_'], " ").into())
    }));
    let texts = headings.iter().map(|(field, text)| (*field, Value::from(*text)));
    Value::map(texts.chain([("Label", label)]))
}

/// A row with a `.Label "name"` method.
pub(crate) fn labelled_row(
    kind: &'static str,
    fields: Vec<(&'static str, Value)>,
    labels: &std::collections::BTreeMap<String, String>,
) -> Value {
    let labels = labels.clone();
    let label = Value::Method(std::rc::Rc::new(move |args: &[Value]| {
        let name = args.first().map(Value::print).unwrap_or_default();
        Ok(labels.get(&name).cloned().unwrap_or_default().into())
    }));
    Value::Struct(std::rc::Rc::new(Struct {
        kind,
        fields,
        methods: vec![("Label", label)],
        ..Struct::default()
    }))
}

/// `a=b,c=d`.
pub(crate) fn join_labels(labels: &std::collections::BTreeMap<String, String>) -> String {
    let pairs: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(",")
}

/// The first twelve digits of an id, without its algorithm.
pub(crate) fn short_id(id: &str) -> &str {
    let digits = id.split_once(':').map_or(id, |(_, digits)| digits);
    digits.get(..12).unwrap_or(digits)
}

/// An id as it is, or shortened.
pub(crate) fn shown_id(id: &str, truncate: bool) -> &str {
    if truncate { short_id(id) } else { id }
}

/// At most so many characters, the last one `…` if some are missing.
pub(crate) fn ellipsis(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// `5 minutes ago`.
pub(crate) fn ago(seconds: i64) -> String {
    let now = Timestamp::now().as_nanosecond();
    let age = now - i128::from(seconds) * 1_000_000_000;
    let age = i64::try_from(age).unwrap_or(i64::MAX);
    format!("{} ago", crate::opts::duration::human(age))
}

/// A point in time in this place's zone, as Go prints it: `2026-11-22 00:55:45.1 +0000 UTC`.
pub(crate) fn local_time(seconds: i64) -> String {
    let Ok(time) = Timestamp::from_second(seconds) else {
        return String::new();
    };
    time.to_zoned(TimeZone::system())
        .strftime("%Y-%m-%d %H:%M:%S %z %Z")
        .to_string()
}

/// A point in time in UTC, as Go prints it.
pub(crate) fn utc_time(time: Timestamp) -> String {
    let zoned = time.to_zoned(TimeZone::UTC);
    let fraction = zoned.strftime("%.f").to_string();
    format!("{}{fraction} +0000 UTC", zoned.strftime("%Y-%m-%d %H:%M:%S"))
}

/// Whether a name comes before another one: numbers in them count as numbers.
pub(crate) fn natural_order(a: &str, b: &str) -> std::cmp::Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (Some(x), Some(y)) = (a.chars().next(), b.chars().next()) else {
            return a.len().cmp(&b.len());
        };
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let digits = |t: &str| t.find(|c: char| !c.is_ascii_digit()).unwrap_or(t.len());
            let ((n, rest_a), (m, rest_b)) = (a.split_at(digits(a)), b.split_at(digits(b)));
            let (n_bare, m_bare) = (n.trim_start_matches('0'), m.trim_start_matches('0'));
            let order = n_bare
                .len()
                .cmp(&m_bare.len())
                .then(n_bare.cmp(m_bare))
                .then(n.len().cmp(&m.len()));
            if order.is_ne() {
                return order;
            }
            (a, b) = (rest_a, rest_b);
            continue;
        }
        if x != y {
            return x.cmp(&y);
        }
        (a, b) = (&a[x.len_utf8()..], &b[y.len_utf8()..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_formats() {
        let row = |name: &'static str| Value::record("*x", vec![("Name", name.into()), ("ID", "1".into())]);
        let heads = [("Name", "NAME"), ("ID", "X ID")];
        let rows = [row("a"), row("long-name-here")];
        let check = |given: &str, expected: &str| {
            let format = Format::new(given, "{{.ID}}\t{{.Name}}");
            assert_eq!(format.render(&heads, &rows).unwrap(), expected, "{given}");
        };
        check("", "X ID      NAME\n1         a\n1         long-name-here\n");
        check(
            "table {{.Name}}\\t{{.ID}}",
            "NAME             X ID\na                1\nlong-name-here   1\n",
        );
        check("{{.Name}}", "a\nlong-name-here\n");
        check(
            "json",
            "{\"ID\":\"1\",\"Name\":\"a\"}\n{\"ID\":\"1\",\"Name\":\"long-name-here\"}\n",
        );
        let error = Format::new("{{.Nope}}", "").render(&heads, &rows).unwrap_err();
        assert_eq!(
            error.message,
            "failed to execute template: template: :1:2: executing \"\" at <.Nope>: can't evaluate field Nope in type *x"
        );
        let error = Format::new("{{", "").render(&heads, &rows).unwrap_err();
        assert_eq!(error.message, "failed to parse template: template: :1: unclosed action");
    }

    #[test]
    fn orders_naturally() {
        let mut names = vec!["a10", "a2", "b", "a", "a02"];
        names.sort_by(|a, b| natural_order(a, b));
        assert_eq!(names, ["a", "a2", "a02", "a10", "b"]);
    }

    #[test]
    fn shortens() {
        assert_eq!(short_id("sha256:0123456789abcdef"), "0123456789ab");
        assert_eq!(short_id("<missing>"), "<missing>");
        assert_eq!(ellipsis("sh -c 'sleep 100; echo x'", 20), "sh -c 'sleep 100; e…");
        assert_eq!(
            utc_time("2026-11-22T00:35:41.0086Z".parse().unwrap()),
            "2026-11-22 00:35:41.0086 +0000 UTC"
        );
        assert_eq!(
            utc_time("2026-11-22T00:35:41Z".parse().unwrap()),
            "2026-11-22 00:35:41 +0000 UTC"
        );
    }
}
