//! The teams of the simulated matches: a TOML file to values that are known to fit a datagram.
//! Pure: the daemon reads the file. `etc/events/teams.toml` is used without another.

use serde::Deserialize;
use thiserror::Error;

use crate::base::limits;
use crate::base::text::escaped;
use crate::events::wire::{Event, Keeper, Message, Player};

/// Players of the field in a team; the original clients show ten.
pub const PLAYERS: usize = 10;

/// The teams that may meet; at least two, whose names differ.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Teams(Vec<Team>);

/// One team.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Team {
    /// Its name.
    pub name: String,
    /// Its goalkeeper's name.
    pub goalkeeper: String,
    /// The others, [`PLAYERS`] of them.
    pub players: Vec<Person>,
}

/// A player of the field.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// The name.
    pub name: String,
    /// Where this player plays.
    pub position: String,
}

/// What is wrong with a file of teams.
#[derive(Clone, PartialEq, Eq, Error, Debug)]
pub enum TeamsError {
    /// Not TOML, or a key is missing or unknown.
    #[error("line {line}: {what}")]
    Form {
        /// The line, from 1.
        line: usize,
        /// The parser's words, safe to show.
        what: String,
    },
    /// Too few or too many.
    #[error(
        "expected 2 to {max} teams, each begun with [[team]]; there are {0}",
        max = limits::TEAMS_MAX
    )]
    Count(usize),
    /// Two teams of one name.
    #[error("two teams are called \"{0}\"; give each a name of its own")]
    Twice(String),
    /// Too few or too many players.
    #[error("team \"{0}\": expected {PLAYERS} players beside the goalkeeper; there are {1}")]
    Players(String, usize),
    /// A name that cannot be used.
    #[error("team \"{0}\": expected names and positions of 1 to {max} bytes without control \
             characters; \"{1}\" is none", max = limits::TEAM_NAME_BYTES_MAX)]
    Name(String, String),
    /// Names that leave no room for what happens.
    #[error("teams \"{0}\" and \"{1}\": a datagram of theirs has {2} bytes before anything has \
             happened; {max} are the most, so shorten the names",
            max = limits::EVENT_BYTES_MAX - limits::TEAMS_ROOM_BYTES_MIN)]
    Large(String, String, usize),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    team: Vec<Team>,
}

impl Default for Teams {
    fn default() -> Self {
        let built_in = include_str!("../../etc/events/teams.toml");
        Self::parse(built_in).expect("the teams of the source tree are good; a test reads them")
    }
}

impl Teams {
    /// Reads and checks the text of a file.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, TeamsError> {
        let file: File = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = text.bytes().take(at).filter(|b| *b == b'\n').count() + 1;
            TeamsError::Form { line, what: escaped(error.message().as_bytes()) }
        })?;
        let teams = Self(file.team);
        teams.check()?;
        Ok(teams)
    }

    fn check(&self) -> Result<(), TeamsError> {
        if !(2..=limits::TEAMS_MAX).contains(&self.0.len()) {
            return Err(TeamsError::Count(self.0.len()));
        }
        self.0.iter().try_for_each(Team::check)?;
        for (at, team) in self.0.iter().enumerate() {
            for other in &self.0[..at] {
                if other.name == team.name {
                    return Err(TeamsError::Twice(escaped(team.name.as_bytes())));
                }
                fits(team, other)?;
            }
        }
        Ok(())
    }

    /// How many there are; at least two.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// One of them, counted from 0 and around.
    #[must_use]
    pub fn get(&self, number: u64) -> &Team {
        let number = usize::try_from(number % self.count()).unwrap_or(0);
        &self.0[number]
    }
}

impl Team {
    fn check(&self) -> Result<(), TeamsError> {
        let shown = || escaped(self.name.as_bytes());
        let players = self.players.iter().flat_map(|p| [&p.name, &p.position]);
        for name in [&self.name, &self.goalkeeper].into_iter().chain(players) {
            let long = name.is_empty() || name.len() > limits::TEAM_NAME_BYTES_MAX;
            if long || name.chars().any(char::is_control) {
                return Err(TeamsError::Name(shown(), escaped(name.as_bytes())));
            }
        }
        if self.players.len() != PLAYERS {
            return Err(TeamsError::Players(shown(), self.players.len()));
        }
        Ok(())
    }

    /// The players before the match, as a datagram has them.
    #[must_use]
    pub fn lined_up(&self) -> Vec<Player> {
        let player = |person: &Person| Player {
            name: person.name.clone(),
            team: self.name.clone(),
            position: person.position.clone(),
            ..Player::default()
        };
        self.players.iter().map(player).collect()
    }

    /// The goalkeeper, as a datagram has them.
    #[must_use]
    pub fn keeper(&self) -> Keeper {
        Keeper { name: self.goalkeeper.clone(), team: self.name.clone() }
    }
}

/// Whether a match of two teams leaves room for what happens in it.
fn fits(a: &Team, b: &Team) -> Result<(), TeamsError> {
    let most = limits::EVENT_BYTES_MAX - limits::TEAMS_ROOM_BYTES_MIN;
    let score = format!("Placar: {} 0 - 0 {}", a.name, b.name);
    let event = Event {
        message: Message { score, ..Message::default() },
        team_a: a.lined_up(),
        team_b: b.lined_up(),
        keeper_a: a.keeper(),
        keeper_b: b.keeper(),
    };
    let bytes = event.encode().map_or_else(|large| large.0, |bytes| bytes.len());
    if bytes > most {
        let [a, b] = [a, b].map(|team| escaped(team.name.as_bytes()));
        return Err(TeamsError::Large(a, b, bytes));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(teams: &[(&str, usize)]) -> String {
        let team = |(name, players): &(&str, usize)| {
            let players = vec!["{ name = \"P\", position = \"Meia\" }"; *players].join(", ");
            format!("[[team]]\nname = {name:?}\ngoalkeeper = \"G\"\nplayers = [{players}]\n")
        };
        teams.iter().map(team).collect()
    }

    #[test]
    fn the_teams_of_the_source_tree_are_good() {
        assert_eq!(Teams::default().count(), 4);
        assert_eq!(Teams::default().get(5), Teams::default().get(1));
    }

    #[test]
    fn a_file_that_is_not_good_is_told_why() {
        let long = "n".repeat(49);
        for (text, expected) in [
            (file(&[("A", 10)]), "expected 2 to 32 teams"),
            (file(&[("A", 10), ("A", 10)]), "two teams are called \"A\""),
            (file(&[("A", 10), ("B", 9)]), "team \"B\": expected 10 players"),
            (file(&[("A", 10), (&long, 10)]), "expected names and positions of 1 to 48 bytes"),
            (file(&[("A", 10), ("", 10)]), "\"\" is none"),
            (file(&[("A", 10), ("B\\u0007", 10)]).replace("\\\\", "\\"), "B\\x07"),
            ("[[team]]\nname = 1".into(), "line 2: "),
            ("x".into(), "line 1: "),
        ] {
            let error = Teams::parse(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(Teams::parse(&file(&[("A", 10), ("B", 10)])).is_ok());
    }

    #[test]
    fn names_that_leave_no_room_are_refused() {
        let long = "\u{e9}".repeat(24);
        let text = file(&[("A", 10), ("B", 10)]).replace("\"P\"", &format!("{long:?}"));
        let error = Teams::parse(&text).unwrap_err();
        assert!(matches!(error, TeamsError::Large(..)), "{error}");
    }
}
