//! The programme guide at `/guide.xml`, in the form of XMLTV: what each channel airs in the next
//! two days, by the very function that airs it. The node asks; players and TV apps read.

use core::fmt::{self, Write as _};

use crate::base::limits;
use crate::base::time::Wall;
use crate::http::answer::Response;
use crate::http::lineup::Channel;
use crate::http::markup::Safe;
use crate::media::schedule::{At, Position, Schedule};

/// Where it is.
pub const PATH: &str = "/guide.xml";

/// One airing of a movie.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Programme {
    title: std::rc::Rc<str>,
    starts_at: Wall,
    ends_at: Wall,
}

/// The guide, from what is on now for [`limits::GUIDE_AHEAD`]; less where that would be more than a
/// channel's share of [`limits::GUIDE_PROGRAMMES_MAX`].
#[must_use]
pub fn response(channels: &[Channel<'_>], now: Wall) -> Response {
    Response::new(200, "application/xml; charset=utf-8", xml(channels, now).into_bytes())
        .with("Cache-Control", "public, max-age=60")
        .with("X-Content-Type-Options", "nosniff")
}

fn xml(channels: &[Channel<'_>], now: Wall) -> String {
    let mut guide = String::with_capacity(16 << 10);
    // Nothing here makes an error, and a String takes every write.
    let _: fmt::Result = write(&mut guide, channels, now);
    guide
}

fn write(guide: &mut String, channels: &[Channel<'_>], now: Wall) -> fmt::Result {
    guide.write_str(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<tv generator-info-name=\"vidstreamd\">\n",
    )?;
    for channel in channels {
        writeln!(
            guide,
            "<channel id=\"{}\"><display-name>{}</display-name>\
             <display-name>{}</display-name></channel>",
            channel.id(),
            Safe(channel.name),
            channel.shown_number(),
        )?;
    }
    let share = limits::GUIDE_PROGRAMMES_MAX / channels.len().max(1);
    for channel in channels {
        let Some(schedule) = channel.schedule else { continue };
        for programme in programmes(schedule, now).take(share) {
            writeln!(
                guide,
                "<programme start=\"{}\" stop=\"{}\" channel=\"{}\"><title>{}</title></programme>",
                Moment(programme.starts_at),
                Moment(programme.ends_at),
                channel.id(),
                Safe(&programme.title),
            )?;
        }
    }
    guide.write_str("</tv>\n")
}

/// What is on, and what comes until the guide ends.
fn programmes(schedule: &Schedule, now: Wall) -> impl Iterator<Item = Programme> {
    let until = now + limits::GUIDE_AHEAD;
    let first = match schedule.at(now) {
        At::On(position) => Some(position),
        At::Before { .. } => schedule.position(0),
        At::After => None,
    };
    let following = |position: &Position| {
        let blocks = u64::from(position.movie.blocks() - position.block);
        schedule.position(position.seq.checked_add(blocks)?)
    };
    std::iter::successors(first, following)
        .take_while(move |position| position.starts_at < until)
        .map(|position| airing(&position))
}

/// The whole airing that a block is a part of.
fn airing(position: &Position) -> Programme {
    let before = position.movie.starts(position.block).unwrap_or_default();
    let starts_at = position.starts_at - before;
    Programme {
        title: position.movie.name().clone(),
        starts_at,
        ends_at: starts_at + position.movie.total(),
    }
}

/// A time as XMLTV writes it, to the second.
struct Moment(Wall);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let whole = text.split('.').next().unwrap_or_default();
        for digit in whole.chars().filter(char::is_ascii_digit) {
            f.write_char(digit)?;
        }
        f.write_str(" +0000")
    }
}

#[cfg(test)]
mod tests;
