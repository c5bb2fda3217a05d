//! Foreign text inside HTML and XML. The page and the guide write with it.

use core::fmt::{self, Write as _};

use crate::base::text;

/// Text from elsewhere, without a character that HTML, XML or a terminal would act on, or that XML
/// does not have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Safe<'a>(pub(super) &'a str);

impl fmt::Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in text::escaped(self.0.as_bytes()).chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // XML 1.0, 2.2: the two that are no characters.
                '\u{fffe}' | '\u{ffff}' => f.write_char('\u{fffd}')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}
