//! What a node can send: measured only while it is its own uplink that holds it back. Fed by the
//! links, asked by the member for its reports.
//!
//! A queue that empties says nothing of the link, and one queue that never does may be the fault of
//! who reads it. So a window counts only when two children or more that take bytes wait for more
//! all through it, and when what waited before it began has filled the kernel's buffers already.

use std::collections::VecDeque;

use crate::base::limits;
use crate::base::time::Mono;

/// The last windows.
#[derive(Debug, Default)]
pub(super) struct Goodput {
    /// When the window began, and whether it is the first of its backlog.
    window: Option<(Mono, bool)>,
    bytes: u64,
    /// Bytes a second, and when that was seen.
    seen: VecDeque<(u64, Mono)>,
}

impl Goodput {
    /// So many children wait for bytes from now on.
    pub(super) fn backlog(&mut self, now: Mono, waiting: usize) {
        if waiting < 2 {
            self.window = None;
        } else if self.window.is_none() {
            (self.window, self.bytes) = (Some((now, true)), 0);
        }
    }

    /// The kernel took bytes. When a window is full: when it began; [`Goodput::close`] is to be
    /// called.
    pub(super) fn took(&mut self, now: Mono, bytes: u64) -> Option<Mono> {
        self.bytes += bytes;
        let full = |since: &Mono| now.since(*since) >= limits::MESH_GOODPUT_WINDOW;
        self.window.map(|(since, _)| since).filter(full)
    }

    /// Ends a window, all through which so many children waited and took bytes.
    pub(super) fn close(&mut self, now: Mono, waiting: usize) {
        let Some((since, first)) = self.window.replace((now, false)) else { return };
        let nanos = now.since(since).as_nanos().max(1);
        let rate = u128::from(core::mem::take(&mut self.bytes)) * 1_000_000_000 / nanos;
        if waiting >= 2 && !first {
            self.seen.push_back((u64::try_from(rate).unwrap_or(u64::MAX), now));
            if self.seen.len() > limits::MESH_GOODPUT_WINDOWS_MAX {
                self.seen.pop_front();
            }
        }
    }

    /// The most bytes a second of the last windows; none when the uplink did not hold it back.
    pub(super) fn most(&self, now: Mono) -> Option<u64> {
        let fresh = |(_, at): &&(u64, Mono)| now.since(*at) < limits::MESH_GOODPUT_KEPT;
        self.seen.iter().filter(fresh).map(|(rate, _)| *rate).max()
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::super::Links;
    use super::*;
    use crate::base::port::{Cx, Payload};
    use crate::base::time::{Now, Wall};

    const START: Mono = Mono(5_000_000_000);

    fn at(millis: u64) -> Mono {
        START.after(Duration::from_millis(millis))
    }

    /// Ten times a second 1000 bytes, to `waiting` children that wait all the time.
    fn fed(goodput: &mut Goodput, millis: core::ops::Range<u64>, waiting: usize) {
        for now in millis.step_by(100).map(at) {
            goodput.backlog(now, waiting);
            if goodput.took(now, 1000).is_some() {
                goodput.close(now, waiting);
            }
        }
    }

    #[test]
    fn only_a_lasting_backlog_of_two_children_is_a_measure() {
        let mut goodput = Goodput::default();
        fed(&mut goodput, 0..5_000, 1);
        assert_eq!(goodput.most(at(5_000)), None, "one reader may be slow itself");
        for start in [5_000, 6_000, 7_000, 8_000] {
            fed(&mut goodput, start..start + 900, 2);
            goodput.backlog(at(start + 900), 0);
        }
        assert_eq!(goodput.most(at(9_000)), None, "the queues ran empty every second");
        fed(&mut goodput, 10_000..11_900, 2);
        assert_eq!(goodput.most(at(12_000)), None, "the kernel's buffers may have filled");
        fed(&mut goodput, 11_900..14_000, 2);
        assert_eq!(goodput.most(at(14_000)), Some(10_000));
        let forgotten = at(14_000).after(limits::MESH_GOODPUT_KEPT);
        assert_eq!(goodput.most(forgotten), None, "it gets another try");
    }

    #[test]
    fn children_that_take_nothing_are_no_measure() {
        let mut goodput = Goodput::default();
        fed(&mut goodput, 0..1_000, 2);
        goodput.took(at(1_000), 10);
        goodput.close(at(1_000), 1);
        goodput.took(at(2_000), 10);
        goodput.close(at(2_000), 1);
        assert_eq!(goodput.most(at(2_000)), None);
    }

    /// Two that take nothing have something queued all the time; the others are sent all they
    /// should, and wait for it for a moment only.
    #[test]
    fn what_waits_for_those_who_take_nothing_is_no_backlog() {
        let now = |millis| Now { mono: at(millis), wall: Wall(0) };
        let mut cx = Cx::new(now(0), 1);
        let mut links = Links::new(START, false);
        let children: Vec<_> = (0..4).filter_map(|_| links.accept(&mut cx, None)).collect();
        let feed = |cx: &mut Cx, links: &mut Links, children: &[_]| {
            for child in children {
                links.send(cx, *child, Payload::bytes(vec![0; 500]));
            }
        };
        feed(&mut cx, &mut links, &children[..2]);
        for second in 1..9 {
            cx.now = now(second * 1_000);
            feed(&mut cx, &mut links, &children[2..]);
            for (millis, bytes) in [(10, 100), (20, 400)] {
                for child in &children[2..] {
                    links.sent(at(second * 1_000 + millis), *child, bytes);
                }
            }
            assert_eq!(links.goodput(cx.now.mono), None, "after {second} s");
        }
    }
}
