//! Ways out of a build, all of which lead nowhere: links, `..`, archives, mounts and outputs.

use corten_sys::fs;
use corten_tests::engine::Engine;
use corten_tests::images::tar;

use crate::{context, engine};

/// What nobody may find, or change.
const SECRET: &str = "xyzzy-of-the-host";

/// A file of the host, in a folder of its own.
struct Host<'a>(&'a Engine, String);

impl<'a> Host<'a> {
    fn new(engine: &'a Engine) -> Self {
        let folder = context(engine, "host", &[("key", SECRET)]);
        Self(engine, folder)
    }

    #[track_caller]
    fn is_untouched(&self, what: &str) {
        let entries = fs::read_dir(&self.1).expect("a folder");
        let names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
        assert_eq!(names, ["key"], "{what}");
        let text = fs::read_to_string(format!("{}/key", self.1)).expect("a file");
        assert_eq!(text, SECRET, "{what}");
        assert!(self.0.is_running(), "{what}");
    }

    /// Builds; gives what is said, whether it ended well or not.
    #[track_caller]
    fn build(&self, folder: &str, dockerfile: &str, flags: &[&str]) -> (i32, String) {
        fs::write(format!("{folder}/Dockerfile"), dockerfile).expect("a file");
        let all = [&["build", "--progress=plain", "-t", "built"], flags, &[folder]].concat();
        let ended = self.0.corten(&all).run();
        let said = ended.stderr + &ended.stdout;
        assert!(!said.contains(SECRET), "{dockerfile}: {said}");
        self.is_untouched(dockerfile);
        (ended.code, said)
    }

    #[track_caller]
    fn fails(&self, folder: &str, dockerfile: &str, flags: &[&str], words: &str) {
        let (code, said) = self.build(folder, dockerfile, flags);
        assert_eq!(code, 1, "{dockerfile}: {said}");
        assert!(said.contains(words), "{words:?} of {dockerfile}: {said}");
    }

    #[track_caller]
    fn works(&self, folder: &str, dockerfile: &str, flags: &[&str]) -> String {
        let (code, said) = self.build(folder, dockerfile, flags);
        assert_eq!(code, 0, "{dockerfile}: {said}");
        said
    }
}

#[test]
fn links_and_dots_find_nothing_outside() {
    let engine = engine();
    let host = Host::new(&engine);
    let outside = &host.1;
    let folder = context(&engine, "out", &[("f", "file"), ("d/g", "")]);
    let up = "../".repeat(15);
    for (name, target) in [
        ("key", format!("{outside}/key")),
        ("folder", outside.clone()),
        ("up", format!("{up}{outside}")),
        ("d/more", outside.clone()),
    ] {
        fs::symlink(target, format!("{folder}/{name}")).expect("a link");
    }
    for step in [
        "COPY key /x",
        "COPY folder/key /x",
        "COPY up/key /x",
        "COPY d/more/key /x/",
        &format!("COPY {up}{outside}/key /x"),
        "ADD key /x",
        "ADD up/key /x",
        "COPY --parents d/more/key /x/",
        "COPY --parents d/./more/key /x/",
        "COPY --link --chown=1 up/key /x",
        "COPY --from=named up/key /x",
        &format!("COPY --from=named {up}{outside}/key /x"),
        "RUN --mount=type=bind,source=key,target=/x cat /x",
        "RUN --mount=type=bind,source=up,target=/x cat /x/key",
        "RUN --mount=type=bind,source=up,target=/x,rw cat /x/key",
        &format!("RUN --mount=type=bind,source={up}{outside},target=/x cat /x/key"),
        "RUN --mount=type=bind,from=named,source=up,target=/x cat /x/key",
        "RUN --mount=type=cache,from=named,source=up,target=/x cat /x/key",
    ] {
        let named = format!("named={folder}");
        host.fails(
            &folder,
            &format!("FROM busybox\n{step}\n"),
            &["--build-context", &named],
            "not found",
        );
    }
    for pattern in ["u*/key", "d*/mo*/key", "**/key/x"] {
        let dockerfile = format!("FROM busybox\nCOPY {pattern} /x/\n");
        host.fails(&folder, &dockerfile, &[], "no source files were specified");
    }
    // Links are copied as links; written to by a command, they lead to places in the container.
    let dockerfile = "FROM busybox\nCOPY . /c/\nRUN ! cat /c/key && ! cat /c/up/key && ls /c/d\n\
                      RUN --mount=type=bind,target=/s,rw ! cat /s/key && rm -r /s/d && echo evil > /s/f\n";
    host.works(&folder, dockerfile, &[]);
    assert_eq!(fs::read_to_string(format!("{folder}/f")).expect("a file"), "file");
    // Links of other stages as well.
    let stage = format!(
        "FROM busybox AS a\nRUN ln -s {outside} /o && ln -s {up}{outside}/key /k && mkdir /d && ln -s {outside} /d/l\n"
    );
    for step in [
        "COPY --from=a /k /x",
        "COPY --from=a /o/key /x",
        "RUN --mount=type=bind,from=a,source=/o,target=/x cat /x/key",
        "RUN --mount=type=cache,from=a,source=/o,target=/x cat /x/key",
    ] {
        host.fails(&folder, &format!("{stage}FROM busybox\n{step}\n"), &[], "not found");
    }
    let dockerfile = format!("{stage}FROM busybox\nCOPY --from=a /d /d\nRUN ! cat /d/l/key && test -L /d/l\n");
    host.works(&folder, &dockerfile, &[]);
}

