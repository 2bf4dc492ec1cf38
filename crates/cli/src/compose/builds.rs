//! Builds of several services: each begins when those that it takes files of are done, as far as `--parallel` allows.

use std::{collections::BTreeSet, thread};

use corten_compose::execute::Phase;
use tokio::sync::{mpsc, watch};

use super::{
    images::Prepared,
    open::{Open, call},
};
use crate::{
    build,
    error::{Error, Result},
    interrupts,
};

/// Builds images. None is begun after a failure or when the user has had enough; then it is told what was built and
/// what was not.
pub(super) fn build_all(open: &Open<'_>, builds: Vec<Prepared>) -> Result<()> {
    if builds.is_empty() {
        return Ok(());
    }
    open.cli.catch_interrupts()?;
    open.progress.step_aside();
    let limit = open.limit(builds.len());
    open.cli.wait(work(open, Queue::new(builds, limit)))
}

async fn work(open: &Open<'_>, mut queue: Queue) -> Result<()> {
    let alone = queue.count == 1;
    let (sender, mut results) = mpsc::unbounded_channel();
    let (stop, stopped) = watch::channel(false);
    loop {
        while let Some(build) = queue.next() {
            let words = words(build, alone);
            let service = build.service.clone();
            // A command line waits for one thing at a time.
            let (cli, sender) = (open.cli.again(stopped.clone()), sender.clone());
            thread::spawn(move || {
                let result = call(&cli, &build::COMMAND, words);
                // Nobody wants to know after a second interrupt.
                let _ = sender.send((service, result));
            });
        }
        if queue.running.is_empty() {
            return queue.end();
        }
        tokio::select! {
            Some((service, result)) = results.recv() => {
                if let Some(image) = queue.note(&service, result) {
                    open.progress.tell(&image, "Built", Phase::Done);
                }
            }
            () = open.cli.interrupted() => {
                if queue.is_stopped {
                    return queue.end();
                }
                queue.is_stopped = true;
                // Each of them listens.
                let _ = stop.send(true);
            }
        }
    }
}

/// What the command `build` is told. What several show at once is shown line by line.
fn words(build: &Prepared, alone: bool) -> Vec<String> {
    let mut words = match alone {
        true => Vec::new(),
        false => vec!["--progress".to_owned(), "plain".to_owned()],
    };
    words.extend(build.words.iter().cloned());
    words
}

/// How far builds are.
struct Queue {
    /// How many there are.
    count: usize,
    /// How many at once.
    limit: usize,
    waiting: Vec<Prepared>,
    running: Vec<Prepared>,
    /// Whose images were built.
    built: BTreeSet<String>,
    /// Which failed, and why.
    failed: Vec<(String, Error)>,
    /// Whether the user has had enough.
    is_stopped: bool,
    /// Whose builds were cut off.
    cut_off: BTreeSet<String>,
}

impl Queue {
    fn new(builds: Vec<Prepared>, limit: usize) -> Self {
        Self {
            count: builds.len(),
            limit,
            waiting: builds,
            running: Vec::new(),
            built: BTreeSet::new(),
            failed: Vec::new(),
            is_stopped: false,
            cut_off: BTreeSet::new(),
        }
    }

    /// The next build that may begin, which then runs.
    fn next(&mut self) -> Option<&Prepared> {
        if !self.failed.is_empty() || self.is_stopped || self.running.len() >= self.limit {
            return None;
        }
        let missing: BTreeSet<_> = self.waiting.iter().chain(&self.running).map(|b| &b.service).collect();
        let is_ready = |build: &Prepared| !build.needs.iter().any(|needed| missing.contains(needed));
        let index = self.waiting.iter().position(is_ready)?;
        let build = self.waiting.remove(index);
        self.running.push(build);
        self.running.last()
    }

    /// Notes how a build ended; gives the image that there is now.
    fn note(&mut self, service: &str, result: Result<()>) -> Option<String> {
        let index = self.running.iter().position(|build| build.service == service)?;
        let build = self.running.remove(index);
        match result {
            Ok(()) => {
                self.built.insert(service.to_owned());
                return Some(build.image);
            }
            Err(_) if self.is_stopped => {
                self.cut_off.insert(service.to_owned());
            }
            Err(error) => self.failed.push((service.to_owned(), error)),
        }
        None
    }

