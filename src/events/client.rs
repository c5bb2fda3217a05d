//! A listener of the ticker: registers, shows what comes, unregisters, and tells at the end how the
//! way was. It works with the original servers, to which registering again says nothing new.
//!
//! | state | what ends it |
//! |---|---|
//! | asking: `register` each second | the first event |
//! | listening: `register` once more at the first event, then each ten seconds | the end |
//! | over | nothing; [`Client::statistics`] stays |
//!
//! Registering again is what a server of ours wants as a proof of the address, and what lets one
//! that forgets the silent, or started anew, know us. Pure: `vidstream events` lends it a socket.

use core::fmt::Write as _;
use std::collections::VecDeque;

use serde::Serialize;

use crate::base::limits;
use crate::base::time::Mono;
use crate::events::tally::Tally;
use crate::events::wire::{Bad, Received, Request, Seen};

pub use crate::events::tally::{Honest, Original};

/// What the client wants done, or shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wish {
    /// Send this datagram to the server.
    Send(&'static [u8]),
    /// An event came. Its texts are foreign.
    Show(Seen),
    /// A datagram came that is none of the ticker's.
    Complain(Bad),
    /// Nobody listens there; it is asked again and again. Told once until an event comes.
    Unanswered,
    /// It is over.
    Over(Ending),
}

/// Why it is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The server said so.
    EndOfTransmission,
    /// The person asked for it.
    Interrupted,
}

/// Everything that is told at the end.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Statistics {
    /// By the rule of the original client.
    pub original: Original,
    /// What really happened.
    pub honest: Honest,
    /// Datagrams that were no events.
    pub bad: u64,
}

/// The client.
#[derive(Debug)]
pub struct Client {
    tally: Tally,
    bad: u64,
    heard: bool,
    unanswered: bool,
    ending: Option<Ending>,
    ask_at: Mono,
    wishes: VecDeque<Wish>,
}

impl Client {
    /// A client that asks as soon as [`Client::poll_wish`] is drained.
    #[must_use]
    pub fn new(now: Mono) -> Self {
        let mut client = Self {
            tally: Tally::default(),
            bad: 0,
            heard: false,
            unanswered: false,
            ending: None,
            ask_at: now,
            wishes: VecDeque::new(),
        };
        client.handle_timeout(now);
        client
    }

    /// A datagram of the server's came.
    pub fn handle_datagram(&mut self, now: Mono, bytes: &[u8]) {
        if self.ending.is_some() {
            return;
        }
        match Received::parse(bytes) {
            Ok(Received::Event(seen)) => self.event(now, seen),
            Ok(Received::End) => self.end(Ending::EndOfTransmission),
            Err(why) => {
                self.bad += 1;
                self.wishes.push_back(Wish::Complain(why));
            }
        }
    }

    fn event(&mut self, now: Mono, seen: Seen) {
        self.tally.note(seen.count);
        self.unanswered = false;
        if !self.heard {
            self.heard = true;
            self.ask(now);
        }
        self.wishes.push_back(Wish::Show(seen));
    }

    fn ask(&mut self, now: Mono) {
        let wait =
            if self.heard { limits::EVENTS_REFRESH_EVERY } else { limits::EVENTS_REGISTER_EVERY };
        self.ask_at = now.after(wait);
        self.wishes.push_back(Wish::Send(Request::Register.bytes()));
    }

    fn end(&mut self, ending: Ending) {
        self.ending = Some(ending);
        self.wishes.push_back(Wish::Over(ending));
    }

    /// The system says that nobody listens there.
    pub fn handle_refusal(&mut self) {
        if self.ending.is_none() && !self.unanswered {
            self.unanswered = true;
            self.wishes.push_back(Wish::Unanswered);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Mono) {
        if self.ending.is_none() && self.ask_at <= now {
            self.ask(now);
        }
    }

    /// The person wants no more: unregisters.
    pub fn interrupt(&mut self) {
        if self.ending.is_none() {
            self.wishes.push_back(Wish::Send(Request::Unregister.bytes()));
            self.end(Ending::Interrupted);
        }
    }

    /// What is to be done next.
    pub fn poll_wish(&mut self) -> Option<Wish> {
        self.wishes.pop_front()
    }

    /// When [`Client::handle_timeout`] is wanted; never again when it is over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.ending.is_none().then_some(self.ask_at)
    }

    /// The figures so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let (original, honest) = (self.tally.original(), self.tally.honest());
        Statistics { original, honest, bad: self.bad }
    }
}

impl Statistics {
    /// The file that the original client writes, byte for byte.
    #[must_use]
    pub fn original_file(&self, ending: Ending) -> String {
        let Original { received, lost, out_of_order } = self.original;
        let why = match ending {
            Ending::EndOfTransmission => "Received end of transmission.",
            Ending::Interrupted => "Ctrl+C received. Unregistering client.",
        };
        let (left, right) = (">".repeat(30), "<".repeat(30));
        let mut text = format!("\n(client) {why}{left} STATISTICS {right} \n");
        write!(
            text,
            "(client) Number of packets received: {received} \n\
             (client) Number of lost packets: {lost} \n\
             (client) Number of packets out of order: {out_of_order}\n"
        )
        .expect("a String takes every write");
        text
    }

