//! How networks and volumes differ from their definitions.

use std::collections::BTreeMap;

use corten_api::{network, volume};

use super::Difference;
use crate::{
    convert,
    model::{Network, Project, Volume},
};

/// The prefix of Compose's own labels.
const OWN_LABELS: &str = "com.docker.compose.";

type Facts = BTreeMap<Vec<String>, String>;

/// How a network differs.
pub(super) fn network(project: &Project, key: &str, definition: &Network, is: &network::Network) -> Vec<Difference> {
    let request = convert::network_request(project, key, definition);
    let mut wanted = Facts::new();
    let mut found = Facts::new();
    let driver = match request.driver.as_str() {
        "" => "bridge",
        driver => driver,
    };
    put(&mut wanted, "driver", driver);
    put(&mut found, "driver", &is.driver);
    for (facts, internal, attachable) in [
        (&mut wanted, request.internal, request.attachable),
        (&mut found, is.internal, is.attachable),
    ] {
        put(facts, "internal", if internal { "true" } else { "" });
        put(facts, "attachable", if attachable { "true" } else { "" });
    }
    if let Some(enabled) = request.enable_ipv6 {
        put(&mut wanted, "enable_ipv6", &enabled.to_string());
        put(&mut found, "enable_ipv6", &is.enable_ipv6.to_string());
    }
    maps(&mut wanted, "driver_opts", &request.options);
    // Engines add options of their own.
    let named = is
        .options
        .iter()
        .filter(|(name, _)| request.options.contains_key(*name));
    maps(
        &mut found,
        "driver_opts",
        &named.map(|(n, v)| (n.clone(), v.clone())).collect(),
    );
    maps(&mut wanted, "labels", &request.labels);
    maps(&mut found, "labels", &is.labels);
    let subnets = |ipam: Option<&network::Ipam>| {
        let pools = ipam.and_then(|ipam| ipam.config.as_ref()).into_iter().flatten();
        let subnets: Vec<_> = pools
            .map(|pool| pool.subnet.clone())
            .filter(|net| !net.is_empty())
            .collect();
        subnets.join(",")
    };
    let pools = subnets(request.ipam.as_ref());
    if !pools.is_empty() {
        put(&mut wanted, "ipam", &pools);
        put(&mut found, "ipam", &subnets(Some(&is.ipam)));
    }
    between(&found, &wanted)
}

/// How a volume differs.
pub(super) fn volume(project: &Project, key: &str, definition: &Volume, is: &volume::Volume) -> Vec<Difference> {
    let request = convert::volume_request(project, key, definition);
    let (mut wanted, mut found) = (Facts::new(), Facts::new());
    let driver = match request.driver.as_str() {
        "" => "local",
        driver => driver,
    };
    put(&mut wanted, "driver", driver);
    put(&mut found, "driver", &is.driver);
    maps(&mut wanted, "driver_opts", &request.driver_opts);
    maps(
        &mut found,
        "driver_opts",
        is.options.as_ref().unwrap_or(&BTreeMap::new()),
    );
    maps(&mut wanted, "labels", &request.labels);
    maps(&mut found, "labels", is.labels.as_ref().unwrap_or(&BTreeMap::new()));
    between(&found, &wanted)
}

fn put(facts: &mut Facts, name: &str, value: &str) {
    if !value.is_empty() {
        facts.insert(vec![name.to_owned()], value.to_owned());
    }
}

fn maps(facts: &mut Facts, attribute: &str, map: &BTreeMap<String, String>) {
    for (name, value) in map.iter().filter(|(name, _)| !name.starts_with(OWN_LABELS)) {
        facts.insert(vec![attribute.to_owned(), name.clone()], value.clone());
    }
}

fn between(is: &Facts, wanted: &Facts) -> Vec<Difference> {
    let mut paths: Vec<_> = is.keys().chain(wanted.keys()).collect();
    paths.sort();
    paths.dedup();
    let differing = paths.into_iter().filter(|path| is.get(*path) != wanted.get(*path));
    differing
        .map(|path| Difference {
            path: path.clone(),
            is: is.get(path).cloned(),
            wanted: wanted.get(path).cloned(),
        })
        .collect()
}
