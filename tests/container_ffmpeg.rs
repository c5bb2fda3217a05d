//! Blocks that ffmpeg cut, made into each output and played by ffmpeg: every picture is shown, over
//! joints, a loop and a change of movie, with times that go on. The pictures carry their number as
//! squares along the top, lowest bit left.

#![expect(clippy::disallowed_methods, reason = "a test outside the program drives other programs")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "a test says what it leaves out")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use vidstreamd::container::{self, Block, Clock, Output};

const WIDTH: usize = 256;
const HEIGHT: usize = 96;
const SQUARE: usize = 16;
/// Pictures of a movie: 6 s, in blocks of 2 s.
const PICTURES: u32 = 150;

/// How a movie is encoded and cut.
struct Film {
    extension: &'static str,
    video: &'static str,
    audio: &'static str,
    /// Options of the container.
    form: &'static str,
}

const H264: &str = "libx264 -preset veryfast";
const HEVC: &str = "libx265 -preset ultrafast -x265-params log-level=none";
const VP9: &str = "libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 500k";
const AV1: &str = "libsvtav1 -preset 12 -svtav1-params keyint=50";
const MPEG2: &str = "mpeg2video -q:v 4";
const FRAGMENTED: &str = "movflags=+frag_keyframe+empty_moov+delay_moov";

const fn film(extension: &'static str, video: &'static str, audio: &'static str) -> Film {
    Film { extension, video, audio, form: "" }
}

/// Skips aloud; a failure where nothing may be left out.
fn skip(reason: &str) {
    println!("SKIPPED: {reason}");
    let required = std::env::var("VIDSTREAMD_REQUIRE_ALL").is_ok_and(|v| v == "1");
    assert!(!required, "VIDSTREAMD_REQUIRE_ALL=1, but: {reason}");
}

/// Runs a program; what it printed, and what it complained of.
fn run(program: &str, arguments: &[&str]) -> Option<(Vec<u8>, String)> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    output.status.success().then_some((output.stdout, complaints))
}

/// Cuts a movie into blocks; nothing where ffmpeg cannot.
fn cut(film: &Film, name: &str, folder: &Path) -> Option<Vec<Vec<u8>>> {
    let strip = format!(
        "geq=lum='if(lt(Y,{SQUARE}),255*mod(floor(N/pow(2,floor(X/{SQUARE}))),2),lum(X,Y))':\
         cb='if(lt(Y,{SQUARE}),128,cb(X,Y))':cr='if(lt(Y,{SQUARE}),128,cr(X,Y))'"
    );
    let picture = format!("testsrc2=s={WIDTH}x{HEIGHT}:r=25:d=6");
    let whole = folder.join(format!("{name}.mkv"));
    let whole = whole.to_str().unwrap();
    let mut arguments = vec!["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", &picture];
    arguments.extend(["-f", "lavfi", "-i", "sine=440:r=48000:d=6", "-vf", &strip, "-c:v"]);
    arguments.extend(film.video.split(' '));
    arguments.extend(["-pix_fmt", "yuv420p", "-sc_threshold", "0", "-c:a"]);
    arguments.extend(film.audio.split(' '));
    arguments.extend(["-force_key_frames", "expr:gte(t,n_forced*2)", "-strict", "-2", whole]);
    run("ffmpeg", &arguments)?;
    let blocks = folder.join(format!("{name}_%05d.{}", film.extension));
    let mut arguments = vec!["-nostdin", "-v", "error", "-i", whole, "-map", "0", "-c", "copy"];
    arguments.extend(["-strict", "-2", "-f", "segment", "-segment_time", "2"]);
    arguments.extend(["-reset_timestamps", "1", "-segment_format_options"]);
    let form = if film.form.is_empty() { "strict=-2" } else { film.form };
    arguments.extend([form, blocks.to_str().unwrap()]);
    run("ffmpeg", &arguments)?;
    let block = |number| folder.join(format!("{name}_{number:05}.{}", film.extension));
    let blocks: Vec<_> = (0..3).map(|number| fs::read(block(number)).unwrap()).collect();
    assert!(!block(3).exists(), "{name}: three blocks");
    Some(blocks)
}

