//! Codec: POSIX extended regular expressions as those of the crate `regex` (IEEE 1003.1-2004 9.4).
//!
//! Filter criteria are written in the one language and matched in the other. Where POSIX leaves the meaning open, what
//! the writer most probably meant is taken: `\<` is an angle bracket, `\d` a digit, `(?i)` blind to case.

use std::iter::Peekable;
use std::str::Chars;

/// The longest expression.
const LENGTH_MAX: usize = 1_024;
/// The deepest nesting.
const DEPTH_MAX: usize = 32;

/// Why a text is no extended regular expression.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum BadExpression {
    #[error("the expression is longer than 1024 characters")]
    TooLong,
    #[error("the expression is nested too deeply")]
    TooDeep,
    /// `\` at the end.
    #[error("the expression ends with a backslash")]
    Backslash,
    /// `\1`: only basic regular expressions have those.
    #[error("the expression refers back (\\1), which extended regular expressions cannot")]
    BackReference,
    /// A bracket expression that does not end, or whose class nobody knows.
    #[error("a bracket expression does not end, or its class is unknown")]
    Bracket,
    /// A parenthesis that is not closed.
    #[error("a parenthesis is not closed")]
    Parenthesis,
    /// Nothing to repeat.
    #[error("there is nothing to repeat before *, +, ? or {{")]
    Repetition,
    /// `(?=`, `(?!`, `(?<` and others that POSIX does not have.
    #[error("the expression looks around ((?=, (?!, (?<), which extended regular expressions cannot")]
    Group,
    /// The compiler refuses it: a range that runs backwards, or more states than allowed.
    #[error("a range runs backwards, or the expression grows too large")]
    Compiler,
}

/// What parentheses are for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Groups {
    /// To hold together.
    Plain,
    /// To be referred to: `\1` in a substitution.
    Capturing,
}

/// The same expression in the syntax of the crate `regex`.
pub(crate) fn to_regex(ere: &str, groups: Groups) -> Result<String, BadExpression> {
    if ere.len() > LENGTH_MAX {
        return Err(BadExpression::TooLong);
    }
    let mut translation = Translation {
        rest: ere.chars().peekable(),
        out: String::with_capacity(ere.len() + 8),
        atom: Atom::None,
        open: Vec::new(),
        groups,
    };
    translation.run()?;
    match translation.open.is_empty() {
        true => Ok(translation.out),
        false => Err(BadExpression::Parenthesis),
    }
}

/// What a repetition would repeat.
#[derive(Clone, Copy)]
enum Atom {
    None,
    /// It begins there in the output.
    At(usize),
    /// It begins there, and is a repetition already.
    RepeatedAt(usize),
}

struct Translation<'a> {
    rest: Peekable<Chars<'a>>,
    out: String,
    atom: Atom,
    /// Where the parentheses that are open begin in the output.
    open: Vec<usize>,
    groups: Groups,
}

