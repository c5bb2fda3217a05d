//! A configuration file as it is written: serde tables that refuse unknown keys, every value with
//! its place in the text. Not checked beyond its types; `check.rs` makes a `Config` of it.
//!
//! serde stops at the first fault, and an operator wants them all. So each key is first read alone:
//! what fails is reported and left out, and the rest is read together.

use core::fmt::Debug;
use core::ops::Range;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, ValueDeserializer};
use toml::value::Datetime;

use crate::base::limits;
use crate::base::text::escaped;
use crate::config::keys::{self, KEYS, TABLES};
use crate::config::problem::{Report, did_you_mean, prefix};

/// A value that may be missing, with its place.
pub(super) type Given<T> = Option<Spanned<T>>;
/// A list of texts, each with its place.
pub(super) type Texts = Vec<Spanned<String>>;

/// A whole file.
#[derive(Default, Debug)]
pub(super) struct Raw {
    pub(super) top: Table<RawTop>,
    pub(super) log: Option<Table<RawLog>>,
    pub(super) library: Option<Table<RawLibrary>>,
    pub(super) channel: Vec<Table<RawChannel>>,
    pub(super) tv: Option<Table<RawTv>>,
    pub(super) receive: Option<Table<RawReceive>>,
    pub(super) mesh: Option<Table<RawMesh>>,
    pub(super) jukebox: Option<Table<RawJukebox>>,
    pub(super) files: Option<Table<RawFiles>>,
    pub(super) store: Option<Table<RawStore>>,
    pub(super) http: Option<Table<RawHttp>>,
    pub(super) events: Option<Table<RawEvents>>,
    pub(super) control: Option<Table<RawControl>>,
}

/// One table of the file.
#[derive(Default, Debug)]
pub(super) struct Table<T> {
    /// Its name, as in `keys::TABLES`; empty for the top of the file.
    pub(super) name: &'static str,
    /// The byte at which it begins.
    pub(super) at: usize,
    /// Keys that were given, but refused: they are not missing.
    pub(super) refused: Vec<&'static str>,
    /// What was given.
    pub(super) keys: T,
}

impl<T: Keys> Table<T> {
    /// A table that was not given.
    pub(super) fn absent(table: &'static str) -> Self {
        Self { name: table, at: 0, refused: Vec::new(), keys: T::default() }
    }

    fn refused(table: &'static str, at: usize) -> Self {
        let refused = KEYS.iter().filter(|k| k.table == table).map(|k| k.name).collect();
        Self { name: table, at, refused, keys: T::default() }
    }
}

/// What every table of keys can do: be read, and be empty.
pub(super) trait Keys: DeserializeOwned + Default + Debug {}

impl<T: DeserializeOwned + Default + Debug> Keys for T {}

#[derive(Clone, Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTop {
    pub(super) role: Given<String>,
    pub(super) source: Given<String>,
}

#[derive(Clone, Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLog {
    pub(super) level: Given<String>,
    pub(super) target: Given<String>,
}

#[derive(Clone, Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLibrary {
    pub(super) directory: Given<String>,
    pub(super) block_duration: Given<String>,
    pub(super) durations: Given<String>,
}

#[derive(Clone, Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct RawChannel {
    pub(super) number: Given<i64>,
    pub(super) name: Given<String>,
    pub(super) playlist: Given<Texts>,
    pub(super) repeat: Given<bool>,
    pub(super) epoch: Given<RawEpoch>,
    pub(super) filler: Given<String>,
    pub(super) max_clients: Given<i64>,
}

/// A moment, as TOML's own type or as text.
#[derive(Clone, Deserialize, Debug)]
#[serde(untagged)]
pub(super) enum RawEpoch {
    Datetime(Datetime),
    Text(String),
}

#[derive(Clone, Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTv {
    pub(super) listen: Given<String>,
    pub(super) callback_port: Given<i64>,
    pub(super) callback_allow: Given<Texts>,
    pub(super) max_clients: Given<i64>,
    pub(super) commands_max: Given<i64>,
    pub(super) join_pause: Given<String>,
}

#[derive(Clone, Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct RawReceive {
    pub(super) listen: Given<String>,
    pub(super) period: Given<String>,
}

#[derive(Clone, Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMesh {
    pub(super) listen: Given<String>,
    pub(super) advertise: Given<String>,
    pub(super) slots: Given<i64>,
    pub(super) stripes: Given<i64>,
    pub(super) lead: Given<String>,
    pub(super) members_max: Given<i64>,
    pub(super) rescue_rate: Given<i64>,
    pub(super) roots: Given<Texts>,
    pub(super) channel: Given<i64>,
}

#[derive(Clone, Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct RawJukebox {
    pub(super) listen: Given<String>,
    pub(super) directory: Given<String>,
    pub(super) extensions: Given<Texts>,
    pub(super) pace: Given<String>,
    pub(super) listeners_max: Given<i64>,
    pub(super) per_address_max: Given<i64>,
    pub(super) stall_max: Given<String>,
}