/// The blocks of some airings, one after the other, as one endless output.
fn endless(output: Output, airings: &[&[Vec<u8>]]) -> Vec<u8> {
    let (mut bytes, mut starts_ns, mut seq) = (Vec::new(), 0, 40);
    for airing in airings {
        for (number, data) in airing.iter().enumerate() {
            let block = container::read(data).unwrap();
            let (first, last) = (number == 0, number + 1 == airing.len());
            let lasts_ns = block.lasts_ns;
            let clock = Clock { seq, starts_ns, lasts_ns, first, last, stands_in: false };
            append(&mut bytes, output, (data, &block), &clock);
            starts_ns = starts_ns.checked_add_unsigned(lasts_ns).unwrap();
            seq += 1;
        }
    }
    bytes
}

fn append(bytes: &mut Vec<u8>, output: Output, (data, block): (&[u8], &Block), clock: &Clock) {
    let begins = bytes.is_empty();
    match output {
        Output::Mkv => {
            if begins {
                bytes.extend(container::mkv::header(block));
            }
            bytes.extend(container::mkv::clusters(block, clock).bytes(data));
        }
        Output::Mp4 => {
            if begins {
                bytes.extend(container::mp4::init(block).unwrap());
            }
            let made = container::mp4::fragments(block, clock, None).unwrap();
            bytes.extend(made.pieces.bytes(data));
        }
        Output::Ts => bytes.extend(container::ts::packets(data, block, clock).unwrap()),
    }
}

