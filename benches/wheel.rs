//! What a timer costs with a million others alive, against the sorted containers of the standard
//! library in the same run. `cargo bench --bench wheel`; the program's promise is that inserting and
//! cancelling one takes at most 100 ns together, and the run fails when it takes longer. Cancelling
//! one that was not touched for long costs what the memory costs; the last row says how much that
//! is on the machine at hand.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(clippy::cast_precision_loss, reason = "figures have four digits at most")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use core::hint::black_box;
use core::time::Duration;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::process::ExitCode;
use std::time::Instant;

use vidstreamd::base::rng::Rng;
use vidstreamd::base::time::Mono;
use vidstreamd::base::wheel::Wheel;

const LIVE: usize = 1_000_000;
const PAIRS: usize = 2_000_000;
const ROUNDS: usize = 5;
const BOUND_NS: f64 = 100.0;

/// As large as what the node's timers carry: a reason and a number.
type Value = (u8, u64);

/// Waits as a daemon has them: some tens of milliseconds to a minute.
fn deadline(rng: &mut Rng, now: Mono) -> Mono {
    now.after(rng.between(Duration::from_millis(20), Duration::from_secs(60)))
}

fn any(rng: &mut Rng) -> usize {
    usize::try_from(rng.below(LIVE as u64)).expect("below a million")
}

/// Nanoseconds for one `step`, at the best of some rounds: the rest is other people's work.
fn measure(mut step: impl FnMut(usize)) -> f64 {
    let round = |_| {
        let begin = Instant::now();
        (0..PAIRS).for_each(&mut step);
        begin.elapsed().as_secs_f64() * 1e9 / PAIRS as f64
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}

fn resident_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status.split(' ').nth(1).and_then(|n| n.parse::<f64>().ok());
    pages.unwrap_or(f64::NAN) * 4096.0
}

struct Figures {
    name: &'static str,
    same_ns: f64,
    any_ns: f64,
    bytes: f64,
}

/// What only draws the random numbers that every row below draws, too.
fn draw_ns() -> f64 {
    let mut rng = Rng::new(1);
    measure(|_| {
        black_box((any(&mut rng), deadline(&mut rng, Mono(0))));
    })
}

fn wheel() -> Figures {
    let (mut rng, now) = (Rng::new(1), Mono(1 << 40));
    let before = resident_bytes();
    let mut wheel: Wheel<Value> = Wheel::new(now);
    let insert = |wheel: &mut Wheel<Value>, rng: &mut Rng| wheel.insert(deadline(rng, now), (1, 2));
    for _ in 0..LIVE {
        insert(&mut wheel, &mut rng);
    }
    let bytes = (resident_bytes() - before) / LIVE as f64;
    let same_ns = measure(|_| {
        black_box(any(&mut rng));
        let timer = insert(&mut wheel, &mut rng);
        black_box(wheel.cancel(black_box(timer)));
    });
    // The same million again, in handles this time.
    while let Some(next) = wheel.next() {
        while wheel.pop_due(next).is_some() {}
    }
    let mut wheel: Wheel<Value> = Wheel::new(now);
    let mut timers: Vec<_> = (0..LIVE).map(|_| insert(&mut wheel, &mut rng)).collect();
    let any_ns = measure(|_| {
        let which = any(&mut rng);
        black_box(wheel.cancel(timers[which]));
        timers[which] = insert(&mut wheel, &mut rng);
    });
    assert_eq!(wheel.len(), LIVE);
    Figures { name: "wheel: insert + cancel", same_ns, any_ns, bytes }
}

/// The least that finding one of a million can cost: its handle is looked up, its line is changed.
fn touch() -> Figures {
    let mut rng = Rng::new(1);
    let before = resident_bytes();
    let mut lines = vec![[1_u64; 8]; LIVE];
    let bytes = (resident_bytes() - before) / LIVE as f64;
    let which: Vec<_> = (0..LIVE).map(|_| (any(&mut rng), 0_u64)).collect();
    let any_ns = measure(|_| {
        black_box(deadline(&mut rng, Mono(0)));
        lines[which[any(&mut rng)].0][3] += 1;
    });
    black_box(lines);
    Figures { name: "bare: look up + touch", same_ns: f64::NAN, any_ns, bytes }
}

