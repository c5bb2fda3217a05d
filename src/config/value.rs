//! Texts of a configuration file to values: each function takes one value and says in a few words
//! what is wrong with it. No places, no keys: `check.rs` puts those around the words.

use core::str::FromStr as _;
use core::time::Duration;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ipnet::IpNet;
use toml::value::{Datetime, Offset};

use crate::base::limits;
use crate::base::port::Level;
use crate::base::time::Wall;
use crate::config::keys::Kind;
use crate::config::{Allow, Durations, EventSource, LogTarget, Pace, Role, Source};

/// What is wrong with a value; follows the expectation, so it begins with its own punctuation.
pub(super) type Wrong = String;

/// Enums that are written as one word each.
pub(super) trait Words: Copy + 'static {
    /// Every word and what it stands for.
    const WORDS: &'static [(&'static str, Self)];
}

impl Words for Role {
    const WORDS: &'static [(&'static str, Self)] =
        &[("server", Self::Server), ("relay", Self::Relay), ("client", Self::Client)];
}

impl Words for Level {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
    ];
}

impl Words for LogTarget {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("syslog", Self::Syslog), ("stderr", Self::Stderr)];
}

impl Words for Durations {
    const WORDS: &'static [(&'static str, Self)] =
        &[("header", Self::Header), ("nominal", Self::Nominal)];
}

/// The value that a word stands for.
pub(super) fn from_word<T: Words>(word: &str) -> Option<T> {
    T::WORDS.iter().find(|(known, _)| *known == word).map(|(_, value)| *value)
}

/// The word that stands for a value.
pub(super) fn word_of<T: Words + PartialEq>(value: T) -> &'static str {
    let found = T::WORDS.iter().find(|(_, known)| *known == value);
    found.expect("every value of these enums has its word; a test counts them").0
}

