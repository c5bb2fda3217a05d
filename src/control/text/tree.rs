//! The answer to `tree`, line by line: for people with indentation, for programs as JSON with one
//! row a line. The rows are a snapshot; wording them is what is spread over time.

use core::fmt::Write as _;
use std::rc::Rc;

use serde::Serialize;

use crate::base::limits;
use crate::base::status::json_line;
use crate::base::status::mesh::{Tree, TreeRow};
use crate::control::answer::{Answer, Lines};

/// The answer to `tree`.
#[must_use]
pub fn tree(tree: Tree, json: bool) -> Answer {
    let lines: Rc<dyn Lines> =
        if json { Rc::new(Document(tree)) } else { Rc::new(Drawing::new(tree)) };
    Answer::lines(lines)
}

impl Tree {
    /// Members that have no place in it.
    fn unplaced(&self) -> usize {
        // The first row is the root, which is no member.
        self.members.saturating_sub(self.rows.len().saturating_sub(1))
    }
}

/// A tree for people. The columns come before the name, which is indented by two spaces a level.
#[derive(Debug)]
struct Drawing {
    tree: Tree,
    widths: [usize; COLUMNS],
}

const COLUMNS: usize = 6;
const HEADS: [&str; COLUMNS] = ["depth", "slots", "units", "budget", "bytes sent", "stripes"];

impl Drawing {
    fn new(tree: Tree) -> Self {
        let mut widths = HEADS.map(str::len);
        for row in tree.rows.iter() {
            let numbers = [row.depth, row.units, row.budget].map(|n| digits(n as u64));
            let slots = digits(row.slots_used as u64) + 1 + digits(row.slots as u64);
            let bytes = digits(row.bytes_sent);
            let cells = [numbers[0], slots, numbers[1], numbers[2], bytes, row.stripes.len()];
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = cell.max(*width);
            }
        }
        Self { tree, widths }
    }

    fn put(&self, cells: [&str; COLUMNS], into: &mut String) {
        let [depth, slots, units, budget, bytes, stripes] = self.widths;
        write!(
            into,
            "{:>depth$}  {:>slots$}  {:>units$}  {:>budget$}  {:>bytes$}  {:<stripes$}  ",
            cells[0], cells[1], cells[2], cells[3], cells[4], cells[5],
        )
        .expect("a String takes every write");
    }
}

impl Lines for Drawing {
    fn head(&self) -> String {
        let Tree { channel, stripe, stripes, members, rows } = &self.tree;
        let which = match stripe {
            Some(stripe) => format!("stripe {stripe} of {stripes}"),
            None => format!("{stripes} stripes merged, each node below one of its parents"),
        };
        let depth = rows.iter().map(|row| row.depth).max().unwrap_or(0);
        let mut text = format!("channel {channel}, {which}: {members} members, depth {depth}\n");
        self.put(HEADS, &mut text);
        text + "node\n"
    }

    fn count(&self) -> usize {
        self.tree.rows.len()
    }

    fn line(&self, at: usize, into: &mut String) {
        let row = &self.tree.rows[at];
        let slots = format!("{}/{}", row.slots_used, row.slots);
        let numbers = [row.depth as u64, row.units as u64, row.budget as u64, row.bytes_sent];
        let [depth, units, budget, bytes] = numbers.map(|n| n.to_string());
        self.put([&depth, &slots, &units, &budget, &bytes, &row.stripes], into);
        indent(row.depth, into);
        let address = row.address.map_or_else(|| "(this node)".to_owned(), |a| a.to_string());
        writeln!(into, "{} {address}", row.node).expect("a String takes every write");
    }

    fn tail(&self) -> String {
        match self.tree.unplaced() {
            0 => String::new(),
            unplaced => format!("{unplaced} members have no place in it now\n"),
        }
    }
}

/// Two spaces a level; a tree that is a long chain would else be drawn off every screen.
fn indent(depth: usize, into: &mut String) {
    let drawn = depth.min(limits::CONTROL_INDENT_LEVELS_MAX);
    into.extend(std::iter::repeat_n("  ", drawn));
    if depth > drawn {
        write!(into, "+{} ", depth - drawn).expect("a String takes every write");
    }
}

/// Decimal digits of a number.
fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// A tree for programs.
#[derive(Debug)]
struct Document(Tree);

/// All but the rows.
#[derive(Serialize)]
struct Head {
    channel: usize,
    stripe: Option<usize>,
    stripes: usize,
    members: usize,
    unplaced: usize,
}

impl Lines for Document {
    fn head(&self) -> String {
        let Tree { channel, stripe, stripes, members, .. } = self.0;
        let head = Head { channel, stripe, stripes, members, unplaced: self.0.unplaced() };
        let text = json_line(&head);
        format!("{},\"rows\":[\n", text.trim_end_matches('}'))
    }

    fn count(&self) -> usize {
        self.0.rows.len()
    }

    fn line(&self, at: usize, into: &mut String) {
        let row: &TreeRow = &self.0.rows[at];
        *into += &json_line(row);
        *into += if at + 1 < self.count() { ",\n" } else { "\n" };
    }

    fn tail(&self) -> String {
        "]}\n".to_owned()
    }
}

#[cfg(test)]
mod tests;
