//! Engine: what text is written on: how wide it is, whether it has colours; and the words of times.

/// Where text goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Paper {
    /// Columns; a pipe has as many as there are.
    pub(super) width: usize,
    /// Whether ink has colours.
    pub(super) is_coloured: bool,
}

/// What a piece of text means.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Ink {
    #[default]
    Plain,
    /// A heading.
    Bold,
    /// As it should be.
    Good,
    /// It will surprise.
    Warn,
    /// It is broken.
    Bad,
    /// Of less interest.
    Dim,
}

impl Paper {
    /// A pipe or a file.
    pub(super) const PIPE: Self = Self {
        width: usize::MAX,
        is_coloured: false,
    };

    /// Text in this ink.
    pub(super) fn ink(self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Plain => return text.to_owned(),
            Ink::Bold => "1",
            Ink::Good => "32",
            Ink::Warn => "33",
            Ink::Bad => "31;1",
            Ink::Dim => "2",
        };
        match self.is_coloured {
            true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }

    /// A paragraph in lines that fit, each with this indent.
    pub(super) fn wrapped(self, indent: &str, text: &str) -> String {
        let room = self.width.min(100).saturating_sub(indent.len()).max(20);
        let mut lines = String::new();
        let mut line = String::new();
        for word in text.split_whitespace() {
            if !line.is_empty() && chars(&line) + 1 + chars(word) > room {
                lines.push_str(&format!("{indent}{line}\n"));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push_str(&format!("{indent}{line}\n"));
        lines
    }
}

/// How many columns a text takes.
pub(super) fn chars(text: &str) -> usize {
    text.chars().count()
}

/// A text in so many columns at most.
pub(super) fn cut(text: &str, width: usize) -> String {
    if chars(text) <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Nothing that moves a cursor: what comes from a node may come from a stranger.
pub(super) fn clean(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// A span of time in two units.
pub(super) fn span(secs: u64) -> String {
    let (minutes, hours, days) = (secs / 60, secs / 3_600, secs / 86_400);
    match secs {
        0..=59 => format!("{secs}s"),
        60..=3_599 => format!("{minutes}m {:02}s", secs % 60),
        3_600..=86_399 => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {:02}h", hours % 24),
    }
}

/// A time of day, in milliseconds.
pub(super) fn time_of_day(micros: u64) -> String {
    let secs = micros / 1_000_000 % 86_400;
    let (h, m, s) = (secs / 3_600, secs / 60 % 60, secs % 60);
    format!("{h:02}:{m:02}:{s:02}.{:03}", micros / 1_000 % 1_000)
}

/// A date and a time of day, UTC.
pub(super) fn moment(micros: u64) -> String {
    let (year, month, day) = civil(micros / 86_400_000_000);
    let time = time_of_day(micros);
    format!(
        "{year:04}-{month:02}-{day:02} {} UTC",
        time.get(..8).unwrap_or_default()
    )
}

/// Year, month and day of a day since 1970-01-01 (the proleptic Gregorian calendar, by years that begin in March).
const fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_people_write_them() {
        for (secs, text) in [
            (0, "0s"),
            (59, "59s"),
            (61, "1m 01s"),
            (3_600, "1h 00m"),
            (600_000, "6d 22h"),
        ] {
            assert_eq!(span(secs), text);
        }
        assert_eq!(moment(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(moment(1_709_164_800_000_000), "2024-02-29 00:00:00 UTC");
        assert_eq!(moment(1_795_270_387_120_000), "2026-11-21 14:13:07 UTC");
        assert_eq!(time_of_day(1_795_270_387_120_000), "14:13:07.120");
    }

    #[test]
    fn a_long_text_is_cut_and_a_paragraph_is_wrapped() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abcde…");
        let paper = Paper {
            width: 24,
            is_coloured: false,
        };
        assert_eq!(
            paper.wrapped("  ", "the HSS does not know this one"),
            "  the HSS does not know\n  this one\n"
        );
    }

    #[test]
    fn ink_is_only_seen_on_a_terminal_and_strangers_have_none() {
        let terminal = Paper {
            width: 80,
            is_coloured: true,
        };
        assert_eq!(terminal.ink(Ink::Bad, "FAIL"), "\u{1b}[31;1mFAIL\u{1b}[0m");
        assert_eq!(Paper::PIPE.ink(Ink::Bad, "FAIL"), "FAIL");
        assert_eq!(clean("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
