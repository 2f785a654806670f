//! Shell: charging data records in the files of a daemon, also of one that was killed.
#![allow(clippy::disallowed_methods, reason = "shell")]

use std::path::Path;
use std::time::{Duration, Instant};

use ims_common::cdr::{CdrCase, CdrEnding, CdrKind, CdrLine};
use ims_tests::daemons::fresh_directory;
use ims_tests::scene::calls::tel;
use ims_tests::scene::subscriber;
use ims_tests::site::Site;
use ims_tests::ue::talk::{Answer, CallEvent, Manner};
use ims_tests::ue::{UeCommand, UeConfig, UeEvent};

use crate::network::{Network, PATIENCE};

/// All lines of all files, in order.
fn lines(directory: &Path) -> Vec<CdrLine> {
    let entries = std::fs::read_dir(directory).expect("the directory");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let files = paths
        .iter()
        .filter(|path| path.to_string_lossy().contains(".jsonl"));
    let text: String = files
        .map(|path| std::fs::read_to_string(path).expect("a file"))
        .collect();
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn wait_for(directory: &Path, what: &str, done: impl Fn(&[CdrLine]) -> bool) -> Vec<CdrLine> {
    let end = Instant::now() + PATIENCE;
    loop {
        let lines = lines(directory);
        if done(&lines) {
            return lines;
        }
        assert!(Instant::now() < end, "{what}: {lines:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn whole(lines: &[CdrLine]) -> Vec<&CdrLine> {
    let whole = lines
        .iter()
        .filter(|line| matches!(line.kind, CdrKind::Stop | CdrKind::Event));
    whole.collect()
}

#[test]
fn records_of_a_call_in_which_the_s_cscf_is_killed_are_there_when_it_starts_again() {
    let directory = fresh_directory().expect("a directory");
    let mut site = Site::on_network([127, 0, 166]);
    site.scscf_more += &format!("  cdr: {{directory: {}}}\n", directory.display());
    let mut network = Network::start(site, vec![subscriber(1), subscriber(2)]);
    let answers = |config: UeConfig| {
        let answer = Answer::Ring(Duration::from_millis(200));
        config.manner(Manner::SIMPLE).answer(answer)
    };
    let (caller, callee) = (network.phone(1, answers), network.phone(2, answers));
    for phone in [&caller, &callee] {
        network.must(phone, UeCommand::Register);
    }
    let call = || {
        let events = caller
            .tell_and_wait(UeCommand::call(&tel(2)), PATIENCE)
            .expect("an end");
        let begun = |event: &UeEvent| {
            matches!(
                event,
                UeEvent::Call {
                    what: CallEvent::Begun,
                    ..
                }
            )
        };
        assert!(
            events.iter().any(begun),
            "{events:?}\n{}",
            network.daemons.tails(30)
        );
        let _ = &callee;
    };
    call();
    caller.tell_and_wait(UeCommand::HangUp, PATIENCE).expect("an end");
    let first = wait_for(&directory, "two records", |lines| whole(lines).len() == 2);
    let cases: Vec<_> = whole(&first).iter().map(|line| line.record.case).collect();
    assert!(cases.contains(&CdrCase::Originating) && cases.contains(&CdrCase::Terminating));
    call();
    // The phone has its 200.
    network.daemons.get("scscf1").kill().expect("killed");
    assert_eq!(whole(&lines(&directory)).len(), 2);
    network.daemons.get("scscf1").restart().expect("up again");
    network.daemons.get("scscf1").wait_ready().expect("ready");
    let all = wait_for(&directory, "four records", |lines| whole(lines).len() == 4);
    for line in whole(&all).iter().skip(2) {
        let cause = line.record.cause.as_ref().expect("a cause");
        assert_eq!(cause.ending, CdrEnding::NodeRestarted);
        assert!(
            line.times.end >= line.times.answer && line.duration_ms.is_some(),
            "{line:#?}"
        );
    }
    network.stop();
    let _ = std::fs::remove_dir_all(&directory);
}
