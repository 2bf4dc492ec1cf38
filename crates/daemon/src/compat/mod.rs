//! Old versions of the API: conversions of requests up and of answers down, and nowhere else.
//!
//! The engine speaks the newest version only. What differs in answers is changed in the JSON, by
//! the functions of this module's files; what differs in requests is filled in before the engine
//! sees them. Differences that are single parameters (`type` of `/system/df` from 1.42, `platform`
//! of create from 1.41, containers in lists of networks until 1.27, `condition` of wait from 1.30, `signal` of stop from 1.42) are where the
//! parameter is read.
//!
//! Known differences that are not converted, because no client in use depends on them: the events'
//! forms before 1.22, `Isolation` and other fields for Windows, the lists of `SecurityOptions`
//! without keys before 1.25, `Volume.Status`, and the bodies of `POST /containers/{id}/start`
//! (host configurations, before 1.24).

pub(crate) mod containers;
pub(crate) mod images;
pub(crate) mod system;
pub(crate) mod version;

use serde::Serialize;
use serde_json::{Map, Value};

use self::version::ApiVersion;
use crate::{
    body::{self, Answer},
    error::ApiResult,
};

/// How a document was before some version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conversion {
    /// The first minor version with the present form.
    pub(crate) since: u32,
    /// Makes the form of an older version.
    pub(crate) convert: fn(ApiVersion, &mut Value),
}

/// Answers with a document, converted down to the client's version.
pub(crate) fn answer<T: Serialize>(version: ApiVersion, document: &T, conversion: Conversion) -> ApiResult<Answer> {
    if !version.before(conversion.since) {
        return body::json(document);
    }
    let mut value = serde_json::to_value(document)?;
    (conversion.convert)(version, &mut value);
    body::json(&value)
}

/// Converts each element of a list.
fn each(version: ApiVersion, list: &mut Value, convert: fn(ApiVersion, &mut Value)) {
    list.as_array_mut()
        .into_iter()
        .flatten()
        .for_each(|item| convert(version, item));
}

/// An object's members; none for other values.
fn members(value: &mut Value) -> Option<&mut Map<String, Value>> {
    value.as_object_mut()
}

/// The object below a path of keys.
fn below<'a>(value: &'a mut Value, path: &[&str]) -> Option<&'a mut Map<String, Value>> {
    let mut value = value;
    for key in path {
        value = value.get_mut(key)?;
    }
    value.as_object_mut()
}

fn remove(map: Option<&mut Map<String, Value>>, keys: &[&str]) {
    if let Some(map) = map {
        keys.iter().for_each(|key| {
            map.remove(*key);
        });
    }
}
