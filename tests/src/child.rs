//! Shell: a program as a child process, whose lines are read as they come.
#![allow(clippy::disallowed_methods, reason = "shell")]

use std::io::{self, BufRead as _, BufReader, ErrorKind};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// A program that prints lines. It is killed when this value goes away.
pub struct Talker {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Talker {
    /// Runs it; nothing comes to its standard input.
    ///
    /// # Errors
    /// When the program is not there.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or(ErrorKind::BrokenPipe)?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Ok(Self {
            child,
            lines,
            said: Vec::new(),
        })
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far, as far as that was waited for.
    #[must_use]
    pub fn said(&self) -> &[String] {
        &self.said
    }

    /// Waits until it says a line of which this holds; `None` when it does not in time, or has ended.
    pub fn until(&mut self, patience: Duration, mut is_it: impl FnMut(&str) -> bool) -> Option<String> {
        let end = Instant::now() + patience;
        loop {
            let line = self
                .lines
                .recv_timeout(end.saturating_duration_since(Instant::now()))
                .ok()?;
            self.said.push(line.clone());
            if is_it(&line) {
                return Some(line);
            }
        }
    }

    /// Waits for its end: all that it has said.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn end(mut self, patience: Duration) -> io::Result<(ExitStatus, Vec<String>)> {
        let end = Instant::now() + patience;
        loop {
            match self
                .lines
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                Ok(line) => self.said.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => return Err(ErrorKind::TimedOut.into()),
            }
        }
        // Nobody prints any more: it is about to end.
        let status = self.child.wait()?;
        Ok((status, std::mem::take(&mut self.said)))
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_a_line_that_does_not_come_waits_no_longer_than_it_said() {
        let mut sleeper = Command::new("sh");
        sleeper.args(["-c", "echo one; exec sleep 600"]);
        let mut talker = Talker::start(&mut sleeper).unwrap();
        let patience = Duration::from_secs(20);
        assert_eq!(
            talker.until(patience, |line| line == "one").as_deref(),
            Some("one")
        );
        assert_eq!(talker.until(Duration::from_millis(50), |_| true), None);
        let error = talker.end(Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
