//! The simulated match: one source of events. Seeded, so that a run can be repeated: the same teams
//! and the same seed give the same events on every machine. It neither counts events nor sends
//! them; the server does.

use crate::base::rng::Rng;
use crate::events::phrases::{KINDS, Kind, MISSED, SCORED, What};
use crate::events::teams::{PLAYERS, Team, Teams};
use crate::events::wire::{Event, Message};

/// The last minute of a match.
const LAST_MINUTE: u32 = 97;
/// Of a hundred penalties so many are scored.
const PENALTIES_SCORED: u64 = 75;

/// A match that is being played.
#[derive(Clone, Debug)]
pub struct Game {
    rng: Rng,
    minute: u32,
    sides: [Side; 2],
}

#[derive(Clone, Debug)]
struct Side {
    name: String,
    goals: u32,
    players: Vec<crate::events::wire::Player>,
    keeper: crate::events::wire::Keeper,
    /// Who has a yellow card: it is told once a player.
    warned: [bool; PLAYERS],
}

impl Side {
    fn of(team: &Team) -> Self {
        Self {
            name: team.name.clone(),
            goals: 0,
            players: team.lined_up(),
            keeper: team.keeper(),
            warned: [false; PLAYERS],
        }
    }

    /// Those on the field for whom something holds; all on the field when it holds for none.
    fn choose(&self, rng: &mut Rng, holds: impl Fn(usize) -> bool) -> usize {
        let on_field = || (0..PLAYERS).filter(|i| !self.players[*i].red_card);
        let wanted: Vec<_> = on_field().filter(|i| holds(*i)).collect();
        let from = if wanted.is_empty() { on_field().collect() } else { wanted };
        pick(rng, &from)
    }
}

impl Game {
    /// A match of two of the teams, before it begins.
    #[must_use]
    pub fn new(teams: &Teams, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let first = rng.below(teams.count());
        let second = first + 1 + rng.below(teams.count() - 1);
        let sides = [first, second].map(|number| Side::of(teams.get(number)));
        Self { rng, minute: 0, sides }
    }

    /// Who plays.
    #[must_use]
    pub fn teams(&self) -> [&str; 2] {
        [&self.sides[0].name, &self.sides[1].name]
    }

    /// What happens next, with 0 for its count; nothing more when the match is over.
    pub fn play(&mut self) -> Option<Event> {
        self.minute += 1 + u32::try_from(self.rng.below(3)).unwrap_or(0);
        if self.minute > LAST_MINUTE {
            return None;
        }
        let kind = self.kind();
        let side = usize::from(self.rng.below(2) == 1);
        let content = self.happen(kind, side);
        let [a, b] = &self.sides;
        let score = format!("Placar: {} {} - {} {}", a.name, a.goals, b.goals, b.name);
        let message =
            Message { count: 0, score, content, kind: kind.name.into(), time_passed: self.minute };
        Some(Event {
            message,
            team_a: a.players.clone(),
            team_b: b.players.clone(),
            keeper_a: a.keeper.clone(),
            keeper_b: b.keeper.clone(),
        })
    }

    fn kind(&mut self) -> &'static Kind {
        let all = KINDS.iter().map(|k| k.weight).sum();
        let mut at = self.rng.below(all);
        let found = KINDS.iter().find(|kind| match at.checked_sub(kind.weight) {
            Some(rest) => {
                at = rest;
                false
            }
            None => true,
        });
        found.expect("a number below the sum of the weights lies in one of them")
    }

    /// Does it, and says what was done.
    fn happen(&mut self, kind: &Kind, side: usize) -> String {
        let (rng, minute) = (&mut self.rng, self.minute);
        let by = &mut self.sides[side];
        // Who has a card keeps out of trouble, and nobody is warned twice.
        let player = match kind.what {
            What::Yellow => by.choose(rng, |i| !by.warned[i]),
            _ => by.choose(rng, |_| true),
        };
        let mut phrases = kind.phrases;
        match kind.what {
            What::Goal => by.score(player, minute),
            What::Penalty => {
                let scored = rng.below(100) < PENALTIES_SCORED;
                phrases = if scored { SCORED } else { MISSED };
                if scored {
                    by.score(player, minute);
                }
            }
            What::Yellow => by.warned[player] = true,
            // A team keeps at least seven, or there would be no match (Law 3).
            What::Red if by.players.iter().filter(|p| p.red_card).count() < 4 => {
                by.players[player].red_card = true;
                by.players[player].red_minute = minute;
            }
            _ => {}
        }
        let phrase = pick(rng, phrases);
        let other = &self.sides[1 - side];
        let rival = other.choose(&mut self.rng, |_| true);
        phrase
            .replace("{p}", &self.sides[side].players[player].name)
            .replace("{t}", &self.sides[side].name)
            .replace("{r}", &other.players[rival].name)
            .replace("{g}", &other.keeper.name)
    }
}

