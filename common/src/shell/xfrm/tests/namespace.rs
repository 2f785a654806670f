//! Shell: tests with this machine's kernel, each in a network namespace of its own. They need no ESP: what has to do
//! with states is tested in the suite `ipsec`.

use std::process::Command;

use super::*;
use crate::ipsec::{Encryption, Integrity, Suite};

/// Set in the process that is in a namespace.
const INSIDE: &str = "IMS_TEST_NAMESPACE";
const REQID: u32 = 33_203;
const PRIORITY: u32 = 2_100;

/// Runs a test of this file again, in new namespaces as `unshare` makes them, unless this is it.
fn again(test: &str, namespaces: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return false;
    }
    let test = format!("shell::xfrm::tests::namespace::{test}");
    let child = Command::new("unshare")
        .arg(namespaces)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", &test])
        .env(INSIDE, "1")
        .output()
        .expect("unshare, of util-linux");
    let said = String::from_utf8_lossy(&child.stdout);
    let complained = String::from_utf8_lossy(&child.stderr);
    assert!(
        child.status.success() && said.contains("1 passed"),
        "as root, or where users may make namespaces: {said}{complained}"
    );
    true
}

fn ip(arguments: &str) -> String {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .expect("ip, of iproute2");
    assert!(output.status.success(), "ip {arguments}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn ports(local: &[&str]) -> ProtectedPorts {
    ProtectedPorts {
        local: local.iter().map(|address| address.parse().unwrap()).collect(),
        reqid: REQID,
        priority: PRIORITY,
        replay_window: 32,
        requests_max: 8,
        suites: Vec::new(),
    }
}

fn run<T>(act: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(act)
}

/// Selector, direction, and what has to match of a packet, one line for each policy.
fn policies() -> Vec<String> {
    let text = ip("xfrm policy").replace("\n\t", " ").replace("ptype main", "");
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut lines: Vec<String> = text.lines().map(words).collect();
    lines.sort();
    lines
}

#[test]
fn every_protected_port_is_guarded_in_both_directions_until_the_end() {
    if again(
        "every_protected_port_is_guarded_in_both_directions_until_the_end",
        "-rn",
    ) {
        return;
    }
    run(async {
        let xfrm = Xfrm::start(&ports(&["192.0.2.1:6101", "[2001:db8::1]:6102"])).unwrap();
        let template4 = "tmpl src 0.0.0.0 dst 0.0.0.0 proto esp reqid 33203 mode transport";
        let template6 = "tmpl src :: dst :: proto esp reqid 33203 mode transport";
        assert_eq!(
            policies(),
            [
                format!("src 0.0.0.0/0 dst 192.0.2.1/32 dport 6101 dir in priority 2100 {template4}"),
                format!(
                    "src 192.0.2.1/32 dst 0.0.0.0/0 proto icmp type 3 code 3 dir out action block priority 2100 {template4}"
                ),
                format!("src 192.0.2.1/32 dst 0.0.0.0/0 sport 6101 dir out priority 2100 {template4}"),
                format!(
                    "src 2001:db8::1/128 dst ::/0 proto ipv6-icmp type 1 code 4 dir out action block priority 2100 {template6}"
                ),
                format!("src 2001:db8::1/128 dst ::/0 sport 6102 dir out priority 2100 {template6}"),
                format!("src ::/0 dst 2001:db8::1/128 dport 6102 dir in priority 2100 {template6}"),
            ]
        );
        xfrm.remove_states().await;
        assert_eq!(policies().len(), 6, "as long as the sockets are open");
        xfrm.remove_policies().await;
        assert_eq!(policies(), [""; 0]);
    });
}

#[test]
fn leftovers_of_an_earlier_life_go_and_what_others_have_stays() {
    if again(
        "leftovers_of_an_earlier_life_go_and_what_others_have_stays",
        "-rn",
    ) {
        return;
    }
    let add = |selector: &str, priority: u32, reqid: u32| {
        ip(&format!(
            "xfrm policy add {selector} dir in priority {priority} tmpl proto esp reqid {reqid} mode transport"
        ));
    };
    // As a P-CSCF had it that was killed, with another port.
    add("dst 192.0.2.1 dport 7777", PRIORITY, REQID);
    // Of an IKE daemon: the same port, priority or reqid, but not all that is ours.
    add("dst 192.0.2.1 dport 500", PRIORITY, 1);
    add("dst 192.0.2.1 dport 501", 1, REQID);
    ip("xfrm policy add dst 192.0.2.1 dport 502 dir in priority 2100 action block");
    run(async {
        let xfrm = Xfrm::start(&ports(&["192.0.2.1:6101"])).unwrap();
        let during = policies();
        assert_eq!(during.len(), 6, "{during:#?}");
        assert!(
            !during.iter().any(|policy| policy.contains("7777")),
            "{during:#?}"
        );
        xfrm.remove_states().await;
        xfrm.remove_policies().await;
        let after = policies();
        assert_eq!(after.len(), 3, "{after:#?}");
        assert!(
            after.iter().all(|policy| policy.contains("dport 50")),
            "{after:#?}"
        );
    });
}

#[test]
fn node_that_ends_without_a_word_has_its_policies_removed() {
    if again("node_that_ends_without_a_word_has_its_policies_removed", "-rn") {
        return;
    }
    run(async {
        let xfrm = Xfrm::start(&ports(&["192.0.2.1:6101"])).unwrap();
        let Xfrm {
            tasks, mut answers, ..
        } = xfrm;
        drop(tasks);
        // The thread has ended when nobody can answer any more.
        assert!(timeout(END_PATIENCE, answers.recv()).await.unwrap().is_none());
        assert_eq!(policies(), [""; 0]);
    });
}

#[test]
fn port_that_another_program_guards_refuses_to_start_and_leaves_nothing() {
    if again(
        "port_that_another_program_guards_refuses_to_start_and_leaves_nothing",
        "-rn",
    ) {
        return;
    }
    ip("xfrm policy add dst 192.0.2.1 dport 6102 dir in priority 2100 tmpl proto esp reqid 1 mode transport");
    let refusal = Xfrm::start(&ports(&["192.0.2.1:6101", "192.0.2.1:6102"]))
        .err()
        .unwrap();
    assert!(
        refusal.starts_with("another program has an IPsec policy for 192.0.2.1:6102 with the priority 2100"),
        "{refusal}"
    );
    assert_eq!(policies().len(), 1);
}

#[test]
fn protected_port_in_use_refuses_to_start_and_leaves_its_user_in_peace() {
    if again(
        "protected_port_in_use_refuses_to_start_and_leaves_its_user_in_peace",
        "-rn",
    ) {
        return;
    }
    ip("link set lo up");
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let listener = crate::config::SipListener {
        interface: crate::net::Interface::GmProtected,
        address,
        key: "pcscf.ipsec.port_ps",
        accepts_streams: true,
    };
    let mut config = crate::config::ShellConfig::new("probe", vec![listener]);
    config.protected = Some(ports(&[&address.to_string()]));
    let refusal = run(crate::shell::Shell::bind(&config)).err().unwrap().to_string();
    assert!(refusal.starts_with("pcscf.ipsec.port_ps 127.0.0.1:"), "{refusal}");
    assert_eq!(policies(), [""; 0]);
}

#[test]
fn without_cap_net_admin_the_refusal_says_how_to_grant_it() {
    // A user of its own has no rights over the network that it shares.
    if again("without_cap_net_admin_the_refusal_says_how_to_grant_it", "-r") {
        return;
    }
    let refusal = Xfrm::start(&ports(&["192.0.2.1:6101"])).err().unwrap();
    assert!(refusal.starts_with("CAP_NET_ADMIN is missing"), "{refusal}");
    assert!(refusal.contains("AmbientCapabilities=CAP_NET_ADMIN"), "{refusal}");
}

#[test]
fn kernel_either_can_do_what_is_configured_or_the_refusal_names_the_module() {
    if again(
        "kernel_either_can_do_what_is_configured_or_the_refusal_names_the_module",
        "-rn",
    ) {
        return;
    }
    let mut ports = ports(&["192.0.2.1:6101", "[2001:db8::1]:6101"]);
    ports.suites = vec![Suite {
        integrity: Integrity::HmacSha1_96,
        encryption: Encryption::AesCbc,
    }];
    match Xfrm::start(&ports) {
        Ok(_) => assert_eq!(ip("xfrm state"), "", "what was tried is gone"),
        Err(refusal) => {
            assert!(
                refusal.starts_with("this kernel ") && refusal.contains("(modprobe "),
                "{refusal}"
            );
            assert_eq!(policies(), [""; 0]);
        }
    }
}

#[test]
fn set_that_the_kernel_refuses_is_told_with_the_reason_and_its_connections_end() {
    if again(
        "set_that_the_kernel_refuses_is_told_with_the_reason_and_its_connections_end",
        "-rn",
    ) {
        return;
    }
    run(async {
        let mut xfrm = Xfrm::start(&ports(&["192.0.2.2:6101"])).unwrap();
        // A key of one octet is of no use to any kernel.
        let set = set(1, states(5_061, 6_102));
        assert!(xfrm.ask(install(&set)).is_empty());
        let (answer, ended) = hears(&mut xfrm).await;
        let XfrmInput::InstallFailed { id, failure } = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(id, SaSetId(1));
        assert!(
            matches!(failure, XfrmFailure::Unsupported | XfrmFailure::Other),
            "{failure:?}"
        );
        assert_eq!(remote_ports(&ended), [(6_101, 5_061), (6_102, 5_062)]);
        let extend = XfrmOutput::Extend {
            set: Arc::clone(&set),
            lifetime: Duration::from_secs(9),
        };
        xfrm.ask(extend);
        let gone = XfrmInput::Gone {
            id,
            cause: GoneCause::Deleted,
        };
        assert_eq!(hears(&mut xfrm).await.0, gone);
        xfrm.ask(XfrmOutput::Remove { id });
        assert_eq!(hears(&mut xfrm).await.0, XfrmInput::Removed { id });
        assert_eq!(ip("xfrm state"), "");
    });
}

#[test]
fn more_sets_than_may_wait_are_refused_at_once_and_removals_never() {
    if again(
        "more_sets_than_may_wait_are_refused_at_once_and_removals_never",
        "-rn",
    ) {
        return;
    }
    run(async {
        let ports = ProtectedPorts {
            requests_max: 0,
            ..ports(&["192.0.2.2:6101"])
        };
        let mut xfrm = Xfrm::start(&ports).unwrap();
        xfrm.ask(install(&set(1, states(5_061, 6_102))));
        let busy = XfrmInput::InstallFailed {
            id: SaSetId(1),
            failure: XfrmFailure::Busy,
        };
        assert_eq!(xfrm.next().unwrap().0, busy);
        xfrm.ask(XfrmOutput::Remove { id: SaSetId(1) });
        assert_eq!(hears(&mut xfrm).await.0, XfrmInput::Removed { id: SaSetId(1) });
    });
}

/// Makes so many states, as an IKE daemon does before it knows their keys, and with a number for each.
fn larval_states(reqid: u32, spis: std::ops::Range<u32>) {
    let line = |spi| {
        format!(
            "xfrm state allocspi src 192.0.2.1 dst 192.0.2.2 proto esp mode transport reqid {reqid} min {spi} max {spi}\n"
        )
    };
    batch(&spis.map(line).collect::<String>());
}

fn delete_states(spis: std::ops::Range<u32>) {
    let line = |spi| format!("xfrm state delete src 192.0.2.1 dst 192.0.2.2 proto esp spi {spi}\n");
    batch(&spis.map(line).collect::<String>());
}

fn batch(lines: &str) {
    use std::io::Write as _;
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines.as_bytes()).unwrap();
    drop(input);
    assert!(child.wait().unwrap().success(), "{lines}");
}

