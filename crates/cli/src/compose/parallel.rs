//! Images of many services: looked up, fetched and built at once, as far as `--parallel` allows.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use corten_api::image::Inspect;
use corten_compose::{Service, execute::Phase};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::{
    images::{Prepared, inspect},
    open::{Open, call},
};
use crate::{
    build,
    error::{Error, Result},
    image::pull,
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

/// Fetches the images of services; gives the failures, by service.
pub(super) fn fetch_all(
    open: &Open<'_>,
    services: Vec<(&String, &Service)>,
    quiet: bool,
) -> Result<Vec<(String, Error)>> {
    let limit = open.limit(services.len());
    // What several show at once nobody can read.
    let quiet = quiet || services.len() > 1 || !std::io::IsTerminal::is_terminal(&std::io::stderr());
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
        open.progress.tell_of(name, "Pulled", "", Phase::Done);
        Ok(None)
    });
    let failures = fetches.buffer_unordered(limit);
    open.cli.wait(
        failures
            .try_filter_map(|failure| async move { Ok(failure) })
            .try_collect(),
    )
}

/// Builds images: all at once but those that need each other. None is begun after a failure, which names what was
/// built and what was not.
pub(super) fn build_all(open: &Open<'_>, builds: Vec<Prepared>) -> Result<()> {
    let mut left: VecDeque<Prepared> = builds.into();
    let mut built = Vec::new();
    while !left.is_empty() {
        let waiting: Vec<_> = left.iter().map(|build| build.service.clone()).collect();
        let (wave, later): (Vec<_>, Vec<_>) = left
            .drain(..)
            .partition(|build| !build.needs.iter().any(|needed| waiting.contains(needed)));
        if wave.is_empty() {
            let names: Vec<_> = later.iter().map(|build| build.service.as_str()).collect();
            return Err(Error::new(format!(
                "services build upon each other: {}",
                names.join(", ")
            )));
        }
        left = later.into();
        let names: Vec<_> = wave.iter().chain(&left).map(|build| build.service.clone()).collect();
        let failed = build_wave(open, wave, &mut built);
        if let Some((service, error)) = failed {
            let others: Vec<_> = names
                .iter()
                .filter(|name| **name != service && !built.contains(*name))
                .collect();
            return Err(match names.len() + built.len() {
                1 => error,
                _ => explain(&service, error, &built, &others),
            });
        }
    }
    Ok(())
}

/// A failure among several builds.
fn explain(service: &str, error: Error, built: &[String], others: &[&String]) -> Error {
    let list = |names: Vec<&str>| match names.as_slice() {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    let (built, others) = (
        list(built.iter().map(String::as_str).collect()),
        list(others.iter().map(|name| name.as_str()).collect()),
    );
    Error {
        message: format!(
            "service {service:?} was not built: {}\nbuilt: {built}; not built: {others}; what ran before still runs",
            error.message
        ),
        ..error
    }
}

fn build_wave(open: &Open<'_>, wave: Vec<Prepared>, built: &mut Vec<String>) -> Option<(String, Error)> {
    let count = open.limit(wave.len());
    let tell = |build: &Prepared| open.progress.tell(&build.image, "Built", Phase::Done);
    open.progress.step_aside();
    if let [one] = wave.as_slice() {
        return match call(open.cli, &build::COMMAND, one.words.clone()) {
            Ok(()) => {
                tell(one);
                built.push(one.service.clone());
                None
            }
            Err(error) => Some((one.service.clone(), error)),
        };
    }
    let queue = Mutex::new(VecDeque::from(wave));
    let done = Mutex::new(Vec::new());
    let lock = |queue: &Mutex<VecDeque<Prepared>>| queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    std::thread::scope(|scope| {
        for _ in 0..count {
            // A command line waits for one thing at a time.
            let cli = open.cli.again();
            let (queue, done) = (&queue, &done);
            scope.spawn(move || {
                while let Some(build) = lock(queue) {
                    let mut words = vec!["--progress".to_owned(), "plain".to_owned()];
                    words.extend(build.words.iter().cloned());
                    let result = call(&cli, &build::COMMAND, words);
                    if result.is_err() {
                        queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
                    }
                    done.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((build, result));
                }
            });
        }
    });
    let mut failed = None;
    for (build, result) in done.into_inner().unwrap_or_else(PoisonError::into_inner) {
        match result {
            Ok(()) => {
                tell(&build);
                built.push(build.service);
            }
            Err(error) => failed = failed.or(Some((build.service, error))),
        }
    }
    built.sort();
    failed
}
