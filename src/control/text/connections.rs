//! The answer to `connections`, line by line: a root has one of these for each of its members.

use std::rc::Rc;

use crate::base::status::json_line;
use crate::base::status::mesh::{ConnectionRow, Lag};
use crate::control::answer::{Answer, Lines};

use super::{Column, Left, Right, age, cell, put_line};

/// The answer to `connections`.
#[must_use]
pub fn connections(rows: Vec<ConnectionRow>, json: bool) -> Answer {
    let lines: Rc<dyn Lines> =
        if json { Rc::new(Document(rows)) } else { Rc::new(Table::new(rows)) };
    Answer::lines(lines)
}

const COLUMNS: [Column; 8] = [
    Left("service"),
    Left("blocks"),
    Left("peer"),
    Right("age"),
    Left("stripes"),
    Right("bytes"),
    Right("lag"),
    Left("note"),
];

/// The connections for people.
#[derive(Debug)]
struct Table {
    rows: Vec<ConnectionRow>,
    widths: [usize; COLUMNS.len()],
}

impl Table {
    fn new(rows: Vec<ConnectionRow>) -> Self {
        let mut widths = COLUMNS.map(|column| column.head().len());
        // The last column needs no width: nothing stands behind it.
        let last = widths.len() - 1;
        for row in &rows {
            for (width, cell) in widths[..last].iter_mut().zip(cells(row)) {
                *width = cell.chars().count().max(*width);
            }
        }
        Self { rows, widths }
    }
}

impl Lines for Table {
    fn head(&self) -> String {
        let mut text = String::new();
        let heads = COLUMNS.map(|column| column.head().to_owned());
        put_line(&COLUMNS, &heads, &self.widths, &mut text);
        text
    }

    fn count(&self) -> usize {
        self.rows.len()
    }

    fn line(&self, at: usize, into: &mut String) {
        put_line(&COLUMNS, &cells(&self.rows[at]), &self.widths, into);
    }

    fn tail(&self) -> String {
        String::new()
    }
}

fn cells(row: &ConnectionRow) -> [String; COLUMNS.len()] {
    let age = row.age_s.map_or_else(String::new, age);
    let lag = row.lag.map_or_else(String::new, lag);
    let (service, direction) = (row.service.to_owned(), row.direction.to_owned());
    let (peer, stripes) = (cell(&row.peer), row.stripes.clone());
    [service, direction, peer, age, stripes, row.bytes.to_string(), lag, cell(&note(row))]
}

fn lag(lag: Lag) -> String {
    match lag.ms {
        Some(ms) if lag.blocks > 0 => format!("{} ({ms} ms)", lag.blocks),
        _ => lag.blocks.to_string(),
    }
}

fn note(row: &ConnectionRow) -> String {
    match (row.node, row.note.as_str()) {
        (Some(id), "") => id.to_string(),
        (Some(id), note) => format!("{id}, {note}"),
        (None, note) => note.to_owned(),
    }
}

/// The connections for programs, one a line.
#[derive(Debug)]
struct Document(Vec<ConnectionRow>);

impl Lines for Document {
    fn head(&self) -> String {
        "[\n".to_owned()
    }

    fn count(&self) -> usize {
        self.0.len()
    }

    fn line(&self, at: usize, into: &mut String) {
        *into += &json_line(&self.0[at]);
        *into += if at + 1 < self.count() { ",\n" } else { "\n" };
    }

    fn tail(&self) -> String {
        "]\n".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::status::mesh::Id;

    fn rows() -> Vec<ConnectionRow> {
        let row = ConnectionRow {
            service: "http",
            peer: "127.0.0.1:5000".to_owned(),
            age_s: Some(61.9),
            bytes: 1_048_576,
            note: "sending".to_owned(),
            ..ConnectionRow::default()
        };
        let parent = ConnectionRow {
            service: "mesh",
            direction: "from",
            peer: "127.0.0.1:6061".to_owned(),
            node: Some(Id(0xa)),
            stripes: "0-3".to_owned(),
            bytes: 5,
            ..ConnectionRow::default()
        };
        let child = ConnectionRow {
            direction: "to",
            lag: Some(Lag { blocks: 2, ms: Some(4_000) }),
            note: "3 bytes queued".to_owned(),
            ..parent.clone()
        };
        vec![row, parent, child]
    }

    #[test]
    fn connections_tell_who_sends_and_who_receives() {
        assert_eq!(
            connections(rows(), false).into_text(),
            "service  blocks  peer              age  stripes    bytes          lag  note\n\
             http             127.0.0.1:5000  1m 1s           1048576               sending\n\
             mesh     from    127.0.0.1:6061         0-3            5               \
             000000000000000a\n\
             mesh     to      127.0.0.1:6061         0-3            5  2 (4000 ms)  \
             000000000000000a, 3 bytes queued\n"
        );
    }

    #[test]
    fn connections_are_json_with_a_row_a_line() {
        let text = connections(rows(), true).into_text();
        assert_eq!(text.lines().count(), 5);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value[1]["node"], "000000000000000a");
        assert!(value[0]["node"].is_null() && value[2]["lag"]["ms"] == 4_000, "{text}");
        assert_eq!(connections(Vec::new(), true).into_text(), "[\n]\n");
    }

    #[test]
    fn no_peer_breaks_out_of_its_cell() {
        let evil = "a\u{1b}[31m\nb\u{202e}".to_owned();
        let row = ConnectionRow { peer: evil.clone(), note: evil, ..ConnectionRow::default() };
        for json in [false, true] {
            let text = connections(vec![row.clone()], json).into_text();
            assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
            assert_eq!(text.lines().count(), if json { 3 } else { 2 });
        }
    }
}
