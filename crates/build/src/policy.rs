//! Which records of the cache go: rules, as BuildKit has them (`builder.gc.policy` of `daemon.json`, the
//! flags of `builder prune`), and the order in which records go when there are too many bytes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use corten_oci::digest::Digest;
use jiff::Timestamp;

use crate::cache::CacheEntry;
use crate::filters::Filters;

/// What goes. All sizes 0: everything that fits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    /// Whether what images have goes too.
    pub all: bool,
    /// Which records may go.
    pub filters: Filters,
    /// Only what was not used for so long.
    pub unused_for: Option<Duration>,
    /// So many bytes may stay, whatever else is asked.
    pub reserved: u64,
    /// No more bytes than that stay; 0 for no such limit.
    pub most: u64,
    /// Bytes that shall be free on the disk.
    pub free: u64,
}

impl Rule {
    /// Whether it takes all that fits, however little that is.
    #[must_use]
    pub fn has_no_sizes(&self) -> bool {
        self.reserved == 0 && self.most == 0 && self.free == 0
    }

    /// How many bytes may stay, of so many, with so many free on the disk.
    fn kept(&self, bytes: u64, free: u64) -> u64 {
        let limit = match self.most {
            // Nothing but a reserve was named: it is the limit, too.
            0 if self.free == 0 => self.reserved,
            0 => u64::MAX,
            most => most,
        };
        let lacking = self.free.saturating_sub(free);
        let limit = match lacking {
            0 => limit,
            lacking => limit.min(bytes.saturating_sub(lacking)),
        };
        limit.max(self.reserved)
    }

    /// Whether a record may go.
    fn fits(&self, entry: &CacheEntry, now: Timestamp) -> bool {
        let age = now.duration_since(entry.used);
        let unused = self
            .unused_for
            .is_none_or(|limit| Duration::try_from(age).is_ok_and(|age| age >= limit));
        let facts = entry.facts();
        unused && !facts.in_use && (self.all || !facts.shared) && self.filters.accept(&facts)
    }

    /// The records that go, by their ids.
    pub(crate) fn choose(&self, entries: &[CacheEntry], free: u64, now: Timestamp) -> Vec<String> {
        let mut candidates: Vec<&CacheEntry> = entries.iter().filter(|entry| self.fits(entry, now)).collect();
        if self.has_no_sizes() {
            return candidates.into_iter().map(|entry| entry.id.clone()).collect();
        }
        let mut holders: HashMap<&Digest, usize> = HashMap::new();
        for layer in entries.iter().filter_map(|entry| entry.layer.as_ref()) {
            *holders.entry(layer).or_default() += 1;
        }
        let mut bytes = own_bytes(entries);
        let limit = self.kept(bytes, free);
        let costs = costs(entries);
        candidates.sort_by(|a, b| {
            let value = |entry: &CacheEntry| worth(entry, costs.get(&entry.id).copied().unwrap_or_default(), now);
            value(a).total_cmp(&value(b)).then_with(|| a.used.cmp(&b.used))
        });
        let mut gone = Vec::new();
        for entry in candidates {
            if bytes <= limit {
                break;
            }
            gone.push(entry.id.clone());
            // A layer is there as long as any record has it.
            let last = entry.layer.as_ref().is_none_or(|layer| {
                let holders = holders.entry(layer).or_default();
                *holders = holders.saturating_sub(1);
                *holders == 0
            });
            if last && !entry.shared {
                bytes = bytes.saturating_sub(entry.size);
            }
        }
        gone
    }
}

/// Bytes that the cache alone keeps; layers that several records have count once.
pub(crate) fn own_bytes(entries: &[CacheEntry]) -> u64 {
    let mut seen = HashSet::new();
    entries
        .iter()
        .filter(|entry| !entry.shared && entry.layer.as_ref().is_none_or(|layer| seen.insert(layer)))
        .map(|entry| entry.size)
        .sum()
}

/// What it costs to be without a record: its own time, and that of all that was done on top of it.
fn costs(entries: &[CacheEntry]) -> BTreeMap<String, Duration> {
    let mut above: HashMap<&Digest, Vec<&CacheEntry>> = HashMap::new();
    for entry in entries {
        if let Some(below) = &entry.below {
            above.entry(below).or_default().push(entry);
        }
    }
    entries
        .iter()
        .map(|entry| {
            let (mut cost, mut seen, mut open) = (Duration::ZERO, HashSet::new(), vec![entry]);
            while let Some(entry) = open.pop() {
                if !seen.insert(&entry.id) {
                    continue;
                }
                cost = cost.saturating_add(entry.took);
                open.extend(entry.layer.iter().filter_map(|layer| above.get(layer)).flatten());
            }
            (entry.id.clone(), cost)
        })
        .collect()
}

