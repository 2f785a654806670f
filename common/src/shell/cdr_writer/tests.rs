use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;

use super::ledger::Pen;
use super::*;
use crate::cdr::{CdrCase, CdrEnding, CdrKind, CdrLine, CdrService, Record, Times};
use crate::config::DurationText;

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cdr-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn config(&self) -> CdrConfig {
        CdrConfig {
            directory: Some(self.0.clone()),
            ..CdrConfig::default()
        }
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains("jsonl"))
            .collect();
        names.sort();
        names
    }

    /// All records in all files, in order.
    fn lines(&self) -> Vec<CdrLine> {
        let text: String = self.names().iter().map(|name| read(&self.0.join(name))).collect();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Identifiers of whole records.
    fn whole(&self) -> Vec<String> {
        let lines = self.lines().into_iter();
        let whole = lines.filter(|line| matches!(line.kind, CdrKind::Stop | CdrKind::Event));
        whole.map(|line| line.record.id).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

fn event(id: &str, kind: CdrKind) -> CdrEvent {
    let now = Instant::now();
    let mut times = Times::begun(now);
    times.answer = (kind != CdrKind::Event).then_some(now);
    times.end = (kind == CdrKind::Stop).then_some(now);
    let text = |text: &str| text.to_owned();
    CdrEvent {
        kind,
        times,
        record: Record {
            id: text(id),
            service: CdrService::Session,
            node: text("sip:scscf1.home.example"),
            case: CdrCase::Originating,
            served: text("sip:alice@home.example"),
            calling: Vec::new(),
            called: Vec::new(),
            dialled: text("tel:+15550002"),
            target: None,
            icid: None,
            orig_ioi: None,
            term_ioi: None,
            call_ids: Vec::new(),
            access: Vec::new(),
            app_servers: Vec::new(),
            trunk: None,
            media: Vec::new(),
            content_type: None,
            content_octets: None,
            cause: None,
        },
    }
}

fn open(config: &CdrConfig) -> CdrWriter {
    CdrWriter::open(config, "scscf", ShardPlace::ALONE).unwrap()
}

/// A process that dies: nothing of its memory is written.
fn kill(writer: CdrWriter) {
    drop(writer);
}

fn metric(writer: &CdrWriter, name: &str) -> u64 {
    let mut metrics = Metrics::default();
    writer.export(&mut metrics);
    metrics.sum(name, &[])
}

#[test]
fn a_line_is_in_the_file_when_write_returns() {
    let scratch = Scratch::new("line");
    let writer = open(&scratch.config());
    writer.write(&event("1", CdrKind::Start));
    let lines = scratch.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (lines[0].kind, lines[0].record.id.as_str()),
        (CdrKind::Start, "1")
    );
    assert_eq!(scratch.names(), ["scscf-0-000000001.jsonl.part"]);
}

#[test]
fn files_are_done_by_size_and_old_ones_go_unless_a_session_of_theirs_lasts() {
    let scratch = Scratch::new("size");
    let config = CdrConfig {
        rotate_bytes: 4_096,
        keep: 2,
        ..scratch.config()
    };
    let writer = open(&config);
    writer.write(&event("long", CdrKind::Start));
    for number in 0..200 {
        writer.write(&event(&number.to_string(), CdrKind::Event));
    }
    let files = scratch.names().len();
    assert!(files > 4, "{files}");
    assert!(scratch.lines().iter().any(|line| line.kind == CdrKind::Start));
    writer.write(&event("long", CdrKind::Stop));
    for number in 200..300 {
        writer.write(&event(&number.to_string(), CdrKind::Event));
    }
    assert_eq!(
        scratch.names().len(),
        3,
        "two that are done, and that which is written"
    );
}

#[test]
fn files_are_done_by_age_when_something_is_in_them() {
    let scratch = Scratch::new("age");
    let config = CdrConfig {
        rotate_every: DurationText::secs(60),
        ..scratch.config()
    };
    let files = Files::take(scratch.0.clone(), "scscf", ShardPlace::ALONE).unwrap();
    let mut at = clock();
    let mut ledger = Ledger::begin(files, &config, Pen::default(), at).unwrap();
    at.now += Duration::from_secs(120);
    ledger.visit(at);
    assert_eq!(scratch.names().len(), 1, "it is empty");
    ledger.write(&event("1", CdrKind::Event).line(at), at);
    ledger.visit(at);
    assert_eq!(
        scratch.names(),
        ["scscf-0-000000001.jsonl", "scscf-0-000000002.jsonl.part"]
    );
}

#[test]
fn what_a_process_left_open_is_closed_once_when_the_next_one_starts() {
    let scratch = Scratch::new("open");
    let config = CdrConfig {
        rotate_bytes: 4_096,
        ..scratch.config()
    };
    let writer = open(&config);
    writer.write(&event("lost", CdrKind::Start));
    for number in 0..50 {
        writer.write(&event(&number.to_string(), CdrKind::Event));
    }
    writer.write(&event("ended", CdrKind::Start));
    writer.write(&event("ended", CdrKind::Stop));
    kill(writer);
    let writer = open(&config);
    assert_eq!(metric(&writer, "ims_cdr_recovered_total"), 1);
    let whole = scratch.whole();
    assert_eq!(whole.iter().filter(|id| *id == "lost").count(), 1);
    assert_eq!(whole.iter().filter(|id| *id == "ended").count(), 1);
    let closed = scratch
        .lines()
        .into_iter()
        .rfind(|line| line.record.id == "lost")
        .unwrap();
    assert_eq!(closed.record.cause.unwrap().ending, CdrEnding::NodeRestarted);
    assert!(closed.times.end >= closed.times.answer && closed.duration_ms.is_some());
    kill(writer);
    let writer = open(&config);
    assert_eq!(
        metric(&writer, "ims_cdr_recovered_total"),
        0,
        "it is closed already"
    );
    assert_eq!(scratch.whole().len(), 52);
    assert_eq!(
        scratch
            .names()
            .iter()
            .filter(|name| name.ends_with(".part"))
            .count(),
        1
    );
}

#[test]
fn a_torn_last_line_costs_nothing_else() {
    let scratch = Scratch::new("torn");
    let writer = open(&scratch.config());
    writer.write(&event("1", CdrKind::Start));
    writer.write(&event("2", CdrKind::Event));
    kill(writer);
    let path = scratch.0.join("scscf-0-000000001.jsonl.part");
    let text = read(&path);
    fs::write(&path, format!("{text}{{\"kind\":\"stop\",\"sta")).unwrap();
    let writer = open(&scratch.config());
    assert_eq!(metric(&writer, "ims_cdr_recovered_total"), 1);
    assert_eq!(read(&path.with_extension("")), text, "what was torn is gone");
    let mut whole = scratch.whole();
    whole.sort();
    assert_eq!(whole, ["1", "2"]);
}

#[test]
fn the_first_shard_looks_after_those_that_there_are_no_more() {
    let scratch = Scratch::new("shards");
    let place = |number, of| ShardPlace {
        shard: crate::token::ShardId(number),
        of,
    };
    let second = CdrWriter::open(&scratch.config(), "scscf", place(1, 2)).unwrap();
    second.write(&event("1", CdrKind::Start));
    kill(second);
    let first = CdrWriter::open(&scratch.config(), "scscf", place(0, 1)).unwrap();
    assert_eq!(metric(&first, "ims_cdr_recovered_total"), 1);
    assert_eq!(scratch.whole(), ["1"]);
    let names = scratch.names();
    assert!(names.contains(&"scscf-1-000000001.jsonl".to_owned()), "{names:?}");
}

#[test]
fn two_processes_do_not_write_into_one_directory() {
    let scratch = Scratch::new("twice");
    let _first = open(&scratch.config());
    let error = CdrWriter::open(&scratch.config(), "scscf", ShardPlace::ALONE)
        .err()
        .unwrap();
    assert!(error.contains("another process"), "{error}");
}

#[test]
fn a_directory_that_cannot_be_is_named_with_a_remedy() {
    let config = CdrConfig {
        directory: Some("/proc/nowhere".into()),
        ..CdrConfig::default()
    };
    let error = CdrWriter::open(&config, "scscf", ShardPlace::ALONE)
        .err()
        .unwrap();
    assert!(error.starts_with("scscf.cdr.directory /proc/nowhere:"), "{error}");
}

/// A disk on which there is room for so many octets.
fn small_disk(room: &Arc<AtomicUsize>) -> Pen {
    let room = Arc::clone(room);
    Pen(Box::new(move |file, line| {
        use std::io::Write as _;
        let left = room.load(Relaxed);
        let fits = left.min(line.len());
        room.store(left - fits, Relaxed);
        file.write_all(&line[..fits])?;
        if fits < line.len() {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }))
}

#[test]
fn a_full_disk_costs_no_line_when_there_is_room_again_in_time() {
    let scratch = Scratch::new("full");
    let room = Arc::new(AtomicUsize::new(5_000));
    let files = Files::take(scratch.0.clone(), "scscf", ShardPlace::ALONE).unwrap();
    let mut at = clock();
    let mut ledger = Ledger::begin(files, &scratch.config(), small_disk(&room), at).unwrap();
    for number in 0..50 {
        ledger.write(&event(&number.to_string(), CdrKind::Event).line(at), at);
    }
    ledger.visit(at);
    assert!(ledger.is_failing());
    let before = scratch.whole().len();
    assert!(before > 0 && before < 50, "{before}");
    room.store(1 << 20, Relaxed);
    at.now += Duration::from_secs(1);
    ledger.visit(at);
    assert!(!ledger.is_failing());
    let expected: Vec<_> = (0..50).map(|number: u32| number.to_string()).collect();
    assert_eq!(scratch.whole(), expected, "all, in order, each once");
}

#[test]
fn a_node_that_starts_on_a_full_disk_serves_and_closes_the_earlier_records_when_there_is_room() {
    let scratch = Scratch::new("full-at-start");
    let earlier = open(&scratch.config());
    earlier.write(&event("open", CdrKind::Start));
    kill(earlier);
    let begin = |room: &Arc<AtomicUsize>, at| {
        let files = Files::take(scratch.0.clone(), "scscf", ShardPlace::ALONE).unwrap();
        Ledger::begin(files, &scratch.config(), small_disk(room), at).unwrap()
    };
    let names = scratch.names();
    let parts = |names: &[String]| names.iter().filter(|name| name.ends_with(".part")).count();
    let full = Arc::new(AtomicUsize::new(0));
    let mut at = clock();
    let dies = begin(&full, at);
    assert!(dies.is_failing());
    assert_eq!(
        parts(&scratch.names()),
        parts(&names) + 1,
        "nothing is finished yet"
    );
    drop(dies);
    let room = Arc::new(AtomicUsize::new(30));
    let mut ledger = begin(&room, at);
    ledger.write(&event("1", CdrKind::Event).line(at), at);
    ledger.visit(at);
    assert!(ledger.is_failing());
    room.store(1 << 20, Relaxed);
    at.now += Duration::from_secs(1);
    ledger.visit(at);
    assert!(!ledger.is_failing());
    assert_eq!(parts(&scratch.names()), 1, "only the file of this process");
    let lines = scratch.lines();
    let kinds = |id: &str| -> Vec<CdrKind> {
        let of = lines.iter().filter(|line| line.record.id == id);
        of.map(|line| line.kind).collect()
    };
    assert_eq!(kinds("open"), [CdrKind::Start, CdrKind::Stop], "closed once");
    assert_eq!(kinds("1"), [CdrKind::Event]);
}

#[test]
fn lines_beyond_the_buffer_are_counted_as_lost() {
    let scratch = Scratch::new("buffer");
    let config = CdrConfig {
        buffer_bytes: 1_000,
        ..scratch.config()
    };
    let room = Arc::new(AtomicUsize::new(200));
    let files = Files::take(scratch.0.clone(), "scscf", ShardPlace::ALONE).unwrap();
    let mut ledger = Ledger::begin(files, &config, small_disk(&room), clock()).unwrap();
    for number in 0..50 {
        ledger.write(&event(&number.to_string(), CdrKind::Event).line(clock()), clock());
    }
    let mut metrics = Metrics::default();
    ledger.export(&mut metrics);
    let kept = metrics.sum("ims_cdr_waiting_lines", &[]);
    assert!(kept > 0 && metrics.sum("ims_cdr_waiting_bytes", &[]) <= 1_000);
    assert_eq!(metrics.sum("ims_cdr_lost_total", &[]), 50 - kept);
}

#[test]
fn new_calls_are_refused_while_the_disk_is_full_when_that_is_wanted() {
    let scratch = Scratch::new("refuse");
    let config = CdrConfig {
        on_disk_full: OnDiskFull::Refuse,
        ..scratch.config()
    };
    let room = Arc::new(AtomicUsize::new(200));
    let writer = CdrWriter::open_with(&config, "scscf", ShardPlace::ALONE, small_disk(&room)).unwrap();
    let message = |method: &str| {
        let text = format!("{method} sip:b@h.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1\r\n\r\n");
        Message::parse(text.into_bytes().into(), &crate::limits::SipLimits::default()).unwrap()
    };
    assert!(!writer.refuses(&message("INVITE")));
    writer.write(&event("1", CdrKind::Event));
    let wait_until = |refuses: bool| {
        let end = Instant::now() + Duration::from_secs(20);
        while writer.refuses(&message("INVITE")) != refuses {
            assert!(Instant::now() < end, "refuses: {}", !refuses);
            thread::sleep(Duration::from_millis(10));
        }
    };
    wait_until(true);
    assert!(writer.refuses(&message("MESSAGE")) && !writer.refuses(&message("REGISTER")));
    room.store(1 << 20, Relaxed);
    wait_until(false);
    assert_eq!(scratch.whole(), ["1"]);
}