/// Found by hand: a link to what `.dockerignore` leaves out brought it into images.
#[test]
fn what_is_ignored_is_not_reached_by_links() {
    let engine = engine();
    let host = Host::new(&engine);
    let folder = context(
        &engine,
        "ignored",
        &[("hidden/x", SECRET), ("shown/y", "y"), (".dockerignore", "hidden\n")],
    );
    fs::symlink("hidden", format!("{folder}/way")).expect("a link");
    fs::symlink("hidden/x", format!("{folder}/wax")).expect("a link");
    fs::symlink("shown", format!("{folder}/open")).expect("a link");
    let named = format!("named={folder}");
    for step in [
        "COPY way/x /s",
        "COPY wax /s",
        "COPY way /s",
        "ADD wax /s",
        "COPY wa? wa*/x /s/",
        "COPY --parents way/./x /s/",
        "COPY --from=named wax /s",
        "RUN --mount=type=bind,source=hidden/x,target=/s cat /s",
        "RUN --mount=type=bind,source=wax,target=/s cat /s",
        "RUN --mount=type=bind,source=way,target=/s cat /s/x",
        "RUN --mount=type=bind,from=named,source=way,target=/s,rw cat /s/x",
        "RUN --mount=type=cache,from=named,source=way,target=/s cat /s/x",
    ] {
        let (code, said) = host.build(
            &folder,
            &format!("FROM busybox\n{step}\n"),
            &["--build-context", &named],
        );
        assert_eq!(code, 1, "{step}: {said}");
        assert!(
            said.contains("not found") || said.contains("no source files were specified"),
            "{step}: {said}"
        );
    }
    let dockerfile = "FROM busybox\nCOPY open/y open /o/\nCOPY op*n/y /p/\nRUN --mount=type=bind,target=/s ! cat /s/way/x && \
                      ls /s/open/y /o/y /p/y\n";
    host.works(&folder, dockerfile, &[]);
}

/// Found by hand: folders could not be made where links lead to nothing yet, and places of mounts stayed there.
#[test]
fn links_of_images_lead_to_places_in_images() {
    let engine = engine();
    let host = Host::new(&engine);
    let outside = &host.1;
    let folder = context(&engine, "places", &[("f", "file"), ("d/g", "")]);
    let links =
        format!("FROM busybox\nRUN ln -s {outside} /l && ln -s ../../../..{outside} /m && ln -s /data/app /app\n");
    for (steps, shown) in [
        ("WORKDIR /app/x\nCOPY f .\n", "/data/app/x/f"),
        ("WORKDIR /l/new\nCOPY f key\n", "/l/new/key"),
        ("COPY f /m/new/\n", "/l/new/f"),
        ("COPY d /l\n", "/m/g"),
        ("ADD f /app/\nVOLUME /app\n", "/data/app/f"),
    ] {
        host.works(&folder, &format!("{links}{steps}RUN ls {shown}\n"), &[]);
    }
    let circle = "FROM busybox\nRUN ln -s /b /a && ln -s /a /b\nWORKDIR /a/c\n";
    host.fails(&folder, circle, &[], "its links lead in a circle");
    // Mounts are there where links lead, for as long as the command runs.
    let mounts = "RUN --mount=type=bind,source=d,target=/l/b --mount=type=cache,target=/m/c --mount=type=tmpfs,target=/l/t \
                  --mount=type=secret,id=s,target=/app/s ls /l/b/g && touch /l/c/x /l/t/x && test -s /app/s\n\
                  RUN ! ls -d /data && ! ls -d /tmp/* && ! ls -d /l/ /m/\n";
    let secret = format!("id=s,src={folder}/f");
    host.works(&folder, &format!("{links}{mounts}"), &["--secret", &secret]);
    host.fails(
        &folder,
        "FROM busybox\nRUN ln -s /b /a && ln -s /a /b\nRUN --mount=type=bind,target=/a/x true\n",
        &[],
        "invalid mount target \"/a/x\"",
    );
}

