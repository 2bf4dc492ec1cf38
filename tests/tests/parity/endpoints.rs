//! Endpoints of the API, and which test asks them.

use std::collections::BTreeMap;

use crate::evidence::Place;
use crate::report::{Row, Status};

/// The rows of `tests/data/parity/endpoints.txt`.
pub(crate) fn rows(text: &str, places: &[Place], refused: &BTreeMap<String, String>) -> Vec<Row> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?, words.next()?, words.next()?))
        })
        .map(|(tag, method, path)| {
            let item = format!("{method} {path}");
            let status = match (refused.get(&item), asking(places, method, path)) {
                (Some(test), _) => Status::Refused(test.clone()),
                (None, Some(test)) => Status::Works(test.to_owned()),
                (None, None) => Status::Missing("no test names it"),
            };
            Row {
                area: tag.to_lowercase(),
                item,
                status,
            }
        })
        .collect()
}

/// The first test that asks the endpoint.
fn asking<'a>(places: &'a [Place], method: &str, path: &str) -> Option<&'a str> {
    places
        .iter()
        .find(|place| {
            place
                .requests
                .iter()
                .any(|(m, asked)| m == method && matches(path, asked))
        })
        .map(|place| place.name.as_str())
}

/// Whether a request's path is an endpoint's: `{name}` stands for one part or, of images, for several.
fn matches(pattern: &str, asked: &str) -> bool {
    let asked = asked.split('?').next().unwrap_or(asked);
    let parts: Vec<&str> = asked
        .trim_start_matches('/')
        .split('/')
        .skip_while(|part| part.starts_with("v1.") || part.starts_with("v{"))
        .collect();
    let pattern: Vec<&str> = pattern.trim_start_matches('/').split('/').collect();
    let gap = pattern.iter().position(|part| part.starts_with('{'));
    match gap {
        Some(gap) => {
            let tail = &pattern[gap + 1..];
            parts.len() > gap + tail.len()
                && (parts.len() == pattern.len() || pattern[0] == "images" || pattern[0] == "distribution")
                && parts[..gap] == pattern[..gap]
                && parts[parts.len() - tail.len()..] == *tail
        }
        None => parts == pattern,
    }
}

#[test]
fn paths_match_their_endpoint_alone() {
    assert!(matches("/containers/{id}/json", "/v1.51/containers/web/json?size=1"));
    assert!(matches("/images/{name}/json", "/images/localhost:5000/a/b/json"));
    assert!(matches("/containers/json", "/containers/json"));
    assert!(!matches("/containers/{id}/json", "/containers/json"));
    assert!(!matches("/containers/{id}", "/containers/web/json"));
    assert!(matches("/containers/{id}", "/containers/{id}?force=1"));
}
