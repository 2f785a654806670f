//! Shell: tests of what an operator does to a running node: health, metrics, drain.

use super::*;
use crate::net::{Command, RegistrationCommand};
use crate::telemetry::log::LeftOut;

async fn http(address: SocketAddr, request: &str) -> String {
    let mut peer = Peer::connect(address).await;
    peer.send(&format!(
        "{request} HTTP/1.1\r\nHost: localhost\r\nX-Ims-Admin: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    ))
    .await;
    let mut answer = String::new();
    timeout(STUCK, peer.stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    answer
}

fn admin_config() -> ShellConfig {
    let mut config = config("127.0.0.1:0");
    config.admin = Some("127.0.0.1:0".parse().unwrap());
    config
}

#[test]
fn health_and_metrics_are_served_while_serving() {
    run(&admin_config(), Vec::new(), quiet, async |lab: Lab| {
        let admin = lab.admin.unwrap();
        let health = http(admin, "GET /health").await;
        assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
        assert!(
            health.contains("\"status\":\"serving\",\"node\":\"probe\""),
            "{health}"
        );
        let mut peer = Peer::connect(lab.sip).await;
        peer.send(&options("counted")).await;
        peer.expect("Call-ID: counted").await;
        let metrics = http(admin, "GET /metrics").await;
        for line in [
            "ims_sip_received_total{transport=\"tcp\"} 1",
            "ims_sip_sent_total{transport=\"tcp\"} 1",
            "ims_connections{protocol=\"sip\"} 1",
            "ims_draining{} 0",
            "probe_outputs{} 0",
        ] {
            assert!(metrics.contains(line), "{line} in {metrics}");
        }
        assert!(
            http(admin, "GET /api/v1/drain")
                .await
                .starts_with("HTTP/1.1 405 ")
        );
    });
}

#[test]
fn a_drain_tells_the_node_and_shows_in_health() {
    run(&admin_config(), Vec::new(), quiet, async |mut lab: Lab| {
        let admin = lab.admin.unwrap();
        assert!(
            http(admin, "POST /api/v1/drain")
                .await
                .starts_with("HTTP/1.1 202 ")
        );
        assert!(matches!(lab.hears().await, NetInput::Command(Command::Drain)));
        let health = http(admin, "GET /health").await;
        assert!(
            health.starts_with("HTTP/1.1 503 ") && health.contains("\"status\":\"draining\""),
            "{health}"
        );
        // A second drain is no second command.
        assert!(
            http(admin, "POST /api/v1/drain")
                .await
                .starts_with("HTTP/1.1 202 ")
        );
        let mut peer = Peer::connect(lab.sip).await;
        peer.send(&options("still")).await;
        assert!(matches!(
            lab.hears().await,
            NetInput::Sip(SipInput::Received { .. })
        ));
    });
}

#[test]
fn operator_on_the_machine_changes_registrations() {
    run(&admin_config(), Vec::new(), quiet, async |mut lab: Lab| {
        let admin = lab.admin.unwrap();
        let answer = http(admin, "POST /api/v1/deregister?impu=tel:%2B15550001&again=false").await;
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
        let impu = crate::identity::Impu::parse("tel:+15550001").unwrap();
        let wanted = RegistrationCommand::Deregister {
            impu: impu.clone(),
            again: false,
        };
        let NetInput::Command(Command::Registration(heard)) = lab.hears().await else {
            panic!("a command");
        };
        assert_eq!(heard, wanted);
        let answer = http(admin, "POST /api/v1/reauthenticate?impu=tel:%2B15550001").await;
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
        let NetInput::Command(Command::Registration(heard)) = lab.hears().await else {
            panic!("a command");
        };
        assert_eq!(heard, RegistrationCommand::Reauthenticate { impu });
        for bad in ["POST /api/v1/deregister", "POST /api/v1/deregister?impu=nobody"] {
            assert!(http(admin, bad).await.starts_with("HTTP/1.1 400 "), "{bad}");
        }
    });
}

/// Drives a probe to its end.
fn ends(config: &ShellConfig, reaction: fn(&NetInput) -> Vec<NetOutput>) -> Vec<NetInput> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let shell = Shell::bind(config).await.unwrap();
        let (heard, mut hearing) = mpsc::unbounded_channel();
        let probe = Probe {
            heard,
            reaction: Box::new(reaction),
            outputs: VecDeque::new(),
        };
        let admin = shell.admin_address().unwrap();
        let (ended, _) = tokio::join!(
            timeout(STUCK, shell.drive(probe)),
            http(admin, "POST /api/v1/drain")
        );
        ended.expect("the driver did not end").unwrap();
        let mut all = Vec::new();
        while let Ok(input) = hearing.try_recv() {
            all.push(input);
        }
        all
    })
}

