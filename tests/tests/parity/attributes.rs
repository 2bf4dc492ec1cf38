//! Attributes of Compose files, each with the test that shows what it does.

use corten_sys::fs;
use corten_tests::programs;

use crate::evidence::Place;
use crate::report::{Row, Status};

/// The suite whose projects are files of their own.
const CORPUS: &str = "compose::corpus::the_corpus_is_as_compose_has_it";

/// The rows of `tests/data/parity/attributes.txt`: `area | path | test`, where `refused test` shows that it is refused
/// by name, or told to have no effect. The test's file, or the corpus, must have the attribute's own key.
pub(crate) fn rows(text: &str, places: &[Place]) -> Vec<Row> {
    let corpus = corpus();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let rows = lines.map(|line| {
        let parts: Vec<&str> = line.split(" | ").collect();
        let [area, item, test] = parts.as_slice() else {
            panic!("{line}: not three parts");
        };
        let (is_refused, test) = test
            .strip_prefix("refused ")
            .map_or((false, *test), |test| (true, test));
        let place = places.iter().find(|place| place.name == test);
        let place = place.unwrap_or_else(|| panic!("tests/data/parity/attributes.txt names {test}, which is no test"));
        let key = key(item);
        let is_shown = match test {
            CORPUS => has_word(&corpus, key),
            _ => {
                let same = places.iter().filter(|other| other.file == place.file);
                same.flat_map(|place| &place.words)
                    .any(|word| has_word(&word.text, key))
            }
        };
        let test = test.to_owned();
        Row {
            area: (*area).to_owned(),
            item: (*item).to_owned(),
            status: match (is_shown, is_refused) {
                (false, _) => Status::Missing("the test does not have it"),
                (true, true) => Status::Refused(test),
                (true, false) => Status::Works(test),
            },
        }
    });
    rows.collect()
}

/// The last name of a path that is not free: `services.<name>.ulimits.<name>` is of `ulimits`.
fn key(path: &str) -> &str {
    let steps = path.rsplit('.').map(|step| step.trim_end_matches("[]"));
    steps.into_iter().find(|step| *step != "<name>").unwrap_or(path)
}

fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.split(|c| !is_part(c)).any(|part| part == word)
}

/// All files of the corpus of projects.
fn corpus() -> String {
    let root = programs::root().join("tests/data/compose");
    let folders = fs::read_dir(root).expect("the corpus").flatten();
    let files = folders.map(|folder| folder.path().join("compose.yaml"));
    files.filter_map(|file| fs::read_to_string(file).ok()).collect()
}
