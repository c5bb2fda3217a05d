//! What a host has got: hashes by name, holes that are measured, events that must not be.

use super::{Event, Host, Net, Rng, Span, Told, Watch};

impl Host {
    pub(super) fn hash(&mut self, net: &mut Net, span: Span) {
        let Some(bytes) = self.bytes(span.blob) else { return };
        let wrong = bytes.is_wrong(span);
        let (seq, len) = (bytes.seq.unwrap_or(0), bytes.len);
        let mut rng = Rng::new(seq ^ span.from.rotate_left(20) ^ span.len.rotate_left(42));
        let mut hash = [u8::from(wrong); 32];
        for word in hash[8..].chunks_mut(8) {
            word.copy_from_slice(&rng.next_u64().to_le_bytes());
        }
        net.told.push_back(Told::Hashed(span, hash));
        let stripes = net.stripes as u64;
        if self.id != 0 && (span.len < len || stripes == 1) && !wrong {
            let stripe = usize::try_from((span.from * stripes).div_ceil(len)).unwrap_or(0);
            self.complete(net, seq, stripe);
        }
    }

    /// A stripe of a block is all there.
    fn complete(&mut self, net: &mut Net, seq: u64, stripe: usize) {
        let now = self.now();
        let entered = net.entered(seq).unwrap_or(now);
        let log = &mut self.log;
        if log.done[stripe].0 < seq {
            log.done[stripe] = (seq, now.saturating_sub(entered));
        }
        if log.watches.is_empty() {
            return;
        }
        log.watches.retain(|watch| {
            let over = watch.stripe == stripe && watch.seq == seq;
            if over {
                net.holes.push(now.saturating_sub(watch.due));
            }
            !over
        });
    }

    /// The parent of a stripe is lost: the time until the next bytes are there is measured.
    pub fn watch(&mut self, net: &Net, stripe: usize, now: u64) {
        let (last, usual) = self.log.done[stripe];
        if last == 0 || self.log.watches.iter().any(|watch| watch.stripe == stripe) {
            return;
        }
        let due = net.entry_of(last + 1).saturating_add(usual).max(now);
        self.log.watches.push(Watch { stripe, seq: last + 1, due });
    }

    pub(super) fn note(&mut self, net: &mut Net, event: Event) {
        let now = self.now();
        match event {
            Event::Block(block) => {
                let whole = Span { blob: block.blob, from: 0, len: block.len };
                let right = self.bytes(block.blob).is_some_and(|bytes| {
                    bytes.seq == Some(block.seq)
                        && (bytes.len == block.len)
                        && !bytes.is_wrong(whole)
                });
                if !right {
                    net.fault(now, self.id, "the bytes of a block are wrong");
                }
                if self.log.next.is_some_and(|next| next != block.seq) {
                    net.fault(now, self.id, "a block comes twice or out of order");
                }
                if self.log.next.is_some() && block.at > block.starts_at {
                    net.tally.missed += 1;
                    let what = format!("has block {} too late{}", block.seq, self.memory());
                    net.fault(now, self.id, &what);
                }
                net.status[self.id as usize].begun = true;
                self.log.next = Some(block.seq + 1);
                net.tally.blocks += 1;
                self.remember(net, now, &format!("block {}", block.seq));
                self.keep(block.blob);
            }
            Event::Missed { seq } => {
                net.tally.missed += 1;
                net.fault(now, self.id, &format!("misses block {seq}{}", self.memory()));
                self.log.next = Some(seq + 1);
            }
            Event::Joined { .. } => {
                self.remember(net, now, "joined");
                self.log.placed.get_or_insert(now);
                self.log.full = None;
            }
            Event::Full { reason, .. } => {
                self.remember(net, now, &reason);
                self.log.full = Some(reason);
            }
            Event::Left => self.log.left = true,
            Event::Nonsense { why, .. } if !self.lies => {
                self.remember(net, now, &format!("nonsense: {why}"));
            }
            other => self.remember(net, now, &format!("{other:?}")),
        }
    }

    /// What it remembers, a line each, to stand below a fault.
    fn memory(&self) -> String {
        self.log.events.iter().fold(String::new(), |all, event| all + "\n  " + event)
    }

    pub(super) fn remember(&mut self, net: &Net, now: u64, what: &str) {
        if net.remember == 0 {
            return;
        }
        if self.log.events.len() == net.remember {
            self.log.events.pop_front();
        }
        self.log.events.push_back(format!("{:.3} {what}", now as f64 / 1e9));
    }
}
