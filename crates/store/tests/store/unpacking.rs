//! Archives of all kinds become files, and exactly the same archives again.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use corten_sys::fs;

use super::{add, python, refused, shell, store};

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).expect("a text file")
}

#[test]
fn gnu_pax_and_ustar_archives_come_out_as_they_went_in() {
    let (folder, store) = store();
    let tree = "mkdir -p t/d/e; cd t; echo hi > d/f; ln d/f d/g; ln -s f d/s; mkfifo d/p; mknod d/c c 5 1; \
        chmod 4755 d/f; chown 12:34 d/g; touch -d @5 d/e; head -c 100000 /dev/urandom > big; \
        truncate -s 1M sparse; echo end >> sparse; truncate -s 2M sparse; \
        mkdir -p $(printf 'long-name-%.0s/' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15); \
        echo x > $(printf 'long-name-%.0s/' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)f; echo u > 'näme'";
    shell(folder.path(), tree);
    for options in [
        "--format=ustar",
        "--format=gnu",
        "--format=oldgnu",
        "--format=pax",
        "--format=v7 --exclude=long-name-* --exclude=c --exclude=p",
        "--format=gnu --sparse",
        "--format=pax --sparse --sparse-version=0.0",
        "--format=pax --sparse --sparse-version=0.1",
        "--format=pax --sparse --sparse-version=1.0",
        "--format=pax --xattrs --numeric-owner",
        "--format=gnu -b 1",
    ] {
        let tar = shell(&folder.path().join("t"), &format!("tar -cf - {options} ."));
        let layer = add(&store, &tar);
        let exclude = if options.contains("v7") {
            "--exclude=long-name-* --exclude=c --exclude=p"
        } else {
            ""
        };
        let same = format!("diff -r --no-dereference {exclude} t {} >&2", layer.path().display());
        if !options.contains("v7") {
            shell(folder.path(), &same.replace("diff", "diff -x c -x p"));
        }
        let file = fs::metadata(layer.path().join("d/f")).expect("there");
        assert_eq!(
            (file.mode() & 0o7777, file.uid(), file.gid()),
            (0o755, 12, 34),
            "chown took set-uid away before"
        );
        assert_eq!(file.ino(), fs::metadata(layer.path().join("d/g")).expect("there").ino());
        assert_eq!(fs::metadata(layer.path().join("sparse")).expect("there").len(), 2 << 20);
    }
}

#[test]
fn attributes_are_restored() {
    let (_folder, store) = store();
    let tar = python(
        "t = tar(format=tarfile.PAX_FORMAT)\n\
         entry(t, 'f', b'x', mode=0o6755, uid=3000000, gid=7, mtime=1.5,\n\
         \x20     pax_headers={'SCHILY.xattr.user.note': 'hello', 'SCHILY.xattr.trusted.overlay.redirect': '/etc',\n\
         \x20                  'mtime': '1000000000.123456789'})\n\
         entry(t, 'd/', type=tarfile.DIRTYPE, mode=0o1777, mtime=77)\n\
         entry(t, 'd/later', b'y', mtime=99)\n\
         t.close()",
    );
    let layer = add(&store, &tar);
    let path = layer.path().join("f");
    let file = fs::metadata(&path).expect("there");
    assert_eq!((file.mode() & 0o7777, file.uid(), file.gid()), (0o6755, 3_000_000, 7));
    assert_eq!((file.mtime(), file.mtime_nsec()), (1_000_000_000, 123_456_789));
    let mut value = [0; 16];
    let length = rustix::fs::lgetxattr(&path, "user.note", &mut value).expect("kept");
    assert_eq!(&value[..length], b"hello");
    rustix::fs::lgetxattr(&path, "trusted.overlay.redirect", &mut value).expect_err("never set from outside");
    let folder = fs::metadata(layer.path().join("d")).expect("there");
    assert_eq!(
        (folder.mode() & 0o7777, folder.mtime()),
        (0o1777, 77),
        "folder times are set last"
    );
}

