//! The control connections of a node: one command in, handed to the node, one answer out. Knows no
//! socket and words no answer but refusals; the node drives it with what
//! [`Input`](crate::base::port::Input) tells, takes commands with [`Server::poll_command`] and
//! answers each with [`Server::respond`].
//!
//! | state | what happens | timer `ControlPatience` |
//! |---|---|---|
//! | reading | the line is incomplete | refused |
//! | asked | the node has the command | closed |
//! | sending | the answer is being taken | anew with each byte taken; reset |
//!
//! What follows the line is read and forgotten.
//!
//! A long answer is worded and sent piece by piece: the next piece when the one before it was
//! taken. So the tree of ten thousand members holds nobody up, and a reader that takes its time
//! costs no more than the rows, which all of its pieces share.

use std::collections::VecDeque;

use crate::base::arena::Side;
use crate::base::limits;
use crate::base::port::{Conn, Cx, End, Payload, Service, Why};
use crate::control::answer::Answer;
use crate::control::wire::{self, Command, Refused};

/// Every control connection of a node.
#[derive(Default, Debug)]
pub struct Server {
    clients: Side<State>,
    asking: VecDeque<Conn>,
}

#[derive(Debug)]
enum State {
    Reading(Vec<u8>),
    Asked(Command),
    Sending { left: u64, rest: Answer },
}

impl Server {
    /// No connections yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Somebody connected; taken while there are fewer than [`limits::CONTROL_CONNS_MAX`].
    pub fn incoming(&mut self, cx: &mut Cx) {
        if self.clients.len() >= limits::CONTROL_CONNS_MAX {
            return;
        }
        let patience = (Why::ControlPatience, limits::CONTROL_PATIENCE);
        if let Some(conn) = cx.accept(Service::Control, None, patience) {
            self.clients.insert(conn.0, State::Reading(Vec::new()));
        }
    }

    /// Bytes arrived.
    pub fn data(&mut self, cx: &mut Cx, conn: Conn, bytes: &[u8]) {
        if let Some(State::Reading(line)) = self.clients.get_mut(conn.0) {
            line.extend_from_slice(&bytes[..bytes.len().min(limits::CONTROL_LINE_BYTES_MAX)]);
            self.read(cx, conn, false);
        }
    }

    /// The peer will send no more.
    pub fn ended(&mut self, cx: &mut Cx, conn: Conn) {
        match self.clients.get(conn.0) {
            Some(State::Reading(line)) if line.is_empty() => self.close(cx, conn, End::Flushed),
            Some(State::Reading(_)) => self.read(cx, conn, true),
            _ => {}
        }
    }

    fn read(&mut self, cx: &mut Cx, conn: Conn, whole: bool) {
        let Some(State::Reading(line)) = self.clients.get(conn.0) else { return };
        match wire::parse(line, whole) {
            Ok(Some(command)) => {
                self.clients.insert(conn.0, State::Asked(command));
                self.asking.push_back(conn);
                cx.arm(conn, Why::ControlPatience, limits::CONTROL_PATIENCE);
            }
            Ok(None) => {}
            Err(why) => self.refuse(cx, conn, &why),
        }
    }

    /// The next command that waits for an answer.
    pub fn poll_command(&mut self) -> Option<(Conn, Command)> {
        while let Some(conn) = self.asking.pop_front() {
            if let Some(State::Asked(command)) = self.clients.get(conn.0) {
                return Some((conn, command.clone()));
            }
        }
        None
    }

    /// Answers the command of a connection; nothing happens when there is none any more.
    pub fn respond(&mut self, cx: &mut Cx, conn: Conn, answer: impl Into<Answer>) {
        if let Some(State::Asked(_)) = self.clients.get(conn.0) {
            let answer = answer.into();
            if answer.is_long() && self.long_answers() >= limits::CONTROL_LONG_ANSWERS_MAX {
                return self.refuse(cx, conn, &Refused::Busy);
            }
            self.send(cx, conn, answer);
        }
    }

    fn long_answers(&self) -> usize {
        let long = |state: &State| matches!(state, State::Sending { rest, .. } if rest.is_long());
        self.clients.iter().filter(|(_, state)| long(state)).count()
    }

    fn refuse(&mut self, cx: &mut Cx, conn: Conn, why: &Refused) {
        self.send(cx, conn, Answer::error(why));
    }

    /// The next piece of an answer, or the end of it.
    fn send(&mut self, cx: &mut Cx, conn: Conn, mut rest: Answer) {
        let piece = rest.piece();
        if piece.is_empty() {
            self.close(cx, conn, End::Flushed);
            return;
        }
        self.clients.insert(conn.0, State::Sending { left: piece.len() as u64, rest });
        cx.send(conn, Payload::bytes(piece.into_bytes()));
        cx.arm(conn, Why::ControlPatience, limits::CONTROL_PATIENCE);
    }

