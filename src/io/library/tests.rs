//! Real directories, with everything in them that does not belong there.
#![expect(clippy::disallowed_methods, reason = "tests make the files that they have read")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use nix::unistd::{Uid, mkfifo};
use tempfile::TempDir;

use super::*;
use crate::media::Durations;

const NOMINAL: Options =
    Options { block_duration: Duration::from_secs(2), durations: Durations::Nominal };

fn library(files: &[&str]) -> TempDir {
    let directory = TempDir::new().unwrap();
    for file in files {
        let path = directory.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"block").unwrap();
    }
    directory
}

fn names(scan: &Scan) -> Vec<&str> {
    scan.catalog.movies().iter().map(|m| &**m.name()).collect()
}

fn texts(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|f| f.to_string().split(';').next().unwrap().to_owned()).collect()
}

/// A Matroska block that says in its header how long it lasts.
fn mkv(millis: f64) -> Vec<u8> {
    let before = b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff";
    [before, &b"\x15\x49\xa9\x66\x8b\x44\x89\x88"[..], &millis.to_be_bytes()].concat()
}

#[test]
fn blocks_in_the_library_and_one_level_below_become_movies() {
    let library =
        library(&["a_00000.mkv", "a_00001.mkv", "b/b_0.mp4", "b/b_1.mp4", "b/c_0.ts", "c/a_0.mp4"]);
    let scan = scan(library.path(), &NOMINAL).unwrap();
    assert_eq!(names(&scan), ["a.mkv", "a.mp4", "b", "c"]);
    assert_eq!(scan.findings, []);
    let b = scan.catalog.find("b").unwrap();
    assert_eq!((b.blocks(), b.path(1).as_deref()), (2, Some("b/b_1.mp4")));
    for movie in scan.catalog.movies() {
        for block in 0..movie.blocks() {
            assert!(library.path().join(&*movie.path(block).unwrap()).exists());
        }
    }
}

#[test]
fn what_does_not_belong_there_is_named_and_nothing_waits_for_it() {
    let library =
        library(&["m/m_0.mkv", "deep/er/x_0.mkv", "notes.txt", ".hidden_0.mkv", "m/README.md"]);
    let at = |name: &str| library.path().join(name);
    for pipe in ["pipe_0.mkv", "m/m_1.mkv", "pipe.m3u8"] {
        mkfifo(&at(pipe), Mode::S_IRWXU).unwrap();
    }
    fs::create_dir(at("folder_0.mkv")).unwrap();
    fs::write(at("bad.m3u8"), b"#EXTM3U\nx_0.mkv\n").unwrap();
    let scan = scan(library.path(), &Options::default()).unwrap();
    assert_eq!(names(&scan), ["m"]);
    assert_eq!(
        texts(&scan.findings),
        [
            "deep/er: not read: only one level of directories is",
            "folder_0.mkv: not a block but a directory",
            "m/m_1.mkv: not a block but a pipe, socket or device",
            "notes.txt: not a block (<movie>_00000.mkv, .mp4 or .ts) nor an index",
            "pipe.m3u8: not a block but a pipe, socket or device",
            "pipe_0.mkv: not a block but a pipe, socket or device",
            "bad.m3u8: index not used: line 2: no #EXTINF before this name",
        ]
    );
    assert_eq!(survey_all(&scan), []);
}

