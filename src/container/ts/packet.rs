//! Packets written (ISO 13818-1, 2.4.3): headers, adaptation fields, and how a payload is laid into
//! packets. Counters are passed in; none is kept here.

use crate::container::ts::{HEADER_BYTES, PACKET_BYTES, SYNC};

const PAYLOAD_BYTES: usize = PACKET_BYTES - HEADER_BYTES;

/// Counters have 4 bits.
const COUNTED: usize = 16;

/// A program clock reference in ticks of 90 kHz.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pcr(pub(super) u64);

impl Pcr {
    fn bytes(self) -> [u8; 6] {
        // 33 bits, 6 reserved ones, 9 bits of 27 MHz that are 0.
        let whole = (self.0 << 15 | 0x7e00).to_be_bytes();
        let mut bytes = [0; 6];
        bytes.copy_from_slice(&whole[2..]);
        bytes
    }
}

/// How a payload goes out.
pub(super) struct Stream {
    pub(super) pid: u16,
    /// Packets with payload of this stream before.
    pub(super) counter: usize,
    pub(super) pcr: Option<Pcr>,
    pub(super) random_access: bool,
    /// Bytes that the first packet has at least, if there are as many: readers want a header whole.
    pub(super) head: usize,
    /// Whether the number of packets is brought to a multiple of 16.
    pub(super) fill: bool,
}

/// Appends a packet of an elementary stream; how many packets that took.
pub(super) fn put_stream(out: &mut Vec<u8>, stream: &Stream, payload: &[u8]) -> usize {
    let mut field = Vec::with_capacity(8);
    if stream.random_access || stream.pcr.is_some() {
        field.push(u8::from(stream.random_access) << 6 | u8::from(stream.pcr.is_some()) << 4);
        field.extend(stream.pcr.iter().flat_map(|pcr| pcr.bytes()));
    }
    let room = PAYLOAD_BYTES - if field.is_empty() { 0 } else { field.len() + 1 };
    let mut packets = 1 + payload.len().saturating_sub(room).div_ceil(PAYLOAD_BYTES);
    if stream.fill {
        packets += (COUNTED - (stream.counter + packets) % COUNTED) % COUNTED;
    }
    let mut rest = payload;
    for number in 0..packets {
        let (room, head, field) = match number {
            0 => (room, stream.head, &field[..]),
            _ => (PAYLOAD_BYTES, 0, &[][..]),
        };
        // Full packets, but where there are more than needed an even share for each.
        let share = if stream.fill { rest.len().div_ceil(packets - number) } else { room };
        let (now, later) = rest.split_at(share.max(head).min(room).min(rest.len()));
        put(out, stream.pid, (number == 0, stream.counter + number), field, now);
        rest = later;
    }
    packets
}

/// Appends a packet that only says what time it is.
pub(super) fn put_reference(out: &mut Vec<u8>, pid: u16, counter: usize, pcr: Pcr) {
    let mut field = vec![0x10];
    field.extend(pcr.bytes());
    put(out, pid, (false, counter), &field, &[]);
}

/// Appends a table of one section that fits a packet.
pub(super) fn put_table(out: &mut Vec<u8>, pid: u16, counter: u64, section: &[u8]) {
    let from = out.len();
    let counter = u8::try_from(counter % COUNTED as u64).expect("4 bits");
    out.extend(header(pid, true, 1, counter));
    out.push(0);
    out.extend(section);
    out.resize(from + PACKET_BYTES, 0xff);
}

fn header(pid: u16, start: bool, control: u8, counter: u8) -> [u8; HEADER_BYTES] {
    let [high, low] = pid.to_be_bytes();
    [SYNC, u8::from(start) << 6 | high & 0x1f, low, control << 4 | counter]
}

/// Appends one packet. `field` is an adaptation field without its length and stuffing.
fn put(out: &mut Vec<u8>, pid: u16, (start, counter): (bool, usize), field: &[u8], payload: &[u8]) {
    let from = out.len();
    let spare = PAYLOAD_BYTES - payload.len();
    let control = u8::from(spare > 0) << 1 | u8::from(!payload.is_empty());
    let counter = u8::try_from(counter % COUNTED).expect("4 bits");
    out.extend(header(pid, start, control, counter));
    if let Some(length) = spare.checked_sub(1) {
        out.push(u8::try_from(length).expect("below 184"));
        if length > 0 {
            out.extend_from_slice(if field.is_empty() { &[0] } else { field });
        }
        out.resize(from + HEADER_BYTES + spare, 0xff);
    }
    out.extend_from_slice(payload);
}
