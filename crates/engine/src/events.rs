//! Events: what happened to which object, for whoever listens (Docker API, `GET /events`).
//!
//! The last events are kept in memory, so that a listener may ask for what was before it came.
//! Sending never waits: a listener that does not keep up loses the oldest events.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use corten_api::{
    event::{Actor, Event},
    filters::Filters,
    time::Time,
};
use tokio::sync::broadcast;

use crate::error::Result;

/// How many events are kept for listeners that come later; Docker keeps as many.
const KEPT: usize = 256;

/// How many events a listener may be behind.
const BEHIND: usize = 1024;

/// Where events are sent and heard.
#[derive(Debug, Clone)]
pub struct Events(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Guards the kept events, and the order of keeping and sending.
    kept: Mutex<VecDeque<Arc<Event>>>,
    /// All events there ever were.
    count: AtomicU64,
    sender: broadcast::Sender<Arc<Event>>,
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

impl Events {
    /// An empty history without listeners.
    pub fn new() -> Self {
        let (sender, _) = broadcast::channel(BEHIND);
        Self(Arc::new(Inner {
            kept: Mutex::new(VecDeque::with_capacity(KEPT)),
            count: AtomicU64::new(0),
            sender,
        }))
    }

    /// Tells what happened to an object of kind `container`, `image`, `volume`, `network` or `daemon`.
    pub fn emit(&self, kind: &'static str, action: impl Into<String>, id: &str, attributes: BTreeMap<String, String>) {
        self.0.count.fetch_add(1, Ordering::Relaxed);
        let mut kept = self.kept();
        let event = Arc::new(new_event(kind, action.into(), id, attributes, Time::now()));
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(Arc::clone(&event));
        // Nobody listening is no error.
        let _ = self.0.sender.send(event);
    }

    /// Starts to listen: first to the kept events, if `since` or `until` is given, then to what
    /// happens until `until`.
    ///
    /// # Errors
    /// None at present; unknown filters are accepted, as Docker accepts them.
    pub fn subscribe(&self, since: Option<Time>, until: Option<Time>, filters: Filters) -> Result<Subscription> {
        let kept = self.kept();
        let live = self.0.sender.subscribe();
        let wanted = |event: &&Arc<Event>| {
            since.is_none_or(|since| event.time_nano >= since.nanoseconds())
                && until.is_none_or(|until| event.time_nano <= until.nanoseconds())
                && matches(event, &filters)
        };
        let past = match (since, until) {
            (None, None) => VecDeque::new(),
            _ => kept.iter().filter(wanted).cloned().collect(),
        };
        drop(kept);
        let deadline = until.map(|until| {
            let left = until.nanoseconds().saturating_sub(Time::now().nanoseconds());
            tokio::time::Instant::now() + Duration::from_nanos(u64::try_from(left).unwrap_or(0))
        });
        Ok(Subscription {
            past,
            live,
            deadline,
            filters,
        })
    }

    /// How many events there were since the engine started.
    pub fn count(&self) -> u64 {
        self.0.count.load(Ordering::Relaxed)
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.0.sender.receiver_count()
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Arc<Event>>> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A listener.
#[derive(Debug)]
pub struct Subscription {
    past: VecDeque<Arc<Event>>,
    live: broadcast::Receiver<Arc<Event>>,
    deadline: Option<tokio::time::Instant>,
    filters: Filters,
}

impl Subscription {
    /// The next event; none after the end that was asked for.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        if let Some(event) = self.past.pop_front() {
            return Some(event);
        }
        loop {
            let received = match self.deadline {
                Some(deadline) => tokio::time::timeout_at(deadline, self.live.recv()).await.ok()?,
                None => self.live.recv().await,
            };
            match received {
                Ok(event) if matches(&event, &self.filters) => return Some(event),
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(lost)) => {
                    tracing::warn!(lost, "a listener to events does not keep up and lost some");
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

fn new_event(kind: &str, action: String, id: &str, attributes: BTreeMap<String, String>, now: Time) -> Event {
    // Keys from before API 1.22, which Docker still writes for containers and images.
    let legacy = matches!(kind, "container" | "image");
    Event {
        status: if legacy { action.clone() } else { String::new() },
        id: if legacy { id.to_owned() } else { String::new() },
        from: match (kind, attributes.get("image")) {
            ("container", Some(image)) => image.clone(),
            _ => String::new(),
        },
        kind: kind.to_owned(),
        action,
        actor: Actor {
            id: id.to_owned(),
            attributes,
        },
        scope: "local".to_owned(),
        time: now.seconds(),
        time_nano: now.nanoseconds(),
    }
}

/// Kinds of object that can be filtered by name or id, as the filter's name and the event's kind.
const BY_NAME: [&str; 9] = [
    "container",
    "volume",
    "network",
    "daemon",
    "plugin",
    "service",
    "node",
    "secret",
    "config",
];

/// Whether an event passes filters (Docker API, `GET /events`, `filters`).
fn matches(event: &Event, filters: &Filters) -> bool {
    filters.exact("type", &event.kind)
        && filters.exact("scope", &event.scope)
        && filters.any("event", |wanted| is_action(&event.action, wanted))
        && filters.labels(&event.actor.attributes)
        && (!filters.has("image") || is_image(event, filters))
        && BY_NAME
            .iter()
            .all(|kind| !filters.has(kind) || is_object(event, kind, filters))
}

/// `exec_start` stands for `exec_start: sh -c …`, too.
fn is_action(action: &str, wanted: &str) -> bool {
    action == wanted || action.split_once(": ").is_some_and(|(verb, _)| verb == wanted)
}

fn is_object(event: &Event, kind: &str, filters: &Filters) -> bool {
    let name = event.actor.attributes.get("name").map_or("", String::as_str);
    event.kind == kind
        && filters.any(kind, |wanted| {
            event.actor.id.starts_with(wanted) || name.starts_with(wanted)
        })
}

fn is_image(event: &Event, filters: &Filters) -> bool {
    let attribute = if event.kind == "image" { "name" } else { "image" };
    let name = event.actor.attributes.get(attribute).map_or("", String::as_str);
    filters.any("image", |wanted| {
        [event.actor.id.as_str(), name]
            .iter()
            .any(|have| *have == wanted || without_tag(have) == wanted)
    })
}

fn without_tag(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(list: &[(&str, &str)]) -> BTreeMap<String, String> {
        list.iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn filters_as_docker() {
        let container = new_event(
            "container",
            "exec_start: sh -c true".to_owned(),
            "0123abcd",
            attributes(&[("image", "busybox:1"), ("name", "web"), ("a", "b")]),
            Time::now(),
        );
        let check = |json: &str, expected: bool| {
            assert_eq!(matches(&container, &Filters::parse(json).unwrap()), expected, "{json}");
        };
        check("{}", true);
        check(r#"{"nosuch":["1"]}"#, true);
        check(r#"{"type":["container","image"]}"#, true);
        check(r#"{"type":["image"]}"#, false);
        check(r#"{"event":["exec_start"]}"#, true);
        check(r#"{"event":["exec"]}"#, false);
        check(r#"{"container":["0123"]}"#, true);
        check(r#"{"container":["web"]}"#, true);
        check(r#"{"container":["db"]}"#, false);
        check(r#"{"network":["web"]}"#, false);
        check(r#"{"image":["busybox"]}"#, true);
        check(r#"{"image":["busybox:1"]}"#, true);
        check(r#"{"image":["busybox:2"]}"#, false);
        check(r#"{"label":["a=b"]}"#, true);
        check(r#"{"label":["a=c"]}"#, false);
    }

    #[test]
    fn legacy_keys_are_for_containers_and_images() {
        let event = |kind| {
            new_event(
                kind,
                "create".to_owned(),
                "x",
                attributes(&[("image", "i")]),
                Time::now(),
            )
        };
        assert_eq!(
            (event("container").status.as_str(), event("container").from.as_str()),
            ("create", "i")
        );
        assert_eq!((event("image").id.as_str(), event("image").from.as_str()), ("x", ""));
        assert_eq!((event("volume").id.as_str(), event("volume").status.as_str()), ("", ""));
    }

    #[tokio::test]
    async fn replays_then_follows_then_ends() {
        let events = Events::new();
        for n in 0..KEPT + 3 {
            events.emit("volume", "create", &n.to_string(), BTreeMap::new());
        }
        let mut past = events.subscribe(None, Some(Time::now()), Filters::default()).unwrap();
        let mut ids = Vec::new();
        while let Some(event) = past.next().await {
            ids.push(event.actor.id.clone());
        }
        assert_eq!((ids.len(), ids[0].as_str()), (KEPT, "3"));

        let mut live = events
            .subscribe(None, None, Filters::parse(r#"{"volume":["x"]}"#).unwrap())
            .unwrap();
        events.emit("volume", "create", "y", BTreeMap::new());
        events.emit("volume", "create", "x", BTreeMap::new());
        assert_eq!(live.next().await.unwrap().actor.id, "x");
        assert_eq!(events.listeners(), 2);
        drop((live, past));
        assert_eq!(events.listeners(), 0);
    }
}