#[test]
fn links_are_followed_only_inside_the_library() {
    let library = library(&["m/m_0.mkv", "store/x.bin"]);
    let at = |name: &str| library.path().join(name);
    symlink("../store/x.bin", at("m/m_1.mkv")).unwrap();
    symlink("m", at("linked")).unwrap();
    for (out, name) in [
        ("/etc/passwd", "m/m_2.mkv"),
        ("../../../etc/hostname", "out_0.mkv"),
        ("nowhere", "gone_0.mkv"),
        ("loop_0.mkv", "loop_0.mkv"),
        ("/etc", "etc"),
        ("/proc/self/fd/0", "i.m3u8"),
    ] {
        symlink(out, at(name)).unwrap();
    }
    let scan = scan(library.path(), &NOMINAL).unwrap();
    assert_eq!(names(&scan), ["m"]);
    let m = scan.catalog.find("m").unwrap();
    // Directory "linked" sorts before "m" and is the same one.
    assert_eq!((m.blocks(), m.path(0).as_deref()), (2, Some("linked/m_0.mkv")));
    let strangers: Vec<_> = texts(&scan.findings)
        .into_iter()
        .filter_map(|f| {
            f.strip_suffix(": not followed: the link leads out of the library or nowhere")
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(
        strangers,
        ["etc", "gone_0.mkv", "i.m3u8", "linked/m_2.mkv", "loop_0.mkv", "m/m_2.mkv", "out_0.mkv"]
    );
}

#[test]
fn an_index_gives_durations_and_headers_do_without_one() {
    let library = library(&[]);
    let at = |name: &str| library.path().join(name);
    for n in 0..5 {
        fs::write(at(&format!("h_{n}.mkv")), mkv(if n == 4 { 700.0 } else { 2002.0 })).unwrap();
        fs::write(at(&format!("i_{n}.mkv")), mkv(2000.0)).unwrap();
    }
    fs::write(at("i.m3u8"), "#EXTM3U\n#EXTINF:1.5,\ni_0.mkv\n#EXTINF:1.6,\ni_1.mkv\n").unwrap();
    let read = scan(library.path(), &Options::default()).unwrap();
    let total = |scan: &Scan, name| scan.catalog.find(name).unwrap().total().as_millis();
    assert_eq!((total(&read, "h"), total(&read, "i")), (4 * 2002 + 700, 3100));
    assert_eq!(read.findings.len(), 3, "{:?}", read.findings);
    let read = scan(library.path(), &NOMINAL).unwrap();
    assert_eq!((total(&read, "h"), total(&read, "i")), (10_000, 3100));
}

#[test]
fn the_survey_finds_what_a_stat_tells_in_slices() {
    let library = library(&["m/m_0.mkv", "m/m_1.mkv", "m/m_2.mkv", "n_0.ts", "n_1.ts"]);
    let at = |name: &str| library.path().join(name);
    fs::write(at("m/m_1.mkv"), b"").unwrap();
    fs::File::options()
        .write(true)
        .open(at("n_1.ts"))
        .unwrap()
        .set_len(limits::BLOCK_BYTES_MAX + 1)
        .unwrap();
    fs::set_permissions(at("n_0.ts"), fs::Permissions::from_mode(0o0)).unwrap();
    symlink("m_1.mkv", at("m/m_3.mkv")).unwrap();
    let scan = scan(library.path(), &NOMINAL).unwrap();
    let mut survey = Survey::new(&scan);
    let mut steps = 0;
    while !survey.step(1) {
        steps += 1;
        assert!(steps < 100, "it ends");
    }
    assert!(steps >= 5, "one file a step: {steps}");
    let mut expected = vec![
        "m/m_1.mkv: empty",
        "m/m_3.mkv: empty",
        "n_1.ts: larger than 256 MiB, never on the air",
    ];
    if !Uid::effective().is_root() {
        expected.push("n_0.ts: cannot be read: Permission denied");
    }
    assert_eq!(texts(&survey.findings()), expected);
}

#[test]
fn a_library_that_cannot_be_read_says_why() {
    let library = library(&["file"]);
    let at = |name: &str| library.path().join(name);
    let wrong = |path: &Path| scan(path, &NOMINAL).unwrap_err();
    assert!(matches!(wrong(&at("none")), LibraryError::Missing { .. }));
    assert!(matches!(wrong(&at("file")), LibraryError::NotADirectory { .. }));
    let text = wrong(&at("no\nne")).to_string();
    assert!(text.ends_with(
        "no\\x0ane: no such directory; create it or correct the path in the configuration"
    ));
    if !Uid::effective().is_root() {
        fs::create_dir(at("mine")).unwrap();
        fs::set_permissions(at("mine"), fs::Permissions::from_mode(0o0)).unwrap();
        assert!(matches!(wrong(&at("mine")), LibraryError::Denied { .. }));
        let read = scan(library.path(), &NOMINAL).unwrap();
        assert!(read.findings.iter().any(|f| matches!(f, Finding::Unreadable { .. })));
    }
}

#[test]
fn an_empty_library_is_an_empty_catalog() {
    let scan = scan(library(&[]).path(), &NOMINAL).unwrap();
    assert_eq!((scan.catalog.movies().len(), scan.findings.len()), (0, 0));
    assert_eq!(survey_all(&scan), []);
}

#[test]
fn the_demo_is_three_whole_movies() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("movies");
    let read = scan(&demo, &Options::default()).unwrap();
    assert_eq!(
        (names(&read), &read.findings[..]),
        (vec!["bars.mkv", "bars.mp4", "clock"], &[][..])
    );
    let totals: Vec<_> = read.catalog.movies().iter().map(|m| m.total().as_millis()).collect();
    assert_eq!(totals, [20_000, 20_000, 30_000]);
    assert_eq!(survey_all(&read), []);
    assert_eq!(read.catalog.find("bars").unwrap().path(9).as_deref(), Some("bars/bars_00009.mkv"));
}

#[test]
fn the_demos_headers_tell_how_long_their_pictures_last() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("movies");
    let read = scan(&demo, &Options::default()).unwrap();
    for movie in read.catalog.movies() {
        for block in 0..movie.blocks() {
            let path = movie.path(block).unwrap();
            let bytes = read.read(&path).unwrap();
            let exact = crate::container::read(&bytes).unwrap().lasts_ns;
            let told = header(&read.root, &path).unwrap();
            assert_eq!(crate::base::time::nanos(told), exact, "{path}, its sound goes on");
            assert_eq!(movie.lasts(block), Some(told), "{path}, as its index says");
        }
    }
}