    /// The kernel took bytes and `now_left` are still queued.
    pub fn sent(&mut self, cx: &mut Cx, conn: Conn, now_left: u64) {
        match self.clients.get_mut(conn.0) {
            Some(State::Sending { rest, .. }) if now_left == 0 => {
                let rest = core::mem::take(rest);
                self.send(cx, conn, rest);
            }
            Some(State::Sending { left, .. }) if now_left < *left => {
                *left = now_left;
                cx.arm(conn, Why::ControlPatience, limits::CONTROL_PATIENCE);
            }
            _ => {}
        }
    }

    /// The connection is gone.
    pub fn closed(&mut self, conn: Conn) {
        self.clients.remove(conn.0);
    }

    /// Its timer is due.
    pub fn timeout(&mut self, cx: &mut Cx, conn: Conn, why: Why) {
        match self.clients.get(conn.0) {
            Some(State::Reading(_)) if why == Why::ControlPatience => {
                self.refuse(cx, conn, &Refused::Slow);
            }
            Some(_) => self.close(cx, conn, End::Reset),
            None => {}
        }
    }

    /// Stops gracefully: those without an answer under way are closed.
    pub fn drain(&mut self, cx: &mut Cx) {
        let all: Vec<Conn> = self.clients.iter().map(|(key, _)| Conn(key)).collect();
        for conn in all {
            if !matches!(self.clients.get(conn.0), Some(State::Sending { .. })) {
                self.close(cx, conn, End::Flushed);
            }
        }
    }

