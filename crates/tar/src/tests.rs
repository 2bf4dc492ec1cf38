use std::io::Read as _;

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    entries: 1000,
    name: 4096,
};

fn read_all(bytes: &[u8]) -> error::Result<Vec<(Entry, Vec<u8>)>> {
    let mut reader = Reader::new(bytes, (), LIMITS);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next()? {
        let mut content = Vec::new();
        reader.read_to_end(&mut content)?;
        entries.push((entry, content));
    }
    reader.finish()?;
    Ok(entries)
}

fn write_all(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, content) in entries {
        writer.entry(entry, &mut &content[..]).expect("to memory");
    }
    writer.finish().expect("to memory")
}

fn file(path: &[u8], content: &[u8]) -> (Entry, Vec<u8>) {
    let mut entry = Entry::new(path, EntryKind::File, 0o644);
    (entry.size, entry.stored) = (content.len() as u64, content.len() as u64);
    (entry, content.to_vec())
}

#[test]
fn what_is_written_is_read() {
    let long = [&b"folder/"[..]; 40].concat();
    let (mut special, content) = file(&[&long[..], b"name"].concat(), b"content");
    special.uid = 3_000_000;
    special.modified = Time {
        seconds: -5,
        nanoseconds: 250_000_000,
    };
    special.xattrs = vec![(b"user.note".to_vec(), b"a\0b\n".to_vec())];
    let entries = vec![
        file(b"a", b""),
        file("n\u{e4}me".as_bytes(), &[7; 513]),
        (special, content),
        (Entry::new(b"d/", EntryKind::Folder, 0o1777), Vec::new()),
        (Entry::new(b"l", EntryKind::Symlink(long.clone()), 0o777), Vec::new()),
        (Entry::new(b"h", EntryKind::HardLink(b"a".to_vec()), 0o644), Vec::new()),
        (Entry::new(b"p", EntryKind::Fifo, 0o600), Vec::new()),
        (
            Entry::new(b"c", EntryKind::CharDevice(Device { major: 5, minor: 1 }), 0o666),
            Vec::new(),
        ),
    ];
    assert_eq!(read_all(&write_all(&entries)).expect("good"), entries);
}

#[test]
fn broken_archives_are_refused_in_gos_words() {
    fn check(bytes: &[u8], expected: &str) {
        assert_eq!(read_all(bytes).expect_err(expected).to_string(), expected);
    }
    let good = write_all(&[file(b"a", &[1; 600])]);
    check(b"not a tar", "unexpected EOF");
    check(&good[..700], "unexpected EOF");
    check(&[b'x'; 1024], "archive/tar: invalid tar header");
    let mut bad_sum = good.clone();
    bad_sum[0] = b'b';
    check(&bad_sum, "archive/tar: invalid tar header");
    let mut lone_zeros = vec![0; BLOCK];
    lone_zeros.extend_from_slice(&good);
    check(&lone_zeros, "archive/tar: invalid tar header");
}

#[test]
fn ends_without_trailer_and_empty_archives_are_fine() {
    let good = write_all(&[file(b"a", b"x")]);
    assert_eq!(read_all(&good[..1024]).expect("good").len(), 1);
    assert!(read_all(&[]).expect("good").is_empty());
    assert!(read_all(&[0; 512]).expect("good").is_empty());
}

#[test]
fn limits_hold() {
    let many: Vec<_> = (0..1001).map(|_| file(b"a", b"")).collect();
    assert!(
        read_all(&write_all(&many))
            .expect_err("many")
            .to_string()
            .contains("more than 1000 entries")
    );
    let long = file(&[b'a'; 5000], b"");
    assert!(
        read_all(&write_all(&[long]))
            .expect_err("long")
            .to_string()
            .contains("5000 bytes long")
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let _ = read_all(&bytes);
    }

    #[test]
    fn damaged_archives_never_panic(at in 0_usize..2048, with in any::<u8>()) {
        let mut entry = file(&[b'n'; 300], &[3; 100]);
        entry.0.xattrs = vec![(b"user.a".to_vec(), b"b".to_vec())];
        let mut bytes = write_all(&[entry]);
        bytes[at] = with;
        let _ = read_all(&bytes);
    }

    #[test]
    fn any_entry_survives(
        path in proptest::collection::vec(1_u8..=255, 1..300),
        mode in 0_u32..0o10000,
        uid in any::<u32>(),
        seconds in -100_000_000_000_i64..100_000_000_000,
        nanoseconds in 0_u32..1_000_000_000,
        content in proptest::collection::vec(any::<u8>(), 0..1500),
    ) {
        let (mut entry, content) = file(&path, &content);
        (entry.mode, entry.uid, entry.gid) = (mode, uid, uid);
        entry.modified = Time { seconds, nanoseconds };
        let entries = vec![(entry, content)];
        prop_assert_eq!(read_all(&write_all(&entries)).expect("good"), entries);
    }
}
