//! What directories of every kind turn into.

use core::cell::RefCell;

use proptest::prelude::*;

use super::*;

const NOMINAL: Options =
    Options { block_duration: Duration::from_secs(2), durations: Durations::Nominal };
const HEADER: Options = Options { durations: Durations::Header, ..NOMINAL };

fn folder(names: &[&str]) -> Folder {
    let mut folder = Folder::new("f");
    for name in names {
        folder.file(name.as_bytes());
    }
    folder
}

fn finish(folder: Folder) -> (Vec<Movie>, Vec<String>) {
    finish_with(folder, &NOMINAL, &mut |_| None)
}

fn finish_with(
    mut folder: Folder,
    options: &Options,
    header: &mut Header<'_>,
) -> (Vec<Movie>, Vec<String>) {
    folder.indexes();
    let (movies, findings) = folder.finish(options, header);
    (movies, findings.into_vec().iter().map(ToString::to_string).collect())
}

fn index_text(lines: &[(&str, &str)]) -> String {
    lines.iter().fold("#EXTM3U\n".to_owned(), |text, (lasts, name)| {
        text + "#EXTINF:" + lasts + ",\n" + name + "\n"
    })
}

/// The movies and findings of a directory with one index `i.m3u8`.
fn indexed(names: &[&str], lines: &[(&str, &str)]) -> (Vec<Movie>, Vec<String>) {
    let mut folder = folder(names);
    folder.file(b"i.m3u8");
    assert_eq!(folder.indexes(), ["i.m3u8".into()]);
    folder.index("i.m3u8", index_text(lines).as_bytes());
    finish(folder)
}

fn files(movie: &Movie) -> Vec<String> {
    (0..movie.blocks()).map(|b| movie.file_name(b).unwrap()).collect()
}

fn millis(movie: &Movie) -> Vec<u128> {
    (0..movie.blocks()).map(|b| movie.lasts(b).unwrap().as_millis()).collect()
}

#[test]
fn plain_blocks_of_any_order_and_padding_are_one_movie() {
    let names = ["m_000003.mkv", "m_00001.mkv", "m_00000.mkv", "m_00002.mkv", "m_00004.mkv"];
    let (movies, findings) = finish(folder(&names));
    assert_eq!(findings, Vec::<String>::new());
    assert_eq!(files(&movies[0]), [names[2], names[1], names[3], names[0], names[4]]);
    assert_eq!(movies[0].path(0).as_deref(), Some("f/m_00000.mkv"));
    assert_eq!(movies[0].total(), Duration::from_secs(10));
}

#[test]
fn a_missing_block_keeps_its_number_and_is_reported() {
    let names = ["m_0.mkv", "m_2.mkv", "m_5.mkv", "n_7.ts"];
    let (movies, findings) = finish(folder(&names));
    assert_eq!(
        files(&movies[0]),
        ["m_0.mkv", "m_1.mkv", "m_2.mkv", "m_3.mkv", "m_4.mkv", "m_5.mkv"]
    );
    assert_eq!(files(&movies[1]), ["n_7.ts"]);
    assert_eq!(
        findings,
        [
            "movie m: block 1 is missing; the filler takes its place",
            "movie m: blocks 3 to 4 are missing; the filler takes their place",
            "movie n: begins at block 7; if earlier blocks are lost, put them back",
        ]
    );
}

#[test]
fn what_is_no_block_is_reported_by_name() {
    let mut folder = folder(&["m_00000.mkv", "m_00.mkv", "m_9999999.mkv", "film.mkv", "a\x07.ts"]);
    folder.file(b"\xff_0.ts");
    folder.file(b".hidden_0.ts");
    folder.file(b"README.md");
    folder.stranger(b"pipe_0.ts", Odd::Special);
    let (movies, findings) = finish(folder);
    assert_eq!(movies.len(), 1);
    let brief: Vec<_> = findings.iter().map(|f| &f[..f.len().min(24)]).collect();
    assert_eq!(
        brief,
        [
            "f/a\\x07.ts: not a block: ",
            "f/\\xff_0.ts: not a block:",
            "f/pipe_0.ts: not a block ",
            "f/m_00000.mkv: left out, ",
            "f/m_9999999.mkv: left out",
            "f/film.mkv: not a block (",
        ]
        .map(|s| &s[..24])
    );
}

#[test]
fn an_index_is_the_truth() {
    let (movies, findings) = indexed(
        &["m_00000.mkv", "m_00001.mkv", "m_00003.mkv", "m_00009.mkv", "n_0.mkv"],
        &[
            ("2.002", "m_00000.mkv"),
            ("1.5", "m_00001.mkv"),
            ("2", "m_00002.mkv"),
            ("0.7", "m_00003.mkv"),
        ],
    );
    assert_eq!(files(&movies[0]), ["m_00000.mkv", "m_00001.mkv", "m_00002.mkv", "m_00003.mkv"]);
    assert_eq!(millis(&movies[0]), [2002, 1500, 2000, 700]);
    assert_eq!((movies.len(), files(&movies[1])), (2, vec!["n_0.mkv".to_owned()]));
    assert_eq!(
        findings,
        [
            "movie m: block 2 is missing; the filler takes its place",
            "f/m_00009.mkv: left out: the movie's index does not list it; add or remove it",
        ]
    );
}

