//! `extends`: a service that begins as another one, of the same file or of another.

use std::path::{Path as FilePath, PathBuf};

use crate::{
    error::{Error, Result},
    load::{Context, Loader},
    merge,
    nearest::nearest,
    node::{Map, Node, Value},
    path::Path,
    resolve::{self, Base},
};

/// How many services may extend one another in a row.
const MAX_CHAIN: usize = 100;

/// A service and the file that it is in.
type Reference = (String, String);

/// The services of a file, and what its `!reset` and `!override` take away.
struct Scope {
    services: Map,
    resets: Vec<Path>,
}

impl Loader<'_> {
    /// Replaces services that extend others by what that gives.
    pub(crate) fn apply_extends(&mut self, root: &mut Node, resets: &[Path], context: &Context) -> Result<()> {
        let Some(services) = root.get_mut("services") else {
            return Ok(());
        };
        let at = services.at;
        let Value::Map(map) = &mut services.value else {
            return Err(Error::invalid("services must be a mapping").at(at));
        };
        if map.values().all(|service| service.get("extends").is_none()) {
            return Ok(());
        }
        let scope = Scope {
            services: map.clone(),
            resets: resets.to_vec(),
        };
        for (name, service) in map.iter_mut() {
            if service.get("extends").is_some() {
                *service = self.extended(name, &scope, context, &mut Vec::new())?;
            }
        }
        Ok(())
    }

    fn extended(&mut self, name: &str, scope: &Scope, context: &Context, seen: &mut Vec<Reference>) -> Result<Node> {
        let Some(service) = scope.services.get(name) else {
            return Ok(Node::default());
        };
        let Some(extends) = service.get("extends") else {
            return Ok(service.clone());
        };
        let at = extends.at;
        let (reference, file) = target(name, extends)?;
        let file_shown = context.file.display().to_string();
        let mut filename = file_shown.clone();
        let other;
        let scope_of_base = match &file {
            Some(path) => {
                other = self
                    .scope_of(name, &reference, path, context)
                    .map_err(|error| error.at(at))?;
                filename.clone_from(path);
                &other
            }
            None => {
                if !scope.services.contains_key(&reference) {
                    let message =
                        format!("cannot extend service {name:?} in {file_shown}: service {reference:?} not found");
                    let error = Error::invalid(message).at(at);
                    return Err(match nearest(&reference, scope.services.keys()) {
                        Some(near) => error.hint(format!("did you mean {near:?}?")),
                        None => error,
                    });
                }
                scope
            }
        };
        track(seen, (name.to_owned(), filename)).map_err(|error| error.at(at))?;
        let base = self.extended(&reference, scope_of_base, context, seen)?;
        seen.pop();
        if base.is_null() {
            return Ok(service.clone());
        }
        self.join(name, base, service, scope)
    }

    fn join(&self, name: &str, base: Node, service: &Node, scope: &Scope) -> Result<Node> {
        let at = base.at;
        let of_this = Map::from([(name.to_owned(), base)]);
        let services = Node::new(Value::Map(of_this), at);
        let mut root = Node::new(Value::Map(Map::from([("services".to_owned(), services)])), at);
        merge::reset(&mut root, &scope.resets);
        let base = root
            .get_mut("services")
            .and_then(Node::as_map_mut)
            .and_then(|services| services.remove(name))
            .unwrap_or_else(merge::nothing);
        let mut merged = merge::extend(base, service.clone())?;
        merged.at = service.at;
        merged.key = service.key;
        if let Some(map) = merged.as_map_mut() {
            map.remove("extends");
        }
        Ok(merged)
    }

    /// The services of another file, with paths as seen from the project's folder.
    fn scope_of(&mut self, name: &str, reference: &str, path: &str, context: &Context) -> Result<Scope> {
        let (local, fetched) = self.find(path, context)?;
        let (mut root, resets) = self.read_base(&local, &context.environment)?;
        let shown = local.display();
        let services = root.get("services");
        let Some(services) = services.filter(|node| !node.is_null()) else {
            return Err(Error::invalid(format!(
                "cannot extend service {name:?} in {shown}: no services section"
            )));
        };
        let Value::Map(services) = &services.value else {
            return Err(Error::invalid(format!(
                "cannot extend service {name:?} in {shown}: services must be a mapping"
            )));
        };
        if !services.contains_key(reference) {
            let from = context.file.display();
            let message =
                format!("cannot extend service {name:?} in {from}: service {reference:?} not found in {path}");
            let error = Error::invalid(message);
            return Err(match nearest(reference, services.keys()) {
                Some(near) => error.hint(format!("did you mean {near:?}?")),
                None => error,
            });
        }
        let folder = local.parent().unwrap_or(FilePath::new("/")).to_owned();
        let relative = match fetched {
            Some(_) => folder.clone(),
            None => relative(&context.folder, &folder),
        };
        let base = Base {
            folder: &relative,
            home: self.sources.home.as_deref(),
        };
        resolve::resolve_paths(&mut root, base)?;
        let services = match root.get_mut("services").map(|node| std::mem::take(&mut node.value)) {
            Some(Value::Map(services)) => services,
            _ => Map::new(),
        };
        Ok(Scope { services, resets })
    }
}

/// The service that is extended, and its file when that is another one.
fn target(name: &str, extends: &Node) -> Result<(String, Option<String>)> {
    match &extends.value {
        Value::Text(service) => Ok((service.clone(), None)),
        Value::Map(map) => {
            let service = map.get("service").and_then(Node::as_text);
            let service =
                service.ok_or_else(|| Error::invalid(format!("extends.{name}.service is required")).at(extends.at))?;
            let file = map.get("file").and_then(Node::as_text);
            Ok((service.to_owned(), file.map(str::to_owned)))
        }
        _ => Err(Error::invalid(format!("services.{name}.extends must be a mapping or string")).at(extends.at)),
    }
}

/// Notes a step, which must be a new one.
fn track(seen: &mut Vec<Reference>, step: Reference) -> Result<()> {
    if seen.contains(&step) {
        let (service, file) = &seen[0];
        let mut message = format!("Circular reference:\n  {service} in {file}");
        for (service, file) in seen[1..].iter().chain([&step]) {
            message.push_str(&format!("\n  extends {service} in {file}"));
        }
        return Err(Error::invalid(message));
    }
    if seen.len() >= MAX_CHAIN {
        return Err(Error::invalid(format!(
            "more than {MAX_CHAIN} services extend one another in a row"
        )));
    }
    seen.push(step);
    Ok(())
}

/// A folder as seen from another one; paths stay as short as they were written.
pub(crate) fn relative(from: &FilePath, to: &FilePath) -> PathBuf {
    if !from.is_absolute() || !to.is_absolute() {
        return to.to_owned();
    }
    let (from, to) = (
        crate::short::clean(&from.to_string_lossy()),
        crate::short::clean(&to.to_string_lossy()),
    );
    let from: Vec<_> = from.split('/').filter(|part| !part.is_empty()).collect();
    let to: Vec<_> = to.split('/').filter(|part| !part.is_empty()).collect();
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..", from.len() - shared);
    let path: Vec<_> = up.chain(to[shared..].iter().copied()).collect();
    PathBuf::from(if path.is_empty() {
        ".".to_owned()
    } else {
        path.join("/")
    })
}
