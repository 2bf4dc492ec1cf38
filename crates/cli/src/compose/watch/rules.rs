//! What is watched, and what changes mean: rules from `develop.watch`, and from changed paths the work to do.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use corten_compose::{
    Project, Service,
    model::{Build, Hook, Trigger},
};
use corten_dockerfile::Ignore;

use crate::error::{Error, Result};

/// What editors and version control leave beside the files that they work on.
const PASSING: &[&str] = &[
    "**/.git",
    "**/.idea",
    "**/*___jb_old___",
    "**/*___jb_tmp___",
    "**/.#*",
    "**/#*#",
    "**/4913",
    "**/*~",
    "**/.*.swp",
    "**/.*.swx",
    "**/.*.swo",
    "**/.*.swn",
    "**/.*.kate-swp",
    "**/*-go-tmp-umask",
];

/// What happens when something changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// The service's image is built and its containers are made anew.
    Rebuild,
    /// Files are sent into the containers.
    Sync,
    /// The containers are restarted.
    Restart,
    /// Both.
    SyncRestart,
    /// Files are sent, and then a command runs in the containers.
    SyncExec,
}

/// One entry of `develop.watch`.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    /// The service.
    pub(super) service: String,
    /// What is watched.
    pub(super) path: PathBuf,
    /// Where it is in the container.
    pub(super) target: String,
    /// What runs after files were sent.
    pub(super) hook: Hook,
    /// Whether all is sent at the beginning.
    pub(super) initial: bool,
    action: Action,
    include: Option<Ignore>,
    ignore: Ignore,
    /// The folder of the build, and what its `.dockerignore` leaves out.
    context: Option<(PathBuf, Ignore)>,
    passing: Ignore,
}

/// A file, and where it belongs in the container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mapping {
    pub(super) host: PathBuf,
    pub(super) container: String,
}

/// What changes ask for, by service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) rebuild: BTreeSet<String>,
    pub(super) sync: BTreeMap<String, BTreeSet<Mapping>>,
    pub(super) restart: BTreeSet<String>,
    /// The rules whose commands run.
    pub(super) hooks: BTreeMap<String, BTreeSet<usize>>,
}

/// The rules of a project; `read` gives the text of a file that may not be there.
///
/// # Errors
/// Actions that are none, and those that their service cannot carry out.
pub(super) fn rules(
    project: &Project,
    warn: &dyn Fn(&str),
    read: &dyn Fn(&Path) -> Option<String>,
) -> Result<Vec<Rule>> {
    let mut rules = Vec::new();
    for (name, service) in &project.services {
        let triggers = service.develop.iter().flat_map(|develop| &develop.watch);
        let context = service.build.as_ref().and_then(|build| context(build, read));
        for trigger in triggers {
            let rule = rule(name, service, trigger, context.clone())?;
            if rule.action.sends() && is_mounted(service, &rule.path) {
                let path = rule.path.display();
                warn(&format!(
                    "path '{path}' also declared by a bind mount volume, this path won't be monitored!\n"
                ));
                continue;
            }
            rules.push(rule);
        }
    }
    Ok(rules)
}

fn rule(name: &str, service: &Service, trigger: &Trigger, context: Option<(PathBuf, Ignore)>) -> Result<Rule> {
    let action = match trigger.action.as_str() {
        "rebuild" => Action::Rebuild,
        "sync" => Action::Sync,
        "restart" => Action::Restart,
        "sync+restart" => Action::SyncRestart,
        "sync+exec" => Action::SyncExec,
        other => return Err(Error::new(format!("service {name:?}: unknown watch action {other:?}"))),
    };
    if action == Action::Rebuild && service.build.is_none() {
        return Err(Error::new(format!(
            "can't watch service {name:?} with action rebuild without a build context"
        )));
    }
    let hook = trigger.exec.0.clone();
    if action == Action::SyncExec && hook.command.0.as_ref().is_none_or(Vec::is_empty) {
        return Err(Error::new(format!(
            "can't watch with action {:?} on service {name} without a command",
            trigger.action
        )));
    }
    Ok(Rule {
        service: name.to_owned(),
        path: PathBuf::from(&trigger.path),
        target: trigger.target.clone(),
        hook,
        initial: trigger.initial_sync && action.sends(),
        action,
        include: (!trigger.include.is_empty()).then(|| patterns(&trigger.include)),
        ignore: patterns(&trigger.ignore),
        context,
        passing: Ignore::of(PASSING.iter().copied()),
    })
}

/// Patterns as Compose reads them: beside `*`, only exceptions count.
fn patterns(list: &[String]) -> Ignore {
    let all = list.iter().any(|pattern| pattern == "*");
    let list = list.iter().map(String::as_str);
    Ignore::of(list.filter(|pattern| !all || pattern.starts_with('!')))
}

