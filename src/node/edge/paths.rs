//! The paths of what players take: `/ch/<number>.<form>` and `/ch/<number>/<file>`.

use crate::container::Output;
use crate::http::hls::{self, Form, Name};

/// What a player asks of a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Want {
    /// Everything from the block on the air on.
    Live(Output),
    /// A playlist, a segment, an init segment.
    File(Name),
    /// A playlist that lists this block.
    Reload(Form, u64),
    /// A playlist, by directives that are none.
    Nonsense,
}

/// The channel and what is wanted of it, where a path names such a thing; the query may say which
/// block its asker waits for.
pub(crate) fn want(path: &str, query: Option<&str>) -> Option<(usize, Want)> {
    let (channel, want) = wanted(path)?;
    let want = match (want, query) {
        (Want::File(Name::Playlist(form)), Some(query)) => match directives(query) {
            Ok(Some(seq)) => Want::Reload(form, seq),
            Ok(None) => want,
            Err(()) => Want::Nonsense,
        },
        _ => want,
    };
    Some((channel, want))
}

/// The block that the directives of a reload name (RFC 8216bis, 6.2.5.2): each has one part, so
/// that its second is the first of the next.
fn directives(query: &str) -> Result<Option<u64>, ()> {
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let found = pairs.find(|(key, _)| *key == name);
        found.map(|(_, value)| hls::number(value).ok_or(())).transpose()
    };
    match (value("_HLS_msn")?, value("_HLS_part")?) {
        (Some(block), part) => {
            block.checked_add(u64::from(part.unwrap_or(0) > 0)).map(Some).ok_or(())
        }
        (None, Some(_)) => Err(()),
        (None, None) => Ok(None),
    }
}

fn wanted(path: &str) -> Option<(usize, Want)> {
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

    #[test]
    fn each_thing_has_one_path() {
        let want = |path| want(path, None);
        assert_eq!(want("/ch/0.ts"), Some((0, Want::Live(Output::Ts))));
        assert_eq!(want("/ch/12.mkv"), Some((12, Want::Live(Output::Mkv))));
        let playlist = Want::File(Name::Playlist(Form::Mp4));
        assert_eq!(want("/ch/1/index.m3u8"), Some((1, playlist)));
        let segment = Want::File(Name::Segment(Form::Mp4, 0xab, 17));
        assert_eq!(want("/ch/1/00000000000000ab-17.m4s"), Some((1, segment)));
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

    #[test]
    fn a_reload_says_which_block_it_waits_for() {
        let want = |query| want("/ch/0/ts.m3u8", Some(query)).unwrap().1;
        assert_eq!(want("_HLS_msn=7"), Want::Reload(Form::Ts, 7));
        assert_eq!(want("a=b&_HLS_msn=7&_HLS_part=0"), Want::Reload(Form::Ts, 7));
        assert_eq!(want("_HLS_part=1&_HLS_msn=7"), Want::Reload(Form::Ts, 8));
        assert_eq!(want("_HLS_skip=YES"), Want::File(Name::Playlist(Form::Ts)));
        for query in ["_HLS_msn=x", "_HLS_part=1", "_HLS_msn=07", "_HLS_msn=1&_HLS_part=-1"] {
            assert_eq!(want(query), Want::Nonsense, "{query}");
        }
        let most = format!("_HLS_msn={}&_HLS_part=1", u64::MAX);
        assert_eq!(want(&most), Want::Nonsense);
    }
}
