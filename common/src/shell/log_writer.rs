//! Shell: the way of the log to standard error: a thread of its own writes, so that no reader of the log stops a node.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use crate::telemetry::log::LeftOut;

/// Octets that wait to be written. Above: lines are left out and counted.
const WAITING_MAX: usize = 1 << 20;
/// The shortest time between two writes, unless a warning waits: many lines then go with one.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the end of the process waits for the last lines.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Takes lines without waiting for anybody.
#[derive(Clone)]
pub(crate) struct LogWriter {
    shared: Arc<Shared>,
    is_urgent: bool,
}

/// The other end; dropped, it waits a little until all is written.
pub(crate) struct LogThread(Arc<Shared>);

struct Shared {
    lines: Mutex<Lines>,
    /// Something is to be done.
    work: Condvar,
    /// All is written.
    done: Condvar,
    left_out: LeftOut,
}

#[derive(Default)]
struct Lines {
    text: Vec<u8>,
    is_urgent: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    #[default]
    Running,
    /// Write what is there, then end.
    Ending,
    Ended,
}

/// Starts the thread, which writes to `output`. Lines that it is too slow for are counted in `left_out`.
pub(crate) fn start(output: impl Write + Send + 'static, left_out: &LeftOut) -> (LogWriter, LogThread) {
    let shared = Arc::new(Shared {
        lines: Mutex::default(),
        work: Condvar::new(),
        done: Condvar::new(),
        left_out: left_out.clone(),
    });
    let writer = LogWriter {
        shared: Arc::clone(&shared),
        is_urgent: false,
    };
    let end = LogThread(Arc::clone(&shared));
    thread::spawn(move || shared.write_all(output));
    (writer, end)
}

impl Shared {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all(&self, mut output: impl Write) {
        let mut text = Vec::new();
        let mut last: Option<Instant> = None;
        loop {
            let mut lines = self.wait_for_lines(last);
            mem::swap(&mut lines.text, &mut text);
            lines.is_urgent = false;
            let is_last = lines.state != State::Running;
            drop(lines);
            // Nobody could be told.
            let _ = output.write_all(&text).and_then(|()| output.flush());
            text.clear();
            last = Some(Instant::now());
            if is_last {
                self.lines().state = State::Ended;
                self.done.notify_all();
                return;
            }
        }
    }

    /// Until there are lines, and until it is time for them.
    fn wait_for_lines(&self, last: Option<Instant>) -> MutexGuard<'_, Lines> {
        let idle = |lines: &mut Lines| lines.text.is_empty() && lines.state == State::Running;
        let lines = self.work.wait_while(self.lines(), idle);
        let lines = lines.unwrap_or_else(PoisonError::into_inner);
        let rest = last.map_or(Duration::ZERO, |last| PAUSE.saturating_sub(last.elapsed()));
        let early = |lines: &mut Lines| !lines.is_urgent && lines.state == State::Running;
        let waited = self.work.wait_timeout_while(lines, rest, early);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Write for LogWriter {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let mut lines = self.shared.lines();
        if lines.state == State::Ended {
            return io::stderr().write(octets);
        }
        if lines.text.len() + octets.len() > WAITING_MAX {
            self.shared.left_out.count();
            return Ok(octets.len());
        }
        let was_idle = lines.text.is_empty();
        lines.text.extend_from_slice(octets);
        lines.is_urgent |= self.is_urgent;
        drop(lines);
        if was_idle || self.is_urgent {
            self.shared.work.notify_one();
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self {
        Self {
            is_urgent: *metadata.level() <= Level::WARN,
            ..self.clone()
        }
    }
}

impl Drop for LogThread {
    fn drop(&mut self) {
        let mut lines = self.0.lines();
        if lines.state == State::Running {
            lines.state = State::Ending;
        }
        self.0.work.notify_one();
        let not_yet = |lines: &mut Lines| lines.state != State::Ended;
        drop(self.0.done.wait_timeout_while(lines, LAST_WORDS, not_yet));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Takes one write for each permission.
    struct SlowReader {
        permissions: mpsc::Receiver<()>,
        written: mpsc::Sender<Vec<u8>>,
    }

    impl Write for SlowReader {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            let _ = self.permissions.recv();
            let _ = self.written.send(octets.to_vec());
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow_reader() -> (mpsc::Sender<()>, mpsc::Receiver<Vec<u8>>, SlowReader) {
        let (permit, permissions) = mpsc::channel();
        let (written, writes) = mpsc::channel();
        (permit, writes, SlowReader { permissions, written })
    }

    #[test]
    fn a_reader_that_has_stopped_stops_nobody_and_costs_lines_that_are_counted() {
        let (permit, writes, reader) = slow_reader();
        let left_out = LeftOut::default();
        let (mut writer, thread) = start(reader, &left_out);
        let line = [b'x'; 1_024];
        for _ in 0..4_096 {
            writer.write_all(&line).unwrap();
        }
        assert!(left_out.get() >= 2_048, "{} left out", left_out.get());
        drop(permit);
        drop(thread);
        let octets: usize = writes.try_iter().map(|text| text.len()).sum();
        let kept = 4_096 - usize::try_from(left_out.get()).unwrap();
        assert_eq!(
            octets,
            kept * line.len(),
            "what was taken is written before the end"
        );
    }

    #[test]
    fn many_lines_go_with_one_write_and_the_last_words_are_not_lost() {
        let (permit, writes, reader) = slow_reader();
        let (mut writer, thread) = start(reader, &LeftOut::default());
        writer.write_all(b"first\n").unwrap();
        permit.send(()).unwrap();
        assert_eq!(writes.recv().unwrap(), b"first\n");
        for _ in 0..100 {
            writer.write_all(b"one\n").unwrap();
        }
        writer.write_all(b"ended\n").unwrap();
        drop(permit);
        drop(thread);
        let rest: Vec<_> = writes.try_iter().collect();
        assert_eq!(rest.len(), 1, "one write");
        assert!(rest[0].ends_with(b"one\nended\n"));
    }
}