fn context(build: &Build, read: &dyn Fn(&Path) -> Option<String>) -> Option<(PathBuf, Ignore)> {
    let folder = PathBuf::from(&build.context);
    if !folder.is_absolute() {
        return None;
    }
    let dockerfile = match build.dockerfile.as_str() {
        "" => "Dockerfile",
        name => name,
    };
    let own = folder.join(format!("{dockerfile}.dockerignore"));
    let text = read(&own).or_else(|| read(&folder.join(".dockerignore")))?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let lines: Vec<_> = lines.map(|line| line.trim().to_owned()).collect();
    Some((folder, patterns(&lines)))
}

/// Whether containers see a path anyway.
fn is_mounted(service: &Service, path: &Path) -> bool {
    let mut binds = service.volumes.iter().filter(|mount| mount.kind == "bind");
    binds.any(|mount| path.starts_with(&mount.source))
}

impl Action {
    fn sends(self) -> bool {
        matches!(self, Self::Sync | Self::SyncRestart | Self::SyncExec)
    }
}

/// A path from a folder on, when it is in there.
fn below(folder: &Path, path: &Path) -> Option<String> {
    let rest = path.strip_prefix(folder).ok()?;
    Some(rest.to_string_lossy().into_owned())
}

fn leaves_out(ignore: &Ignore, folder: &Path, path: &Path) -> bool {
    below(folder, path).is_some_and(|rest| !rest.is_empty() && ignore.excludes(&rest))
}

impl Rule {
    /// Whether a path means nothing to the rule.
    fn ignores(&self, path: &Path) -> bool {
        let by_context = |(folder, ignore): &(PathBuf, Ignore)| leaves_out(ignore, folder, path);
        leaves_out(&self.passing, &self.path, path)
            || leaves_out(&self.ignore, &self.path, path)
            || self.context.as_ref().is_some_and(by_context)
    }

    /// Whether nothing below a folder can mean anything to the rule.
    pub(super) fn skips(&self, folder: &Path) -> bool {
        let keeps = |ignore: &Ignore| ignore.may_keep_below();
        let exceptions = keeps(&self.ignore) || self.context.as_ref().is_some_and(|(_, ignore)| keeps(ignore));
        match (folder.starts_with(&self.path), self.path.starts_with(folder)) {
            (true, _) => {
                folder != self.path
                    && (leaves_out(&self.passing, &self.path, folder) || !exceptions && self.ignores(folder))
            }
            (false, on_the_way) => !on_the_way,
        }
    }

    /// Where a changed path belongs in the container, when it means something to the rule.
    pub(super) fn mapping(&self, path: &Path) -> Option<Mapping> {
        let rest = below(&self.path, path)?;
        let included = match &self.include {
            Some(include) => !rest.is_empty() && include.excludes(&rest),
            None => true,
        };
        if !included || self.ignores(path) {
            return None;
        }
        let target = self.target.trim_end_matches('/');
        let container = match rest.as_str() {
            "" if target.is_empty() => "/".to_owned(),
            "" => target.to_owned(),
            rest => format!("{target}/{rest}"),
        };
        Some(Mapping {
            host: path.to_path_buf(),
            container,
        })
    }
}

