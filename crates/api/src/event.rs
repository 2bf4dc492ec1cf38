//! Events (Docker API, `GET /events`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The action, as older clients read it; only for containers and images.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// The object's id, as older clients read it; only for containers and images.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// The container's image, as older clients read it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// The kind of object: `container`, `image`, `volume`, `network`, `daemon`, `builder`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// What happened.
    #[serde(rename = "Action")]
    pub action: String,
    /// To which object.
    #[serde(rename = "Actor")]
    pub actor: Actor,
    /// `local` on a single engine.
    #[serde(default)]
    pub scope: String,
    /// Seconds since the epoch.
    #[serde(default)]
    pub time: i64,
    /// Nanoseconds since the epoch.
    #[serde(rename = "timeNano", default)]
    pub time_nano: i64,
}

/// The object of an event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Its id, or name for objects without one.
    #[serde(rename = "ID", default)]
    pub id: String,
    /// What describes it: name, image, labels, exit code, …
    #[serde(rename = "Attributes", default)]
    pub attributes: BTreeMap<String, String>,
}
