//! A document about devices, in JSON or YAML: whatever is accepted can be applied to a configuration.

#![no_main]

use corten_oci::cdi::{HostDevice, HostDeviceKind, Spec};
use corten_oci::runtime;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let parsed = Spec::parse(bytes).or_else(|_| Spec::parse_yaml(bytes));
    let Ok(document) = parsed else {
        return;
    };
    assert!(document.named().count() > 0);
    assert!(document.named().all(|(name, _)| corten_oci::cdi::is_qualified(&name)));
    for device in &document.devices {
        let mut spec = runtime::Spec {
            process: Some(runtime::Process::default()),
            ..runtime::Spec::default()
        };
        let found = |_: &str| {
            Ok(HostDevice {
                kind: HostDeviceKind::Character,
                major: 1,
                minor: 7,
            })
        };
        let mut edits = document.container_edits.clone();
        edits.append(&device.container_edits);
        if edits.apply(&mut spec, found).is_ok() {
            serde_json::to_vec(&spec).expect("a configuration is written");
        }
    }
});