#[test]
fn whiteouts_become_overlays() {
    let (_folder, store) = store();
    let tar = python(
        "t = tar()\n\
         entry(t, 'a/.wh.gone', b'')\n\
         entry(t, 'b/.wh..wh..opq', b'')\n\
         entry(t, 'b/new', b'n')\n\
         entry(t, '.wh..wh.aufs', b'')\n\
         entry(t, 'c/', type=tarfile.DIRTYPE)\n\
         entry(t, '.wh.c', b'')\n\
         entry(t, '.wh.d', b'')\n\
         entry(t, 'd/', type=tarfile.DIRTYPE)\n\
         entry(t, '.wh.e', b'')\n\
         entry(t, 'e', b'new e')\n\
         entry(t, 'f', b'kept')\n\
         entry(t, '.wh.f', b'ignored content')\n\
         t.close()",
    );
    let layer = add(&store, &tar);
    let gone = fs::symlink_metadata(layer.path().join("a/gone")).expect("there");
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    for opaque in ["b", "c", "d"] {
        let mut value = [0; 1];
        rustix::fs::lgetxattr(layer.path().join(opaque), "trusted.overlay.opaque", &mut value).expect(opaque);
        assert_eq!(&value, b"y");
    }
    assert_eq!(text(layer.path().join("e")), "new e");
    assert_eq!(text(layer.path().join("f")), "kept");
    assert!(!fs::exists(layer.path().join(".wh..wh.aufs")).expect("looked"));
}

#[test]
fn nothing_outside_the_layer_is_touched() {
    let (folder, store) = store();
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).expect("made");
    fs::write(outside.join("victim"), b"untouched").expect("made");
    let out = outside.display();
    let cases = [
        // Names that lead out are refused.
        ("entry(t, '../../outside/victim', b'evil')", Some("leads outside")),
        ("entry(t, 'a/../../../x', b'evil')", Some("leads outside")),
        (
            "entry(t, 'h', type=tarfile.LNKTYPE, linkname='../../outside/victim')",
            Some("leads outside"),
        ),
        // Absolute ones and symbolic links mean the layer.
        (&*format!("entry(t, '{out}/victim', b'evil')"), None),
        (
            &*format!("entry(t, 'l', type=tarfile.SYMTYPE, linkname='{out}')\nentry(t, 'l/victim', b'evil')"),
            None,
        ),
        (
            &*format!(
                "entry(t, 'l', type=tarfile.SYMTYPE, linkname='../../../../../../../..{out}')\nentry(t, 'l/x/victim', b'evil')"
            ),
            None,
        ),
        (
            &*format!("entry(t, 'l', type=tarfile.SYMTYPE, linkname='{out}/victim')\nentry(t, 'l', b'evil')"),
            None,
        ),
        (
            &*format!("entry(t, 'h', type=tarfile.LNKTYPE, linkname='{out}/victim')"),
            Some("the layer has not"),
        ),
        (
            &*format!(
                "entry(t, 'l', type=tarfile.SYMTYPE, linkname='{out}')\nentry(t, 'h', type=tarfile.LNKTYPE, linkname='l/victim')"
            ),
            Some("the layer has not"),
        ),
        (
            &*format!(
                "entry(t, 'd/', type=tarfile.DIRTYPE, mtime=5)\nentry(t, 'd', type=tarfile.SYMTYPE, linkname='{out}')"
            ),
            None,
        ),
        (
            &*format!(
                "entry(t, 'l', type=tarfile.SYMTYPE, linkname='{out}')\nentry(t, 'l/.wh.victim', b'')\nentry(t, 'l/.wh..wh..opq', b'')"
            ),
            None,
        ),
        // A root that is no folder, and whiteouts of nothing.
        ("entry(t, '.', b'evil')", Some("layer's root")),
        ("entry(t, 'a/.wh...', b'')", Some("deletes no name")),
        (
            "entry(t, 'a', type=tarfile.SYMTYPE, linkname='b')\nentry(t, 'b', type=tarfile.SYMTYPE, linkname='a')\nentry(t, 'a/x', b'evil')",
            Some("levels of symbolic links"),
        ),
        (
            "entry(t, 'a', b'file')\nentry(t, 'a/x', b'evil')",
            Some("not a directory"),
        ),
    ];
    let before = fs::metadata(&outside).expect("there").mtime();
    for (entries, expected) in cases {
        let tar = python(&format!("t = tar()\n{entries}\nt.close()"));
        match expected {
            Some(expected) => {
                let error = refused(&store, &tar);
                assert!(error.contains(expected), "{entries}: {error}");
            }
            None => {
                add(&store, &tar);
                store.gc(corten_store::GcOptions::default()).expect("collected");
            }
        }
        assert_eq!(text(outside.join("victim")), "untouched", "{entries}");
        assert_eq!(fs::read_dir(&outside).expect("there").count(), 1, "{entries}");
        let metadata = fs::metadata(outside.join("victim")).expect("there");
        assert_eq!(metadata.nlink(), 1, "{entries}");
    }
    assert_eq!(fs::metadata(&outside).expect("there").mtime(), before);
}

