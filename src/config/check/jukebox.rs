//! The part of the check that is about `[jukebox]`.

use super::Check;
use crate::base::limits;
use crate::config::raw::{RawJukebox, Table, Texts};
use crate::config::value::{self, Wrong};
use crate::config::{Jukebox, keys};

const EXTENSION: &str = "an extension of letters and digits such as \"mp3\"";

impl Check<'_, '_> {
    pub(super) fn jukebox(&mut self, t: &Table<RawJukebox>) -> Option<Jukebox> {
        let keys = &t.keys;
        let listen = self.listen(t, keys.listen.as_ref());
        let directory = self.path(t, "directory", keys.directory.as_ref());
        let extensions = self.extensions(t);
        let pace = self.text(t, "pace", keys.pace.as_ref(), value::pace);
        let listeners_max = self.number(t, "listeners_max", keys.listeners_max.as_ref());
        let per_address_max = self.number(t, "per_address_max", keys.per_address_max.as_ref());
        let stall_max = self.span(t, "stall_max", keys.stall_max.as_ref());
        Some(Jukebox {
            listen: listen?,
            directory: directory?,
            extensions: extensions?,
            pace: pace?,
            listeners_max: listeners_max?,
            per_address_max: per_address_max?,
            stall_max: stall_max?,
        })
    }

    fn extensions(&mut self, t: &Table<RawJukebox>) -> Option<Vec<String>> {
        let key = keys::named("jukebox", "extensions");
        let Some(given) = &t.keys.extensions else {
            let words = self.default(t, key)?.split(' ');
            return Some(words.map(str::to_owned).collect());
        };
        let list: &Texts = self.list(t, key, Some(given), limits::JUKEBOX_EXTENSIONS_MAX)?;
        let mut extensions = Vec::new();
        for entry in list {
            extensions.extend(self.entry(key, entry, EXTENSION, |text| another(text, &extensions)));
        }
        (extensions.len() == list.len()).then_some(extensions)
    }
}

/// An extension, in small letters, that is not among those named before it.
fn another(text: &str, before: &[String]) -> Result<String, Wrong> {
    let extension = value::extension(text)?;
    if before.contains(&extension) {
        return Err(", each once; this one stands before it already".to_owned());
    }
    Ok(extension)
}