    /// Connections now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.clients.len()
    }

    fn close(&mut self, cx: &mut Cx, conn: Conn, end: End) {
        self.clients.remove(conn.0);
        cx.close(conn, end);
    }

    /// Compares the table with the node's.
    ///
    /// # Panics
    /// When they disagree, naming what holds no longer.
    pub fn check_invariants(&self, cx: &Cx) {
        assert!(self.clients.len() <= limits::CONTROL_CONNS_MAX, "connections are bounded");
        for (key, state) in self.clients.iter() {
            let peer = cx.peers.get(key).expect("a client is a known connection");
            assert!(
                peer.service == Service::Control && !peer.closing,
                "closing ones are forgotten"
            );
            assert!(peer.timer.is_some(), "every client has a timer");
            if let State::Reading(line) = state {
                assert!(line.len() < 2 * limits::CONTROL_LINE_BYTES_MAX, "a line is bounded");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use core::fmt::Write as _;
    use core::time::Duration;
    use std::rc::Rc;

    use super::*;
    use crate::base::arena::Key;
    use crate::base::port::Output;
    use crate::base::time::Now;
    use crate::control::answer::Lines;
    use crate::control::wire::What;

    fn plain(what: What) -> Command {
        Command { what, json: false, channel: None }
    }

    struct World {
        cx: Cx,
        server: Server,
    }

    impl World {
        fn new() -> Self {
            Self { cx: Cx::new(Now::default(), 1), server: Server::new() }
        }

        fn connect(&mut self) -> Option<Conn> {
            self.server.incoming(&mut self.cx);
            self.outputs().into_iter().find_map(|output| match output {
                Output::Accept { conn } => Some(conn),
                _ => None,
            })
        }

        fn outputs(&mut self) -> Vec<Output> {
            self.server.check_invariants(&self.cx);
            self.cx.out.drain(..).collect()
        }

        /// What was sent, and how it was closed.
        fn said(&mut self) -> (String, Option<End>) {
            let (mut text, mut how) = (String::new(), None);
            for output in self.outputs() {
                match output {
                    Output::Send { payload, .. } => text += str::from_utf8(&payload.head).unwrap(),
                    Output::Close { end, .. } => how = Some(end),
                    other => panic!("{other:?}"),
                }
            }
            (text, how)
        }

        fn pass(&mut self, time: Duration) {
            let until = self.cx.now.mono.after(time);
            while let Some(at) = self.cx.wheel.next().filter(|at| *at <= until) {
                self.cx.now.mono = at;
                while let Some((_, wake)) = self.cx.wheel.pop_due(at) {
                    let conn = Conn(Key::from_bits(wake.what));
                    self.server.timeout(&mut self.cx, conn, wake.why);
                }
            }
            self.cx.now.mono = until;
        }
    }

    #[test]
    fn a_command_is_answered_once_and_closed() {
        for pieces in [&[&b"channels\n"[..]][..], &[b"chan", b"nels", b"\r\n", b"status\n"]] {
            let mut world = World::new();
            let conn = world.connect().unwrap();
            for piece in pieces {
                world.server.data(&mut world.cx, conn, piece);
            }
            assert_eq!(world.server.poll_command(), Some((conn, plain(What::Channels))));
            assert_eq!(world.server.poll_command(), None);
            world.server.respond(&mut world.cx, conn, "answer\n".to_owned());
            world.server.respond(&mut world.cx, conn, "again\n".to_owned());
            assert_eq!(world.said(), ("answer\n".to_owned(), None));
            world.server.sent(&mut world.cx, conn, 3);
            world.server.sent(&mut world.cx, conn, 0);
            assert_eq!(world.said(), (String::new(), Some(End::Flushed)));
        }
    }

    #[test]
    fn a_line_may_end_with_the_stream() {
        let mut world = World::new();
        let conn = world.connect().unwrap();
        world.server.data(&mut world.cx, conn, b"help");
        world.server.ended(&mut world.cx, conn);
        assert_eq!(world.server.poll_command(), Some((conn, plain(What::Help))));
        let silent = world.connect().unwrap();
        world.server.ended(&mut world.cx, silent);
        assert_eq!(world.said(), (String::new(), Some(End::Flushed)));
    }

    #[test]
    fn what_is_no_command_is_refused_with_a_reason() {
        let mut world = World::new();
        let (wrong, long) = (world.connect().unwrap(), world.connect().unwrap());
        world.server.data(&mut world.cx, wrong, b"dance\n");
        assert!(world.said().0.starts_with("error: unknown command \"dance\""));
        world.server.data(&mut world.cx, long, &vec![b'x'; 1 << 20]);
        assert!(world.said().0.starts_with("error: a command is one line"));
        assert_eq!(world.server.poll_command(), None);
    }

    #[test]
    fn nobody_waits_for_ever() {
        let mut world = World::new();
        let conns: Vec<_> = (0..3).map(|_| world.connect().unwrap()).collect();
        world.server.data(&mut world.cx, conns[1], b"status\n");
        world.server.data(&mut world.cx, conns[2], b"status\n");
        world.server.respond(&mut world.cx, conns[2], "x".repeat(10));
        world.said();
        world.pass(Duration::from_secs(4));
        world.server.sent(&mut world.cx, conns[2], 5);
        world.pass(Duration::from_secs(1));
        assert_eq!(world.said().0, "error: no command came in time\n");
        assert_eq!(world.server.connections(), 2, "one takes its refusal, one its answer");
        world.pass(Duration::from_secs(5));
        assert_eq!(world.said(), (String::new(), Some(End::Reset)));
        assert_eq!(world.server.connections(), 0);
    }

    /// Many lines of ten bytes.
    #[derive(Debug)]
    struct Numbers(usize);

    impl Lines for Numbers {
        fn head(&self) -> String {
            String::new()
        }
        fn count(&self) -> usize {
            self.0
        }
        fn line(&self, at: usize, into: &mut String) {
            writeln!(into, "{at:09}").unwrap();
        }
        fn tail(&self) -> String {
            String::new()
        }
    }

    #[test]
    fn a_long_answer_goes_piece_by_piece_as_it_is_taken() {
        let mut world = World::new();
        let conn = world.connect().unwrap();
        world.server.data(&mut world.cx, conn, b"tree\n");
        world.server.poll_command().unwrap();
        world.server.respond(&mut world.cx, conn, Answer::lines(Rc::new(Numbers(10_000))));
        let mut text = String::new();
        let end = loop {
            let (piece, end) = world.said();
            assert!(piece.len() < limits::CONTROL_PIECE_BYTES_MAX + 10, "{}", piece.len());
            text += &piece;
            if end.is_some() {
                break end;
            }
            world.server.sent(&mut world.cx, conn, 1);
            assert_eq!(world.said(), (String::new(), None), "the next waits for all of this one");
            world.server.sent(&mut world.cx, conn, 0);
        };
        assert_eq!((end, text.len()), (Some(End::Flushed), 100_000));
        assert!(text.ends_with("\n000009999\n"));
    }

    #[test]
    fn long_answers_are_bounded_and_one_that_nobody_takes_is_given_up() {
        let mut world = World::new();
        let mut last = String::new();
        for _ in 0..=limits::CONTROL_LONG_ANSWERS_MAX {
            let conn = world.connect().unwrap();
            world.server.data(&mut world.cx, conn, b"tree\n");
            world.server.poll_command().unwrap();
            world.server.respond(&mut world.cx, conn, Answer::lines(Rc::new(Numbers(10_000))));
            last = world.said().0;
        }
        assert_eq!(last, "error: 4 long answers are being read by others; ask again\n");
        world.pass(limits::CONTROL_PATIENCE * 2);
        assert_eq!(world.said(), (String::new(), Some(End::Reset)));
        assert_eq!(world.server.connections(), 0);
    }

    #[test]
    fn connections_are_bounded_and_room_comes_back() {
        let mut world = World::new();
        let conns: Vec<_> = (0..100).filter_map(|_| world.connect()).collect();
        assert_eq!(conns.len(), limits::CONTROL_CONNS_MAX);
        world.server.closed(conns[0]);
        assert!(world.connect().is_some());
        world.server.drain(&mut world.cx);
        assert_eq!(world.server.connections(), 0);
    }
}