#[test]
fn entries_that_replace_others_keep_the_archive_exact() {
    let (_folder, store) = store();
    let tar = python(
        "t = tar()\n\
         entry(t, 'f', b'first')\n\
         entry(t, 'g', type=tarfile.LNKTYPE, linkname='f')\n\
         entry(t, 'f', b'second, longer')\n\
         entry(t, 'd/x', b'in a folder')\n\
         entry(t, 'd/y/z', b'deeper')\n\
         entry(t, 'd', b'now a file')\n\
         entry(t, 'd', type=tarfile.SYMTYPE, linkname='e')\n\
         entry(t, 'd', type=tarfile.DIRTYPE)\n\
         entry(t, 'd/x', b'again')\n\
         entry(t, 'd/x', b'and again')\n\
         entry(t, 's', type=tarfile.SYMTYPE, linkname='f')\n\
         entry(t, 's', b'no link')\n\
         entry(t, 'f', type=tarfile.LNKTYPE, linkname='f')\n\
         t.close()",
    );
    let layer = add(&store, &tar);
    let at = |name: &str| text(layer.path().join(name));
    assert_eq!((at("f"), at("g")), ("second, longer".into(), "first".into()));
    assert_eq!((at("d/x"), at("s")), ("and again".into(), "no link".into()));
    assert!(!fs::exists(layer.path().join("d/y")).expect("looked"));
}

#[test]
fn parents_behind_links_are_followed_inside() {
    let (_folder, store) = store();
    let tar = python(
        "t = tar()\n\
         entry(t, 'usr/lib/a', b'a')\n\
         entry(t, 'lib', type=tarfile.SYMTYPE, linkname='usr/lib')\n\
         entry(t, 'lib/b', b'b')\n\
         entry(t, 'lib64', type=tarfile.SYMTYPE, linkname='/usr/lib')\n\
         entry(t, 'lib64/c/d', b'd')\n\
         entry(t, 'run', type=tarfile.SYMTYPE, linkname='var/run')\n\
         entry(t, 'run/pid', b'1')\n\
         t.close()",
    );
    let layer = add(&store, &tar);
    for name in ["usr/lib/a", "usr/lib/b", "usr/lib/c/d", "var/run/pid"] {
        assert!(fs::exists(layer.path().join(name)).expect("looked"), "{name}");
    }
}

