//! Merging and filling in variables are what the specification says, whatever the values.

use std::collections::BTreeMap;

use corten_compose::{Project, Sources, load};
use proptest::prelude::*;

fn project(sources: &Sources) -> Project {
    load(sources).expect("a project").value
}

/// A project of one file.
fn read(text: &str, environment: &BTreeMap<String, String>) -> Project {
    project(&Sources {
        files: vec!["-".into()],
        input: Some(text.to_owned()),
        default_name: "test".to_owned(),
        environment: environment.clone(),
        ..Sources::default()
    })
}

/// A project of files that override one another.
fn merged(texts: &[String]) -> Project {
    let folder = tempfile::tempdir().expect("a folder");
    let mut files = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let file = folder.path().join(format!("{index}.yaml"));
        corten_sys::fs::write(&file, text).expect("a file");
        files.push(file);
    }
    project(&Sources {
        files,
        working_dir: folder.path().to_owned(),
        default_name: "test".to_owned(),
        ..Sources::default()
    })
}

fn word() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9]{0,6}"
}

fn words() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map(word(), word(), 0..6)
}

fn flow(map: &BTreeMap<String, String>) -> String {
    let pairs: Vec<_> = map
        .iter()
        .map(|(key, value)| format!("\"{key}\": \"{value}\""))
        .collect();
    format!("{{{}}}", pairs.join(", "))
}

