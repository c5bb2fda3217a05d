//! The channels as players and TV apps want them listed: an M3U list, and the three documents by
//! which an `HDHomeRun` tuner tells of itself. Addresses begin with the host under which the asker
//! came here, so they hold behind any name, port or translator. The node asks.
//!
//! TV apps count channels from 1, and 0 is no channel to some: there a channel is called by its
//! number and 1.

use core::fmt::Write as _;

use serde::Serialize;

use crate::base::status::json;
use crate::base::text::escaped;
use crate::http::answer::Response;
use crate::media::schedule::Schedule;

/// What a list tells of a channel.
#[derive(Clone, Copy, Debug)]
pub struct Channel<'a> {
    /// Its number, from 0, as in addresses.
    pub number: usize,
    /// What people call it.
    pub name: &'a str,
    /// What it shows when, where this node knows that.
    pub schedule: Option<&'a Schedule>,
}

impl Channel<'_> {
    /// What the list and the guide know it by.
    pub(super) fn id(&self) -> String {
        format!("ch{}.vidstreamd", self.number)
    }

    /// Its number in TV apps.
    pub(super) fn shown_number(&self) -> usize {
        self.number + 1
    }

    fn address(&self, host: &str) -> String {
        format!("http://{host}/ch/{}.ts", self.number)
    }

    /// Its name without what would end a line or a quoted value; M3U knows no escapes.
    fn plain_name(&self) -> String {
        escaped(self.name.as_bytes()).replace('"', "'")
    }
}

/// A list of the channels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum List {
    /// `/channels.m3u`, for players.
    M3u,
    /// `/discover.json`, what the tuner is.
    Discover,
    /// `/lineup.json`, what it receives.
    Lineup,
    /// `/lineup_status.json`, whether it is looking for channels.
    LineupStatus,
}

impl List {
    /// The list at a path.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        match path {
            "/channels.m3u" => Some(Self::M3u),
            "/discover.json" => Some(Self::Discover),
            "/lineup.json" => Some(Self::Lineup),
            "/lineup_status.json" => Some(Self::LineupStatus),
            _ => None,
        }
    }

    /// It, for somebody who came under this host; `tuners` is how many may watch at once.
    #[must_use]
    pub fn response(self, channels: &[Channel<'_>], host: Option<&str>, tuners: usize) -> Response {
        let Some(host) = host.filter(|host| !host.is_empty()) else {
            return Response::text(400, "400 Bad Request: a list of addresses needs a Host line");
        };
        let (media_type, body) = match self {
            Self::M3u => ("audio/x-mpegurl; charset=utf-8", m3u(channels, host).into_bytes()),
            Self::Discover => (JSON, json(&Description::of(host, tuners))),
            Self::Lineup => {
                let entries = channels.iter().map(|channel| Entry::of(channel, host));
                (JSON, json(&entries.collect::<Vec<_>>()))
            }
            Self::LineupStatus => (JSON, json(&LineupStatus::default())),
        };
        Response::new(200, media_type, body)
            .with("Cache-Control", "no-store")
            .with("X-Content-Type-Options", "nosniff")
    }
}

const JSON: &str = "application/json";

fn m3u(channels: &[Channel<'_>], host: &str) -> String {
    let mut list = format!("#EXTM3U url-tvg=\"http://{host}/guide.xml\"\n");
    for channel in channels {
        writeln!(
            list,
            "#EXTINF:-1 tvg-id=\"{}\" tvg-chno=\"{}\" tvg-name=\"{name}\",{name}\n{}",
            channel.id(),
            channel.shown_number(),
            channel.address(host),
            name = channel.plain_name(),
        )
        .expect("a String takes every write");
    }
    list
}

/// What an `HDHomeRun` tells of itself.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Description {
    friendly_name: &'static str,
    manufacturer: &'static str,
    model_number: &'static str,
    firmware_name: &'static str,
    firmware_version: &'static str,
    tuner_count: usize,
    #[serde(rename = "DeviceID")]
    device_id: String,
    device_auth: &'static str,
    #[serde(rename = "BaseURL")]
    base_url: String,
    #[serde(rename = "LineupURL")]
    lineup_url: String,
}

impl Description {
    fn of(host: &str, tuners: usize) -> Self {
        Self {
            friendly_name: "vidstreamd",
            manufacturer: "vidstreamd",
            model_number: "vidstreamd",
            firmware_name: "vidstreamd",
            firmware_version: env!("CARGO_PKG_VERSION"),
            tuner_count: tuners,
            device_id: format!("{:08X}", device_id(host)),
            device_auth: "",
            base_url: format!("http://{host}"),
            lineup_url: format!("http://{host}/lineup.json"),
        }
    }
}

