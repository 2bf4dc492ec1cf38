//! `compose diff`: what of a project is not as its files say.

use corten_compose::{
    Place,
    compare::{self, Change, Found, Images, shown},
    plan::{Observed, Plan},
};
use futures_util::future::try_join_all;

use super::{
    images,
    open::{Keep, Open},
};
use crate::{
    cli::Cli,
    command::{Command, Flag},
    error::{Error, Result},
    flags::Matches,
};

/// `compose diff`.
pub(crate) static COMMAND: Command = Command::new(
    "[OPTIONS] [SERVICE...]",
    "Show what runs differs from the project's files in; ends with 1 when there is something",
    diff,
)
.paths(&["compose diff"])
.flags(&[&[Flag::string("format", "How to show it (\"text\"|\"json\")").default("text")]]);

/// The exit status when something differs.
const DIFFERS: u8 = 1;

fn diff(cli: &Cli, m: &Matches) -> Result<()> {
    let json = match m.get("format") {
        "text" => false,
        "json" => true,
        other => return Err(Error::new(format!("unsupported --format value {other:?}"))),
    };
    let mut open = Open::new(cli, m, Keep::All)?;
    open.check_services(&m.args)?;
    images::foresee(&mut open)?;
    let changes = cli.wait(async {
        let observed = open.observe().await?;
        let containers = observed.containers.iter().map(|container| container.id.clone());
        let found = find(&open, containers.collect()).await?;
        Ok(compare::project(&open.project, &observed, &found, &m.args)?)
    })?;
    if json {
        let list: Vec<_> = changes.iter().map(as_json).collect();
        cli.out(&serde_json::Value::from(list).to_string());
    } else {
        changes.iter().for_each(|change| cli.out(&line(change)));
    }
    match changes.is_empty() {
        true => Ok(()),
        false => Err(Error::silent(DIFFERS)),
    }
}

/// Says in a plan which lines of the files are why containers are made anew.
pub(super) async fn explain(open: &Open<'_>, observed: &Observed, plan: &mut Plan) -> Result<()> {
    let ids = compare::unexplained(plan);
    if ids.is_empty() {
        return Ok(());
    }
    let found = find(open, ids).await?;
    Ok(compare::explain(&open.project, observed, &found, plan)?)
}

/// Asks for containers and for the images of all services, at once.
async fn find(open: &Open<'_>, ids: Vec<String>) -> Result<Found> {
    let client = open.cli.client()?;
    let containers = ids.into_iter().map(|id| async move {
        match client.inspect_container(&id, false).await {
            Ok(bytes) => decode(&bytes).map(|inspect| Some((id, inspect))),
            // It may have gone meanwhile.
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    });
    let images = open.project.services.keys().map(|name| async move {
        let image = open.project.image_of(name);
        match client.inspect_image(&image, "").await {
            Ok(bytes) => decode(&bytes).map(|inspect| Some((name.clone(), inspect))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    });
    let (containers, images) = futures_util::future::try_join(try_join_all(containers), try_join_all(images)).await?;
    Ok(Found {
        containers: containers.into_iter().flatten().collect(),
        images: images.into_iter().flatten().collect::<Images>(),
    })
}

fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    corten_api::decode(bytes).map_err(|error| Error::new(format!("cannot read the engine's answer: {error}")))
}

/// `~ container shop-web-1: environment.DEBUG is "1", wanted "2" (compose.yaml:7)`.
fn line(change: &Change) -> String {
    let at = |place: &Option<Place>| {
        let place = place
            .as_ref()
            .map(|place| format!(" ({}:{})", shown(place), place.line));
        place.unwrap_or_default()
    };
    match change {
        Change::Missing { kind, name, place } => format!("+ {kind} {name}{}", at(place)),
        Change::Extra { kind, name } => format!("- {kind} {name}"),
        Change::Differs {
            kind,
            name,
            difference,
            place,
        } => {
            let value = |value: &Option<String>| match value {
                Some(text) if text.starts_with(['[', '{']) => text.clone(),
                Some(text) => crate::opts::quote(text),
                None => "nothing".to_owned(),
            };
            let (is, wanted) = (value(&difference.is), value(&difference.wanted));
            format!(
                "~ {kind} {name}: {} is {is}, wanted {wanted}{}",
                difference.attribute(),
                at(place)
            )
        }
    }
}

fn as_json(change: &Change) -> serde_json::Value {
    let mut value = match change {
        Change::Missing { kind, name, .. } => {
            serde_json::json!({"Kind": kind, "Name": name, "Change": "missing"})
        }
        Change::Extra { kind, name } => serde_json::json!({"Kind": kind, "Name": name, "Change": "extra"}),
        Change::Differs {
            kind, name, difference, ..
        } => serde_json::json!({
            "Kind": kind,
            "Name": name,
            "Change": "changed",
            "Attribute": difference.attribute(),
            "Is": difference.is,
            "Wanted": difference.wanted,
        }),
    };
    if let Change::Missing { place: Some(place), .. } | Change::Differs { place: Some(place), .. } = change {
        value["File"] = place.file.display().to_string().into();
        value["Line"] = place.line.into();
    }
    value
}
