//! What `--check` says of each movie for players: which outputs it has by its first block, and why
//! not the others. A running process says the same in its status document, when it is asked.

use crate::base::text::escaped;
use crate::config::Config;
use crate::container::{self, Output, Profile};
use crate::daemon::setup::line;
use crate::io::library::Scan;
use crate::media::catalog::Movie;

/// A line for each movie, and one for each filler that is not for all players.
pub(super) fn describe(text: &mut String, config: &Config, scan: &Scan) {
    for movie in scan.catalog.movies() {
        let (has, lacks) = outputs(scan, movie);
        let has = if has.is_empty() { "nothing".to_owned() } else { has.join(", ") };
        let name = escaped(movie.name().as_bytes());
        line(text, &format!("movie {name}: players get {has}"));
        for why in lacks {
            line(text, &format!("movie {name}: {why}"));
        }
    }
    for channel in &config.channels {
        let filler = channel.filler.as_deref().and_then(|name| scan.catalog.find(name));
        let Some(filler) = filler else { continue };
        let (number, name) = (channel.number, escaped(filler.name().as_bytes()));
        for why in outputs(scan, filler).1 {
            line(text, &format!("channel {number}: filler {name} is not for all players: {why}"));
        }
    }
}

/// The outputs that a movie has, and for the others why not.
fn outputs(scan: &Scan, movie: &Movie) -> (Vec<&'static str>, Vec<String>) {
    let profile = match first_block(scan, movie) {
        Ok(profile) => profile,
        Err(why) => return (Vec::new(), vec![why]),
    };
    let (mut has, mut lacks) = (Vec::new(), Vec::new());
    for (output, carried) in profile.outputs() {
        match carried {
            Ok(()) => has.push(Output::extension(output)),
            Err(why) => lacks.push(format!("no {}: {why}", output.extension())),
        }
    }
    (has, lacks)
}

fn first_block(scan: &Scan, movie: &Movie) -> Result<Profile, String> {
    let path = movie.path(0).unwrap_or_default();
    let bytes = scan.read(&path);
    let read = bytes.and_then(|b| container::read(&b).map_err(|why| why.to_string()));
    read.map(|block| Profile::of(&block))
        .map_err(|why| format!("{}: {why}", escaped(path.as_bytes())))
}
