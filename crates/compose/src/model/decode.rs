//! From nodes of files to the model, with the place in the file of whatever does not fit.

use std::collections::BTreeMap;

use crate::{
    Node, Value,
    error::{Error, Result},
    node::Map,
};

/// What can be read from a node.
pub(crate) trait Decode: Sized {
    /// Reads it.
    fn decode(node: &Node) -> Result<Self>;
}

/// Reads an attribute; one without a value is as if it were not there.
pub(crate) fn field<T: Decode + Default>(node: &Node) -> Result<T> {
    if node.is_null() {
        Ok(T::default())
    } else {
        T::decode(node)
    }
}

/// The mapping that a node must be.
pub(crate) fn mapping(node: &Node) -> Result<&Map> {
    match &node.value {
        Value::Map(map) => Ok(map),
        _ => Err(expected(node, "a mapping")),
    }
}

/// The error about a node of the wrong kind.
pub(crate) fn expected(node: &Node, what: &str) -> Error {
    Error::invalid(format!("expected {what}, found {}", node.value.describe())).at(node.at)
}

/// A plain value as text, as Go prints it.
pub(crate) fn text(node: &Node) -> Result<String> {
    match &node.value {
        Value::List(_) | Value::Map(_) => Err(expected(node, "a text")),
        value => Ok(value.to_text()),
    }
}

impl Decode for String {
    fn decode(node: &Node) -> Result<Self> {
        text(node)
    }
}

impl Decode for bool {
    fn decode(node: &Node) -> Result<Self> {
        match &node.value {
            Value::Bool(value) => Ok(*value),
            Value::Text(text) => crate::interpolate::parse_bool(text)
                .ok_or_else(|| Error::invalid(format!("invalid boolean: {text}")).at(node.at)),
            _ => Err(expected(node, "true or false")),
        }
    }
}

/// A whole number, also when it is written as text or as `3.0`.
pub(crate) fn integer(node: &Node) -> Result<i64> {
    match &node.value {
        Value::Int(value) => Ok(*value),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "Go's conversion, which the specification's tools use"
        )]
        Value::Float(value) => Ok(*value as i64),
        Value::Text(text) => text
            .parse()
            .map_err(|_| Error::invalid(format!("{text:?} is not a whole number")).at(node.at)),
        _ => Err(expected(node, "a whole number")),
    }
}

macro_rules! integers {
    ($($type:ty),*) => { $(
        impl Decode for $type {
            fn decode(node: &Node) -> Result<Self> {
                let value = integer(node)?;
                Self::try_from(value).map_err(|_| Error::invalid(format!("{value} is out of range")).at(node.at))
            }
        }
    )* };
}

integers!(i64, u64, u32, u16);

impl Decode for f32 {
    fn decode(node: &Node) -> Result<Self> {
        match &node.value {
            #[expect(clippy::cast_precision_loss, reason = "a share of processors or a percentage")]
            Value::Int(value) => Ok(*value as Self),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the specification's tools keep single precision"
            )]
            Value::Float(value) => Ok(*value as Self),
            Value::Text(text) => text
                .parse()
                .map_err(|_| Error::invalid(format!("{text:?} is not a number")).at(node.at)),
            _ => Err(expected(node, "a number")),
        }
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(node: &Node) -> Result<Self> {
        if node.is_null() {
            Ok(None)
        } else {
            T::decode(node).map(Some)
        }
    }
}

impl<T: Decode + Default> Decode for Vec<T> {
    fn decode(node: &Node) -> Result<Self> {
        match &node.value {
            Value::List(list) => list.iter().map(field).collect(),
            // One element may stand for the list of it.
            _ => Ok(vec![T::decode(node)?]),
        }
    }
}

impl<T: Decode + Default> Decode for BTreeMap<String, T> {
    fn decode(node: &Node) -> Result<Self> {
        mapping(node)?
            .iter()
            .map(|(key, node)| Ok((key.clone(), field(node)?)))
            .collect()
    }
}