/// How much a record is worth for each byte that it takes: the time that it saves, less the longer it was not
/// used. What takes no room is worth most.
fn worth(entry: &CacheEntry, cost: Duration, now: Timestamp) -> f64 {
    /// Hours after which a record is worth half of what it was.
    const HALF: f64 = 24.0;
    /// What is done in no time takes a moment all the same.
    const MOMENT: f64 = 0.01;
    let age = Duration::try_from(now.duration_since(entry.used)).unwrap_or_default();
    let hours = age.as_secs_f64() / 3600.0;
    #[expect(clippy::cast_precision_loss, reason = "an order is made of it, no more")]
    let size = entry.size as f64;
    (cost.as_secs_f64() + MOMENT) / (1.0 + hours / HALF) / size
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::EntryKind;

    fn now() -> Timestamp {
        "2026-02-01T00:00:00Z".parse().unwrap()
    }

    /// A record of so many bytes, that took so many seconds and was last used so many hours ago.
    fn entry(id: &str, size: u64, took: u64, hours: i64) -> CacheEntry {
        CacheEntry {
            id: id.into(),
            kind: EntryKind::Step,
            description: String::new(),
            shared: false,
            in_use: false,
            size,
            layer: Some(Digest::sha256(id.as_bytes())),
            below: None,
            took: Duration::from_secs(took),
            created: String::new(),
            used: now() - jiff::SignedDuration::from_hours(hours),
            uses: 0,
        }
    }

    fn most(bytes: u64) -> Rule {
        Rule {
            most: bytes,
            ..Rule::default()
        }
    }

    #[test]
    fn what_is_old_big_and_cheap_goes_first() {
        let old = entry("old", 100, 10, 1000);
        let big = entry("big", 1000, 10, 1);
        let cheap = entry("cheap", 100, 0, 1);
        let dear = entry("dear", 100, 600, 1);
        let all = [dear.clone(), old, big, cheap];
        assert_eq!(most(1300).choose(&all, 0, now()), Vec::<String>::new());
        assert_eq!(most(1200).choose(&all, 0, now()), ["cheap"]);
        let order = most(1).choose(&all, 0, now());
        assert_eq!(order.last().map(String::as_str), Some("dear"), "{order:?}");
        assert!(order.iter().position(|id| id == "old") < order.iter().position(|id| id == "dear"));
    }

    #[test]
    fn what_others_stand_on_stays_longer() {
        let below = entry("below", 100, 1, 1);
        let mut above = entry("above", 100, 60, 1);
        above.below = below.layer.clone();
        let alone = entry("alone", 100, 30, 1);
        assert_eq!(
            most(100).choose(&[below, above.clone(), alone], 0, now()),
            ["alone", "above"]
        );
    }

    #[test]
    fn sizes_are_limits() {
        let rule = |reserved, most, free| Rule {
            reserved,
            most,
            free,
            ..Rule::default()
        };
        for (rule, kept) in [
            (rule(10, 0, 0), 10),
            (rule(0, 50, 0), 50),
            (rule(60, 50, 0), 60),
            (rule(0, 0, 30), 80),
            (rule(90, 0, 30), 90),
            (rule(0, 50, 200), 0),
            (rule(0, 0, 5), u64::MAX),
        ] {
            assert_eq!(rule.kept(100, 10), kept, "{rule:?}");
        }
    }

    #[test]
    fn images_layers_and_what_is_in_use_or_new_stay() {
        let mut shared = entry("shared", 10, 1, 100);
        shared.shared = true;
        let mut used = entry("used", 10, 1, 100);
        used.in_use = true;
        let all = [shared, used, entry("new", 10, 1, 1), entry("old", 10, 1, 100)];
        let rule = Rule {
            unused_for: Some(Duration::from_secs(48 * 3600)),
            ..Rule::default()
        };
        assert_eq!(rule.choose(&all, 0, now()), ["old"]);
        assert_eq!(Rule { all: true, ..rule }.choose(&all, 0, now()), ["shared", "old"]);
        let twins = [entry("a", 10, 1, 1), {
            let mut twin = entry("b", 10, 1, 2);
            twin.layer = Some(Digest::sha256(b"a"));
            twin
        }];
        assert_eq!(own_bytes(&twins), 10, "one layer");
        assert_eq!(most(5).choose(&twins, 0, now()).len(), 2);
    }
}
