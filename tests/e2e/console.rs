//! Testkit: the console, in a real browser without a screen, against the real binaries.

use std::path::PathBuf;
use std::process::Command;

use ims_tests::scene::{imsi, subscriber};
use ims_tests::site::Site;
use ims_tests::ue::{UeCommand, UeEvent};

use crate::network::{Network, PATIENCE};

/// Virtual milliseconds that a page has: it asks at once, and again every two seconds.
const PAGE_TIME: &str = "--virtual-time-budget=1500";

/// A browser with a profile of its own.
struct Browser {
    profile: PathBuf,
}

impl Browser {
    fn new() -> Self {
        let profile = ims_tests::daemons::fresh_directory().expect("a directory");
        Self { profile }
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new("chromium")
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
            ])
            .args(["--no-first-run", "--hide-scrollbars", "--window-size=1280,900"])
            .arg(format!("--user-data-dir={}", self.profile.display()))
            .arg(PAGE_TIME)
            .args(arguments)
            .output()
            .expect("chromium can be started: apt-get install chromium");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The page as it is once its scripts have run.
    fn page(&self, url: &str) -> String {
        self.run(&["--dump-dom", url])
    }

    /// Leaves a picture where the guide wants one, when somebody asks for new pictures.
    fn picture(&self, url: &str, name: &str) {
        if std::env::var_os("UPDATE_PICTURES").is_some() {
            let file = format!("{}/../deploy/guide/{name}.png", env!("CARGO_MANIFEST_DIR"));
            self.run(&[&format!("--screenshot={file}"), url]);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

/// A site whose nodes know each other's administration; the P-CSCF's answers for all.
fn site() -> (Site, String) {
    let mut site = Site::on_network([127, 0, 60]);
    let [p, i, s] = [9091, 9092, 9093].map(|port| format!("127.0.60.2:{port}"));
    let more = format!("  admin: {{listen: {p}, neighbours: [\"http://{i}\", \"http://{s}\"]}}\n");
    site.pcscf_more.push_str(&more);
    site.icscf_more.push_str(&format!("  admin: {{listen: {i}}}\n"));
    site.scscf_more.push_str(&format!("  admin: {{listen: {s}}}\n"));
    (site, format!("http://{p}"))
}

#[test]
fn a_browser_shows_the_nodes_who_is_registered_and_why_somebody_is_not() {
    let (site, url) = site();
    let network = Network::start(site, vec![subscriber(1)]);
    let phone = network.phone(1, |config| config);
    network.must(&phone, UeCommand::Register);
    let stranger = network.phone(9, |config| config);
    let events = stranger
        .tell_and_wait(UeCommand::Register, PATIENCE)
        .expect("an end");
    assert!(matches!(
        events.last(),
        Some(UeEvent::Rejected { status: 403, .. })
    ));

    let browser = Browser::new();
    let overview = browser.page(&url);
    for text in [
        "data-node=\"pcscf\"",
        "data-node=\"icscf\"",
        "data-node=\"scscf\"",
        "serving",
    ] {
        assert!(overview.contains(text), "{text} is not in\n{overview}");
    }
    browser.picture(&url, "console-overview");

    let users = browser.page(&format!("{url}/#/users"));
    assert!(users.contains(&imsi(1)), "{users}");
    assert!(!users.contains(&imsi(9)), "{users}");

    let why = format!("{url}/#/why/{}", imsi(9));
    let page = browser.page(&why);
    for text in [
        "The HSS does not know IMPI 001010000000009",
        "REGISTER",
        "UAR",
        "UAA 5001",
        "403 (REGISTER)",
        "I-CSCF",
    ] {
        assert!(page.contains(text), "{text} is not in\n{page}");
    }
    browser.picture(&why, "console-why");
    // Both rounds of the registration: the S-CSCF asks the HSS for a vector, then for the profile.
    let well = browser.page(&format!("{url}/#/why/{}", imsi(1)));
    for text in [
        "Nothing here needs an explanation",
        "MAA 2001",
        "SAA 2001",
        "200 (REGISTER)",
    ] {
        assert!(well.contains(text), "{text} is not in\n{well}");
    }
    network.stop();
}

#[test]
fn what_a_stranger_calls_himself_is_text_and_never_markup() {
    let mut site = Site::on_network([127, 0, 70]);
    site.pcscf_more = "  admin: {listen: 127.0.70.2:9091}\n".to_owned();
    let network = Network::start(site, vec![subscriber(1)]);
    let gm = network.site.gm;
    let sender = std::net::UdpSocket::bind("127.0.70.77:0").expect("a socket");
    let evil = "<img>";
    let options = format!(
        "OPTIONS sip:ims.test SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.70.77;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n\
         From: <sip:eve@ims.test>;tag=1\r\nTo: <sip:eve@ims.test>\r\nCall-ID: {evil}\r\nCSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    );
    sender.send_to(options.as_bytes(), gm).expect("sent");
    let browser = Browser::new();
    let page = browser.page("http://127.0.70.2:9091/#/why/eve");
    assert!(page.contains("OPTIONS"), "{page}");
    assert!(page.contains("&lt;img&gt;"), "{page}");
    assert!(!page.contains("<img"), "{page}");
    network.stop();
}