#[test]
fn states_of_an_earlier_life_go_and_those_of_an_ike_daemon_stay() {
    if again(
        "states_of_an_earlier_life_go_and_those_of_an_ike_daemon_stay",
        "-rn",
    ) {
        return;
    }
    larval_states(REQID, 4_000..4_040);
    larval_states(1, 5_000..5_040);
    run(async {
        let xfrm = Xfrm::start(&ports(&["192.0.2.2:6101"])).unwrap();
        let during = ip("xfrm state");
        assert_eq!(during.matches("reqid 33203 ").count(), 0, "{during}");
        assert_eq!(during.matches("reqid 1 ").count(), 40, "{during}");
        larval_states(REQID, 4_000..4_001);
        xfrm.remove_states().await;
        xfrm.remove_policies().await;
        let after = ip("xfrm state");
        assert_eq!(after.matches("reqid ").count(), 40, "{after}");
        assert_eq!(after.matches("reqid 1 ").count(), 40, "{after}");
    });
}

#[test]
fn two_p_cscfs_of_one_host_leave_each_other_in_peace() {
    if again("two_p_cscfs_of_one_host_leave_each_other_in_peace", "-rn") {
        return;
    }
    // One for each family, as a host of both has them; reqid and priority are those of the defaults.
    run(async {
        let first = Xfrm::start(&ports(&["192.0.2.2:6101"])).unwrap();
        larval_states(REQID, 4_000..4_002);
        let of_the_first = policies();
        let second = Xfrm::start(&ports(&["[2001:db8::1]:6101"])).unwrap();
        assert_eq!(policies().len(), 2 * of_the_first.len(), "{:#?}", policies());
        assert_eq!(ip("xfrm state").matches("reqid 33203 ").count(), 2);
        second.remove_states().await;
        second.remove_policies().await;
        assert_eq!(policies(), of_the_first);
        assert_eq!(ip("xfrm state").matches("reqid 33203 ").count(), 2);
        first.remove_states().await;
        first.remove_policies().await;
        assert_eq!(policies(), [""; 0]);
        assert_eq!(ip("xfrm state"), "");
    });
}

