//! Rules: who may do what with which repositories. What no rule allows is refused.

use crate::config::{Access, Action, Rule};

/// What stands for who has no name.
const ANONYMOUS: &str = "anonymous";

/// Whether a rule allows it.
pub(super) fn allows(access: &Access, user: Option<&str>, repository: &str, action: Action) -> bool {
    access.rules.iter().any(|rule| {
        rule.allow.contains(&action) && rule.repositories.matches(repository) && is_about(access, rule, user)
    })
}

/// Whether a rule allows it for all repositories at once.
pub(super) fn allows_everywhere(access: &Access, user: Option<&str>, action: Action) -> bool {
    access
        .rules
        .iter()
        .any(|rule| rule.allow.contains(&action) && rule.repositories.is_everything() && is_about(access, rule, user))
}

fn is_about(access: &Access, rule: &Rule, user: Option<&str>) -> bool {
    let Some(user) = user else {
        return rule.users.iter().any(|pattern| pattern.0 == ANONYMOUS);
    };
    let in_group = |group: &String| {
        let members = access.groups.get(group);
        members.is_some_and(|members| members.iter().any(|member| member == user))
    };
    let named = |pattern: &crate::config::Pattern| pattern.0 != ANONYMOUS && pattern.matches(user);
    rule.users.iter().any(named) || rule.groups.iter().any(in_group)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        let rules = r#"[
            {"repositories":"public/*","users":["anonymous","*"],"allow":["pull"]},
            {"repositories":"team/*","groups":["dev"],"allow":["pull","push"]},
            {"repositories":"*","users":["root"],"allow":["pull","push","delete"]}
        ]"#;
        Access {
            rules: serde_json::from_str(rules).expect("rules"),
            groups: [("dev".to_owned(), vec!["ann".to_owned()])].into(),
        }
    }

    #[test]
    fn what_no_rule_allows_is_refused() {
        let access = access();
        let check = |user: Option<&str>, name: &str, action, expected| {
            assert_eq!(
                allows(&access, user, name, action),
                expected,
                "{user:?} {name} {action:?}"
            );
        };
        check(None, "public/a", Action::Pull, true);
        check(None, "public/a", Action::Push, false);
        check(None, "team/a", Action::Pull, false);
        check(Some("bob"), "public/a", Action::Pull, true);
        check(Some("bob"), "team/a", Action::Pull, false);
        check(Some("ann"), "team/a", Action::Push, true);
        check(Some("ann"), "team/a", Action::Delete, false);
        check(Some("ann"), "other/a", Action::Pull, false);
        check(Some("root"), "other/a", Action::Delete, true);
        assert!(allows_everywhere(&access, Some("root"), Action::Pull));
        assert!(!allows_everywhere(&access, Some("ann"), Action::Pull));
    }

    #[test]
    fn nobody_gets_a_right_by_being_called_anonymous() {
        let rules = r#"[{"repositories":"*","users":["anonymous"],"allow":["pull"]}]"#;
        let access = Access {
            rules: serde_json::from_str(rules).expect("rules"),
            groups: Default::default(),
        };
        assert!(allows(&access, None, "a", Action::Pull));
        assert!(!allows(&access, Some("anonymous"), "a", Action::Pull));
    }
}
