//! Types and stream framing of the newest Engine API; no I/O.
//!
//! The structs write exactly what a Docker engine writes: its order of keys, and Go's rules for
//! what is `null`, empty or left out. They read leniently: absent and `null` fields take their
//! default, unknown fields are ignored ([`decode`]). Where a field is documented by the API's own
//! reference (Docker Engine API v1.51), the comment here is short.
//!
//! ```
//! let body = br#"{"Image":"busybox","Cmd":["true"],"Labels":null}"#;
//! let request: corten_api::container::CreateRequest = corten_api::decode(body).unwrap();
//! assert_eq!(request.config.image, "busybox");
//! assert_eq!(request.config.labels.len(), 0);
//! ```

#![forbid(unsafe_code)]

pub mod build;
pub mod case;
pub mod container;
pub mod event;
pub mod exec;
pub mod filters;
pub mod host_config;
pub mod image;
pub mod network;
pub mod stats;
pub mod stream;
pub mod system;
pub mod time;
pub mod volume;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The newest API version served and spoken.
pub const VERSION: &str = "1.51";
/// The oldest API version served.
pub const MIN_VERSION: &str = "1.24";

/// The body of every error answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong, for the user.
    pub message: String,
}

/// Reads a JSON document as Go's decoder would: `null` is the same as absent.
///
/// # Errors
/// The parser's message when the bytes are no JSON or have another shape.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    let mut value: serde_json::Value = serde_json::from_slice(bytes)?;
    drop_nulls(&mut value);
    serde_json::from_value(value)
}

/// Reads a request as [`decode`] does, with keys in whatever case.
///
/// # Errors
/// As [`decode`].
pub fn decode_request<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    let mut value: serde_json::Value = serde_json::from_slice(bytes)?;
    drop_nulls(&mut value);
    case::fold(&mut value);
    serde_json::from_value(value)
}

/// Removes every `null` member of an object, at any depth; nulls in arrays stay.
fn drop_nulls(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Whether a value is its type's default; for `skip_serializing_if`.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