impl Translation<'_> {
    fn run(&mut self) -> Result<(), BadExpression> {
        while let Some(c) = self.rest.next() {
            match c {
                '\\' => self.escape()?,
                '[' => self.bracket()?,
                '(' => self.group()?,
                ')' => self.close(),
                '*' | '+' | '?' => self.repeat(&c.to_string())?,
                '{' => self.interval()?,
                '|' | '^' | '$' => {
                    self.out.push(c);
                    self.atom = Atom::None;
                }
                '.' => self.push_atom("."),
                c => self.push_atom(&literal(c)),
            }
        }
        Ok(())
    }

    fn push_atom(&mut self, text: &str) {
        self.atom = Atom::At(self.out.len());
        self.out.push_str(text);
    }

    fn escape(&mut self) -> Result<(), BadExpression> {
        let c = self.rest.next().ok_or(BadExpression::Backslash)?;
        match c {
            '0'..='9' => return Err(BadExpression::BackReference),
            'b' | 'B' => {
                self.out.push('\\');
                self.out.push(c);
                self.atom = Atom::None;
            }
            'd' | 'D' | 'w' | 'W' | 's' | 'S' | 'n' | 'r' | 't' => self.push_atom(&format!("\\{c}")),
            c => self.push_atom(&literal(c)),
        }
        Ok(())
    }

    fn group(&mut self) -> Result<(), BadExpression> {
        if self.open.len() >= DEPTH_MAX {
            return Err(BadExpression::TooDeep);
        }
        let start = self.out.len();
        self.atom = Atom::None;
        if self.rest.next_if_eq(&'?').is_none() {
            self.out.push_str(match self.groups {
                Groups::Plain => "(?:",
                Groups::Capturing => "(",
            });
            self.open.push(start);
            return Ok(());
        }
        let blind = self.rest.next_if_eq(&'i').is_some();
        match self.rest.next() {
            Some(':') => {
                self.out.push_str(if blind { "(?i:" } else { "(?:" });
                self.open.push(start);
                Ok(())
            }
            Some(')') if blind => {
                self.out.push_str("(?i)");
                Ok(())
            }
            _ => Err(BadExpression::Group),
        }
    }

    /// A parenthesis that closes nothing is an ordinary character (IEEE 1003.1 9.4.3).
    fn close(&mut self) {
        match self.open.pop() {
            Some(start) => {
                self.out.push(')');
                self.atom = Atom::At(start);
            }
            None => self.push_atom(r"\)"),
        }
    }

    /// POSIX repeats a repetition where `regex` would read a lazy one.
    fn repeat(&mut self, how: &str) -> Result<(), BadExpression> {
        let start = match self.atom {
            Atom::None => return Err(BadExpression::Repetition),
            Atom::At(start) => start,
            Atom::RepeatedAt(start) => {
                self.out.insert_str(start, "(?:");
                self.out.push(')');
                start
            }
        };
        self.out.push_str(how);
        self.atom = Atom::RepeatedAt(start);
        Ok(())
    }

    /// `{2}`, `{2,}`, `{2,3}`, `{,3}`; anything else begins with a plain brace.
    fn interval(&mut self) -> Result<(), BadExpression> {
        let ahead: String = self.rest.clone().take_while(|c| *c != '}').take(12).collect();
        let (low, high) = ahead.split_once(',').unwrap_or((&ahead, &ahead));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let closes = self.rest.clone().nth(ahead.chars().count()) == Some('}');
        let is_interval = match (is_number(low), is_number(high)) {
            (true, true) => true,
            (true, false) => high.is_empty(),
            (false, true) => low.is_empty(),
            (false, false) => false,
        };
        if !closes || !is_interval {
            self.push_atom(r"\{");
            return Ok(());
        }
        self.rest.nth(ahead.chars().count());
        let low = if low.is_empty() { "0" } else { low };
        match ahead.contains(',') {
            true => self.repeat(&format!("{{{low},{high}}}")),
            false => self.repeat(&format!("{{{low}}}")),
        }
    }

    /// A backslash is an ordinary character in a bracket expression, and so are `&&`, `--` and `[` (9.3.5).
    fn bracket(&mut self) -> Result<(), BadExpression> {
        let start = self.out.len();
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        let mut is_first = true;
        loop {
            let c = self.rest.next().ok_or(BadExpression::Bracket)?;
            match (c, self.rest.peek()) {
                (']', _) if !is_first => break,
                ('[', Some(':')) => self.class()?,
                _ => {
                    let low = self.element(c)?;
                    self.out.push_str(&literal(low));
                    self.range_end()?;
                }
            }
            is_first = false;
        }
        self.out.push(']');
        self.atom = Atom::At(start);
        Ok(())
    }

    /// The rest of a range, if the element that was just read begins one: a hyphen before the end is itself.
    fn range_end(&mut self) -> Result<(), BadExpression> {
        let mut ahead = self.rest.clone();
        if ahead.next() != Some('-') || matches!(ahead.next(), None | Some(']')) {
            return Ok(());
        }
        self.rest.next();
        let c = self.rest.next().ok_or(BadExpression::Bracket)?;
        let high = self.element(c)?;
        self.out.push('-');
        self.out.push_str(&literal(high));
        Ok(())
    }

    /// One element: a character, or `[.c.]` or `[=c=]` of one.
    fn element(&mut self, c: char) -> Result<char, BadExpression> {
        if c != '[' {
            return Ok(c);
        }
        let Some(mark) = self.rest.next_if(|c| matches!(c, '.' | '=')) else {
            return Ok(c);
        };
        let element = self.rest.next().ok_or(BadExpression::Bracket)?;
        let ends = self.rest.next() == Some(mark) && self.rest.next() == Some(']');
        ends.then_some(element).ok_or(BadExpression::Bracket)
    }

    fn class(&mut self) -> Result<(), BadExpression> {
        const CLASSES: [&str; 12] = [
            "alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
            "upper", "xdigit",
        ];
        self.rest.next();
        let name: String = self.rest.by_ref().take(7).take_while(|c| *c != ':').collect();
        if !CLASSES.contains(&name.as_str()) || self.rest.next() != Some(']') {
            return Err(BadExpression::Bracket);
        }
        self.out.push_str(&format!("[:{name}:]"));
        Ok(())
    }
}