    /// What there is to say when no more is begun.
    fn end(mut self) -> Result<()> {
        let running = self.running.iter().map(|build| build.service.clone());
        self.cut_off.extend(running);
        let waiting: BTreeSet<_> = self.waiting.iter().map(|build| build.service.clone()).collect();
        let (built, others) = (list(&self.built), list(&waiting));
        if self.is_stopped {
            let cut_off = list(&self.cut_off);
            return Err(Error::with_status(
                interrupts::STATUS,
                format!(
                    "interrupted\nbuilt: {built}; cut off: {cut_off}; not built: {others}; what ran before still runs"
                ),
            ));
        }
        match self.failed.as_slice() {
            [] if waiting.is_empty() => Ok(()),
            [] => Err(Error::new(format!("services build upon each other: {others}"))),
            [(_, error)] if self.count == 1 => Err(error.clone()),
            [(_, first), ..] => {
                let lines = self.failed.iter();
                let lines =
                    lines.map(|(service, error)| format!("service {service:?} was not built: {}\n", error.message));
                let lines: String = lines.collect();
                let message = format!("{lines}built: {built}; not built: {others}; what ran before still runs");
                Err(Error::with_status(first.status, message))
            }
        }
    }
}

fn list(names: &BTreeSet<String>) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(builds: &[(&str, &[&str])], limit: usize) -> Queue {
        let builds = builds.iter().map(|(service, needs)| Prepared::bare(service, needs));
        Queue::new(builds.collect(), limit)
    }

    /// The builds that begin now.
    fn begun(queue: &mut Queue) -> Vec<String> {
        std::iter::from_fn(|| queue.next().map(|build| build.service.clone())).collect()
    }

    #[test]
    fn a_build_begins_when_those_that_it_needs_are_done() {
        let mut queue = queue(
            &[
                ("slow", &[]),
                ("base", &[]),
                ("web", &["base"]),
                ("late", &["web", "slow"]),
            ],
            9,
        );
        assert_eq!(begun(&mut queue), ["slow", "base"]);
        assert_eq!(queue.note("base", Ok(())).as_deref(), Some("shop-base"));
        assert_eq!(begun(&mut queue), ["web"]);
        queue.note("web", Ok(()));
        assert!(begun(&mut queue).is_empty());
        queue.note("slow", Ok(()));
        assert_eq!(begun(&mut queue), ["late"]);
        queue.note("late", Ok(()));
        assert_eq!(queue.end(), Ok(()));
    }

    #[test]
    fn no_more_than_the_limit_go_on_at_once() {
        let mut queue = queue(&[("a", &[]), ("b", &[]), ("c", &["elsewhere"])], 1);
        assert_eq!(begun(&mut queue), ["a"]);
        queue.note("a", Ok(()));
        assert_eq!(begun(&mut queue), ["b"]);
    }

    #[test]
    fn what_was_built_and_what_was_not_is_told() {
        let mut failing = queue(&[("a", &[]), ("b", &[]), ("c", &["b"])], 9);
        begun(&mut failing);
        failing.note("a", Ok(()));
        failing.note("b", Err(Error::with_status(3, "no")));
        assert!(begun(&mut failing).is_empty());
        let told = "service \"b\" was not built: no\nbuilt: a; not built: c; what ran before still runs";
        assert_eq!(failing.end(), Err(Error::with_status(3, told)));

        let mut stopped = queue(&[("a", &[]), ("b", &[]), ("c", &[])], 2);
        begun(&mut stopped);
        stopped.is_stopped = true;
        stopped.note("a", Err(Error::silent(130)));
        assert!(begun(&mut stopped).is_empty());
        let told = "interrupted\nbuilt: none; cut off: a, b; not built: c; what ran before still runs";
        assert_eq!(stopped.end(), Err(Error::with_status(130, told)));

        let circle = queue(&[("a", &["b"]), ("b", &["a"])], 9).end();
        assert_eq!(circle, Err(Error::new("services build upon each other: a, b")));
    }
}