#[test]
fn truncated_and_wrong_archives_leave_nothing() {
    let (folder, store) = store();
    let tar = python("t = tar()\nentry(t, 'f', b'x' * 3000)\nt.close()");
    assert_eq!(refused(&store, b"not a tar"), "unexpected EOF");
    assert!(refused(&store, &tar[..1000]).contains("unexpected EOF"));
    fs::write(folder.path().join("t.tar"), &tar).expect("written");
    let gzip = shell(folder.path(), "gzip -c t.tar");
    assert_eq!(refused(&store, &gzip[..gzip.len() - 9]), "unexpected EOF");
    let mut damaged = gzip.clone();
    let end = damaged.len() - 6;
    damaged[end] ^= 1;
    refused(&store, &damaged);
    assert!(refused(&store, b"BZh9xxxxxxxxxx").contains("bzip2"));
    let left = fs::read_dir(folder.path().join("data/overlay2")).expect("there");
    let left = left.filter(|e| {
        !e.as_ref()
            .expect("entry")
            .file_name()
            .to_string_lossy()
            .starts_with(".trash")
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn bombs_are_refused() {
    let folder = tempfile::tempdir_in("/var/tmp").expect("temp dir");
    let limits = corten_store::Limits {
        entries: 100,
        unpacked: 1 << 20,
        ..corten_store::Limits::default()
    };
    let store = corten_store::Store::open(folder.path(), corten_store::Options { limits }).expect("opens");
    let large = python("t = tar()\nentry(t, 'f', b'\\0' * (2 << 20))\nt.close()");
    assert!(refused(&store, &large).contains("unpacks to"));
    let many = python("t = tar()\nfor i in range(101): entry(t, 'f%d' % i, b'')\nt.close()");
    assert!(refused(&store, &many).contains("more than 100 entries"));
    let sparse = python(
        "t = tar(format=tarfile.PAX_FORMAT)\n\
         entry(t, 'f', b'x', pax_headers={'GNU.sparse.map': '0,1', 'GNU.sparse.size': '999999999999'})\nt.close()",
    );
    assert!(refused(&store, &sparse).contains("more than 1048576 bytes"));
}

/// Archives whose headers are well formed and whose fields are nonsense: refused or taken in
/// exactly, and the files outside stay as they are.
#[test]
fn nonsense_in_headers_does_no_harm() {
    let (folder, store) = store();
    let victim = folder.path().join("victim");
    fs::write(&victim, b"untouched").expect("made");
    let tar = python(&format!(
        "t = tar(format=tarfile.PAX_FORMAT)\n\
         entry(t, 'd/f', b'x' * 700, pax_headers={{'mtime': '1.5', 'SCHILY.xattr.user.a': 'b'}})\n\
         entry(t, 'l', type=tarfile.SYMTYPE, linkname='{0}')\n\
         entry(t, 'h', type=tarfile.LNKTYPE, linkname='d/f')\n\
         entry(t, 'd/.wh.x', b'')\n\
         entry(t, 'l', b'y')\n\
         t.close()",
        victim.display()
    ));
    let mut random = 88_172_645_463_325_252_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random >> 33).expect("31 bits") % below
    };
    for _ in 0..150 {
        let mut tar = tar.clone();
        for _ in 0..1 + next(3) {
            let at = next(7 * 512);
            let with = [next(256), usize::from(b'0') + next(8), usize::from(b'/'), 0][next(4)];
            tar[at] = u8::try_from(with).expect("a byte");
            let block = at / 512 * 512;
            tar[block + 148..block + 156].copy_from_slice(b"        ");
            let sum: u32 = tar[block..block + 512].iter().map(|byte| u32::from(*byte)).sum();
            tar[block + 148..block + 155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        }
        let lease = store.lease();
        match store.layers().from_tar(&lease, &mut &*tar) {
            Ok(layer) => layer.verify().expect("exact"),
            Err(error) => assert!(!error.to_string().contains("panicked"), "{error}"),
        }
        assert_eq!(text(&victim), "untouched");
        assert_eq!(fs::metadata(&victim).expect("there").nlink(), 1);
    }
}
