//! Retention: which tags go by themselves, and which manifests that no tag leads to.

use std::collections::{HashMap, HashSet};
use std::io;

use corten_oci::digest::Digest;

use super::{Options, Report};
use crate::config::Retention;
use crate::name::{Name, Tag};
use crate::store::{Store, seconds};

/// A tag's name and its age in seconds.
type Aged = (Tag, u64);

/// The tags that go. The first rule that fits a tag decides about it.
fn outdated(rules: &[Retention], repository: &str, tags: Vec<Aged>) -> Vec<Tag> {
    let rules: Vec<&Retention> = rules
        .iter()
        .filter(|rule| rule.repositories.matches(repository))
        .collect();
    let mut groups: HashMap<usize, Vec<Aged>> = HashMap::new();
    for (tag, age) in tags {
        let rule = rules
            .iter()
            .position(|rule| rule.tags.matches(tag.as_str()) && (rule.keep_last.is_some() || rule.keep_for.is_some()));
        if let Some(rule) = rule {
            groups.entry(rule).or_default().push((tag, age));
        }
    }
    let mut going = Vec::new();
    for (rule, mut tags) in groups {
        let (last, time) = (rules[rule].keep_last, rules[rule].keep_for);
        // The youngest first; of those of one moment, the greatest.
        tags.sort_by(|(a, young), (b, old)| young.cmp(old).then_with(|| b.cmp(a)));
        for (place, (tag, age)) in tags.into_iter().enumerate() {
            let is_among_last = last.is_some_and(|last| place < last);
            let is_young = time.is_some_and(|time| age < time.0.as_secs());
            if !is_among_last && !is_young {
                going.push(tag);
            }
        }
    }
    going.sort();
    going
}

/// Removes a repository's tags and manifests that the rules do not keep.
pub(super) fn apply(store: &Store, name: &Name, options: &Options, report: &mut Report) -> io::Result<()> {
    if !options
        .retention
        .iter()
        .any(|rule| rule.repositories.matches(name.as_str()))
    {
        return Ok(());
    }
    let _guard = store.lock_repository(name);
    let tags = store.tag_records(name)?;
    let aged = tags.iter().map(|(tag, record)| (tag.clone(), seconds(record.pushed)));
    let going = outdated(&options.retention, name.as_str(), aged.collect());
    for tag in &going {
        tracing::info!(repository = %name, %tag, dry_run = options.dry_run, "a tag is too old");
        if !options.dry_run {
            store.remove_tag(name, tag)?;
        }
        report.tags += 1;
    }
    let untagged = options
        .retention
        .iter()
        .find(|rule| rule.repositories.matches(name.as_str()) && rule.untagged_for.is_some());
    let Some(time) = untagged.and_then(|rule| rule.untagged_for) else {
        return Ok(());
    };
    let roots = tags.into_iter().filter(|(tag, _)| !going.contains(tag));
    let kept = reachable(store, name, roots.map(|(_, record)| record.digest).collect())?;
    for digest in store.manifests(name)? {
        let Some(record) = store.record(name, &digest)?.filter(|_| !kept.contains(&digest)) else {
            continue;
        };
        if seconds(record.pushed) < time.0.as_secs() {
            continue;
        }
        tracing::info!(repository = %name, %digest, dry_run = options.dry_run, "no tag leads to a manifest");
        if !options.dry_run {
            store.remove_manifest(name, &digest)?;
        }
        report.manifests += 1;
    }
    Ok(())
}

/// What tags lead to: manifests, those that an index lists, and those that are about them.
fn reachable(store: &Store, name: &Name, mut next: Vec<Digest>) -> io::Result<HashSet<Digest>> {
    let mut found = HashSet::new();
    while let Some(digest) = next.pop() {
        if !found.insert(digest.clone()) {
            continue;
        }
        if let Some(document) = store.read_manifest(name, &digest)? {
            let manifests = document.needs.into_iter().filter(|need| super::is_manifest(need.kind));
            next.extend(manifests.map(|need| need.digest));
        }
        next.extend(
            store
                .referrers(name, &digest)?
                .into_iter()
                .map(|referrer| referrer.digest),
        );
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rules: &str, tags: &[(&str, u64)], expected: &[&str]) {
        let rules: Vec<Retention> = serde_json::from_str(rules).expect("rules");
        let tags = tags.iter().map(|(tag, age)| (tag.parse().expect("a tag"), *age));
        let going = outdated(&rules, "team/app", tags.collect());
        let names: Vec<&str> = going.iter().map(Tag::as_str).collect();
        assert_eq!(names, expected, "{rules:?}");
    }

    #[test]
    fn the_youngest_tags_stay() {
        let tags = [("a", 10), ("b", 20), ("c", 30), ("latest", 1000)];
        check(r#"[]"#, &tags, &[]);
        check(r#"[{"repositories":"*"}]"#, &tags, &[]);
        check(r#"[{"repositories":"*","keep-last":2}]"#, &tags, &["c", "latest"]);
        check(r#"[{"repositories":"other/*","keep-last":0}]"#, &tags, &[]);
        check(r#"[{"repositories":"*","keep-for":"25s"}]"#, &tags, &["c", "latest"]);
        check(
            r#"[{"repositories":"*","keep-for":"25s","keep-last":3}]"#,
            &tags,
            &["latest"],
        );
        check(
            r#"[{"repositories":"*","tags":"latest","keep-last":1},{"repositories":"team/*","keep-last":1}]"#,
            &tags,
            &["b", "c"],
        );
        check(
            r#"[{"repositories":"*","keep-last":0}]"#,
            &tags,
            &["a", "b", "c", "latest"],
        );
    }
}