/// A name: not empty, not too long, nothing that could drive a terminal.
pub(super) fn name(text: &str, bytes_max: usize) -> Result<String, Wrong> {
    match text {
        "" => Err("; this is empty".to_owned()),
        _ if text.len() > bytes_max => Err(format!("; this has {}", text.len())),
        _ if text.chars().any(char::is_control) => Err(", without control characters".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// A whole number or port within its bounds.
pub(super) fn number(given: i64, kind: Kind) -> Result<usize, Wrong> {
    let (least, most) = match kind {
        Kind::Port(least, most) => (u64::from(least), u64::from(most)),
        Kind::Number(least, most) => (least, most),
        _ => return Err(String::new()),
    };
    match u64::try_from(given) {
        Ok(number) if (least..=most).contains(&number) => {
            usize::try_from(number).map_err(|_| String::new())
        }
        Ok(number) if number < least && matches!(kind, Kind::Port(..)) => {
            Err(", because lower ports belong to the system and are never dialled".to_owned())
        }
        _ => Err(String::new()),
    }
}

/// A duration within its bounds.
pub(super) fn span(text: &str, kind: Kind) -> Result<Duration, Wrong> {
    let Kind::Span(least, most) = kind else { return Err(String::new()) };
    match humantime::parse_duration(text) {
        Ok(span) if (least..=most).contains(&span) => Ok(span),
        Err(_) if text.parse::<f64>().is_ok() => Err("; the unit is missing".to_owned()),
        _ => Err(String::new()),
    }
}

/// A path, seen from the directory of the file.
pub(super) fn path(text: &str, directory: &Path) -> Result<PathBuf, Wrong> {
    if text.is_empty() {
        return Err("; this is empty".to_owned());
    }
    // Through the components, so that "./a" and "a/" are what "a" is. ".." stays: behind a link it
    // is not what it seems.
    let path: PathBuf = directory.join(text).components().collect();
    match path.to_str() {
        None => Err("; the directory of the file is not UTF-8".to_owned()),
        Some(whole) if whole.chars().any(char::is_control) => {
            Err(", without control characters".to_owned())
        }
        Some(_) => Ok(path),
    }
}

/// `http://HOST/` or `https://HOST/PATH/`: without a query, and of characters that may stand in an
/// address and in a quoted value of a playlist.
pub(super) fn base(text: &str) -> Result<String, Wrong> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let host = rest.and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&()*+,;=:@%/[]".contains(&b);
    match text {
        _ if text.len() > limits::SEGMENT_BASE_BYTES_MAX => Err("; this is too long".to_owned()),
        _ if rest.is_none() => Err("; the scheme is missing".to_owned()),
        _ if host.is_empty() => Err("; the host is missing".to_owned()),
        _ if !text.bytes().all(plain) => Err("; there is a character that is no part".to_owned()),
        _ if !text.ends_with('/') => Err("; the / at the end is missing".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// `game`, `lines:PATH` or `socket:PATH`.
pub(super) fn events(text: &str, directory: &Path) -> Result<EventSource, Wrong> {
    if text == "game" {
        return Ok(EventSource::Game);
    }
    match text.split_once(':') {
        Some(("lines", file)) => path(file, directory).map(EventSource::Lines),
        Some(("socket", file)) => {
            let socket = path(file, directory)?;
            let (long, most) = (socket.as_os_str().len(), limits::SOCKET_PATH_BYTES_MAX);
            if long > most {
                return Err(format!(
                    " of at most {most} bytes; with its directory this has {long}"
                ));
            }
            Ok(EventSource::Socket(socket))
        }
        _ => Err(super::did_you_mean(text, ["game"])),
    }
}

/// An address to listen on.
pub(super) fn listen(text: &str) -> Result<SocketAddr, Wrong> {
    text.parse().map_err(|_| match text.parse::<IpAddr>() {
        Ok(_) => "; the port is missing".to_owned(),
        Err(_) => String::new(),
    })
}

/// `tv://HOST[:PORT]/CHANNEL`.
pub(super) fn source(text: &str) -> Result<Source, Wrong> {
    let rest = text
        .strip_prefix("tv://")
        .ok_or_else(|| ", because tv:// is the one scheme there is".to_owned())?;
    let (host_port, channel) =
        rest.split_once('/').ok_or_else(|| "; the channel is missing".to_owned())?;
    let channel = match channel.as_bytes() {
        [digit @ b'0'..=b'9'] => digit - b'0',
        _ => return Err(", because a command names the channel by one digit".to_owned()),
    };
    let (host, port) = split_host(host_port)?;
    Ok(Source { host: checked_host(host)?, port: port_of(port, limits::TV_PORT)?, channel })
}

/// Host and port of `HOST`, `HOST:PORT`, `[V6]` or `[V6]:PORT`; the brackets stay.
fn split_host(text: &str) -> Result<(&str, Option<&str>), Wrong> {
    let after = if text.starts_with('[') {
        text.find(']').map(|i| i + 1).ok_or_else(|| "; \"]\" is missing".to_owned())?
    } else {
        text.find(':').unwrap_or(text.len())
    };
    match text.split_at(after) {
        (host, "") => Ok((host, None)),
        (host, rest) => match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None => Err("; \":\" is missing between host and port".to_owned()),
        },
    }
}

fn checked_host(host: &str) -> Result<String, Wrong> {
    if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        let address: Ipv6Addr =
            inner.parse().map_err(|_| "; in the brackets is no IPv6 address".to_owned())?;
        return Ok(address.to_string());
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    match host {
        "" => Err("; the host is missing".to_owned()),
        _ if host.len() > limits::HOST_BYTES_MAX => {
            Err(format!(", with a host of at most {} bytes", limits::HOST_BYTES_MAX))
        }
        _ if host.bytes().all(plain) => Ok(host.to_owned()),
        _ => Err(", with a host of letters, digits, \"-\", \".\" and \"_\"".to_owned()),
    }
}

fn port_of(text: Option<&str>, default: u16) -> Result<u16, Wrong> {
    let Some(text) = text else { return Ok(default) };
    match text.parse() {
        Ok(port @ 1..) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
        _ => Err(", with a port from 1 to 65535".to_owned()),
    }
}

/// `HOST:PORT`, as others dial this node.
pub(super) fn advertised(text: &str) -> Result<(String, u16), Wrong> {
    match node(text)? {
        (host, port @ Some(_)) => Ok((host, port_of(port, limits::MESH_PORT)?)),
        (_, None) => Err("; the port is missing".to_owned()),
    }
}

/// `HOST` or `HOST:PORT` of a root.
pub(super) fn root(text: &str) -> Result<(String, u16), Wrong> {
    let (host, port) = node(text)?;
    Ok((host, port_of(port, limits::MESH_PORT)?))
}

/// The host that one node can be dialled at, and the port if there is one.
fn node(text: &str) -> Result<(String, Option<&str>), Wrong> {
    if text.contains("://") {
        return Err(", without a scheme".to_owned());
    }
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Err(format!("; did you mean \"[{address}]:{}\"?", limits::MESH_PORT));
    }
    let (host, port) = split_host(text)?;
    let host = checked_host(host)?;
    match host.parse::<IpAddr>() {
        Ok(address) if !is_of_one_node(address) => {
            Err(format!(", because no single node is at {address}"))
        }
        _ => Ok((host, port)),
    }
}

fn is_of_one_node(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || is_broadcast)
}

/// `off` or a whole multiple, such as `2x`.
pub(super) fn pace(text: &str) -> Result<Pace, Wrong> {
    if text == "off" {
        return Ok(Pace::Off);
    }
    let times = text.strip_suffix('x').ok_or_else(String::new)?;
    let plain = times.bytes().all(|b| b.is_ascii_digit());
    let times = times.parse().ok().filter(|_| plain).ok_or_else(String::new)?;
    match times {
        1..=limits::JUKEBOX_PACE_MAX => Ok(Pace::Times(times)),
        _ => Err(String::new()),
    }
}

/// An extension, in small letters.
pub(super) fn extension(text: &str) -> Result<String, Wrong> {
    match text {
        "" => Err("; this is empty".to_owned()),
        _ if text.starts_with('.') => Err(", without the dot".to_owned()),
        _ if text.len() > limits::JUKEBOX_EXTENSION_BYTES_MAX => {
            Err(format!(" of at most {} bytes", limits::JUKEBOX_EXTENSION_BYTES_MAX))
        }
        _ if text.bytes().all(|b| b.is_ascii_alphanumeric()) => Ok(text.to_ascii_lowercase()),
        _ => Err(String::new()),
    }
}

/// One entry of `callback_allow`.
pub(super) fn allow(text: &str) -> Result<Allow, Wrong> {
    match text {
        "loopback" => return Ok(Allow::Loopback),
        "private" => return Ok(Allow::Private),
        "attached" => return Ok(Allow::Attached),
        _ => {}
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Err(format!("; did you mean \"{}\"?", IpNet::from(address)));
    }
    match text.parse::<IpNet>() {
        Ok(net) if net == net.trunc() => Ok(Allow::Net(net)),
        Ok(net) => Err(format!("; did you mean \"{}\"?", net.trunc())),
        Err(_) => Err(super::did_you_mean(text, ["loopback", "private", "attached"])),
    }
}

/// A moment as text.
pub(super) fn moment(text: &str) -> Result<Wall, Wrong> {
    wall(&Datetime::from_str(text).map_err(|_| String::new())?)
}

/// A moment as TOML's own type: only one with an offset is a moment.
pub(super) fn wall(moment: &Datetime) -> Result<Wall, Wrong> {
    let offset_minutes = match moment.offset {
        Some(Offset::Z) => 0,
        Some(Offset::Custom { minutes }) => i64::from(minutes),
        None => return Err("; the offset is missing (\"Z\" for UTC)".to_owned()),
    };
    let utc = Datetime { offset: Some(Offset::Z), ..*moment }.to_string();
    let since = humantime::parse_rfc3339_weak(&utc)
        .ok()
        .and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok())
        .ok_or_else(String::new)?;
    let nanos = i64::try_from(since.as_nanos()).map_err(|_| String::new())?;
    let nanos = nanos.saturating_sub(offset_minutes * 60_000_000_000);
    let range = 0..limits::EPOCH_END.0;
    if range.contains(&nanos) { Ok(Wall(nanos)) } else { Err(String::new()) }
}

/// A moment as [`moment`] reads it, to the nanosecond.
pub(super) fn moment_text(at: Wall) -> String {
    let since = Duration::from_nanos(u64::try_from(at.0).unwrap_or(0));
    humantime::format_rfc3339(SystemTime::UNIX_EPOCH + since).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_word() {
        assert!(Level::ALL.iter().all(|l| word_of(*l) == l.name()));
        assert_eq!(Level::WORDS.len(), Level::ALL.len());
        for role in [Role::Server, Role::Relay, Role::Client] {
            assert_eq!(from_word(word_of(role)), Some(role));
        }
        for target in LogTarget::ALL {
            assert_eq!(from_word(word_of(target)), Some(target));
        }
        for durations in [Durations::Header, Durations::Nominal] {
            assert_eq!(from_word(word_of(durations)), Some(durations));
        }
    }

    #[test]
    fn a_source_has_a_host_a_port_and_a_channel() {
        let is = |host: &str, port, channel| Ok(Source { host: host.into(), port, channel });
        assert_eq!(source("tv://127.0.0.1:6061/9"), is("127.0.0.1", 6061, 9));
        assert_eq!(source("tv://tv.example.org/0"), is("tv.example.org", 6060, 0));
        assert_eq!(source("tv://[::1]/3"), is("::1", 6060, 3));
        assert_eq!(source("tv://[::1]:7000/3"), is("::1", 7000, 3));
    }

    #[test]
    fn a_source_that_cannot_be_dialled_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "scheme"),
            ("http://a/1", "scheme"),
            ("tv://a", "channel is missing"),
            ("tv://a/", "one digit"),
            ("tv://a/10", "one digit"),
            ("tv://a/1/", "one digit"),
            ("tv:///1", "host is missing"),
            ("tv://a:0/1", "port"),
            ("tv://a:+1/1", "port"),
            ("tv://a:/1", "port"),
            ("tv://a:65536/1", "port"),
            ("tv://::1/1", "host is missing"),
            ("tv://[::1/1", "\"]\" is missing"),
            ("tv://[::1]1/1", "\":\" is missing"),
            ("tv://[a]/1", "no IPv6"),
            ("tv://a b/1", "letters"),
        ] {
            let why = source(text).unwrap_err();
            assert!(why.contains(reason), "{text}: {why}");
        }
    }

    #[test]
    fn a_source_of_events_is_a_game_or_a_path() {
        let read = |text| events(text, Path::new("/etc/tv"));
        assert_eq!(read("game"), Ok(EventSource::Game));
        assert_eq!(read("lines:score"), Ok(EventSource::Lines("/etc/tv/score".into())));
        assert_eq!(read("socket:/run/x"), Ok(EventSource::Socket("/run/x".into())));
        assert_eq!(read("gane"), Err("; did you mean \"game\"?".into()));
        assert_eq!(read("lines:"), Err("; this is empty".into()));
        let long = format!("socket:/{}", "x".repeat(107));
        assert!(read(&long).unwrap_err().contains("at most 107 bytes"));
        assert!(read("udp:x").is_err() && read("").is_err());
    }

    #[test]
    fn a_root_has_a_host_and_perhaps_a_port() {
        let is = |host: &str, port| Ok((host.to_owned(), port));
        assert_eq!(root("tv.example.org"), is("tv.example.org", 6061));
        assert_eq!(root("127.0.0.1:7000"), is("127.0.0.1", 7000));
        assert_eq!(root("[2001:db8::1]"), is("2001:db8::1", 6061));
        assert_eq!(root("[2001:db8::1]:1"), is("2001:db8::1", 1));
        assert_eq!(advertised("[2001:db8::1]:65535"), is("2001:db8::1", 65535));
        assert_eq!(advertised("a"), Err("; the port is missing".into()));
    }

    #[test]
    fn a_base_is_an_address_that_names_can_be_put_behind() {
        for text in ["http://a/", "https://cdn.example:8443/tv/one/", "http://[::1]/"] {
            assert_eq!(base(text), Ok(text.to_owned()));
        }
        for (text, reason) in [
            ("", "scheme"),
            ("cdn.example/", "scheme"),
            ("http:///", "host"),
            ("http://a", "/ at the end"),
            ("http://a/?x=/", "character"),
            ("http://a/\"/", "character"),
            ("http://a/\n/", "character"),
            (&format!("http://a/{}/", "x".repeat(500)), "too long"),
        ] {
            let why = base(text).unwrap_err();
            assert!(why.contains(reason), "{text:?}: {why}");
        }
    }

    #[test]
    fn a_node_that_cannot_be_dialled_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "host is missing"),
            (":6061", "host is missing"),
            ("tv://a:6061/0", "scheme"),
            ("a:0", "port"),
            ("a:", "port"),
            ("a:65536", "port"),
            ("a:6061/0", "port"),
            ("2001:db8::1", "did you mean \"[2001:db8::1]:6061\""),
            ("[a]:6061", "no IPv6"),
            ("a b:6061", "letters"),
            ("0.0.0.0:6061", "no single node is at 0.0.0.0"),
            ("[::]:6061", "no single node is at ::"),
            ("224.0.0.1:6061", "no single node"),
            ("255.255.255.255:6061", "no single node"),
        ] {
            for why in [root(text).unwrap_err(), advertised(text).unwrap_err()] {
                assert!(why.contains(reason), "{text}: {why}");
            }
        }
    }

    #[test]
    fn an_allowed_network_is_written_as_one() {
        assert_eq!(allow("private"), Ok(Allow::Private));
        assert_eq!(allow("10.0.0.0/8"), Ok(Allow::Net("10.0.0.0/8".parse().unwrap())));
        assert_eq!(allow("10.1.2.3/8"), Err("; did you mean \"10.0.0.0/8\"?".into()));
        assert_eq!(allow("10.1.2.3"), Err("; did you mean \"10.1.2.3/32\"?".into()));
        assert_eq!(allow("lopback"), Err("; did you mean \"loopback\"?".into()));
        assert_eq!(allow("10.0.0.0/33"), Err(String::new()));
    }

    #[test]
    fn a_moment_is_the_same_in_every_offset() {
        assert_eq!(moment("1970-01-01T00:00:00Z"), Ok(Wall(0)));
        assert_eq!(moment("1970-01-01T02:00:00+02:00"), Ok(Wall(0)));
        assert_eq!(moment("2000-02-29 00:00:00.123-00:01"), Ok(Wall(951_782_460_123_000_000)));
        for text in ["", "2026-01-01", "2026-01-01T00:00:00", "12:00:00", "2026-02-29T00:00:00Z"] {
            assert!(moment(text).is_err(), "{text}");
        }
        for text in ["1969-12-31T23:59:59Z", "1970-01-01T00:00:00+00:01", "2200-01-01T00:00:00Z"] {
            assert!(moment(text).is_err(), "{text} is out of range");
        }
    }

    #[test]
    fn a_moment_is_written_as_it_is_read() {
        for nanos in [0, 1, 1_000, 1_500_000_000, 951_782_460_123_456_789] {
            assert_eq!(moment(&moment_text(Wall(nanos))), Ok(Wall(nanos)));
        }
    }
}
