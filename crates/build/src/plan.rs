//! What a build has to do: which stages, in which order, and on what each is based.

use std::collections::BTreeMap;

use corten_dockerfile::{Command, Dockerfile, Mount, MountKind, expand};

use crate::arguments::Arguments;
use crate::error::{Error, Result};
use crate::request::Named;

/// A build's stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Those that the target needs, each after those that it needs itself; the target is the last.
    pub(crate) stages: Vec<Planned>,
    /// How many steps there are to show.
    pub(crate) total: usize,
}

/// A stage to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Its number in the Dockerfile.
    pub(crate) index: usize,
    /// What it is based on.
    pub(crate) base: Base,
    /// The platform it asks for.
    pub(crate) platform: Option<String>,
}

/// What a stage is based on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Base {
    /// Nothing.
    Scratch,
    /// An earlier stage.
    Stage(usize),
    /// An image.
    Image(String),
    /// What the request says stands for the name.
    Context(String),
}

impl Base {
    /// Whether it comes from elsewhere, and is shown.
    pub(crate) fn is_fetched(&self) -> bool {
        matches!(self, Self::Image(_) | Self::Context(_))
    }
}

/// Decides what is to be done for a target.
pub(crate) fn plan(
    file: &Dockerfile,
    target: usize,
    arguments: &Arguments,
    contexts: &BTreeMap<String, Named>,
) -> Result<Plan> {
    let mut planner = Planner {
        file,
        arguments,
        contexts,
        marks: BTreeMap::new(),
        stages: Vec::new(),
    };
    planner.visit(target)?;
    let steps = planner
        .stages
        .iter()
        .map(|stage| 1 + file.stages[stage.index].instructions.len());
    Ok(Plan {
        total: file.arguments.len() + steps.sum::<usize>(),
        stages: planner.stages,
    })
}

/// The stage that `--from` names: by its number, which must be one, or by its name.
pub(crate) fn stage_of(file: &Dockerfile, name: &str) -> Result<Option<usize>> {
    match name.parse::<usize>() {
        Ok(number) if number < file.stages.len() => Ok(Some(number)),
        Ok(number) => Err(Error::invalid(format!("invalid stage index {number}"))),
        Err(_) => Ok(file.stage(name)),
    }
}

/// What stands for a name: as it is written, or as an image's whole name.
pub(crate) fn context_of<'a>(contexts: &'a BTreeMap<String, Named>, name: &str) -> Option<(&'a str, &'a Named)> {
    let whole = crate::stage::whole_name(name);
    contexts
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name) || crate::stage::whole_name(known) == whole)
        .map(|(known, named)| (known.as_str(), named))
}

struct Planner<'a> {
    file: &'a Dockerfile,
    arguments: &'a Arguments,
    contexts: &'a BTreeMap<String, Named>,
    /// Stages that were looked at: whether that is over.
    marks: BTreeMap<usize, bool>,
    stages: Vec<Planned>,
}

