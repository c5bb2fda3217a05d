//! The times of one track's frames, made exact: onto the even grid that a container's rounding
//! blurred, durations from it, decode times as the sorted times of showing. Pure arithmetic.

use crate::container::types::{Codec, Frame, Track};
use crate::media::rates::{Step, USUAL};

/// `count` units of `per_second` in nanoseconds, to the nearest.
pub(crate) fn nanoseconds(count: u64, per_second: u32) -> u64 {
    let per_second = u128::from(per_second.max(1));
    let exact = u128::from(count) * 1_000_000_000;
    u64::try_from((exact + per_second / 2) / per_second).unwrap_or(u64::MAX)
}

/// Makes the times of one track's frames exact. They are in the order of decoding. Tells how long
/// each picture is shown, where all are shown for the same time.
pub(super) fn exact(frames: &mut [Frame], track: &Track, blur_ns: i64) -> Option<u64> {
    let mut order: Vec<u32> = (0..).take(frames.len()).collect();
    order.sort_by_key(|index| frames[*index as usize].pts);
    let step = if track.codec.is_video() {
        picture_step(frames, &order, track, blur_ns)
    } else {
        sound_step(frames, track)
    };
    let grid = step.and_then(|step| Some((step, grid(frames, &order, step, blur_ns)?)));
    match grid {
        Some((step, start)) => lay_out(frames, &order, start, step, track),
        None => fill_in(frames, &order, track),
    }
    if track.codec.is_video() {
        decode_times(frames, &order, track);
    } else {
        for frame in frames {
            frame.dts = frame.pts;
        }
    }
    grid.map(|(step, _)| step.at(1).unsigned_abs()).filter(|_| track.codec.is_video())
}

/// The step of a picture: what the track says, else what its times come to, a usual one where that
/// is as near.
fn picture_step(frames: &[Frame], order: &[u32], track: &Track, blur_ns: i64) -> Option<Step> {
    if let Some(told) = track.frame_ns.and_then(|ns| i64::try_from(ns).ok()).filter(|ns| *ns > 0) {
        let told = Step { ns: told, frames: 1 };
        let step = usual(told, 1, 2).unwrap_or(told);
        if grid(frames, order, step, blur_ns).is_some() {
            return Some(step);
        }
    }
    let (first, last) = (frames[*order.first()? as usize], frames[*order.last()? as usize]);
    let steps = i64::try_from(order.len() - 1).ok().filter(|steps| *steps > 0)?;
    let measured = Step { ns: last.pts.checked_sub(first.pts)?, frames: steps };
    Some(usual(measured, steps, 2 * blur_ns + 2).unwrap_or(measured))
}

/// The usual step from which this one is at most `off_ns` away after so many frames.
fn usual(step: Step, frames: i64, off_ns: i64) -> Option<Step> {
    let at = |step: Step| step.at(usize::try_from(frames).unwrap_or(0));
    let near = |usual: &&Step| at(**usual).abs_diff(at(step)) <= off_ns.unsigned_abs();
    USUAL.iter().filter(near).min_by_key(|usual| at(**usual).abs_diff(at(step))).copied()
}

/// The step of a sound whose frames, but for the last, all have as many samples.
fn sound_step(frames: &[Frame], track: &Track) -> Option<Step> {
    let (first, rest) = frames.split_first()?;
    let even =
        rest.split_last().is_none_or(|(_, rest)| rest.iter().all(|f| f.lasts == first.lasts));
    let samples = i128::from(first.lasts) * i128::from(track.rate()) + 500_000_000;
    let samples = i64::try_from(samples / 1_000_000_000).ok().filter(|samples| *samples > 0)?;
    even.then_some(Step { ns: samples.checked_mul(1_000_000_000)?, frames: track.rate().into() })
}

/// Where a grid of this step begins on which all frames lie, up to the blur of two roundings.
fn grid(frames: &[Frame], order: &[u32], step: Step, blur_ns: i64) -> Option<i64> {
    let (mut least, mut most) = (i64::MAX, i64::MIN);
    for (index, at) in order.iter().enumerate() {
        let off = frames[*at as usize].pts.checked_sub(step.at(index))?;
        (least, most) = (least.min(off), most.max(off));
    }
    (most.checked_sub(least)? <= 2 * blur_ns + 2).then(|| least + (most - least) / 2)
}

/// Puts the frames onto a grid.
fn lay_out(frames: &mut [Frame], order: &[u32], start: i64, step: Step, track: &Track) {
    for (index, at) in order.iter().enumerate() {
        let frame = &mut frames[*at as usize];
        let (from, until) = (step.at(index), step.at(index + 1));
        frame.pts = start.saturating_add(from);
        let grid_lasts = until.saturating_sub(from).unsigned_abs();
        // The last frame of a sound may be a shorter one.
        let short =
            !track.codec.is_video() && (1..grid_lasts.saturating_sub(1)).contains(&frame.lasts);
        frame.lasts = if short && index + 1 == order.len() { frame.lasts } else { grid_lasts };
    }
}

/// Durations of frames that lie on no grid: until the next is shown.
fn fill_in(frames: &mut [Frame], order: &[u32], track: &Track) {
    let mut before = track.frame_ns.unwrap_or(0);
    for (index, at) in order.iter().enumerate() {
        let next = order.get(index + 1).map(|next| frames[*next as usize].pts);
        let frame = &mut frames[*at as usize];
        let gap = next.map(|next| next.saturating_sub(frame.pts).unsigned_abs());
        let told = Some(frame.lasts).filter(|lasts| *lasts > 0);
        // A container tells how long a picture is decoded, which is not how long it is shown.
        let lasts = if track.codec.is_video() { gap.or(told) } else { told.or(gap) };
        frame.lasts = lasts.unwrap_or(before);
        before = frame.lasts;
    }
}

/// Decode times: the sorted times of showing, all as much earlier as the codec's reordering asks
/// for, or more where the frames do.
fn decode_times(frames: &mut [Frame], order: &[u32], track: &Track) {
    let sorted: Vec<i64> = order.iter().map(|at| frames[*at as usize].pts).collect();
    let first = sorted.first().copied().unwrap_or(0);
    let last = order.last().map(|at| frames[*at as usize]);
    let span =
        last.map_or(0, |last| last.pts.saturating_sub(first).saturating_add_unsigned(last.lasts));
    let each = Step { ns: span, frames: i64::try_from(frames.len()).unwrap_or(i64::MAX) };
    let held_back = match track.codec {
        Codec::H264 | Codec::Hevc | Codec::Mpeg2 => each.at(usize::from(track.reorder)),
        _ => 0,
    };
    let late = frames.iter().zip(&sorted).map(|(frame, dts)| dts.saturating_sub(frame.pts)).max();
    let delay = held_back.max(late.unwrap_or(0));
    for (frame, shown) in frames.iter_mut().zip(sorted) {
        frame.dts = shown.saturating_sub(delay);
    }
}
