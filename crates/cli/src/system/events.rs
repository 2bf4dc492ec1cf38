//! `events`.

use corten_api::event::Event;
use jiff::{Timestamp, tz::TimeZone};

use corten_template::{Json, Missing, Mode, Template};

use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    container::logs::point,
    error::{Error, Result},
    flags::Matches,
    opts::filter,
    schema,
};

/// `events`.
pub(crate) static COMMAND: Command = Command::new("[OPTIONS]", "Show what happens, as it happens", events)
    .paths(&["system events", "events"])
    .arity(Arity::None)
    .flags(&[&[
        Flag::filter("Show only what fits the condition").short('f'),
        Flag::string(
            "format",
            "How to write an event:\n'json':             As JSON\n'TEMPLATE':         By a Go template",
        ),
        Flag::string("since", "Show events from this time on"),
        Flag::string("until", "Show events up to this time, then end"),
    ]]);

fn events(cli: &Cli, m: &Matches) -> Result<()> {
    let template = match m.get("format") {
        "" | "json" => None,
        text => Some(Template::parse(text).map_err(|e| Error::with_status(64, format!("Error parsing format: {e}")))?),
    };
    let json = m.get("format") == "json";
    let filters = filter::parse(&m.all("filter"));
    let (since, until) = (point(m, "since")?, point(m, "until")?);
    cli.wait(async {
        let mut stream = cli.client()?.events(&since, &until, &filters).await?;
        while let Some((event, text)) = stream.next_with_text().await? {
            let line = match &template {
                _ if json => String::from_utf8_lossy(&text).trim().to_owned(),
                Some(template) => {
                    let value = schema::EVENT.value(&Json::parse(&text).map_err(Error::new)?);
                    template
                        .execute(&value, Missing::NoValue, Mode::Rows)
                        .map_err(Error::new)?
                }
                None => line(&event),
            };
            cli.out(&line);
        }
        Ok(())
    })
}

/// `2026-11-22T00:35:41.008612602Z volume create name (driver=local)`.
fn line(event: &Event) -> String {
    let nanoseconds = if event.time_nano == 0 {
        event.time.saturating_mul(1_000_000_000)
    } else {
        event.time_nano
    };
    let time = Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or_default();
    let zoned = time.to_zoned(TimeZone::system());
    let zone = zoned.strftime("%:z").to_string().replace("+00:00", "Z");
    let mut line = format!(
        "{}{zone} {} {} {}",
        zoned.strftime("%Y-%m-%dT%H:%M:%S.%9f"),
        event.kind,
        event.action,
        event.actor.id
    );
    let attributes: Vec<_> = event.actor.attributes.iter().map(|(k, v)| format!("{k}={v}")).collect();
    if !attributes.is_empty() {
        line.push_str(&format!(" ({})", attributes.join(", ")));
    }
    line
}