#[test]
fn a_supervisors_signal_does_not_cut_short_the_drain_of_an_operator() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let shell = Shell::bind(&admin_config()).await.unwrap();
        let (heard, _hearing) = mpsc::unbounded_channel();
        let probe = Probe {
            heard,
            reaction: Box::new(|_| Vec::new()),
            outputs: VecDeque::new(),
        };
        let (admin, drivers) = (shell.admin_address().unwrap(), shell.all.clone());
        let signal = async || drivers[0].send(Event::Signal("SIGTERM")).await.unwrap();
        let operator = async {
            http(admin, "POST /api/v1/drain").await;
            signal().await;
            let health = http(admin, "GET /health").await;
            assert!(health.contains("draining"), "{health}");
            // Somebody insists.
            signal().await;
        };
        let (ended, ()) = tokio::join!(timeout(STUCK, shell.drive(probe)), operator);
        ended.expect("the driver did not end").unwrap();
    });
}

#[test]
fn a_drained_node_ends_the_driver() {
    let drained = |input: &NetInput| match input {
        NetInput::Command(Command::Drain) => vec![NetOutput::Drained],
        _ => Vec::new(),
    };
    assert_eq!(ends(&admin_config(), drained).len(), 1);
}

#[test]
fn a_drain_that_takes_too_long_ends_the_driver_too() {
    let mut config = admin_config();
    config.drain_timeout = Duration::from_millis(30);
    assert_eq!(ends(&config, quiet).len(), 1);
}

#[test]
fn a_port_in_use_is_told_with_its_key_and_a_remedy() {
    run(&admin_config(), Vec::new(), quiet, async |lab: Lab| {
        let taken = config(&lab.sip.to_string());
        let error = Shell::bind(&taken).await.err().unwrap().to_string();
        assert!(
            error.starts_with(&format!("probe.mw.address {}: cannot listen (", lab.sip)),
            "{error}"
        );
        assert!(
            error.ends_with("stop what uses it (ss -lunpt) or choose another port"),
            "{error}"
        );
    });
}

#[test]
fn an_address_that_is_not_here_refuses_to_start() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let error = runtime
        .block_on(Shell::bind(&config("192.0.2.5:5060")))
        .err()
        .unwrap();
    assert!(
        error
            .to_string()
            .starts_with("mw.address 192.0.2.5 is on no interface of this machine; add it (ip ")
    );
}

/// A whole daemon in a process of its own, for the test below: `child` prints `ready` and drains on SIGTERM.
#[test]
#[ignore = "runs as the child of sigterm_drains_a_daemon_which_then_ends_with_success"]
fn child() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut config = config("127.0.0.1:0");
    config.log.format = crate::config::LogFormat::Json;
    let _ = crate::telemetry::log::init(&config.log, Instant::now, std::io::stderr, &LeftOut::default());
    runtime.block_on(async {
        let shell = Shell::bind(&config).await.unwrap();
        let probe = Probe {
            heard: mpsc::unbounded_channel().0,
            reaction: Box::new(|input| match input {
                NetInput::Command(Command::Drain) => vec![NetOutput::Drained],
                _ => Vec::new(),
            }),
            outputs: VecDeque::new(),
        };
        shell.drive(probe).await.unwrap();
    });
}

#[test]
fn sigterm_drains_a_daemon_which_then_ends_with_success() {
    use std::io::BufRead as _;
    use std::process::{Command as Process, Stdio};
    let mut daemon = Process::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--ignored",
            "--nocapture",
            "shell::tests::operator::child",
        ])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut log = std::io::BufReader::new(daemon.stderr.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let ready = log.find(|line| line.contains("ready")).expect("never ready");
    assert!(
        ready.starts_with('{') && ready.contains("\"node\":\"probe\""),
        "{ready}"
    );
    let pid = daemon.id().to_string();
    assert!(
        Process::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert!(daemon.wait().unwrap().success());
    let rest: Vec<String> = log.collect();
    assert!(
        rest.iter().any(|l| l.contains("\"cause\":\"SIGTERM\"")),
        "{rest:?}"
    );
    assert!(
        rest.iter().any(|l| l.contains("\"message\":\"ended\"")),
        "{rest:?}"
    );
}
