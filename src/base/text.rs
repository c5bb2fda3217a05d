//! Text that came from elsewhere, made safe to show: control bytes and what is not UTF-8 become
//! `\xNN`, and no more than [`limits::SHOWN_BYTES_MAX`] bytes of it are kept.

use core::fmt::Write as _;

use crate::base::limits;

/// Foreign bytes as one harmless line; `…` at the end says that some were cut.
#[must_use]
pub fn escaped(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(limits::SHOWN_BYTES_MAX)];
    let mut text = String::with_capacity(shown.len());
    for chunk in shown.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push(&mut text, c));
        chunk.invalid().iter().for_each(|b| hex(&mut text, *b));
    }
    if bytes.len() > shown.len() {
        text.push('…');
    }
    text
}

fn push(text: &mut String, c: char) {
    // Bidirectional controls can reorder what a terminal shows; they are escaped with the rest.
    let reorders =
        matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}');
    if c == '\\' {
        text.push_str("\\\\");
    } else if c.is_control() || reorders {
        c.encode_utf8(&mut [0; 4]).bytes().for_each(|b| hex(text, b));
    } else {
        text.push(c);
    }
}

fn hex(text: &mut String, byte: u8) {
    write!(text, "\\x{byte:02x}").expect("a String takes every write");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_drive_a_terminal_is_spelt_out() {
        assert_eq!(escaped(b"a\x1b[31mb\n"), "a\\x1b[31mb\\x0a");
        assert_eq!(escaped("gr\u{fc}n \u{202e}".as_bytes()), "gr\u{fc}n \\xe2\\x80\\xae");
        assert_eq!(escaped(b"\xff\\"), "\\xff\\\\");
    }

    #[test]
    fn long_text_is_cut() {
        let text = escaped(&[b'x'; 1000]);
        assert_eq!(text.chars().count(), limits::SHOWN_BYTES_MAX + 1);
        assert!(text.ends_with('…'));
    }
}