fn literal(c: char) -> String {
    match c.is_ascii_punctuation() && !matches!(c, '<' | '>') {
        true => format!("\\{c}"),
        false => c.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_posix_reads_otherwise_is_rewritten() {
        for (ere, regex) in [
            ("^sip:alice@", r"^sip\:alice\@"),
            (r"\.example", r"\.example"),
            (r"[\.]", r"[\\\.]"),
            ("[]a]", r"[\]a]"),
            ("[^]a]", r"[^\]a]"),
            ("[a&&b]", r"[a\&\&b]"),
            ("[a-f[:digit:]-]", r"[a-f[:digit:]\-]"),
            ("[[.-.]-0]", r"[\--0]"),
            ("[+--]", r"[\+-\-]"),
            ("a*?", "(?:a*)?"),
            ("(ab)+*", "(?:(?:ab)+)*"),
            ("a{,3}", "a{0,3}"),
            ("a{2}{3,}", "(?:a{2}){3,}"),
            ("{x}", r"\{x\}"),
            ("a)", r"a\)"),
            (r"\<sip\>", r"<sip>"),
            (r"\d+\s", r"\d+\s"),
            ("(?i)mmtel", "(?i)mmtel"),
        ] {
            assert_eq!(to_regex(ere, Groups::Plain).as_deref(), Ok(regex), "{ere}");
            assert!(
                regex::bytes::Regex::new(&format!("(?-u){regex}")).is_ok(),
                "{regex}"
            );
        }
    }

    #[test]
    fn groups_capture_on_demand() {
        assert_eq!(to_regex("(a)(?:b)", Groups::Capturing).as_deref(), Ok("(a)(?:b)"));
    }

    #[test]
    fn what_is_no_expression_is_refused_by_reason() {
        let long = "a".repeat(LENGTH_MAX + 1);
        let deep = "(".repeat(DEPTH_MAX + 1);
        for (ere, error) in [
            ("*", BadExpression::Repetition),
            ("a|+", BadExpression::Repetition),
            ("{2}", BadExpression::Repetition),
            ("(", BadExpression::Parenthesis),
            ("[a", BadExpression::Bracket),
            ("[", BadExpression::Bracket),
            ("[]", BadExpression::Bracket),
            ("[[:nobody:]]", BadExpression::Bracket),
            ("[[:digit]]", BadExpression::Bracket),
            ("[[.ab.]]", BadExpression::Bracket),
            ("a\\", BadExpression::Backslash),
            (r"(a)\1", BadExpression::BackReference),
            ("(?=a)", BadExpression::Group),
            ("(?", BadExpression::Group),
            (&long, BadExpression::TooLong),
            (&deep, BadExpression::TooDeep),
        ] {
            assert_eq!(to_regex(ere, Groups::Plain), Err(error), "{ere}");
        }
    }
}
