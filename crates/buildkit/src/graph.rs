//! The little of LLB that results need: a graph of one vertex that names a result, so that a client can hand
//! it on to another build (`contexts = { base = "target:base" }`).

use std::collections::BTreeMap;

use corten_oci::{digest::Digest, platform::Platform};
use prost::Message as _;
use serde_json::json;

use crate::{
    grpc::{Result, Status},
    proto::{
        gateway::Ref,
        ops::{Definition, Input, Op, OpMetadata, SourceOp},
    },
};

/// What an identifier of a result begins with.
const RESULT: &str = "corten-result://";

/// A result's name and graph.
pub(crate) fn reference(name: String, image: &Digest) -> Ref {
    let source = Op {
        source: Some(SourceOp {
            identifier: format!("{RESULT}{image}"),
            attrs: BTreeMap::new(),
        }),
        ..Op::default()
    };
    let source = source.encode_to_vec();
    let digest = Digest::sha256(&source).to_string();
    let end = Op {
        inputs: vec![Input {
            digest: digest.clone(),
            index: 0,
        }],
        ..Op::default()
    };
    let end = end.encode_to_vec();
    let metadata = OpMetadata {
        caps: [("source.image".to_owned(), true)].into(),
        ..OpMetadata::default()
    };
    let last = Digest::sha256(&end).to_string();
    Ref {
        id: name,
        def: Some(Definition {
            def: vec![source, end],
            metadata: [(digest, metadata), (last, OpMetadata::default())].into(),
        }),
    }
}

/// The image that a graph of a result, or of an image, stands for.
pub(crate) fn image(definition: &Definition) -> Result<String> {
    let foreign = || Status::unimplemented("an input that is no result of another build and no image is not supported");
    let end = Op::decode(definition.def.last().ok_or_else(foreign)?.as_slice())?;
    let wanted = &end.inputs.first().ok_or_else(foreign)?.digest;
    let bytes = definition
        .def
        .iter()
        .find(|bytes| Digest::sha256(bytes).as_str() == wanted);
    let source = Op::decode(bytes.ok_or_else(foreign)?.as_slice())?
        .source
        .ok_or_else(foreign)?;
    let identifier = source.identifier;
    match identifier
        .strip_prefix(RESULT)
        .or_else(|| identifier.strip_prefix("docker-image://"))
    {
        Some(image) => Ok(image.to_owned()),
        None => Err(foreign()),
    }
}

/// `refs.platforms`, as JSON.
pub(crate) fn platforms(platform: &str) -> Vec<u8> {
    let platform: Platform = platform.parse().unwrap_or_else(|_| Platform::host());
    let mut described = json!({"architecture": platform.architecture, "os": platform.os});
    if !platform.variant.is_empty() {
        described["variant"] = json!(platform.variant);
    }
    json!({"Platforms": [{"ID": platform.to_string(), "Platform": described}]})
        .to_string()
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_found_again() {
        let id = Digest::sha256(b"x");
        let reference = reference("r".into(), &id);
        assert_eq!(image(&reference.def.unwrap()).unwrap(), id.as_str());
        assert!(image(&Definition::default()).is_err());
    }
}
