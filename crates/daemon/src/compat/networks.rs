//! Networks: what changed between API 1.24 and the newest.

use serde_json::Value;

use super::{each, members, remove, version::ApiVersion};

/// `GET /networks`.
pub(crate) fn list(version: ApiVersion, list: &mut Value) {
    each(version, list, one);
}

/// `GET /networks/{id}`.
pub(crate) fn one(version: ApiVersion, network: &mut Value) {
    if version.before(48) {
        remove(members(network), &["EnableIPv4"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_switch_for_ipv4_is_new() {
        let mut networks = json!([{"Name": "n", "EnableIPv4": true}]);
        list(ApiVersion::new(47), &mut networks);
        assert_eq!(networks, json!([{"Name": "n"}]));
    }
}
