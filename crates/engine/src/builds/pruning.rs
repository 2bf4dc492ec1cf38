//! Keeping the cache of builds small: what a request to prune says, and the rules that hold by themselves.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use corten_api::{filters::Filters, time::Time};
use corten_build::{Filters as Conditions, Rule};

use super::{Builds, CachePruned, converted};
use crate::{
    error::{Error, Result, blocking},
    time_filter,
};

/// Bytes that stay whatever else is asked, unless told otherwise.
const RESERVED: u64 = 2 << 30;
/// Bytes that the cache may take, unless told otherwise.
const MOST: u64 = 20 << 30;
/// What a client's copies, repositories and cache mounts may take together before those not used for
/// [`SHORT`] go.
const MOUNTS: u64 = 512 << 20;
const SHORT: Duration = Duration::from_hours(48);
const LONG: Duration = Duration::from_hours(60 * 24);

/// What keeps the cache small by itself (`builder.gc` of `daemon.json`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheRules {
    /// Nothing does.
    Off,
    /// The usual rules; with the sizes of this one, if it names any.
    Usual(Rule),
    /// These, one after the other.
    Own(Vec<Rule>),
}

impl Default for CacheRules {
    fn default() -> Self {
        Self::Usual(Rule::default())
    }
}

/// How long what builds told is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryRules {
    /// So many are kept, besides those that are pinned.
    pub most: usize,
    /// No older ones are; there is no bound when that is none.
    pub age: Option<Duration>,
}

impl Default for HistoryRules {
    fn default() -> Self {
        // BuildKit's number.
        Self { most: 50, age: None }
    }
}

impl CacheRules {
    /// The rules, for a cache that lies in a folder.
    pub(super) fn rules(&self, folder: &Path) -> Vec<Rule> {
        let sizes = match self {
            Self::Off => return Vec::new(),
            Self::Own(rules) => return rules.clone(),
            Self::Usual(sizes) if sizes.has_no_sizes() => Rule {
                reserved: RESERVED,
                most: MOST,
                free: tenth_of_disk(folder),
                ..Rule::default()
            },
            Self::Usual(sizes) => sizes.clone(),
        };
        let mounts = Conditions::read(["type==exec.cachemount"]).unwrap_or_default();
        vec![
            Rule {
                filters: mounts,
                unused_for: Some(SHORT),
                most: MOUNTS,
                ..Rule::default()
            },
            Rule {
                unused_for: Some(LONG),
                ..sizes.clone()
            },
            sizes.clone(),
            Rule { all: true, ..sizes },
        ]
    }
}

fn tenth_of_disk(folder: &Path) -> u64 {
    let found = rustix::fs::statvfs(folder);
    found.map_or(0, |found| (found.f_blocks / 10).saturating_mul(found.f_frsize))
}

/// The rule that a request to prune is: filters in Docker's words (`until`, `unused-for`, and of records `id`,
/// `type`, `description`, `inuse`, `shared`, `private`), and sizes.
///
/// # Errors
/// `Invalid` for an unknown filter, several values of one, or a bad time.
pub fn rule(filters: &Filters, sizes: Rule) -> Result<Rule> {
    let known: Vec<&str> = Conditions::FIELDS.into_iter().chain(["until", "unused-for"]).collect();
    filters.accept(&known)?;
    let mut conditions = Vec::new();
    for field in Conditions::FIELDS {
        let values: Vec<&str> = filters.values(field).collect();
        match values[..] {
            [] => {}
            [""] => conditions.push(field.to_owned()),
            [value] if field == "id" => conditions.push(format!("id~={value}")),
            [value] => conditions.push(format!("{field}=={value}")),
            _ => return Err(Error::invalid(format!("filters expect only one value: {field}"))),
        }
    }
    let conditions = Conditions::read([conditions.join(",")]).map_err(|error| Error::invalid(error.to_string()))?;
    Ok(Rule {
        filters: conditions,
        unused_for: unused_for(filters)?,
        ..sizes
    })
}

/// How long what goes was not used: `until`, or its newer name.
fn unused_for(filters: &Filters) -> Result<Option<Duration>> {
    let mut given = Filters::default();
    for value in filters.values("until").chain(filters.values("unused-for")) {
        given.add("until", value);
    }
    let now = Time::now().nanoseconds();
    let time = time_filter::until(&given)?.map(Time::nanoseconds);
    let ago = time.map(|time| u64::try_from(now.saturating_sub(time)).unwrap_or(0));
    Ok(ago.map(Duration::from_nanos))
}

impl Builds {
    /// Forgets what a rule says.
    ///
    /// # Errors
    /// When the data root cannot be written.
    pub async fn prune(&self, rule: Rule) -> Result<CachePruned> {
        let inner = Arc::clone(&self.0);
        let pruned = blocking(move || inner.cache.prune(&rule).map_err(|error| converted(&error))).await?;
        let attributes = BTreeMap::from([("reclaimed".to_owned(), pruned.bytes.to_string())]);
        self.0.events.emit("builder", "prune", "", attributes);
        Ok(CachePruned {
            ids: pruned.ids,
            bytes: pruned.bytes,
        })
    }

    /// Keeps the cache in its bounds, after a build.
    pub(super) fn trim(&self) {
        for rule in self.0.settings.build_cache.rules(&self.0.settings.data_root) {
            if let Err(error) = self.0.cache.prune(&rule) {
                tracing::warn!(%error, "cannot trim the build cache");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_rules() {
        let mut filters = Filters::default();
        filters.add("type", "regular");
        filters.add("private", "");
        filters.add("until", "24h");
        let read = rule(&filters, Rule::default()).unwrap();
        assert_eq!(read.filters, Conditions::read(["type==regular,private"]).unwrap());
        assert!(read.has_no_sizes());
        assert!(
            read.unused_for
                .is_some_and(|time| time.abs_diff(Duration::from_hours(24)) < Duration::from_secs(60))
        );
        filters.add("unused-for", "12h");
        assert!(rule(&filters, Rule::default()).is_err(), "two times");
        for (name, value) in [("nosuch", "1"), ("until", "x")] {
            let mut filters = Filters::default();
            filters.add(name, value);
            assert!(rule(&filters, Rule::default()).is_err(), "{name}");
        }
    }

    #[test]
    fn the_usual_rules_keep_sizes() {
        let folder = Path::new("/");
        assert!(CacheRules::Off.rules(folder).is_empty());
        let usual = CacheRules::default().rules(folder);
        assert!(usual.iter().all(|rule| rule.most > 0) && usual.last().is_some_and(|rule| rule.all));
        let own = CacheRules::Usual(Rule {
            reserved: 5,
            ..Rule::default()
        });
        let rules = own.rules(folder);
        assert_eq!((rules[2].reserved, rules[2].most, rules[2].free), (5, 0, 0));
    }
}