#[test]
fn an_index_of_odd_names_makes_a_movie_of_its_own_name() {
    let (movies, findings) = indexed(
        &["intro.ts", "m_1.ts", "end.ts"],
        &[("2", "intro.ts"), ("2", "m_1.ts"), ("2", "intro.ts"), ("1", "end.ts")],
    );
    assert_eq!(&**movies[0].name(), "i");
    assert_eq!(files(&movies[0]), ["intro.ts", "m_1.ts", "intro.ts", "end.ts"]);
    assert_eq!(findings.len(), 1, "{findings:?}");
}

#[test]
fn an_unfit_index_is_reported_and_the_files_speak() {
    let only = |lines: &[(&str, &str)]| {
        let (movies, findings) = indexed(&["m_0.ts", "m_1.ts"], lines);
        assert_eq!((movies.len(), movies[0].blocks()), (1, 2));
        findings.join("|")
    };
    assert_eq!(
        only(&[("2", "x_0.ts")]),
        "f/i.m3u8: index not used: none of the files it names is there"
    );
    assert!(only(&[("2", "m_0.ts"), ("2", "m_0.mkv")]).contains("line 5: mixes containers"));
    assert!(only(&[("2", "m_0.avi")]).contains("line 3: names a file that is not mkv"));
    assert!(only(&[("2", "../m_0.ts")]).contains("line 3: a block is named without directories"));
    assert!(only(&[]).contains("lists no block"));
}

#[test]
fn of_two_indexes_of_a_movie_the_m3u8_speaks() {
    let mut folder = folder(&["m_0.ts", "a.m3u", "b.m3u8"]);
    assert_eq!(folder.indexes(), ["b.m3u8".into(), "a.m3u".into()]);
    folder.index("b.m3u8", b"#EXTM3U\n#EXTINF:3,\nm_0.ts\n");
    folder.index("a.m3u", b"#EXTM3U\n#EXTINF:4,\nm_0.ts\n");
    let (movies, findings) = finish(folder);
    assert_eq!(millis(&movies[0]), [3000]);
    assert_eq!(findings, ["f/a.m3u: index not used: the movie has an index already; remove one"]);
}

#[test]
fn headers_are_sampled_while_they_agree() {
    let names: Vec<_> = (0..100).map(|n| format!("m_{n:05}.mkv")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let asked = RefCell::new(vec![]);
    let mut header = |name: &str| {
        asked.borrow_mut().push(name.to_owned());
        Some(Duration::from_millis(if name == "m_00099.mkv" { 700 } else { 2002 }))
    };
    let (movies, _) = finish_with(folder(&names), &HEADER, &mut header);
    assert_eq!(*asked.borrow(), ["m_00000.mkv", "m_00049.mkv", "m_00099.mkv"]);
    assert_eq!(movies[0].total(), Duration::from_millis(99 * 2002 + 700));
}

#[test]
fn headers_that_disagree_are_all_read() {
    let mut header = |name: &str| match name {
        "m_0.mkv" => Some(Duration::from_millis(1900)),
        "m_3.mkv" => None,
        _ => Some(Duration::from_millis(2100)),
    };
    let names = ["m_0.mkv", "m_1.mkv", "m_3.mkv", "m_4.mkv"];
    let (movies, _) = finish_with(folder(&names), &HEADER, &mut header);
    assert_eq!(millis(&movies[0]), [1900, 2100, 2000, 2000, 2100]);
    let (movies, _) = finish_with(folder(&names[..1]), &HEADER, &mut header);
    assert_eq!(millis(&movies[0]), [1900]);
}

#[test]
fn a_thousand_strangers_are_counted_not_kept() {
    let mut folder = folder(&[]);
    for n in 0..limits::FOLDER_OTHERS_MAX + 1000 {
        folder.file(format!("note{n}.txt").as_bytes());
    }
    assert!(folder.others.len() <= limits::FOLDER_OTHERS_MAX);
    let (_, findings) = finish(folder);
    assert_eq!(findings.len(), limits::FINDINGS_SHOWN_MAX + 1);
    assert_eq!(findings.last().unwrap(), "and 5086 more: files that are not blocks");
}

proptest! {
    #[test]
    fn every_file_is_a_block_or_reported(
        names in prop::collection::btree_set("[ab]_[0-3]{1,3}\\.(mkv|ts|txt)", 0..30),
        entries in prop::collection::vec("[ab]_[0-3]{1,3}\\.(mkv|ts)", 0..10),
    ) {
        let mut folder = Folder::new("");
        for name in &names {
            folder.file(name.as_bytes());
        }
        folder.indexes();
        let lines: Vec<_> = entries.iter().map(|e| ("2", e.as_str())).collect();
        folder.index("x.m3u8", index_text(&lines).as_bytes());
        let (movies, findings) = folder.finish(&NOMINAL, &mut |_| None);
        let mut seen: Vec<String> = movies.iter().flat_map(files).collect();
        let findings = findings.into_vec();
        let cut = findings.iter().any(|f| matches!(f, Finding::More { .. }));
        for finding in findings {
            match finding {
                Finding::Stranger { path, .. } | Finding::Duplicate { path, .. } => seen.push(path),
                _ => {}
            }
        }
        for name in &names {
            prop_assert!(cut || seen.contains(name), "{name} is neither aired nor reported");
        }
    }
}