fn lines(map: &BTreeMap<String, String>) -> String {
    let pairs: Vec<_> = map.iter().map(|(key, value)| format!("\"{key}={value}\"")).collect();
    format!("[{}]", pairs.join(", "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Variables, labels and the like: the later file wins by key, in either syntax.
    #[test]
    fn mappings_are_merged_by_key(first in words(), second in words(), as_list in any::<[bool; 2]>()) {
        let write = |map: &BTreeMap<String, String>, list: bool| if list { lines(map) } else { flow(map) };
        let file = |map: &BTreeMap<String, String>, list: bool| {
            let value = write(map, list);
            format!("services: {{a: {{image: x, environment: {value}, labels: {value}, sysctls: {value}}}}}")
        };
        let project = merged(&[file(&first, as_list[0]), file(&second, as_list[1])]);
        let mut expected = first;
        expected.extend(second);
        let service = &project.services["a"];
        prop_assert_eq!(&service.labels.0, &expected);
        prop_assert_eq!(&service.sysctls.0, &expected);
        let variables: BTreeMap<_, _> = expected.into_iter().map(|(key, value)| (key, Some(value))).collect();
        prop_assert_eq!(&service.environment.0, &variables);
    }

    /// Lists are appended, each element once; commands are replaced; single values come from the last file.
    #[test]
    fn lists_are_appended_and_commands_replaced(
        first in prop::collection::btree_set(word(), 1..5),
        second in prop::collection::btree_set(word(), 1..5),
        images in [word(), word()],
    ) {
        let file = |list: &std::collections::BTreeSet<String>, image: &str| {
            let list: Vec<_> = list.iter().map(|word| format!("\"{word}\"")).collect();
            let list = list.join(", ");
            format!("services: {{a: {{image: {image:?}, dns_search: [{list}], cap_add: [{list}], command: [{list}]}}}}")
        };
        let project = merged(&[file(&first, &images[0]), file(&second, &images[1])]);
        let expected: Vec<_> = first.iter().chain(second.difference(&first)).cloned().collect();
        let service = &project.services["a"];
        prop_assert_eq!(&service.dns_search, &expected);
        prop_assert_eq!(&service.cap_add, &expected);
        let command: Vec<_> = second.iter().cloned().collect();
        prop_assert_eq!(service.command.0.as_ref(), Some(&command));
        prop_assert_eq!(&service.image, &images[1]);
    }

    /// `!reset` takes away what was before, `!override` replaces it whole.
    #[test]
    fn resets_and_overrides(first in words(), second in words()) {
        let base = format!("services: {{a: {{image: x, labels: {0}, environment: {0}}}}}", flow(&first));
        let more = format!("services: {{a: {{labels: !override {}, environment: !reset null}}}}", flow(&second));
        let project = merged(&[base, more]);
        prop_assert_eq!(&project.services["a"].labels.0, &second);
        prop_assert!(project.services["a"].environment.0.is_empty());
    }

    /// Each form of a variable, for one that is unset, empty or set.
    #[test]
    fn variables_are_filled_in(value in prop::option::of("[a-z]{0,4}"), other in "[a-z]{1,4}") {
        let environment: BTreeMap<_, _> = value.iter().map(|value| ("V".to_owned(), value.clone())).collect();
        let given = value.clone().unwrap_or_default();
        let (set, full) = (value.is_some(), !given.is_empty());
        let pick = |first: bool, yes: &str, no: &str| if first { yes.to_owned() } else { no.to_owned() };
        let expected = [
            given.clone(),
            given.clone(),
            pick(set, &given, &other),
            pick(full, &given, &other),
            pick(set, &other, ""),
            pick(full, &other, ""),
            "$V".to_owned(),
            pick(full, &given, &other),
        ];
        let command = format!(
            "[\"$V\", \"${{V}}\", \"${{V-{other}}}\", \"${{V:-{other}}}\", \"${{V+{other}}}\", \"${{V:+{other}}}\", \"$$V\", \
             \"${{V:-${{NONE:-{other}}}}}\"]"
        );
        let project = read(&format!("services: {{a: {{image: x, command: {command}}}}}"), &environment);
        prop_assert_eq!(project.services["a"].command.0.as_deref(), Some(&expected[..]));
    }

    /// What is written is read as itself, whatever the texts.
    #[test]
    fn what_is_written_is_read_again(texts in prop::collection::vec("\\PC{0,12}|[ \\n\\t:#'\"a-c-]{0,12}", 1..6)) {
        let quoted: Vec<_> = texts.iter().map(|text| format!("{:?}", text.replace('$', ""))).collect();
        // JSON's quotes are YAML's, except for how Rust writes some characters.
        prop_assume!(quoted.iter().all(|text| !text.contains("\\u{") && !text.contains("\\'")));
        let text = format!("services: {{a: {{image: x, command: [{}]}}}}", quoted.join(", "));
        let first = read(&text, &BTreeMap::new());
        let again = read(&first.render(corten_compose::Format::Yaml), &BTreeMap::new());
        let written = first.render(corten_compose::Format::Yaml);
        // A text that begins with a line break loses nothing either.
        prop_assert_eq!(&first.services["a"].command, &again.services["a"].command, "{}", written);
    }

    /// It does not matter which of three files are merged first, and a file over itself changes nothing.
    #[test]
    fn merging_is_associative_and_a_file_over_itself_is_that_file(files in prop::collection::vec((words(), words()), 3)) {
        let file = |(map, list): &(BTreeMap<String, String>, BTreeMap<String, String>)| {
            let words: Vec<_> = list.keys().map(|word| format!("\"{word}\"")).collect();
            let words = words.join(", ");
            format!(
                "services: {{a: {{image: x, labels: {0}, environment: {0}, sysctls: {0}, cap_add: [{words}], dns_search: [{words}]}}}}",
                flow(map)
            )
        };
        let texts: Vec<_> = files.iter().map(file).collect();
        let all = merged(&texts);
        let [first, second, third] = &texts[..] else { panic!("three files") };
        let written = |texts: &[String]| merged(texts).render(corten_compose::Format::Yaml);
        let left = merged(&[written(&[first.clone(), second.clone()]), third.clone()]);
        let right = merged(&[first.clone(), written(&[second.clone(), third.clone()])]);
        prop_assert_eq!(&all.services, &left.services);
        prop_assert_eq!(&all.services, &right.services);
        prop_assert_eq!(&merged(std::slice::from_ref(first)).services, &merged(&[first.clone(), first.clone()]).services);
    }

    /// A text without `$` is itself, and `$$` stands for one `$`, whatever is around.
    #[test]
    fn texts_without_variables_stay(text in "[a-zA-Z0-9 $:{}_.?!+-]{0,16}") {
        let quoted = format!("{:?}", text.replace('$', "$$"));
        let project = read(&format!("services: {{a: {{image: x, command: [{quoted}]}}}}"), &BTreeMap::new());
        let expected = [text];
        prop_assert_eq!(project.services["a"].command.0.as_deref(), Some(&expected[..]));
    }
}
