//! Codec: text as XML may carry it.

use std::fmt::{self, Display, Write};

/// Text for attributes and elements alike. What XML cannot carry at all becomes U+FFFD.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&apos;"),
            '\t' | '\r' | '\n' => f.write_char(c),
            // XML 1.0 2.2: other controls cannot be written at all.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => f.write_char('\u{fffd}'),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_reserves_is_escaped_and_controls_are_replaced() {
        assert_eq!(
            Escaped("\"<urn:x>\" & 'y'\u{1}\n").to_string(),
            "&quot;&lt;urn:x&gt;&quot; &amp; &apos;y&apos;\u{fffd}\n"
        );
    }
}