impl Side {
    fn score(&mut self, player: usize, minute: u32) {
        self.goals += 1;
        self.players[player].goals += 1;
        self.players[player].goal_minutes.push(minute);
    }
}

/// One of some, of which there is at least one.
fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    let at = rng.below(from.len() as u64);
    from[usize::try_from(at).unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits;

    fn whole(seed: u64) -> Vec<Event> {
        let mut game = Game::new(&Teams::default(), seed);
        std::iter::from_fn(|| game.play()).collect()
    }

    #[test]
    fn a_seed_gives_the_same_match_again() {
        assert_eq!(whole(7), whole(7));
        assert_ne!(whole(7), whole(8));
    }

    #[test]
    fn a_match_has_about_fifty_events_up_to_minute_97() {
        let mut lengths = Vec::new();
        for seed in 0..500 {
            let events = whole(seed);
            let minutes: Vec<_> = events.iter().map(|e| e.message.time_passed).collect();
            assert!((1..=3).contains(&minutes[0]), "seed {seed}");
            assert!(minutes.windows(2).all(|w| (1..=3).contains(&(w[1] - w[0]))), "seed {seed}");
            assert!((95..=97).contains(minutes.last().unwrap()), "seed {seed}");
            lengths.push(events.len());
        }
        let mean = lengths.iter().sum::<usize>() / lengths.len();
        assert!((45..=50).contains(&mean), "{mean} events a match");
    }

    #[test]
    fn every_event_fits_a_datagram_and_every_name_is_filled_in() {
        for seed in 0..500 {
            for event in whole(seed) {
                let bytes = event.encode().unwrap_or_else(|e| panic!("seed {seed}: {e}"));
                assert!(bytes.len() > 2_500 && bytes.len() <= limits::EVENT_BYTES_MAX);
                assert!(!event.message.content.contains(['{', '}']), "{}", event.message.content);
            }
        }
    }

    #[test]
    fn kinds_come_as_often_as_their_weights_say() {
        assert_eq!(KINDS.iter().map(|k| k.weight).sum::<u64>(), 100);
        let events: Vec<_> = (0..2_000).flat_map(whole).collect();
        for kind in &KINDS {
            let found = events.iter().filter(|e| e.message.kind == kind.name).count() * 10_000;
            let per_ten_thousand = u64::try_from(found / events.len()).unwrap();
            let wanted = kind.weight * 100;
            let off = per_ten_thousand.abs_diff(wanted);
            assert!(off < 20 + wanted / 20, "{}: {per_ten_thousand} of 10000", kind.name);
        }
    }

    #[test]
    fn the_score_is_the_sum_of_the_goals() {
        for seed in 0..200 {
            for event in whole(seed) {
                let goals = |players: &[crate::events::wire::Player]| {
                    assert!(players.iter().all(|p| p.goal_minutes.len() == p.goals as usize));
                    players.iter().map(|p| p.goals).sum::<u32>()
                };
                let (a, b) = (goals(&event.team_a), goals(&event.team_b));
                assert!(event.message.score.contains(&format!(" {a} - {b} ")), "seed {seed}");
            }
        }
    }

    #[test]
    fn who_is_sent_off_does_nothing_more() {
        let mut seen = 0;
        for seed in 0..400 {
            let events = whole(seed);
            let Some(red) = events.iter().position(|e| e.message.kind == "Cart\u{e3}o Vermelho!")
            else {
                continue;
            };
            let now = &events[red];
            let mut off = now.team_a.iter().chain(&now.team_b).filter(|p| p.red_card);
            let player = off.next().unwrap().clone();
            assert_eq!(player.red_minute, now.message.time_passed);
            seen += 1;
            for later in &events[red + 1..] {
                assert!(!later.message.content.contains(&player.name), "seed {seed}");
            }
        }
        assert!(seen > 50, "{seen} red cards");
    }
}