/// The numbers of the pictures that ffmpeg shows; it may complain of nothing.
fn shown(file: &Path) -> Vec<u32> {
    let file = file.to_str().unwrap();
    let mut arguments = vec!["-nostdin", "-v", "error", "-i", file, "-map", "0:v", "-vsync"];
    arguments.extend(["passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "-"]);
    let (planes, complaints) = run("ffmpeg", &arguments).expect("ffmpeg plays it");
    assert_eq!(complaints, "", "{file}");
    let all =
        run("ffmpeg", &["-nostdin", "-v", "error", "-i", file, "-map", "0:a", "-f", "null", "-"]);
    assert_eq!(all.expect("ffmpeg plays the sound").1, "", "{file}");
    planes.chunks_exact(WIDTH * HEIGHT).map(number).collect()
}

fn number(plane: &[u8]) -> u32 {
    let row = &plane[SQUARE / 2 * WIDTH..];
    (0..WIDTH / SQUARE).filter(|bit| row[bit * SQUARE + SQUARE / 2] > 125).map(|bit| 1 << bit).sum()
}

/// Decode times by stream, in seconds; of a packet without one when it is shown.
fn times(file: &Path) -> [Vec<f64>; 2] {
    let arguments = ["-v", "error", "-show_entries", "packet=stream_index,pts_time,dts_time"];
    let arguments = [&arguments[..], &["-of", "csv=p=0", file.to_str().unwrap()]].concat();
    let (text, complaints) = run("ffprobe", &arguments).expect("ffprobe reads it");
    assert_eq!(complaints, "", "{}", file.display());
    let mut times = [Vec::new(), Vec::new()];
    for line in String::from_utf8(text).unwrap().lines() {
        let fields: Vec<_> = line.split(',').collect();
        if let [stream, pts, dts, ..] = fields[..]
            && let Some(time) = dts.parse().or_else(|_| pts.parse::<f64>()).ok()
        {
            times[stream.parse::<usize>().unwrap()].push(time);
        }
    }
    times
}

/// A film in each output that carries it, twice in a row.
fn plays(name: &str, film: &Film) {
    let folder = tempfile::tempdir().unwrap();
    let Some(blocks) = cut(film, name, folder.path()) else {
        return skip(&format!("ffmpeg cannot make {name}: {} {}", film.video, film.audio));
    };
    let first = container::read(&blocks[0]).unwrap();
    let carried = Output::ALL.into_iter().filter(|output| output.takes(&first).is_ok());
    for output in carried {
        let stream = folder.path().join(format!("endless.{output}"));
        fs::write(&stream, endless(output, &[&blocks, &blocks])).unwrap();
        let expected: Vec<_> = (0..PICTURES).chain(0..PICTURES).collect();
        assert_eq!(shown(&stream), expected, "{name} as {output}");
        if output == Output::Mkv {
            sound_to_mkvinfo(&stream, name);
        }
        let [pictures, sounds] = times(&stream);
        if output != Output::Mkv {
            // Matroska has no decode times.
            steps(&pictures, (0.039, 0.041), &format!("{name} as {output}: pictures"));
        }
        let vorbis = film.audio.contains("vorbis");
        let bounds = if vorbis { (0.0, 0.1) } else { (0.001, 0.125) };
        steps(&sounds, bounds, &format!("{name} as {output}: sounds"));
    }
}

/// Matroska's own tool finds nothing amiss: every element whole, known and in its place.
fn sound_to_mkvinfo(file: &Path, name: &str) {
    let Some((told, _)) = run("mkvinfo", &["-v", &file.to_string_lossy()]) else {
        return skip("there is no mkvinfo");
    };
    let told = String::from_utf8_lossy(&told).to_lowercase();
    assert!(told.contains("+ cluster"), "{name}: {told}");
    for amiss in ["error", "warning", "unknown element", "invalid", "corrupt"] {
        let line = told.lines().find(|line| line.contains(amiss));
        assert_eq!(line, None, "{name}: what mkvinfo says");
    }
}

fn steps(times: &[f64], (least, most): (f64, f64), what: &str) {
    for two in times.windows(2) {
        let step = two[1] - two[0];
        assert!((least..=most).contains(&step), "{what}: a step of {step} s at {} s", two[0]);
    }
}

/// Whether the tools are here at all.
fn tools() -> bool {
    let there = ["ffmpeg", "ffprobe"].iter().all(|tool| run(tool, &["-version"]).is_some());
    if !there {
        skip("there is no ffmpeg");
    }
    there
}

#[test]
fn h264_plays_from_every_container() {
    if tools() {
        plays("h264_mkv", &film("mkv", H264, "aac"));
        plays("h264_mp4", &film("mp4", H264, "aac"));
        plays("h264_ts", &film("ts", H264, "aac"));
        plays("h264_ac3", &film("mp4", "libx264 -preset ultrafast -bf 0", "ac3"));
    }
}

#[test]
fn hevc_plays_from_every_container() {
    if tools() {
        plays("hevc_mkv", &film("mkv", HEVC, "libmp3lame"));
        plays("hevc_mp4", &Film { form: FRAGMENTED, ..film("mp4", HEVC, "ac3") });
        plays("hevc_ts", &film("ts", HEVC, "libopus"));
    }
}

#[test]
fn the_other_codecs_play_where_they_are_carried() {
    if tools() {
        plays("vp9_mkv", &film("mkv", VP9, "libvorbis"));
        plays("vp9_mp4", &film("mp4", VP9, "libopus"));
        plays("av1_mkv", &film("mkv", AV1, "libopus"));
        plays("av1_mp4", &film("mp4", AV1, "flac"));
        plays("mpeg2_mkv", &film("mkv", MPEG2, "flac"));
        plays("mpeg2_mp4", &film("mp4", MPEG2, "libmp3lame"));
        plays("mpeg2_ts", &film("ts", MPEG2, "ac3"));
    }
}

#[test]
fn another_movie_with_the_same_parameters_goes_on_in_one_stream() {
    if !tools() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let films = ["mkv", "mp4", "ts"].map(|extension| film(extension, H264, "aac"));
    let cut = |film: &Film| cut(film, film.extension, folder.path());
    let [Some(mkv), Some(mp4), Some(ts)] = films.each_ref().map(cut) else {
        return skip("ffmpeg has no libx264");
    };
    let signature = |block: &[u8]| container::read(block).unwrap().signature();
    assert_eq!(signature(&mkv[0]), signature(&mkv[2]));
    assert_eq!(signature(&mkv[0]), signature(&mp4[1]));
    for output in Output::ALL {
        let file: PathBuf = folder.path().join(format!("all.{output}"));
        fs::write(&file, endless(output, &[&mkv, &mp4, &ts, &mkv])).unwrap();
        let expected: Vec<_> = (0..4).flat_map(|_| 0..PICTURES).collect();
        assert_eq!(shown(&file), expected, "{output}");
    }
}
