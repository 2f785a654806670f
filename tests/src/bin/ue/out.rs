//! Shell: the one place that prints. Whoever reads may go away (`ue card show | head -3`): what comes then is not printed,
//! and the program does what it has to do.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

/// A line.
pub(crate) fn line(text: impl Display) {
    said(&write(&mut io::stdout().lock(), format_args!("{text}\n")));
}

/// A text that has its ends of lines.
pub(crate) fn text(text: impl Display) {
    said(&write(&mut io::stdout().lock(), format_args!("{text}")));
}

/// A line for people, beside what is printed.
pub(crate) fn beside(text: impl Display) {
    // When that cannot be said either, there is nobody to say it to.
    let _ = write(&mut io::stderr().lock(), format_args!("{text}\n"));
}

/// In one piece, at once: whoever reads waits for lines.
fn write(to: &mut impl Write, text: impl Display) -> io::Result<()> {
    let written = to
        .write_all(text.to_string().as_bytes())
        .and_then(|()| to.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn said(done: &io::Result<()>) {
    if let Err(error) = done {
        beside(format_args!("ue: cannot print: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_is_gone_is_no_failure_and_a_full_disk_is() {
        let (reader, mut writer) = io::pipe().unwrap();
        drop(reader);
        assert!(write(&mut writer, "a line\n").is_ok());
        let mut full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        assert!(write(&mut full, "a line\n").is_err());
    }
}