    /// The honest figures, for people.
    #[must_use]
    pub fn honest_text(&self) -> String {
        let Honest { received, lost, late, duplicates, restarts } = self.honest;
        let (percent, bad) = (self.honest.lost_percent(), self.bad);
        let mut text = format!(
            "Of {} events {lost} never came ({percent:.2} %); {late} came late, {duplicates} came \
             again.\n",
            received + lost
        );
        if restarts > 0 {
            writeln!(text, "The server began anew {restarts} times.").expect("as above");
        }
        if bad > 0 {
            writeln!(text, "{bad} datagrams were no events.").expect("as above");
        }
        text
    }

    /// All of it as one JSON document with a newline behind it.
    ///
    /// # Panics
    /// Never: such values are always JSON.
    #[must_use]
    pub fn json(&self, ending: Ending) -> String {
        #[derive(Serialize)]
        struct Document<'a> {
            ending: Ending,
            lost_percent: f64,
            #[serde(flatten)]
            statistics: &'a Statistics,
        }
        let percent = self.honest.lost_percent();
        let document = Document { ending, lost_percent: percent, statistics: self };
        serde_json::to_string(&document).expect("numbers and words") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::events::wire::{END, Event, Message};

    fn event(count: u64) -> Vec<u8> {
        let message = Message { count, ..Message::default() };
        Event { message, ..Event::default() }.encode().unwrap().to_vec()
    }

    fn sends(client: &mut Client) -> usize {
        let wishes = std::iter::from_fn(|| client.poll_wish());
        wishes.filter(|w| *w == Wish::Send(b"register")).count()
    }

    #[test]
    fn it_asks_until_it_hears_and_seldom_after_that() {
        let mut now = Mono(5);
        let mut client = Client::new(now);
        assert_eq!(sends(&mut client), 1);
        for _ in 0..3 {
            now = client.poll_timeout().unwrap();
            client.handle_timeout(now);
            assert_eq!(sends(&mut client), 1);
        }
        assert_eq!(now, Mono(5).after(Duration::from_secs(3)));
        client.handle_datagram(now, &event(1));
        assert_eq!(sends(&mut client), 1, "once more, as a proof");
        client.handle_datagram(now, &event(2));
        assert_eq!(sends(&mut client), 0);
        assert_eq!(client.poll_timeout(), Some(now.after(Duration::from_secs(10))));
        client.handle_timeout(now);
        assert_eq!(sends(&mut client), 0, "nothing is due");
    }

    #[test]
    fn it_shows_what_comes_until_the_end() {
        let mut client = Client::new(Mono(0));
        client.handle_datagram(Mono(1), &event(3));
        client.handle_datagram(Mono(1), b"nonsense");
        client.handle_datagram(Mono(1), END);
        client.handle_datagram(Mono(1), &event(4));
        client.interrupt();
        let seen = Seen { count: 3, minute: Some(0), ..Seen::default() };
        let wishes: Vec<_> = std::iter::from_fn(|| client.poll_wish()).collect();
        assert!(wishes.contains(&Wish::Show(seen)), "{wishes:?}");
        assert_eq!(wishes.last(), Some(&Wish::Over(Ending::EndOfTransmission)));
        assert_eq!((client.poll_timeout(), client.statistics().bad), (None, 1));
    }

    #[test]
    fn it_takes_its_leave() {
        let mut client = Client::new(Mono(0));
        client.interrupt();
        client.interrupt();
        let wishes: Vec<_> = std::iter::from_fn(|| client.poll_wish()).collect();
        let over = Wish::Over(Ending::Interrupted);
        assert_eq!(wishes, [Wish::Send(b"register"), Wish::Send(b"unregister"), over]);
    }

    #[test]
    fn a_server_that_is_not_there_is_told_once_and_asked_on() {
        let mut client = Client::new(Mono(0));
        client.handle_refusal();
        client.handle_refusal();
        let wishes: Vec<_> = std::iter::from_fn(|| client.poll_wish()).collect();
        assert_eq!(wishes, [Wish::Send(b"register"), Wish::Unanswered]);
        assert!(client.poll_timeout().is_some());
    }

    #[test]
    fn the_file_of_the_original_has_exactly_these_bytes() {
        let original = Original { received: 45, lost: 0, out_of_order: 0 };
        let statistics = Statistics { original, ..Statistics::default() };
        let marks = concat!(
            ">>>>>>>>>>>>>>>>>>>>>>>>>>>>>> STATISTICS <<<<<<<<<<<<<<<<<<<<<<<<<<<<<< \n",
            "(client) Number of packets received: 45 \n",
            "(client) Number of lost packets: 0 \n",
            "(client) Number of packets out of order: 0\n",
        );
        assert_eq!(
            statistics.original_file(Ending::EndOfTransmission),
            format!("\n(client) Received end of transmission.{marks}")
        );
        assert_eq!(
            statistics.original_file(Ending::Interrupted),
            format!("\n(client) Ctrl+C received. Unregistering client.{marks}")
        );
    }

    #[test]
    fn the_document_has_both_figures() {
        let mut client = Client::new(Mono(0));
        for count in [5, 7, 6, 8, 8, 12] {
            client.handle_datagram(Mono(0), &event(count));
        }
        let expected = concat!(
            r#"{"ending":"interrupted","lost_percent":37.5,"#,
            r#""original":{"received":6,"lost":5,"out_of_order":1},"#,
            r#""honest":{"received":5,"lost":3,"late":1,"duplicates":1,"restarts":0},"bad":0}"#,
            "\n"
        );
        assert_eq!(client.statistics().json(Ending::Interrupted), expected);
        let text = client.statistics().honest_text();
        assert_eq!(text, "Of 8 events 3 never came (37.50 %); 1 came late, 1 came again.\n");
    }
}
