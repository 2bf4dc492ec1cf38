//! Any bytes as a manifest, an index, a configuration or a platform.
#![no_main]

use corten_oci::image::{Document, ImageConfig};
use corten_oci::platform::Platform;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(Document::Index(index)) = Document::parse(bytes, None) {
        let _ = Platform::host().candidates(&index.manifests);
    }
    if let Ok(config) = ImageConfig::parse(bytes) {
        let written = serde_json_bytes(&config);
        assert_eq!(ImageConfig::parse(&written).expect("our own"), config);
    }
    if let Ok(platform) = String::from_utf8_lossy(bytes).parse::<Platform>() {
        let again: Platform = platform.to_string().parse().expect("our own");
        assert_eq!(again.os, platform.os);
    }
});

fn serde_json_bytes(config: &ImageConfig) -> Vec<u8> {
    serde_json::to_vec(config).expect("plain data")
}
