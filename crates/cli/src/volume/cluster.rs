//! Volumes of a cluster: what `volume create` says of them, and how `volume ls --cluster` shows them.
//!
//! An engine that manages no swarm refuses to make one, in Docker's words.

use serde_json::{Map, Value, json};

use crate::{
    cli::Cli,
    command::Flag,
    error::Result,
    flags::Matches,
    formatter::{Format, volume as rows},
    opts::{filter, size},
};

/// The flags of `volume create` that make it a cluster's volume.
pub(super) const FLAGS: [Flag; 10] = [
    Flag::string("availability", "Availability in a cluster: active, pause or drain").default("active"),
    Flag::string("group", "Group of a cluster's volume"),
    Flag::value(
        "limit-bytes",
        "bytes",
        size::check,
        "Largest size of a cluster's volume",
    )
    .shown("0"),
    Flag::value(
        "required-bytes",
        "bytes",
        size::check,
        "Smallest size of a cluster's volume",
    )
    .shown("0"),
    Flag::string("scope", "Who may use a cluster's volume at once: single or multi node").default("single"),
    Flag::map("secret", "Secret for the driver of a cluster's volume"),
    Flag::string(
        "sharing",
        "How a cluster's volume is shared: none, readonly, onewriter or all",
    )
    .default("none"),
    Flag::list("topology-preferred", "Where a cluster's volume should be"),
    Flag::list("topology-required", "Where a cluster's volume must be"),
    Flag::string("type", "Kind of access to a cluster's volume: mount or block").default("block"),
];

/// The columns of `volume ls --cluster`.
const TABLE: &str = "{{.Name}}\t{{.Group}}\t{{.Driver}}\t{{.Availability}}\t{{.Status}}";

/// What a cluster's volume is to be; none when no flag says that it is one.
pub(super) fn spec(m: &Matches) -> Option<Value> {
    if !FLAGS.iter().any(|flag| m.given(flag.long)) {
        return None;
    }
    let mut access = json!({"Scope": m.get("scope"), "Sharing": m.get("sharing")});
    match m.get("type") {
        "mount" => access["MountVolume"] = json!({}),
        "block" => access["BlockVolume"] = json!({}),
        _ => {}
    }
    let secrets = m.all("secret").into_iter().map(|pair| {
        let (key, secret) = pair.split_once('=').unwrap_or((pair, ""));
        json!({"Key": key, "Secret": secret})
    });
    let mut spec = json!({
        "Group": m.get("group"),
        "AccessMode": access,
        "AccessibilityRequirements": {},
        "CapacityRange": {"RequiredBytes": m.bytes("required-bytes"), "LimitBytes": m.bytes("limit-bytes")},
        "Availability": m.get("availability"),
    });
    let secrets: Vec<Value> = secrets.collect();
    if !secrets.is_empty() {
        spec["Secrets"] = secrets.into();
    }
    for (flag, field) in [("topology-required", "Requisite"), ("topology-preferred", "Preferred")] {
        let places: Vec<Value> = m.all(flag).into_iter().map(segments).collect();
        if !places.is_empty() {
            spec["AccessibilityRequirements"][field] = places.into();
        }
    }
    Some(spec)
}

/// A place, by comma-separated pairs.
fn segments(text: &str) -> Value {
    let pairs = text.split(',').map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.to_owned(), Value::from(value))
    });
    json!({"Segments": pairs.collect::<Map<_, _>>()})
}

/// Lists a cluster's volumes: an engine in no cluster has none.
pub(super) fn list(cli: &Cli, m: &Matches) -> Result<()> {
    let filters = filter::parse(&m.all("filter"));
    // The engine is asked all the same: filters are its to refuse.
    cli.wait(async { Ok(cli.client()?.volumes(&filters).await?) })?;
    if !m.on("quiet") {
        cli.print(&Format::new("table", TABLE).render(&rows::HEADINGS, &[])?);
    }
    Ok(())
}
