//! The part of the check that is about the relay trees: the keys of `[mesh]`, and where a relay or
//! client takes its channel from, which may be a tv server, the mesh, or both.

use super::Check;
use crate::base::limits;
use crate::config::keys;
use crate::config::raw::{Raw, RawMesh, Table};
use crate::config::value::{self, Wrong};
use crate::config::{Mesh, Role};

/// Why a relay or client, and no server, says where its channel comes from.
pub(super) const WHO_TAKES: &str =
    "a relay or client takes its channel from there, a server from its library";
/// Why `[receive]` goes with `source`.
pub(super) const WHO_DIALS_BACK: &str =
    "the tv server of a source, and nobody else, dials back to it";

const ROOT: &str = "a host or a host and port such as \"tv.example.org:6061\"";

impl Check<'_, '_> {
    pub(super) fn mesh(&mut self, t: &Table<RawMesh>, role: Role) -> Option<Mesh> {
        let keys = &t.keys;
        let listen = self.listen(t, keys.listen.as_ref());
        let advertise = keys.advertise.as_ref();
        let advertise = advertise.map(|g| self.text(t, "advertise", Some(g), value::advertised));
        let slots = self.slots(t, role);
        let stripes = self.number(t, "stripes", keys.stripes.as_ref());
        let lead = self.span(t, "lead", keys.lead.as_ref());
        let members_max = self.number(t, "members_max", keys.members_max.as_ref());
        let rescue_rate = self.number(t, "rescue_rate", keys.rescue_rate.as_ref());
        let roots = self.roots(t);
        let channel = self.number(t, "channel", keys.channel.as_ref());
        Some(Mesh {
            listen: listen?,
            advertise: super::all_good(advertise)?,
            slots: slots?,
            stripes: stripes?,
            lead: lead?,
            members_max: members_max?,
            rescue_rate: rescue_rate.and_then(|rate| u64::try_from(rate).ok())?,
            roots: roots?,
            channel: channel?,
        })
    }

    fn slots(&mut self, t: &Table<RawMesh>, role: Role) -> Option<usize> {
        match (t.keys.slots.as_ref(), t.refused.contains(&"slots")) {
            (None, false) => Some(Mesh::default_slots(role)),
            (given, _) => self.number(t, "slots", given),
        }
    }

    fn roots(&mut self, t: &Table<RawMesh>) -> Option<Vec<(String, u16)>> {
        let Some(given) = &t.keys.roots else {
            return (!t.refused.contains(&"roots")).then(Vec::new);
        };
        let key = keys::named("mesh", "roots");
        let list = self.list(t, key, Some(given), limits::MESH_ROOTS_MAX)?;
        let mut roots = Vec::new();
        for entry in list {
            roots.extend(self.entry(key, entry, ROOT, |text| another_root(text, &roots)));
        }
        (roots.len() == list.len()).then_some(roots)
    }

    /// A relay or client needs a tv server or roots, and `[receive]` with the first only. What was
    /// given and refused counts as given: one message is enough.
    pub(super) fn takes_from_somewhere(&mut self, raw: &Raw, role: Role, role_at: usize) {
        let has_source = super::place_of(raw, "source").is_some();
        let has_roots = raw.mesh.as_ref().is_some_and(names_roots);
        let word = role.name();
        match (has_source, has_roots, super::place_of(raw, "receive")) {
            (false, false, _) => {
                let text = format!("source or [mesh] roots is missing: {WHO_TAKES}");
                self.report.add(role_at, format!("role = \"{word}\": {text}"));
            }
            (true, _, None) => {
                let text = format!("[receive] is missing: {WHO_DIALS_BACK}");
                self.report.add(role_at, format!("role = \"{word}\": {text}"));
            }
            (false, true, Some(at)) => {
                let text = format!("[receive]: not used without source: {WHO_DIALS_BACK}");
                self.report.add(at, text);
            }
            _ => {}
        }
        if let Some(at) = raw.mesh.as_ref().filter(|t| !names_roots(t)).and_then(channel_at) {
            let text = "[mesh] channel: not used without [mesh] roots: it is the channel of these";
            self.report.add(at, text.to_owned());
        }
    }

    /// A server is a root: it has channels of its own and takes none. Its roots are others like it.
    pub(super) fn takes_from_nobody(&mut self, raw: &Raw) {
        let Some(t) = &raw.mesh else { return };
        if let Some(at) = channel_at(t) {
            self.report.add(at, format!("[mesh] channel: not used by a server: {WHO_TAKES}"));
        }
    }
}

/// A root that is not among those named before it.
fn another_root(text: &str, before: &[(String, u16)]) -> Result<(String, u16), Wrong> {
    let (host, port) = value::root(text)?;
    let is_same = |other: &&(String, u16)| other.1 == port && other.0.eq_ignore_ascii_case(&host);
    match before.iter().find(is_same) {
        Some(_) => Err(", each once; this one stands before it already".to_owned()),
        None => Ok((host, port)),
    }
}

fn names_roots(t: &Table<RawMesh>) -> bool {
    t.keys.roots.is_some() || t.refused.contains(&"roots")
}

fn channel_at(t: &Table<RawMesh>) -> Option<usize> {
    t.keys.channel.as_ref().map(|given| given.span().start)
}
