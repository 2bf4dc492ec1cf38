//! Pages for people: the repositories, and what each holds. Made here, running nothing in the browser.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;

use corten_oci::digest::Digest;
use http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::app::App;
use crate::auth::Principal;
use crate::config::{Action, write_size};
use crate::document::Document;
use crate::http::{Answer, html};
use crate::name::Name;
use crate::refusal::{Code, Refusal, Result};
use crate::route;
use crate::store::{Page, Store, TagRecord};

/// Entries of a page.
const MOST: usize = 100;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;width:100%}\
td,th{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #ddd;vertical-align:top}\
td.size,th.size{text-align:right;white-space:nowrap}code{font-size:.85em;word-break:break-all}a{color:#8a3b12}\
details{margin:.3rem 0}@media(prefers-color-scheme:dark){body{background:#1b1b1b;color:#ddd}td,th{border-color:#444}a{color:#e08a50}}";

/// `GET /`: the repositories that the client may pull from.
pub(crate) async fn index(app: &Arc<App>, principal: &Principal, query: Option<&str>) -> Result<Answer> {
    let last = route::query(query, "last");
    let (shared, principal) = (Arc::clone(app), principal.clone());
    let body = app
        .blocking(move || {
            let may_see = |name: &Name| principal.may(Action::Pull, name);
            let page = shared.store.repositories(last, MOST, may_see)?;
            list(&shared.store, &page)
        })
        .await??;
    Ok(frame("Repositories", &body))
}

fn list(store: &Store, page: &Page) -> io::Result<String> {
    let mut text = String::from("<h1>Repositories</h1>\n");
    if page.entries.is_empty() {
        text += "<p>There are none yet.</p>\n";
        return Ok(text);
    }
    text += "<table>\n<tr><th>Name</th><th class=size>Tags</th><th class=size>Size</th></tr>\n";
    for entry in &page.entries {
        let Ok(name) = entry.parse::<Name>() else { continue };
        let mut tags = 0_usize;
        store.each_tag(&name, |_| tags += 1)?;
        let size = write_size(store.repository_size(&name)?);
        // Names hold no letters that HTML minds; they are escaped all the same.
        let shown = escape(entry);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "<tr><td><a href=\"/repositories/{shown}\">{shown}</a></td><td class=size>{tags}</td><td class=size>{size}</td></tr>"
        );
    }
    text += "</table>\n";
    next_link(&mut text, "/", page);
    Ok(text)
}

fn next_link(text: &mut String, path: &str, page: &Page) {
    if let Some(last) = page.entries.last().filter(|_| page.has_more) {
        let last = utf8_percent_encode(last, NON_ALPHANUMERIC);
        // As above.
        let _ = writeln!(
            text,
            "<p><a rel=next href=\"{}?last={last}\">More</a></p>",
            escape(path)
        );
    }
}

/// `GET /repositories/<name>`: its tags, and the layers of each.
pub(crate) async fn repository(app: &Arc<App>, name: &Name, query: Option<&str>) -> Result<Answer> {
    let last = route::query(query, "last");
    let (shared, owned) = (Arc::clone(app), name.clone());
    let body = app
        .blocking(move || match shared.store.has_repository(&owned)? {
            true => describe(&shared.store, &owned, last).map(Some),
            false => Ok::<_, io::Error>(None),
        })
        .await??;
    let unknown = || Refusal::new(Code::NameUnknown, "repository name not known to registry");
    Ok(frame(name.as_str(), &body.ok_or_else(unknown)?))
}

fn describe(store: &Store, name: &Name, last: Option<String>) -> io::Result<String> {
    let page = store.tags(name, last, MOST)?;
    let size = write_size(store.repository_size(name)?);
    let mut text = format!(
        "<p><a href=\"/\">Repositories</a></p>\n<h1>{}</h1>\n<p>{size} in all</p>\n",
        escape(name.as_str())
    );
    if page.entries.is_empty() {
        text += "<p>There are no tags.</p>\n";
    }
    for entry in &page.entries {
        let Ok(tag) = entry.parse() else { continue };
        if let Some(record) = store.tag(name, &tag)? {
            describe_tag(&mut text, store, name, entry, &record)?;
        }
    }
    next_link(&mut text, &format!("/repositories/{name}"), &page);
    Ok(text)
}

fn describe_tag(text: &mut String, store: &Store, name: &Name, tag: &str, record: &TagRecord) -> io::Result<()> {
    let digest = &record.digest;
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "<h2>{}</h2>\n<p><code>{digest}</code><br>pushed {}</p>",
        escape(tag),
        record.pushed.strftime("%Y-%m-%d %H:%M UTC")
    );
    match store.read_manifest(name, digest)? {
        None => *text += "<p>The manifest is missing.</p>\n",
        Some(document) if document.is_index() => {
            for (title, digest) in platforms(&document) {
                match store.read_manifest(name, &digest)? {
                    None => {
                        let _ = writeln!(text, "<p>{}: not here yet</p>", escape(&title));
                    }
                    Some(document) => {
                        let _ = writeln!(
                            text,
                            "<details><summary>{}, {}</summary>",
                            escape(&title),
                            total(&document)
                        );
                        layers(text, &document);
                        *text += "</details>\n";
                    }
                }
            }
        }
        Some(document) => {
            let _ = writeln!(text, "<p>{}</p>", total(&document));
            layers(text, &document);
        }
    }
    Ok(())
}

/// The manifests of an index, by platform.
fn platforms(document: &Document) -> BTreeMap<String, Digest> {
    let entries = document.entries.iter();
    let titled = entries.map(|entry| {
        let title = match &entry.platform {
            Some(platform) => platform.to_string(),
            None => entry.media_type.clone(),
        };
        (format!("{title} {}", entry.digest.short()), entry.digest.clone())
    });
    titled.collect()
}

fn total(document: &Document) -> String {
    let sizes = document.config.iter().chain(&document.entries).map(|entry| entry.size);
    write_size(sizes.fold(0, u64::saturating_add))
}

fn layers(text: &mut String, document: &Document) {
    *text += "<table>\n<tr><th>Content</th><th>Type</th><th class=size>Size</th></tr>\n";
    for entry in document.config.iter().chain(&document.entries) {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "<tr><td><code>{}</code></td><td>{}</td><td class=size>{}</td></tr>",
            entry.digest,
            escape(&entry.media_type),
            write_size(entry.size)
        );
    }
    *text += "</table>\n";
}

fn frame(title: &str, body: &str) -> Answer {
    let title = escape(title);
    html(
        StatusCode::OK,
        format!(
            "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n<meta name=viewport content=\"width=device-width\">\n\
             <title>{title} - Corten registry</title>\n<style>{STYLE}</style>\n{body}</html>\n"
        ),
    )
}

/// Text as HTML shows it.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    #[test]
    fn text_stays_text() {
        assert_eq!(
            super::escape("<a href=\"x\">'&'"),
            "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;"
        );
    }
}
