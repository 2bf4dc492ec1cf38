//! The log as its readers find it.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use corten_sys::fs;
use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize)]
struct Line {
    log: String,
    stream: String,
    time: String,
}

fn lines(text: &[u8]) -> Vec<Line> {
    let text = std::str::from_utf8(text).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn read(path: &Path) -> Vec<Line> {
    lines(&fs::read(path).unwrap())
}

fn unpack(path: &Path) -> Vec<Line> {
    let mut text = Vec::new();
    let bytes = fs::read(path).unwrap();
    flate2::read::GzDecoder::new(bytes.as_slice())
        .read_to_end(&mut text)
        .unwrap();
    lines(&text)
}

fn open(path: &Path, max_size: Option<u64>, max_files: u32, compress: bool) -> JsonLog {
    let attrs = BTreeMap::new();
    JsonLog::open(&Log::JsonFile {
        path: path.to_owned(),
        max_size,
        max_files,
        compress,
        attrs,
    })
    .unwrap()
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c-json.log");
    (folder, path)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

#[test]
fn lines_wait_for_their_newline_or_the_end() {
    let (_folder, path) = place();
    let mut log = open(&path, None, 1, false);
    for (stream, text) in [
        (Stream::Stdout, "a\nb"),
        (Stream::Stderr, "x\n"),
        (Stream::Stdout, "c\nd"),
    ] {
        assert_eq!(log.append(stream, text.as_bytes()), None);
    }
    let texts: Vec<_> = read(&path).into_iter().map(|line| (line.stream, line.log)).collect();
    let wanted = [("stdout", "a\n"), ("stderr", "x\n"), ("stdout", "bc\n")];
    assert_eq!(texts, wanted.map(|(stream, text)| (stream.to_owned(), text.to_owned())));
    assert_eq!(log.end(Stream::Stdout), None);
    assert_eq!(log.end(Stream::Stderr), None);
    assert_eq!(read(&path).pop().unwrap().log, "d");
}

#[test]
fn times_differ_and_pieces_of_a_line_share_one() {
    let (_folder, path) = place();
    let mut log = open(&path, None, 1, false);
    log.append(Stream::Stdout, "l\n".repeat(50).as_bytes());
    log.append(Stream::Stdout, "l\n".repeat(50).as_bytes());
    let mut times: Vec<_> = read(&path).into_iter().map(|line| line.time).collect();
    times.dedup();
    assert_eq!(times.len(), 100);
    log.append(Stream::Stdout, &[b'x'; LONGEST + 1]);
    log.append(Stream::Stdout, b"\n");
    let pieces = read(&path).split_off(100);
    assert_eq!(pieces.len(), 2);
    assert_eq!(pieces[0].time, pieces[1].time);
}

#[test]
fn long_lines_are_cut_as_docker_does() {
    for (length, pieces) in [
        (LONGEST - 1, vec![LONGEST]),
        (LONGEST, vec![LONGEST, 1]),
        (LONGEST + 1, vec![LONGEST, 2]),
        (2 * LONGEST + 5, vec![LONGEST, LONGEST, 6]),
    ] {
        let (_folder, path) = place();
        let mut log = open(&path, None, 1, false);
        log.append(Stream::Stdout, format!("{}\n", "y".repeat(length)).as_bytes());
        let found: Vec<_> = read(&path).iter().map(|line| line.log.len()).collect();
        assert_eq!(found, pieces);
    }
}

#[test]
fn full_files_make_way_and_no_line_is_lost() {
    let (_folder, path) = place();
    let mut log = open(&path, Some(1000), 3, false);
    for number in 0..100 {
        log.append(Stream::Stdout, format!("{number:04}\n").as_bytes());
    }
    let files = [beside(&path, ".2"), beside(&path, ".1"), path.clone()];
    let kept: Vec<String> = files.iter().flat_map(|path| read(path)).map(|line| line.log).collect();
    let first = 100 - kept.len();
    let wanted: Vec<String> = (first..100).map(|number| format!("{number:04}\n")).collect();
    assert_eq!(kept, wanted);
    for full in &files[..2] {
        let size = fs::metadata(full).unwrap().len();
        assert!((1000..1100).contains(&size), "{size}");
    }
    assert!(!fs::exists(beside(&path, ".3")).unwrap());
}

#[test]
fn one_batch_may_fill_several_files() {
    let (_folder, path) = place();
    let mut log = open(&path, Some(500), 50, false);
    let text: String = (0..40).map(|number| format!("{number}\n")).collect();
    assert_eq!(log.append(Stream::Stderr, text.as_bytes()), None);
    let mut kept = Vec::new();
    for number in (1..50).rev() {
        let path = beside(&path, &format!(".{number}"));
        if fs::exists(&path).unwrap() {
            kept.extend(read(&path));
        }
    }
    kept.extend(read(&path));
    let kept: String = kept.into_iter().map(|line| line.log).collect();
    assert_eq!(kept, text);
}

#[test]
fn a_single_file_begins_anew() {
    let (_folder, path) = place();
    let mut log = open(&path, Some(300), 1, false);
    log.append(Stream::Stdout, "l\n".repeat(100).as_bytes());
    assert!(fs::metadata(&path).unwrap().len() < 400);
    assert!(!fs::exists(beside(&path, ".1")).unwrap());
}

#[test]
fn full_files_are_compressed_between_other_work() {
    let (_folder, path) = place();
    let mut log = open(&path, Some(200_000), 4, true);
    let mut number = 0;
    let mut write = |log: &mut JsonLog, lines: u32| {
        for _ in 0..lines {
            log.append(Stream::Stdout, format!("{number:06}\n").as_bytes());
            number += 1;
        }
    };
    write(&mut log, 3000);
    assert!(log.has_work());
    // A slice, and the file under work is moved on.
    assert!(log.work());
    write(&mut log, 3000);
    while log.work() {}
    let mut kept = Vec::new();
    for number in (1..4).rev() {
        assert!(!fs::exists(beside(&path, &format!(".{number}"))).unwrap());
        let packed = beside(&path, &format!(".{number}.gz"));
        if fs::exists(&packed).unwrap() {
            kept.extend(unpack(&packed));
        }
    }
    kept.extend(read(&path));
    assert_eq!(kept.len(), 6000);
    for (number, line) in kept.iter().enumerate() {
        assert_eq!(line.log, format!("{number:06}\n"));
    }
    assert!(!fs::exists(beside(&path, ".gz.unfinished")).unwrap());
}

#[test]
fn what_an_earlier_run_left_uncompressed_is_taken_up() {
    let (_folder, path) = place();
    fs::write(beside(&path, ".1"), b"old").unwrap();
    let mut log = open(&path, Some(1000), 3, true);
    while log.work() {}
    assert!(fs::exists(beside(&path, ".1.gz")).unwrap());
    assert!(!fs::exists(beside(&path, ".1")).unwrap());
}

#[test]
fn a_torn_line_is_not_continued() {
    let (_folder, path) = place();
    fs::write(&path, b"{\"log\":\"half").unwrap();
    let mut log = open(&path, None, 1, false);
    log.append(Stream::Stdout, b"whole\n");
    let text = fs::read_to_string(&path).unwrap();
    let (torn, rest) = text.split_once('\n').unwrap();
    assert_eq!(torn, "{\"log\":\"half");
    assert_eq!(lines(rest.as_bytes())[0].log, "whole\n");
}

#[test]
fn a_full_disk_is_told_once() {
    let mut log = open(Path::new("/dev/full"), None, 1, false);
    let message = log.append(Stream::Stdout, b"a\n").unwrap();
    assert!(
        message.contains("/dev/full") && message.contains("No space"),
        "{message}"
    );
    assert_eq!(log.append(Stream::Stdout, b"b\n"), None);
}

#[test]
fn a_log_without_a_folder_is_told_and_tried_again() {
    let (folder, _) = place();
    let path = folder.path().join("later/c.log");
    let mut log = open(&path, None, 1, false);
    assert!(log.append(Stream::Stdout, b"lost\n").is_some());
    fs::create_dir(folder.path().join("later")).unwrap();
    assert_eq!(log.append(Stream::Stdout, b"kept\n"), None);
    assert_eq!(read(&path)[0].log, "kept\n");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn all_text_is_found_again_whatever_the_cuts(
        parts in prop::collection::vec((any::<bool>(), "[a-z<\"]{0,9}", 0_usize..3, any::<bool>()), 0..40),
        max_size in prop::option::of(200_u64..2000),
    ) {
        let (_folder, path) = place();
        let mut log = open(&path, max_size, 1000, false);
        let mut wanted = [String::new(), String::new()];
        for (second, text, thousands, newline) in parts {
            let stream = Stream::ALL[usize::from(second)];
            let mut text = text + &"z".repeat(thousands * 7000);
            if newline {
                text.push('\n');
            }
            wanted[stream.index()].push_str(&text);
            prop_assert_eq!(log.append(stream, text.as_bytes()), None);
        }
        for stream in Stream::ALL {
            log.end(stream);
        }
        let mut found = [String::new(), String::new()];
        let old = (1..1000).map(|number| beside(&path, &format!(".{number}"))).take_while(|path| fs::exists(path).unwrap());
        let mut files: Vec<_> = old.collect();
        files.reverse();
        files.push(path.clone());
        for line in files.iter().flat_map(|path| read(path)) {
            prop_assert!(line.log.len() <= LONGEST);
            found[usize::from(line.stream == "stderr")].push_str(&line.log);
        }
        prop_assert_eq!(found, wanted);
    }
}
