//! What a reload changes: the plan for the log, and the configuration that is then in force. Not
//! the reload itself; the daemon calls both, and brings the result about or keeps what it had.
//!
//! Keys that are live take their new values. The others (`role`, `source`, `[receive] listen`, all
//! of `[mesh]`) keep their old ones until a restart, and the plan names them; so does a table that
//! holds one and comes or goes. A new role brings other tables with it, which make no sense without
//! it: then everything but `[log]` waits with it.

use core::fmt;

use toml::Value;

use crate::base::text::escaped;
use crate::config::keys::{Key, header};
use crate::config::print::{Rows, tables};
use crate::config::{Config, Receive};

/// What differs between two configurations, in the order in which they are printed.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Plan {
    /// One entry for each key that differs, and for each table that comes or goes.
    pub changes: Vec<Change>,
}

/// One difference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Which key, such as `[tv] max_clients` or `[[channel]] 2 playlist`; or a whole table.
    pub key: String,
    /// What it was, safe to show; `none` when it was not there.
    pub old: String,
    /// What it is to be, safe to show; `none` when it goes.
    pub new: String,
    /// Whether the reload brings it about.
    pub apply: Apply,
}

/// When a change comes into force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Apply {
    /// With the reload.
    Live,
    /// With the next start.
    Restart,
}

/// What a reload from `old` to `new` changes.
#[must_use]
pub fn plan(old: &Config, new: &Config) -> Plan {
    let same_role = old.role == new.role;
    let (old, new) = (tables(old), tables(new));
    let mut changes = Vec::new();
    for table in &old {
        match new.iter().find(|t| t.is_same(table)) {
            Some(after) => changes.extend(table.differences(after, same_role)),
            None => changes.push(table.change(true, same_role)),
        }
    }
    let added = new.iter().filter(|t| !old.iter().any(|before| before.is_same(t)));
    changes.extend(added.map(|t| t.change(false, same_role)));
    Plan { changes }
}

/// The configuration that is in force after a reload from `old` to `new`.
#[must_use]
pub fn apply(old: &Config, new: &Config) -> Config {
    if old.role != new.role {
        return Config { log: new.log.clone(), ..old.clone() };
    }
    let receive = match (&old.receive, &new.receive) {
        (Some(old), Some(new)) => Some(Receive { listen: old.listen, period: new.period }),
        (old, _) => old.clone(),
    };
    let (source, mesh) = (old.source.clone(), old.mesh.clone());
    Config { source, receive, mesh, ..new.clone() }
}

impl Plan {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Whether something waits for a restart.
    #[must_use]
    pub fn needs_restart(&self) -> bool {
        self.changes.iter().any(|c| c.apply == Apply::Restart)
    }

    /// One line for the log for each change; one that says so when there is none.
    #[must_use]
    pub fn log_lines(&self) -> Vec<String> {
        if self.is_empty() {
            return vec!["reload: nothing has changed".to_owned()];
        }
        self.changes.iter().map(|change| format!("reload: {change}")).collect()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.log_lines().join("\n"))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let later = if self.apply == Apply::Restart { " needs a restart" } else { "" };
        write!(f, "{}: {} -> {}{later}", self.key, self.old, self.new)
    }
}

impl Rows {
    fn is_same(&self, other: &Self) -> bool {
        (self.name, self.number) == (other.name, other.number)
    }

    /// `[tv]`, `[[channel]] 2`, or nothing for the top of the file.
    fn label(&self) -> String {
        match (self.name, self.number) {
            ("", _) => String::new(),
            (name, Some(number)) => format!("{} {number}", header(name)),
            (name, None) => header(name),
        }
    }

    fn value(&self, key: &Key) -> Option<&Value> {
        self.values.iter().find(|(k, _)| *k == key).map(|(_, value)| value)
    }

    /// What differs within a table that both have.
    fn differences(&self, new: &Self, same_role: bool) -> Vec<Change> {
        let added = new.values.iter().map(|(key, _)| *key).filter(|key| self.value(key).is_none());
        let keys = self.values.iter().map(|(key, _)| *key).chain(added);
        keys.filter(|key| self.value(key) != new.value(key))
            .map(|key| Change {
                key: format!("{} {}", self.label(), key.name).trim_start().to_owned(),
                old: self.value(key).map_or_else(none, shown),
                new: new.value(key).map_or_else(none, shown),
                apply: when(key.live && (same_role || self.name == "log")),
            })
            .collect()
    }

    /// This table as one that goes (or comes).
    fn change(&self, goes: bool, same_role: bool) -> Change {
        let rows: Vec<_> =
            self.values.iter().map(|(k, v)| format!("{} {}", k.name, shown(v))).collect();
        let whole = rows.join(", ");
        let (old, new) = if goes { (whole, none()) } else { (none(), whole) };
        let live = same_role && self.values.iter().all(|(key, _)| key.live);
        Change { key: self.label(), old, new, apply: when(live) }
    }
}

fn when(live: bool) -> Apply {
    if live { Apply::Live } else { Apply::Restart }
}

fn none() -> String {
    "none".to_owned()
}

/// A value as the log shows it: texts without their quotes.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => escaped(text.as_bytes()),
        other => escaped(other.to_string().as_bytes()),
    }
}