fn heap() -> Figures {
    let (mut rng, now) = (Rng::new(1), Mono(1 << 40));
    let before = resident_bytes();
    let entry = |rng: &mut Rng| Reverse((deadline(rng, now), (1_u8, 2_u64)));
    let mut heap: BinaryHeap<Reverse<(Mono, Value)>> = BinaryHeap::new();
    (0..LIVE).for_each(|_| heap.push(entry(&mut rng)));
    let bytes = (resident_bytes() - before) / LIVE as f64;
    let same_ns = measure(|_| {
        black_box(any(&mut rng));
        heap.push(entry(&mut rng));
        black_box(heap.pop());
    });
    Figures { name: "BinaryHeap: push + pop", same_ns, any_ns: f64::NAN, bytes }
}

fn tree() -> Figures {
    let (mut rng, now) = (Rng::new(1), Mono(1 << 40));
    let before = resident_bytes();
    let mut map: BTreeMap<(Mono, u64), Value> = BTreeMap::new();
    let mut serial = 0;
    let mut insert = |map: &mut BTreeMap<(Mono, u64), Value>, rng: &mut Rng| {
        serial += 1;
        let key = (deadline(rng, now), serial);
        map.insert(key, (1, 2));
        key
    };
    let mut keys: Vec<_> = (0..LIVE).map(|_| insert(&mut map, &mut rng)).collect();
    let bytes = (resident_bytes() - before) / LIVE as f64 - 16.0;
    let same_ns = measure(|_| {
        black_box(any(&mut rng));
        let key = insert(&mut map, &mut rng);
        black_box(map.remove(&key));
    });
    let any_ns = measure(|_| {
        let which = any(&mut rng);
        black_box(map.remove(&keys[which]));
        keys[which] = insert(&mut map, &mut rng);
    });
    Figures { name: "BTreeMap: insert + remove", same_ns, any_ns, bytes }
}

/// Nanoseconds a timer to insert a million and let each of them fire, a millisecond at a time.
fn life_ns() -> f64 {
    let (mut rng, mut now) = (Rng::new(1), Mono(1 << 40));
    let begin = Instant::now();
    let mut wheel: Wheel<Value> = Wheel::new(now);
    for _ in 0..LIVE {
        wheel.insert(deadline(&mut rng, now), (1, 2));
    }
    let mut fired = 0;
    while !wheel.is_empty() {
        now = now.after(Duration::from_millis(1));
        fired += core::iter::from_fn(|| wheel.pop_due(now)).count();
    }
    assert_eq!(fired, LIVE);
    begin.elapsed().as_secs_f64() * 1e9 / LIVE as f64
}

fn cell(figure: f64) -> String {
    if figure.is_nan() { "-".to_owned() } else { format!("{figure:.2}") }
}

fn main() -> ExitCode {
    let rows = [wheel(), heap(), tree(), touch()];
    let (first, bound) = (&rows[0], rows[0].same_ns);
    println!("{LIVE} live timers, due in 20 ms to 60 s; ns a pair, best of {ROUNDS} x {PAIRS}");
    println!("the same: what was just inserted is removed; any: one of all, its memory is cold");
    println!("{:28}{:>9}{:>8}{:>9}{:>8}{:>9}", "", "the same", "ratio", "any", "ratio", "bytes");
    for row in &rows {
        let (same, any) = (row.same_ns / first.same_ns, row.any_ns / first.any_ns);
        let cells = [row.same_ns, same, row.any_ns, any, row.bytes].map(cell);
        let [same_ns, same, any_ns, any, bytes] = cells;
        println!("{:28}{same_ns:>9}{same:>8}{any_ns:>9}{any:>8}{bytes:>9}", row.name);
    }
    println!("drawing the random numbers alone, in each of the above: {:.1} ns", draw_ns());
    println!("insert, cascades and firing, one timer's whole life: {:.1} ns", life_ns());
    println!("bound: insert + cancel of the same at most {BOUND_NS} ns; measured {bound:.1} ns");
    if bound <= BOUND_NS { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
