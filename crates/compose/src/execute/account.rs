//! How far a plan was carried out, for the user who must know what is there now.

use super::Executor;
use crate::plan::{Action, Plan};

/// How far a step is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// It was not begun.
    #[default]
    Waiting,
    /// It goes on, or was cut off.
    Begun,
    /// It is done.
    Done,
    /// It failed.
    Failed,
}

impl Executor<'_> {
    /// What of a plan was done and what was not; nothing when there is no more to say than what failed.
    pub fn account(&self, plan: &Plan) -> Option<String> {
        account(plan, &self.stages.borrow())
    }
}

fn account(plan: &Plan, stages: &[Stage]) -> Option<String> {
    let steps = || plan.steps.iter().zip(stages);
    // Those that replace containers while they serve put back what they did, and tell.
    if steps().any(|(step, _)| matches!(step.action, Action::Replace(..) | Action::Retire(_))) {
        return None;
    }
    let changes = |action: &Action| !matches!(action, Action::Keep(_) | Action::Wait { .. });
    let of = |stage: Stage| {
        let steps = steps().filter(|(step, at)| **at == stage && changes(&step.action));
        steps.map(|(step, _)| step.action.to_string()).collect::<Vec<_>>()
    };
    let lists = [
        ("done", of(Stage::Done)),
        ("failed", of(Stage::Failed)),
        ("cut off", of(Stage::Begun)),
        ("not begun", of(Stage::Waiting)),
    ];
    let is_partial = !lists[0].1.is_empty() || !lists[2].1.is_empty() || !lists[3].1.is_empty();
    let parts = lists.iter().filter(|(_, steps)| !steps.is_empty());
    let parts: Vec<_> = parts
        .map(|(word, steps)| format!("{word}: {}", steps.join(", ")))
        .collect();
    is_partial.then(|| parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Step, Target};

    fn plan(actions: Vec<Action>) -> Plan {
        let steps = actions.into_iter().map(|action| Step {
            action,
            cause: String::new(),
            after: Vec::new(),
        });
        Plan {
            steps: steps.collect(),
            warnings: Vec::new(),
        }
    }

    fn target(name: &str) -> Target {
        Target {
            service: name.to_owned(),
            number: 1,
            name: format!("shop-{name}-1"),
            id: None,
        }
    }

    #[test]
    fn what_was_done_and_what_was_not() {
        let plan = plan(vec![
            Action::CreateNetwork("default".to_owned(), "shop_default".to_owned()),
            Action::Keep(target("kept")),
            Action::Create(target("web")),
            Action::Start(target("web")),
            Action::Start(target("late")),
        ]);
        let stages = [Stage::Done, Stage::Done, Stage::Begun, Stage::Failed, Stage::Waiting];
        assert_eq!(
            account(&plan, &stages).as_deref(),
            Some(
                "done: create network shop_default; failed: start container shop-web-1; \
                 cut off: create container shop-web-1; not begun: start container shop-late-1"
            )
        );
    }

    #[test]
    fn the_one_step_that_failed_is_told_already() {
        let plan = plan(vec![Action::Keep(target("kept")), Action::Start(target("web"))]);
        assert_eq!(account(&plan, &[Stage::Done, Stage::Failed]), None);
    }
}
