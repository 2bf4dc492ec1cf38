//! `compose events`: what happens to a project's containers.

use corten_api::{event::Event, filters::Filters};
use corten_compose::labels;
use jiff::{Timestamp, tz::TimeZone};

use super::open::Open;
use crate::{
    cli::Cli,
    command::{Command, Flag},
    container::logs::point,
    error::Result,
    flags::Matches,
};

/// `compose events`.
pub(crate) static COMMAND: Command = Command::new("[OPTIONS] [SERVICE...]", "Show what happens to containers", events)
    .paths(&["compose events"])
    .flags(&[&[
        Flag::switch("dry-run", "Only show what would be done, which is all it does"),
        Flag::switch("json", "Write each event as a JSON object"),
        Flag::string("since", "Show events from this time on"),
        Flag::string("until", "Show events up to this time, then end"),
    ]]);

fn events(cli: &Cli, m: &Matches) -> Result<()> {
    let open = Open::by_name(cli, m)?;
    let mut filters = Filters::default();
    filters.add("label", format!("{}={}", labels::PROJECT, open.project.name));
    let (since, until) = (point(m, "since")?, point(m, "until")?);
    cli.wait(async {
        let mut stream = cli.client()?.events(&since, &until, &filters).await?;
        while let Some(event) = stream.next().await? {
            if let Some(text) = shown(&event, &m.args, m.on("json")) {
                cli.out(&text);
            }
        }
        Ok(())
    })
}

/// What is written of an event: nothing of other objects, of containers of `run`, and of other services.
fn shown(event: &Event, services: &[String], json: bool) -> Option<String> {
    let attributes = &event.actor.attributes;
    let label = |name: &str| attributes.get(name).map_or("", String::as_str);
    let service = label(labels::SERVICE);
    let asked = services.is_empty() || services.iter().any(|name| name == service);
    if event.kind != "container" || label(labels::ONE_OFF) == "True" || !asked {
        return None;
    }
    let own = attributes
        .iter()
        .filter(|(name, _)| !name.starts_with("com.docker.compose."));
    let (action, id) = (&event.action, &event.actor.id);
    let nanoseconds = match event.time_nano {
        0 => event.time.saturating_mul(1_000_000_000),
        nanoseconds => nanoseconds,
    };
    let time = Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or_default();
    let time = time.to_zoned(TimeZone::system());
    if json {
        let zone = time.strftime("%:z").to_string().replace("+00:00", "Z");
        let value = serde_json::json!({
            "action": action,
            "attributes": own.collect::<std::collections::BTreeMap<_, _>>(),
            "id": id,
            "service": service,
            "time": format!("{}{zone}", time.strftime("%Y-%m-%dT%H:%M:%S%.f")),
            "type": "container",
        });
        return Some(value.to_string());
    }
    let own: Vec<_> = own.map(|(name, value)| format!("{name}={value}")).collect();
    // Compose leaves an empty line after each.
    let time = time.strftime("%Y-%m-%d %H:%M:%S%.6f");
    Some(format!("{time} container {action} {id} ({})\n", own.join(", ")))
}
