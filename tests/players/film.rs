//! Barcode movies: the top strip of each picture is its number, as 16 squares, the lowest bit left.
//! Making them, reading the number of a picture, and judging a row of numbers. No player is known
//! here.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};

pub(crate) const WIDTH: usize = 320;
pub(crate) const HEIGHT: usize = 180;
/// Both sides of a square, and so the height of the strip.
pub(crate) const SQUARE: usize = 20;
/// The bit that tells the two movies apart.
const MOVIE_BIT: u32 = 1 << 15;
/// Bytes of noise to choose from.
const NOISE: usize = 1 << 18;
const BITS: usize = WIDTH / SQUARE;

/// A movie of blocks of 2 s.
pub(crate) struct Film {
    /// 0 or 1.
    pub(crate) number: u32,
    /// What its blocks are.
    pub(crate) extension: &'static str,
    pub(crate) seconds: u32,
}

impl Film {
    /// Pictures a second.
    pub(crate) const RATE: u32 = 25;

    /// Encodes it in one go and cuts it, as README.md says, into a folder of the library.
    pub(crate) fn make(&self, library: &Path) {
        let name = format!("film{}", self.number);
        let folder = library.join(&name);
        fs::create_dir_all(&folder).expect("a folder");
        let sound = format!("sine={}:r=48000", 440 * (self.number + 1));
        let (size, seconds) = (format!("{WIDTH}x{HEIGHT}"), self.seconds.to_string());
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", &size]);
        ffmpeg.args(["-r", "25", "-i", "-", "-f", "lavfi", "-i", &sound, "-t", &seconds]);
        ffmpeg.args(["-c:v", "libx264", "-preset", "veryfast", "-sc_threshold", "0"]);
        ffmpeg.args(["-force_key_frames", "expr:gte(t,n_forced*2)", "-c:a", "aac"]);
        ffmpeg.args(["-avoid_negative_ts", "disabled", "-f", "segment", "-segment_time", "2"]);
        ffmpeg.args(["-reset_timestamps", "1", "-segment_list"]).current_dir(&folder);
        ffmpeg.arg(format!("{name}.m3u8")).arg(format!("{name}_%05d.{}", self.extension));
        let mut child = ffmpeg.stdin(Stdio::piped()).spawn().expect("ffmpeg runs");
        self.draw(&mut child.stdin.take().expect("it was piped"));
        assert!(child.wait().expect("our child").success(), "{ffmpeg:?}");
    }

    fn draw(&self, into: &mut ChildStdin) {
        let mut picture = vec![128; WIDTH * HEIGHT * 3 / 2];
        let noise = noise();
        for frame in 0..self.seconds * Self::RATE {
            let number = frame | (self.number * MOVIE_BIT);
            for (y, row) in picture.chunks_exact_mut(WIDTH).take(HEIGHT).enumerate() {
                if y < SQUARE {
                    row.chunks_exact_mut(SQUARE).enumerate().for_each(|(bit, square)| {
                        square.fill(if number >> bit & 1 == 1 { 235 } else { 16 });
                    });
                } else {
                    // As much in each picture as in one of a real movie.
                    let at = (usize::try_from(frame).expect("small") * 7919 + y * WIDTH) % NOISE;
                    row.copy_from_slice(&noise[at..at + WIDTH]);
                }
            }
            into.write_all(&picture).expect("ffmpeg takes pictures");
        }
    }
}

/// Grey that is nowhere like itself, the same at each run.
fn noise() -> Vec<u8> {
    let mut state: u32 = 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        96 + u8::try_from(state >> 28).expect("four bits") * 3
    };
    (0..NOISE + WIDTH).map(|_| next()).collect()
}

/// The number that a strip shows; `strip` begins with the first row of the picture's luminance.
pub(crate) fn number(strip: &[u8]) -> u32 {
    let row = &strip[SQUARE / 2 * WIDTH..];
    (0..BITS).filter(|bit| row[bit * SQUARE + SQUARE / 2] > 125).map(|bit| 1 << bit).sum()
}

/// What a player showed, against the two movies in turn.
#[derive(Default, Debug)]
pub(crate) struct Shown {
    /// Pictures, those that came twice counted once.
    pub(crate) pictures: u32,
    /// Pictures between the first and the last that were not shown.
    pub(crate) missing: u32,
    /// Pictures that were shown again.
    pub(crate) again: u32,
    /// How often one movie followed the other.
    pub(crate) changes: u32,
    /// Pictures that no movie has.
    pub(crate) strange: u32,
    /// Where pictures are missing: the last before and the first behind.
    pub(crate) holes: Vec<(u32, u32)>,
}

impl Shown {
    /// Judges the numbers of pictures in the order in which they were shown; each of the two
    /// movies has `pictures`.
    pub(crate) fn of(numbers: &[u32], pictures: u32) -> Self {
        let mut shown = Self::default();
        let mut before: Option<u32> = None;
        for number in numbers {
            let (movie, frame) = (number / MOVIE_BIT, number % MOVIE_BIT);
            if frame >= pictures {
                shown.strange += 1;
                continue;
            }
            let place = movie * pictures + frame;
            shown.step(before, place, pictures);
            before = Some(place);
        }
        shown
    }

    fn step(&mut self, before: Option<u32>, place: u32, pictures: u32) {
        let Some(before) = before else {
            self.pictures = 1;
            return;
        };
        let lap = 2 * pictures;
        let step = (place + lap - before) % lap;
        if step == 0 {
            self.again += 1;
            return;
        }
        self.pictures += 1;
        self.changes += u32::from(before / pictures != place / pictures);
        if step > 1 {
            self.missing += step - 1;
            self.holes.push((before, place));
        }
    }
}

#[test]
fn numbers_that_follow_each_other_over_a_change_and_a_loop_are_whole() {
    let numbers = [48, 49, MOVIE_BIT, MOVIE_BIT + 1];
    let shown = Shown::of(&numbers, 50);
    assert_eq!((shown.pictures, shown.missing, shown.changes), (4, 0, 1));
    let around = [MOVIE_BIT + 49, 0, 0, 1];
    let shown = Shown::of(&around, 50);
    assert_eq!((shown.pictures, shown.missing, shown.again, shown.changes), (3, 0, 1, 1));
}

#[test]
fn what_is_missing_is_counted_and_named() {
    let shown = Shown::of(&[0, 1, 4, 60, 5], 50);
    assert_eq!((shown.missing, shown.strange), (2, 1));
    assert_eq!(shown.holes, [(1, 4)]);
    let back = Shown::of(&[10, 9], 50);
    assert_eq!(back.missing, 98, "no picture comes out of order");
}
