//! Images of many services: looked up and fetched at once, as far as `--parallel` allows.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use corten_api::image::Inspect;
use corten_compose::{Service, execute::Phase};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::{images::inspect, open::Open};
use crate::{
    error::{Error, Result},
    image::pull,
    interrupts,
    remote::named,
};

/// Looks images up by name.
pub(super) fn inspect_all(open: &Open<'_>, names: Vec<String>) -> Result<BTreeMap<String, Inspect>> {
    let limit = open.limit(names.len());
    let found = stream::iter(names).map(|name| async move { Ok((inspect(open, &name).await?, name)) });
    let found = found.buffer_unordered(limit);
    let found = found.try_filter_map(|(image, name)| async move { Ok(image.map(|image| (name, image))) });
    open.cli.wait(found.try_collect())
}

/// Fetches the images of services; gives the failures, by service. An interrupt ends it, and it is told what was done.
pub(super) fn fetch_all(
    open: &Open<'_>,
    services: Vec<(&String, &Service)>,
    quiet: bool,
) -> Result<Vec<(String, Error)>> {
    if services.is_empty() {
        return Ok(Vec::new());
    }
    open.cli.catch_interrupts()?;
    let limit = open.limit(services.len());
    // What several show at once nobody can read.
    let quiet = quiet || services.len() > 1 || !std::io::IsTerminal::is_terminal(&std::io::stderr());
    let left: RefCell<BTreeSet<&String>> = RefCell::new(services.iter().map(|(name, _)| *name).collect());
    let all = left.borrow().clone();
    let left = &left;
    let fetches = stream::iter(services).map(|(name, service)| async move {
        open.progress.tell_of(name, "Pulling", "", Phase::Working);
        if !open.is_dry() {
            let reference = named(&open.project.image_of(name))?;
            if !quiet {
                open.progress.step_aside();
            }
            if let Err(error) = pull::for_container(open.cli, &reference, &service.platform, quiet).await {
                open.progress.tell_of(name, "Error", "", Phase::Failed);
                return Ok(Some((name.clone(), error)));
            }
        }
        left.borrow_mut().remove(name);
        open.progress.tell_of(name, "Pulled", "", Phase::Done);
        Ok(None)
    });
    let failures = fetches.buffer_unordered(limit);
    let failures = failures.try_filter_map(|failure| async move { Ok(failure) });
    open.cli.wait(async {
        tokio::select! {
            result = failures.try_collect() => result,
            () = open.cli.interrupted() => {
                let left = left.borrow();
                let done = list(all.iter().filter(|name| !left.contains(**name)));
                let message = format!("interrupted\npulled: {done}; not pulled: {}", list(left.iter()));
                Err(Error::with_status(interrupts::STATUS, message))
            }
        }
    })
}

/// Names of services in a sentence.
pub(super) fn list<'a>(names: impl Iterator<Item = &'a &'a String>) -> String {
    let names: Vec<_> = names.map(|name| name.as_str()).collect();
    match names.as_slice() {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}
