//! Testkit: texts of a card as a terminal can show them.

/// Octets of a file that are shown; the others are counted.
const OCTETS_SHOWN: usize = 16;

/// A text of the card without what a terminal would obey: control characters are written as Rust does.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // Marks that turn the direction of the text would show it in another order than it has.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                shown.extend(c.escape_unicode());
            }
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

/// What is wrong with a file, and the first of its octets, when any were read: `… (it has 80 05 61 62, 4 octets)`.
#[must_use]
pub fn malformed(why: &str, written: &[u8]) -> String {
    match written {
        [] => printable(why),
        written => format!("{} (it has {})", printable(why), octets(written)),
    }
}

/// Octets in hex, the first ones only: `80 05 61 62, 4 octets`.
fn octets(octets: &[u8]) -> String {
    let shown: Vec<_> = octets
        .iter()
        .take(OCTETS_SHOWN)
        .map(|octet| format!("{octet:02X}"))
        .collect();
    let dots = if octets.len() > OCTETS_SHOWN { " …" } else { "" };
    let plural = if octets.len() == 1 { "" } else { "s" };
    format!("{}{dots}, {} octet{plural}", shown.join(" "), octets.len())
}

/// All octets in hex, without spaces.
#[must_use]
pub fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02X}")).collect()
}

/// `a`, `a and b`, `a, b and c`.
#[must_use]
pub fn and(words: &[String]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The text in lines of at most `width` columns, the first one behind `first`, the others behind as many spaces. A word
/// that is longer stands in a line of its own.
#[must_use]
pub fn wrapped(first: &str, text: &str, width: usize) -> String {
    let margin = first.chars().count();
    let mut lines = String::from(first);
    let mut column = margin;
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > margin && column + 1 + length > width {
            lines.push('\n');
            lines.extend(std::iter::repeat_n(' ', margin));
            column = margin;
        } else if column > margin {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(printable("a\u{1b}[2Jb\nc\u{202e}d"), "a\\u{1b}[2Jb\\nc\\u{202e}d");
        assert_eq!(printable("ims.müller.example"), "ims.müller.example");
    }

    #[test]
    fn long_files_are_shortened_and_counted() {
        assert_eq!(octets(&[0x80]), "80, 1 octet");
        assert_eq!(
            octets(&[0xFF; 17]),
            "FF FF FF FF FF FF FF FF FF FF FF FF FF FF FF FF …, 17 octets"
        );
    }

    #[test]
    fn of_a_file_that_was_not_read_no_octets_are_shown() {
        assert_eq!(malformed("why", &[0x80]), "why (it has 80, 1 octet)");
        assert_eq!(
            malformed("the file has no records", &[]),
            "the file has no records"
        );
    }

    #[test]
    fn lines_end_before_the_margin_and_long_words_stand_alone() {
        assert_eq!(wrapped("- ", "a bb ccc", 6), "- a bb\n  ccc\n");
        assert_eq!(wrapped("", "aaaaaaaa b", 4), "aaaaaaaa\nb\n");
    }

    #[test]
    fn lists_are_read_aloud() {
        let words = |list: &[&str]| and(&list.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(words(&["a"]), "a");
        assert_eq!(words(&["a", "b", "c"]), "a, b and c");
    }
}