#[derive(Clone, Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFiles {
    pub(super) listen: Given<String>,
    pub(super) directory: Given<String>,
    pub(super) transfers_max: Given<i64>,
    pub(super) per_address_max: Given<i64>,
    pub(super) rate_max: Given<i64>,
    pub(super) total_rate_max: Given<i64>,
    pub(super) buffer: Given<i64>,
}

#[derive(Clone, Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStore {
    pub(super) directory: Given<String>,
    pub(super) keep_blocks: Given<i64>,
}

#[derive(Clone, Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHttp {
    pub(super) listen: Given<String>,
    pub(super) connections_max: Given<i64>,
    pub(super) per_address_max: Given<i64>,
    pub(super) lag_max: Given<i64>,
    pub(super) segment_base_url: Given<String>,
}

#[derive(Clone, Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEvents {
    pub(super) listen: Given<String>,
    pub(super) interval: Given<String>,
    pub(super) source: Given<String>,
    pub(super) teams: Given<String>,
    pub(super) seed: Given<i64>,
    pub(super) members_max: Given<i64>,
    pub(super) per_address_max: Given<i64>,
    pub(super) expire: Given<String>,
    pub(super) prove: Given<bool>,
}

#[derive(Clone, Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct RawControl {
    pub(super) socket: Given<String>,
}

/// Reads a whole text; what is wrong with it goes into the report. Nothing comes back from a text
/// that is not TOML.
pub(super) fn read(text: &str, report: &mut Report<'_>) -> Option<Raw> {
    let document = match DeTable::parse(text) {
        Ok(document) => document.into_inner(),
        Err(error) => {
            report.add(error.span().map_or(0, |s| s.start), syntax(text, &error));
            return None;
        }
    };
    let mut raw = Raw::default();
    let mut top = DeTable::new();
    for (name, value) in document {
        if let Some((name, value)) = raw.read_table(name, value, report) {
            top.insert(name, value);
        }
    }
    raw.top = read_keys("", Spanned::new(0..0, top), report);
    Some(raw)
}

/// The parser's words, and the word that it stumbled over.
fn syntax(text: &str, error: &toml::de::Error) -> String {
    let word = error.span().and_then(|s| text.get(s)).and_then(|w| w.lines().next()).unwrap_or("");
    let word = prefix(word, limits::CHANNEL_NAME_BYTES_MAX);
    let message = error.message();
    if word.is_empty() {
        format!("not TOML: {message}")
    } else {
        format!("not TOML: {message} (at \"{}\")", escaped(word.as_bytes()))
    }
}

impl Raw {
    /// Reads one table of the file; hands back what is none of ours.
    fn read_table<'i>(
        &mut self,
        name: Word<'i>,
        value: Value<'i>,
        r: &mut Report<'_>,
    ) -> Option<(Word<'i>, Value<'i>)> {
        let at = name.span().start;
        match name.get_ref().as_ref() {
            "log" => self.log = Some(one("log", at, value, r)),
            "library" => self.library = Some(one("library", at, value, r)),
            "channel" => self.channel = many("channel", at, value, r),
            "tv" => self.tv = Some(one("tv", at, value, r)),
            "receive" => self.receive = Some(one("receive", at, value, r)),
            "mesh" => self.mesh = Some(one("mesh", at, value, r)),
            "jukebox" => self.jukebox = Some(one("jukebox", at, value, r)),
            "files" => self.files = Some(one("files", at, value, r)),
            "store" => self.store = Some(one("store", at, value, r)),
            "http" => self.http = Some(one("http", at, value, r)),
            "events" => self.events = Some(one("events", at, value, r)),
            "control" => self.control = Some(one("control", at, value, r)),
            _ => return Some((name, value)),
        }
        None
    }
}

type Word<'i> = Spanned<DeString<'i>>;
type Value<'i> = Spanned<DeValue<'i>>;

/// A table that stands once. In a wrong form it counts as there, with every key refused: one
/// message is enough.
fn one<T: Keys>(table: &'static str, at: usize, value: Value<'_>, r: &mut Report<'_>) -> Table<T> {
    let span = value.span();
    match value.into_inner() {
        DeValue::Table(keys) => read_keys(table, Spanned::new(span, keys), r),
        other => wrong_shape(table, at, &other, r),
    }
}

/// A table that stands any number of times.
fn many<T: Keys>(
    table: &'static str,
    at: usize,
    value: Value<'_>,
    r: &mut Report<'_>,
) -> Vec<Table<T>> {
    match value.into_inner() {
        DeValue::Array(items) if items.len() > limits::CHANNELS_MAX => {
            let (given, most) = (items.len(), limits::CHANNELS_MAX);
            let at = items.get(most).map_or(at, |item| item.span().start);
            r.add(at, format!("[[{table}]]: {given} are given, at most {most} are possible"));
            vec![Table::refused(table, at)]
        }
        DeValue::Array(items) => {
            items.into_iter().map(|item| one(table, item.span().start, item, r)).collect()
        }
        other => vec![wrong_shape(table, at, &other, r)],
    }
}