#[test]
fn deletions_by_others_are_heard_and_our_own_are_not() {
    if again("deletions_by_others_are_heard_and_our_own_are_not", "-rn") {
        return;
    }
    larval_states(1, 4_000..4_003);
    run(async {
        let mut netlink = netlink::Netlink::open().unwrap();
        let socket = netlink::notices(netlink.port(), None).unwrap();
        let mut notices = netlink::Notices::watch(socket).unwrap();
        let key = |spi| message::StateKey {
            destination: "192.0.2.2".parse().unwrap(),
            spi,
        };
        assert_eq!(
            netlink.ask(message::delete_state(&key(4_000))),
            netlink::Ack::Done
        );
        let again = netlink.ask(message::delete_state(&key(4_000)));
        assert_eq!(again, netlink::Ack::Refused(libc::ESRCH));
        delete_states(4_001..4_002);
        let heard = timeout(END_PATIENCE, notices.hear()).await.unwrap().unwrap();
        let netlink::Heard::Notices(heard) = heard else {
            panic!("two notices are not too many");
        };
        assert_eq!(heard, [message::Notice::Deleted(key(4_001))]);
    });
}

#[test]
fn notices_beyond_the_buffer_are_told_as_lost() {
    if again("notices_beyond_the_buffer_are_told_as_lost", "-rn") {
        return;
    }
    run(async {
        let socket = netlink::notices(1, Some(1)).unwrap();
        let mut notices = netlink::Notices::watch(socket).unwrap();
        larval_states(1, 4_000..4_100);
        delete_states(4_000..4_100);
        let heard = timeout(END_PATIENCE, notices.hear()).await.unwrap().unwrap();
        assert!(matches!(heard, netlink::Heard::Lost));
    });
}

async fn hears(xfrm: &mut Xfrm) -> (XfrmInput, Vec<Ends>) {
    let heard = std::future::poll_fn(|task| match xfrm.poll(task) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    });
    timeout(END_PATIENCE, heard).await.expect("no answer");
    xfrm.next().unwrap()
}

fn set(id: u64, states: [SaState; 4]) -> Arc<SaSet> {
    Arc::new(SaSet {
        id: SaSetId(id),
        suite: Suite {
            integrity: Integrity::HmacSha1_96,
            encryption: Encryption::AesCbc,
        },
        keys: Arc::new(EspKeys {
            integrity: vec![1].into(),
            encryption: vec![1].into(),
        }),
        states,
    })
}

fn install(set: &Arc<SaSet>) -> XfrmOutput {
    XfrmOutput::Install {
        set: Arc::clone(set),
        lifetime: Duration::from_secs(30),
    }
}