#[test]
fn targets_of_mounts_stay_inside_and_are_no_root() {
    let engine = engine();
    let host = Host::new(&engine);
    let outside = &host.1;
    let folder = context(&engine, "mounts", &[("f", "file"), ("d/g", "")]);
    let up = "../".repeat(15);
    for options in [
        "type=bind,source=d,target=/",
        "type=bind,source=d,target=..",
        "type=cache,target=/x/../",
        "type=tmpfs,target=//",
        "type=secret,id=s,target=/.",
    ] {
        let dockerfile = format!("FROM busybox\nRUN --mount={options} true\n");
        host.fails(&folder, &dockerfile, &[], "invalid mount target ");
    }
    let dockerfile = format!(
        "FROM busybox\nWORKDIR /w\nRUN --mount=type=bind,source=d,target={up}x ls /x/g\n\
         RUN --mount=type=cache,id={up}{outside},target=/c echo evil > /c/key\n\
         RUN --mount=type=cache,id={up}{outside},target={up}k ls /k/key && rm /k/key && ln -s {outside} /k/l\n\
         RUN --mount=type=cache,id={up}{outside},target=/c ! ls /c/l/ && mkdir -p {outside} && echo evil > /c/l/key && rm -r {outside}\n\
         RUN --mount=type=secret,id=s,target={up}s/t cat /s/t > /dev/null\n\
         RUN --mount=type=secret,id={up}f test ! -e /run/secrets\n\
         RUN test ! -e /x && test ! -e /k && test ! -e /c && test ! -e /s\n"
    );
    let secret = format!("id=s,src={folder}/f");
    host.works(&folder, &dockerfile, &["--secret", &secret]);
}