fn wrong_shape<T: Keys>(
    table: &'static str,
    at: usize,
    found: &DeValue<'_>,
    r: &mut Report<'_>,
) -> Table<T> {
    let found = match found {
        DeValue::Table(_) => "a single table",
        DeValue::Array(_) => "a list",
        _ => "a value",
    };
    let header = keys::header(table);
    r.add(at, format!("{table}: expected a table, begun with {header}; this is {found}"));
    Table::refused(table, at)
}

/// Reads the keys of one table, leaving out, and reporting, each that serde refuses.
fn read_keys<T: Keys>(
    table: &'static str,
    found: Spanned<DeTable<'_>>,
    r: &mut Report<'_>,
) -> Table<T> {
    let span = found.span();
    let mut read = Table { name: table, at: span.start, refused: Vec::new(), keys: T::default() };
    let mut good = DeTable::new();
    for (name, value) in found.into_inner() {
        let alone = DeTable::from_iter([(name.clone(), value.clone())]);
        match deserialize::<T>(&span, alone) {
            Ok(_) => drop(good.insert(name, value)),
            Err(error) => {
                read.refused.extend(keys::find(table, name.get_ref()).map(|k| k.name));
                refuse(table, &name, error.span().unwrap_or(value.span()), r);
            }
        }
    }
    match deserialize(&span, good) {
        Ok(keys) => read.keys = keys,
        Err(error) => r.add(span.start, escaped(error.message().as_bytes())),
    }
    read
}

fn deserialize<T: Keys>(span: &Range<usize>, table: DeTable<'_>) -> Result<T, toml::de::Error> {
    T::deserialize(ValueDeserializer::from(Spanned::new(span.clone(), DeValue::Table(table))))
}

fn refuse(table: &str, name: &Word<'_>, value: Range<usize>, report: &mut Report<'_>) {
    if report.is_full() {
        return report.add(name.span().start, String::new());
    }
    match keys::find(table, name.get_ref()) {
        Some(key) => report.refuse(key, value, ""),
        None => report.add(name.span().start, unknown(table, name.get_ref())),
    }
}

fn unknown(table: &str, name: &str) -> String {
    let shown = escaped(prefix(name, limits::CHANNEL_NAME_BYTES_MAX).as_bytes());
    let label = if table.is_empty() { shown } else { format!("{} {shown}", keys::header(table)) };
    let here = KEYS.iter().filter(|k| k.table == table).map(|k| k.name);
    let tables = TABLES.iter().copied().filter(|_| table.is_empty());
    let hint = did_you_mean(name, here.chain(tables));
    if !hint.is_empty() {
        return format!("{label}: unknown key{hint}");
    }
    match KEYS.iter().find(|k| k.name == name) {
        Some(top) if top.table.is_empty() => {
            format!("{label}: unknown key; {top} stands above all tables")
        }
        Some(elsewhere) => format!("{label}: unknown key; there is {elsewhere}"),
        None => format!("{label}: unknown key"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names that serde itself would list.
    fn names<T: Keys>() -> Vec<String> {
        let alien = DeTable::parse("alien = 1").unwrap().into_inner();
        let error = deserialize::<T>(&(0..0), alien).unwrap_err();
        let quoted = error.message().split('`').skip(3).step_by(2);
        quoted.map(str::to_owned).collect()
    }

    fn keys_of(table: &str) -> Vec<String> {
        KEYS.iter().filter(|k| k.table == table).map(|k| k.name.to_owned()).collect()
    }

    #[test]
    fn the_table_of_keys_and_the_serde_tables_name_the_same_keys() {
        assert_eq!(names::<RawTop>(), keys_of(""));
        assert_eq!(names::<RawLog>(), keys_of("log"));
        assert_eq!(names::<RawLibrary>(), keys_of("library"));
        assert_eq!(names::<RawChannel>(), keys_of("channel"));
        assert_eq!(names::<RawTv>(), keys_of("tv"));
        assert_eq!(names::<RawReceive>(), keys_of("receive"));
        assert_eq!(names::<RawMesh>(), keys_of("mesh"));
        assert_eq!(names::<RawJukebox>(), keys_of("jukebox"));
        assert_eq!(names::<RawFiles>(), keys_of("files"));
        assert_eq!(names::<RawStore>(), keys_of("store"));
        assert_eq!(names::<RawHttp>(), keys_of("http"));
        assert_eq!(names::<RawEvents>(), keys_of("events"));
        // serde names a single field without "one of".
        assert_eq!(names::<RawControl>(), keys_of("control"));
        assert!(KEYS.iter().all(|k| k.table.is_empty() || TABLES.contains(&k.table)));
    }
}
