//! What is refused by name until it works.

use crate::project::Project;

#[test]
fn commands_and_flags_that_do_not_work_say_so() {
    let project = Project::of_sleepers(&["web"]);
    for (words, name) in [
        ("compose build --compress", "--compress"),
        ("compose build --no-rm", "--no-rm"),
    ] {
        let refused = project.run(words).run();
        assert!(refused.code != 0 && refused.stderr.contains(name), "{words}: {refused}");
        assert!(refused.stderr.contains("not supported"), "{words}: {refused}");
    }
    assert!(project.ids().is_empty());
}

#[test]
fn experiments_and_bridges_say_why_not() {
    let project = Project::of_sleepers(&["web"]);
    for words in [
        "compose alpha generate",
        "compose alpha publish some/thing",
        "compose alpha viz",
        "compose bridge convert",
        "compose bridge transformations create /somewhere",
        "compose bridge transformations ls",
    ] {
        let refused = project.run(words).run();
        assert!(
            refused.code != 0 && refused.stderr.contains("not supported"),
            "{words}: {refused}"
        );
    }
}
