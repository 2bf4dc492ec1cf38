//! What a build has to do: which stages, in which order, and on what each is based.

use std::collections::BTreeSet;

use corten_dockerfile::{Command, Dockerfile, MountKind, expand};

use crate::arguments::Arguments;
use crate::error::{Error, Result};

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
}

/// Decides what is to be done for a target.
pub(crate) fn plan(file: &Dockerfile, target: usize, arguments: &Arguments) -> Result<Plan> {
    let mut needed = BTreeSet::from([target]);
    let mut stages = Vec::new();
    // A stage only needs earlier ones: seen from the last, all who need it came before it.
    for index in (0..=target).rev() {
        if !needed.contains(&index) {
            continue;
        }
        let planned = planned(file, index, arguments)?;
        if let Base::Stage(base) = planned.base {
            needed.insert(base);
        }
        needed.extend(sources(file, index));
        stages.push(planned);
    }
    stages.reverse();
    let steps = stages
        .iter()
        .map(|stage| 1 + file.stages[stage.index].instructions.len());
    Ok(Plan {
        total: file.arguments.len() + steps.sum::<usize>(),
        stages,
    })
}

fn planned(file: &Dockerfile, index: usize, arguments: &Arguments) -> Result<Planned> {
    let stage = &file.stages[index];
    let escape = file.directives.escape;
    let value = |word: &str| -> Result<String> {
        let expanded = expand(word, escape, &|name| arguments.outside(name));
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
    let base = match by_name {
        Some(base) => Base::Stage(base),
        None if image == "scratch" => Base::Scratch,
        None => Base::Image(image),
    };
    let platform = stage.from.platform.as_deref().map(value).transpose()?;
    Ok(Planned {
        index,
        base,
        platform: platform.filter(|platform| !platform.is_empty()),
    })
}

/// Stages whose files a stage uses.
fn sources(file: &Dockerfile, index: usize) -> Vec<usize> {
    let mut names: Vec<&str> = Vec::new();
    for instruction in &file.stages[index].instructions {
        match &instruction.command {
            Command::Copy(copy) => names.extend(copy.from.as_deref()),
            Command::Run(run) => names.extend(run.mounts.iter().filter_map(|mount| match &mount.kind {
                MountKind::Bind { from, .. } | MountKind::Cache { from, .. } => from.as_deref(),
                _ => None,
            })),
            _ => {}
        }
    }
    names
        .into_iter()
        .filter_map(|name| file.stage_before(name, index))
        .collect()
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
        let plan = plan(&file, file.target(target).unwrap(), &arguments)?;
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