impl Planner<'_> {
    /// Puts a stage behind all that it needs.
    fn visit(&mut self, index: usize) -> Result<()> {
        let stage = &self.file.stages[index];
        match self.marks.insert(index, false) {
            None => {}
            Some(true) => {
                self.marks.insert(index, true);
                return Ok(());
            }
            Some(false) => {
                let name = stage.from.name.clone().unwrap_or_else(|| index.to_string());
                let message = format!("circular dependency detected on stage: {name}");
                return Err(Error::invalid(message).at(stage.begin.lines));
            }
        }
        let planned = self.planned(index)?;
        let base = match planned.base {
            Base::Stage(base) => Some(base),
            _ => None,
        };
        for needed in base.into_iter().chain(self.sources(index)?) {
            self.visit(needed)?;
        }
        self.marks.insert(index, true);
        self.stages.push(planned);
        Ok(())
    }

    fn planned(&self, index: usize) -> Result<Planned> {
        let (file, arguments) = (self.file, self.arguments);
        let stage = &file.stages[index];
        let escape = file.directives.escape;
        let value = |word: &str| -> Result<String> {
            let expanded = expand(word, escape, &|name| arguments.outside(name));
            let expanded = expanded
                .map_err(|error| Error::invalid(format!("failed to process arguments for base name {word}: {error}")));
            Ok(expanded.map_err(|error| error.at(stage.begin.lines))?.text)
        };
        let image = value(&stage.from.image)?;
        if image.is_empty() {
            let message = format!("base name ({}) should not be blank", stage.from.image);
            return Err(Error::invalid(message).at(stage.begin.lines));
        }
        // Only a name leads to a stage: `FROM 0` is an image.
        let by_name = file
            .stage_before(&image, index)
            .filter(|_| image.parse::<usize>().is_err());
        let base = match (context_of(self.contexts, &image), by_name) {
            (Some((name, _)), _) => Base::Context(name.to_owned()),
            (None, Some(base)) => Base::Stage(base),
            (None, None) if image == "scratch" => Base::Scratch,
            (None, None) => Base::Image(image),
        };
        let platform = stage.from.platform.as_deref().map(value).transpose()?;
        Ok(Planned {
            index,
            base,
            platform: platform.filter(|platform| !platform.is_empty()),
        })
    }

    /// Stages whose files a stage uses.
    fn sources(&self, index: usize) -> Result<Vec<usize>> {
        let mut found = Vec::new();
        for instruction in &self.file.stages[index].instructions {
            let names: Vec<&str> = match &instruction.command {
                Command::Copy(copy) => copy.from.as_deref().into_iter().collect(),
                Command::Run(run) => run.mounts.iter().filter_map(from).collect(),
                _ => continue,
            };
            for name in names
                .into_iter()
                .filter(|name| context_of(self.contexts, name).is_none())
            {
                let stage = stage_of(self.file, name).map_err(|error| error.at(instruction.lines))?;
                found.extend(stage);
            }
        }
        Ok(found)
    }
}

fn from(mount: &Mount) -> Option<&str> {
    match &mount.kind {
        MountKind::Bind { from, .. } | MountKind::Cache { from, .. } => from.as_deref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corten_oci::platform::Platform;

    fn stages(text: &str, target: &str) -> Result<Vec<(usize, Base)>> {
        let file = Dockerfile::parse(text.as_bytes()).unwrap();
        let mut arguments = Arguments::new(Default::default(), &Platform::host(), "");
        for instruction in &file.arguments {
            if let Command::Arg(list) = &instruction.command {
                arguments.declare_global(list, '\\').unwrap();
            }
        }
        let plan = plan(&file, file.target(target).unwrap(), &arguments, &BTreeMap::new())?;
        Ok(plan.stages.into_iter().map(|stage| (stage.index, stage.base)).collect())
    }

    #[test]
    fn what_is_not_needed_is_not_built() {
        let text = "FROM a AS one\nFROM b AS two\nFROM scratch AS three\nCOPY --from=one / /\nFROM two\n";
        let image = |name: &str| Base::Image(name.into());
        assert_eq!(stages(text, "").unwrap(), [(1, image("b")), (3, Base::Stage(1))]);
        assert_eq!(stages(text, "three").unwrap(), [(0, image("a")), (2, Base::Scratch)]);
        assert_eq!(stages(text, "one").unwrap(), [(0, image("a"))]);
    }

    #[test]
    fn copies_may_come_from_later_stages_but_not_in_circles() {
        let image = |name: &str| Base::Image(name.into());
        let text = "FROM a AS one\nCOPY --from=two / /\nFROM b AS two\n";
        assert_eq!(stages(text, "one").unwrap(), [(1, image("b")), (0, image("a"))]);
        let error = |text: &str| stages(text, "").unwrap_err().to_string();
        assert_eq!(
            error("FROM a AS one\nCOPY --from=two / /\nFROM one AS two\n"),
            "circular dependency detected on stage: two"
        );
        assert_eq!(
            error("FROM a AS one\nCOPY --from=one / /\n"),
            "circular dependency detected on stage: one"
        );
        assert_eq!(error("FROM a\nCOPY --from=7 / /\n"), "invalid stage index 7");
    }

    #[test]
    fn names_have_variables_and_mounts_count() {
        let text =
            "ARG B=base\nARG V=1\nFROM x:$V AS base\nFROM y AS tool\nFROM ${B}\nRUN --mount=from=1,target=/t x\n";
        let image = |name: &str| Base::Image(name.into());
        assert_eq!(
            stages(text, "").unwrap(),
            [(0, image("x:1")), (1, image("y")), (2, Base::Stage(0))]
        );
        assert!(
            stages("FROM $NOSUCH\n", "")
                .unwrap_err()
                .to_string()
                .contains("should not be blank")
        );
    }
}