/// What changed paths ask for.
pub(super) fn plan(rules: &[Rule], changes: &BTreeSet<PathBuf>) -> Work {
    let mut work = Work::default();
    for (index, rule) in rules.iter().enumerate() {
        let mappings: BTreeSet<_> = changes.iter().filter_map(|path| rule.mapping(path)).collect();
        if mappings.is_empty() {
            continue;
        }
        let service = || rule.service.clone();
        match rule.action {
            Action::Rebuild => drop(work.rebuild.insert(service())),
            Action::Restart | Action::SyncRestart => drop(work.restart.insert(service())),
            Action::SyncExec => drop(work.hooks.entry(service()).or_default().insert(index)),
            Action::Sync => {}
        }
        if rule.action.sends() {
            work.sync.entry(service()).or_default().extend(mappings);
        }
    }
    work
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(watch: &str) -> Project {
        let text = format!(
            "services: {{web: {{build: /app, volumes: ['/app/mounted:/m'], develop: {{watch: [{watch}]}}}}, \
             other: {{image: x, develop: {{watch: [{{path: /app/o, action: restart}}]}}}}}}"
        );
        let sources = corten_compose::Sources {
            files: vec!["-".into()],
            input: Some(text),
            default_name: "shop".to_owned(),
            ..corten_compose::Sources::default()
        };
        corten_compose::load(&sources).unwrap().value
    }

    fn rules_of(watch: &str, ignore: Option<&str>) -> Vec<Rule> {
        let read = |path: &Path| {
            ignore
                .filter(|_| path == Path::new("/app/.dockerignore"))
                .map(str::to_owned)
        };
        rules(&project(watch), &|_| (), &read).unwrap()
    }

    fn planned(watch: &str, ignore: Option<&str>, changes: &[&str]) -> Work {
        plan(&rules_of(watch, ignore), &changes.iter().map(PathBuf::from).collect())
    }

    fn sent(work: &Work) -> Vec<&str> {
        work.sync
            .values()
            .flatten()
            .map(|mapping| mapping.container.as_str())
            .collect()
    }

    #[test]
    fn each_action_asks_for_its_work() {
        let work = planned("{path: /app, action: rebuild}", None, &["/app/a", "/app/b"]);
        assert_eq!((work.rebuild.len(), work.sync.len(), work.restart.len()), (1, 0, 0));
        let work = planned(
            "{path: /app/src, action: sync, target: /t/}",
            None,
            &["/app/src/a/b", "/app/x"],
        );
        assert_eq!(sent(&work), ["/t/a/b"]);
        let work = planned("{path: /app/a, action: sync+restart, target: /t/b}", None, &["/app/a"]);
        assert_eq!((sent(&work), work.restart.len()), (vec!["/t/b"], 1));
        let hook = "{path: /app, action: sync+exec, target: /, exec: {command: [x]}}";
        let work = planned(hook, None, &["/app/a", "/app/b"]);
        assert_eq!((sent(&work), work.hooks["web"].len()), (vec!["/a", "/b"], 1));
        let work = planned(hook, None, &["/app/o/x"]);
        assert!(work.restart.contains("other") && !work.restart.contains("web"));
        assert_eq!(planned(hook, None, &["/elsewhere"]), Work::default());
    }

    #[test]
    fn patterns_choose_files() {
        let check = |more: &str, ignore: Option<&str>, path: &str, expected: bool| {
            let watch = format!("{{path: /app, action: sync, target: /t, {more}}}");
            assert_eq!(
                sent(&planned(&watch, ignore, &[path])).len() == 1,
                expected,
                "{more} {ignore:?} {path}"
            );
        };
        check("ignore: [node_modules/]", None, "/app/node_modules/a/b", false);
        check("ignore: [node_modules/]", None, "/app/src/node_modules/a", true);
        check("ignore: ['**/*.log', '!keep.log']", None, "/app/x/a.log", false);
        check("ignore: ['**/*.log', '!keep.log']", None, "/app/keep.log", true);
        check("include: ['*.go']", None, "/app/a.go", true);
        check("include: ['*.go']", None, "/app/a.md", false);
        check("include: ['*.go']", None, "/app/sub/a.go", false);
        check(
            "include: ['**/*.go'], ignore: [vendor]",
            None,
            "/app/vendor/a.go",
            false,
        );
        check("include: ['src']", None, "/app/src/deep/file", true);
        check("", Some("# a comment\n*.md\n"), "/app/a.md", false);
        check("", Some("*.md\n!keep.md"), "/app/keep.md", true);
        check("", Some("*"), "/app/a", true);
        for passing in [
            "/app/.git/index",
            "/app/sub/.git/HEAD",
            "/app/.a.swp",
            "/app/x~",
            "/app/4913",
            "/app/s/.#a",
        ] {
            check("", None, passing, false);
        }
        check("", None, "/app/.gitignore", true);
    }

    #[test]
    fn folders_without_anything_of_interest_are_skipped() {
        let skips = |watch: &str, ignore: Option<&str>, path: &str| {
            rules_of(watch, ignore).iter().all(|rule| rule.skips(Path::new(path)))
        };
        let sync = "{path: /app, action: sync, target: /t, ignore: [node_modules]}";
        assert!(skips(sync, None, "/app/node_modules") && skips(sync, None, "/app/.git"));
        assert!(!skips(sync, None, "/app/src") && !skips(sync, None, "/app"));
        assert!(!skips(sync, Some("build\n!build/keep"), "/app/build"));
        assert!(skips(sync, Some("build"), "/app/build"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let check = |watch: &str, expected: &str| {
            let mut project = project(watch);
            if expected.contains("build") {
                project.services.get_mut("web").unwrap().build = None;
            }
            let error = rules(&project, &|_| (), &|_| None).unwrap_err();
            assert_eq!(error.message, expected);
        };
        check(
            "{path: /app, action: rebuild}",
            "can't watch service \"web\" with action rebuild without a build context",
        );
        check(
            "{path: /app, action: sync+exec, target: /}",
            "can't watch with action \"sync+exec\" on service web without a command",
        );
        let warned = std::cell::RefCell::new(String::new());
        let mounted = project("{path: /app/mounted/x, action: sync, target: /t}");
        let list = rules(&mounted, &|text| *warned.borrow_mut() = text.to_owned(), &|_| None).unwrap();
        assert_eq!(list.len(), 1);
        assert!(warned.borrow().contains("'/app/mounted/x'"));
    }
}
