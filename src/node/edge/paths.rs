//! The paths of what players take: `/ch/<number>.<form>` and `/ch/<number>/<file>`.

use crate::container::Output;
use crate::http::hls::{self, Name};

/// What a player asks of a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Want {
    /// Everything from the block on the air on.
    Live(Output),
    /// A playlist, a segment, an init segment.
    File(Name),
}

/// The channel and what is wanted of it, where a path names such a thing.
pub(crate) fn want(path: &str) -> Option<(usize, Want)> {
    let rest = path.strip_prefix("/ch/")?;
    let (channel, want) = if let Some((channel, file)) = rest.split_once('/') {
        (channel, Want::File(Name::of(file)?))
    } else {
        let (channel, form) = rest.split_once('.')?;
        let output = match form {
            "mkv" => Output::Mkv,
            "mp4" => Output::Mp4,
            "ts" => Output::Ts,
            _ => return None,
        };
        (channel, Want::Live(output))
    };
    Some((usize::try_from(hls::number(channel)?).ok()?, want))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::hls::Form;

    #[test]
    fn each_thing_has_one_path() {
        assert_eq!(want("/ch/0.ts"), Some((0, Want::Live(Output::Ts))));
        assert_eq!(want("/ch/12.mkv"), Some((12, Want::Live(Output::Mkv))));
        let playlist = Want::File(Name::Playlist(Form::Mp4));
        assert_eq!(want("/ch/1/index.m3u8"), Some((1, playlist)));
        assert_eq!(want("/ch/1/17.m4s"), Some((1, Want::File(Name::Segment(Form::Mp4, 17)))));
        for path in [
            "/ch/00.ts",
            "/ch/0.avi",
            "/ch/.ts",
            "/ch/0/blocks/1",
            "/ch/0",
            "/0.ts",
            "/ch/0/x/1.ts",
        ] {
            assert_eq!(want(path), None, "{path}");
        }
    }
}