/// One entry of an archive, without the archive's end.
fn entry(path: &str, kind: u8, link: &str) -> Vec<u8> {
    let contents = if kind == b'0' { b"evil".to_vec() } else { Vec::new() };
    let mut bytes = tar(&[(path.to_owned(), contents)]);
    bytes.truncate(bytes.len() - 1024);
    bytes[156] = kind;
    bytes[157..157 + link.len()].copy_from_slice(link.as_bytes());
    bytes[148..156].fill(b' ');
    let sum: u32 = bytes[..512].iter().map(|byte| u32::from(*byte)).sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    bytes
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

#[test]
fn archives_stay_in_the_image() {
    let engine = engine();
    let host = Host::new(&engine);
    let outside = &host.1;
    let key = format!("{outside}/key");
    let up = format!("{}{outside}", "../".repeat(9));
    let folder = context(&engine, "archives", &[]);
    let add = "FROM busybox\nRUN ln -s /r /via && mkdir /r\nADD a.tar /\n";
    // What an archive has, and a command that sees what became of it; none for one that is refused.
    for (what, entries, seen) in [
        ("dots", vec![entry(&format!("{up}/key"), b'0', "")], None),
        (
            "an absolute path",
            vec![entry(&key, b'0', "")],
            Some(format!("grep evil {key}")),
        ),
        (
            "a linked folder",
            vec![entry("a", b'2', outside), entry("a/key", b'0', "")],
            Some(format!("grep evil {key}")),
        ),
        (
            "a folder linked upwards",
            vec![
                entry("a", b'2', &up),
                entry("a/new", b'5', ""),
                entry("a/new/x", b'0', ""),
            ],
            Some(format!("grep evil {outside}/new/x")),
        ),
        ("a hard link", vec![entry("a", b'1', &key), entry("a", b'0', "")], None),
        (
            "a hard link upwards",
            vec![entry("a", b'1', &format!("{up}/key"))],
            None,
        ),
        (
            "a hard link by a link",
            vec![entry("d", b'2', outside), entry("a", b'1', "d/key")],
            None,
        ),
        (
            "a file for a folder",
            vec![entry("a", b'0', ""), entry("a/b", b'0', "")],
            None,
        ),
        (
            "a folder where the image has a link to one",
            vec![entry("via", b'5', ""), entry("via/x", b'0', "")],
            Some("test -L /via && grep evil /r/x".to_owned()),
        ),
        (
            "a link where the image has a folder",
            vec![entry("r", b'2', outside), entry("x", b'0', "")],
            Some("test -L /r && grep evil /x".to_owned()),
        ),
        (
            "whiteouts",
            vec![
                entry("etc/.wh.passwd", b'0', ""),
                entry(".wh.nothing", b'0', ""),
                entry("x", b'0', ""),
            ],
            Some("! ls /etc/passwd && ls /etc && grep evil /x".to_owned()),
        ),
        ("a pipe", vec![entry("p", b'6', "")], Some("test -p /p".to_owned())),
    ] {
        fs::write(format!("{folder}/a.tar"), archive(&entries)).expect("a file");
        match seen {
            Some(command) => {
                host.works(&folder, &format!("{add}RUN {command}\n"), &[]);
            }
            None => host.fails(&folder, add, &[], "cannot unpack a.tar"),
        }
        assert!(engine.is_running(), "{what}");
    }
}

/// Found by hand: an archive that was cut was copied as if it were none.
#[test]
fn archives_that_break_off_are_told_of() {
    let engine = engine();
    let folder = context(
        &engine,
        "cut",
        &[
            ("files/a", "a"),
            ("other.gz", "\u{1f}no archive, and not packed either"),
        ],
    );
    let made = "head -c 300000 /dev/urandom > files/b && tar -cf whole.tar files && gzip -k whole.tar && \
                head -c 20000 whole.tar > cut.tar && head -c 200000 whole.tar.gz > cut.tgz && \
                (echo text that is no archive | gzip > text.gz) && rm -r files whole.tar whole.tar.gz";
    engine.sh(&format!("cd {folder} && {made}")).ok();
    for name in ["cut.tar", "cut.tgz"] {
        let dockerfile = format!("FROM busybox\nADD {name} /x/\n");
        fs::write(format!("{folder}/Dockerfile"), dockerfile).expect("a file");
        let said = engine.corten(["build", &folder]).fails(1);
        assert!(
            said.contains(&format!(">>> ADD {name} /x/")) && said.contains(&format!("cannot unpack {name}")),
            "{said}"
        );
        assert!(said.contains("--unpack=false"), "{said}");
    }
    let dockerfile = "FROM busybox\nADD text.gz other.gz /x/\nADD --unpack=false cut.tgz /x/\nCMD ls /x\n";
    fs::write(format!("{folder}/Dockerfile"), dockerfile).expect("a file");
    engine.corten(["build", "-q", "-t", "built", &folder]).ok();
    assert_eq!(
        engine.corten(["run", "--rm", "built"]).ok(),
        "cut.tgz\nother.gz\ntext.gz\n"
    );
}

#[test]
fn outputs_do_not_follow_links_of_their_folder() {
    let engine = engine();
    let host = Host::new(&engine);
    let work = engine.work().to_string_lossy().into_owned();
    let folder = context(&engine, "outputs", &[("f", "file"), ("../out/kept", "")]);
    fs::symlink(&host.1, format!("{work}/out/etc")).expect("a link");
    fs::symlink(format!("{}/key", host.1), format!("{work}/out/file")).expect("a link");
    let nowhere = format!("{work}/nowhere/x.tar");
    for (steps, output, words) in [
        (
            "COPY f /etc/key",
            format!("type=local,dest={work}/out"),
            "cannot overwrite non-directory",
        ),
        ("COPY f /x", format!("type=local,dest={folder}/f"), "file exists"),
        (
            "COPY f /x",
            format!("type=tar,dest={nowhere}"),
            "no such file or directory",
        ),
        (
            "COPY f /x",
            format!("type=oci,dest={nowhere}"),
            "no such file or directory",
        ),
        (
            "COPY f /x",
            format!("type=tar,dest={work}/out"),
            "there is a folder of that name",
        ),
    ] {
        let dest = output.split_once("dest=").expect("a place").1;
        let dockerfile = format!("FROM scratch\n{steps}\n");
        host.fails(&folder, &dockerfile, &["--output", &output], words);
        let (_, said) = host.build(&folder, &dockerfile, &["--output", &output]);
        let named = format!("ERROR: failed to build: cannot write the output to {dest}: ");
        assert!(said.contains(&named), "{said}");
    }
    // A link is replaced, and what it leads to stays.
    let output = format!("type=local,dest={work}/out");
    host.works(&folder, "FROM scratch\nCOPY f /file\n", &["--output", &output]);
    let mut names: Vec<_> = fs::read_dir(format!("{work}/out"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    assert_eq!(names, ["etc", "file", "kept"]);
    assert_eq!(fs::read_to_string(format!("{work}/out/file")).expect("a file"), "file");
}