/// One number for each host, the same after a restart. Its last digit is a checksum, by the rule of
/// libhdhomerun (`hdhomerun_discover_validate_device_id`), since apps look at it.
fn device_id(host: &str) -> u32 {
    const ODD: [u32; 16] = [10, 5, 15, 6, 7, 12, 1, 11, 9, 2, 8, 13, 4, 3, 14, 0];
    // FNV-1a; never 0 in front, which would be no device.
    let hash = host.bytes().fold(0x811c_9dc5, |hash: u32, byte| {
        (hash ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193)
    });
    let id = (hash | 0x1000_0000) & !0xf;
    let digit = |at: u32| id >> (28 - 4 * at) & 0xf;
    let check = (0..7)
        .fold(0, |sum, at| sum ^ if at % 2 == 0 { ODD[digit(at) as usize] } else { digit(at) });
    id | check
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    guide_number: String,
    guide_name: String,
    #[serde(rename = "URL")]
    url: String,
}

impl Entry {
    fn of(channel: &Channel<'_>, host: &str) -> Self {
        Self {
            guide_number: channel.shown_number().to_string(),
            guide_name: escaped(channel.name.as_bytes()),
            url: channel.address(host),
        }
    }
}

/// There is nothing to look for: the channels are those of the configuration.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct LineupStatus {
    scan_in_progress: u8,
    scan_possible: u8,
    source: &'static str,
    source_list: [&'static str; 1],
}

impl Default for LineupStatus {
    fn default() -> Self {
        Self { scan_in_progress: 0, scan_possible: 0, source: "Cable", source_list: ["Cable"] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Body;
    use crate::http::samples::EVIL;

    fn text(list: List) -> String {
        let channels = [
            Channel { number: 0, name: "Bars", schedule: None },
            Channel { number: 1, name: EVIL, schedule: None },
        ];
        let response = list.response(&channels, Some("tv.example:6080"), 7);
        let Body::Bytes(bytes) = response.body else { panic!("a list is written here") };
        String::from_utf8(bytes.into()).unwrap()
    }

    #[test]
    fn the_list_for_players_has_names_and_whole_addresses() {
        let expected = "#EXTM3U url-tvg=\"http://tv.example:6080/guide.xml\"\n\
            #EXTINF:-1 tvg-id=\"ch0.vidstreamd\" tvg-chno=\"1\" tvg-name=\"Bars\",Bars\n\
            http://tv.example:6080/ch/0.ts\n\
            #EXTINF:-1 tvg-id=\"ch1.vidstreamd\" tvg-chno=\"2\" \
            tvg-name=\"</td><script>alert('1')</script>'&\\\\ \\x0a\\x1b[31m\\xe2\\x80\\xae\",\
            </td><script>alert('1')</script>'&\\\\ \\x0a\\x1b[31m\\xe2\\x80\\xae\n\
            http://tv.example:6080/ch/1.ts\n";
        assert_eq!(text(List::M3u), expected);
    }

    #[test]
    fn a_tuner_tells_what_it_is_and_what_it_receives() {
        let value = |list| serde_json::from_str::<serde_json::Value>(&text(list)).unwrap();
        let tuner = value(List::Discover);
        assert_eq!(tuner["BaseURL"], "http://tv.example:6080");
        assert_eq!(tuner["LineupURL"], "http://tv.example:6080/lineup.json");
        assert_eq!(
            (&tuner["TunerCount"], &tuner["FriendlyName"]),
            (&7.into(), &"vidstreamd".into())
        );
        let lineup = value(List::Lineup);
        assert_eq!(lineup[0]["GuideNumber"], "1");
        assert_eq!(lineup[0]["GuideName"], "Bars");
        assert_eq!(lineup[1]["URL"], "http://tv.example:6080/ch/1.ts");
        assert_eq!(lineup.as_array().map(Vec::len), Some(2));
        let status = value(List::LineupStatus);
        assert_eq!((&status["ScanInProgress"], &status["Source"]), (&0.into(), &"Cable".into()));
    }

    #[test]
    fn a_device_is_known_by_its_host_and_passes_the_check_of_apps() {
        // The rule of libhdhomerun, digit by digit.
        let valid = |id: u32| {
            const ODD: [u32; 16] = [10, 5, 15, 6, 7, 12, 1, 11, 9, 2, 8, 13, 4, 3, 14, 0];
            let digits = (0..8).map(|at| id >> (28 - 4 * at) & 0xf).enumerate();
            digits.fold(0, |sum, (at, d)| sum ^ if at % 2 == 0 { ODD[d as usize] } else { d }) == 0
        };
        for host in ["a", "tv.example:6080", "[::1]:80", "127.0.0.1:6080"] {
            assert!(valid(device_id(host)), "{host}: {:08X}", device_id(host));
            assert_eq!(device_id(host), device_id(&host.to_ascii_uppercase()));
        }
        assert_ne!(device_id("a"), device_id("b"));
    }

    #[test]
    fn addresses_need_a_host() {
        for host in [None, Some("")] {
            assert_eq!(List::M3u.response(&[], host, 1).status, 400);
        }
        assert_eq!(List::of("/channels.m3u"), Some(List::M3u));
        assert_eq!(List::of("/lineup.post"), None);
    }
}
