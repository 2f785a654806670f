//! Testkit: what is on the wire, by tcpdump.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::space::{Space, eventually, run};

/// A capture that runs.
pub(crate) struct Capture {
    child: Child,
    file: PathBuf,
}

impl Capture {
    /// Of all that passes the cable of a namespace.
    pub(crate) fn start(space: &Space) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let file = std::env::temp_dir().join(format!("ims-{}-{number}.pcap", std::process::id()));
        let log = file.with_extension("log");
        let complaints = std::fs::File::create(&log).expect("a file");
        let child = Command::new("ip")
            .args(["netns", "exec", space.name(), "tcpdump", "-Z", "root", "-i", "v0", "-s", "0", "-n"])
            // Without these two, what came in the last second is lost now and then.
            .args(["-U", "--immediate-mode", "-w"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(complaints)
            .spawn()
            .expect("tcpdump");
        eventually("tcpdump listens", || {
            std::fs::read_to_string(&log).is_ok_and(|said| said.contains("listening on"))
        });
        let _ = std::fs::remove_file(log);
        Self { child, file }
    }

    /// Ends it: the packets, each whole from the link layer on.
    pub(crate) fn stop(mut self) -> Vec<Vec<u8>> {
        std::thread::sleep(crate::space::SILENCE);
        run("kill", &["-INT", &self.child.id().to_string()], "");
        self.child.wait().expect("an end");
        let bytes = std::fs::read(&self.file).expect("a capture");
        packets(&bytes)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.file);
    }
}

/// The packets of a pcap file of this machine's byte order.
fn packets(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes = bytes.get(24..).expect("the head of a capture");
    let mut all = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(16) {
        let length = u32::from_ne_bytes(head[8..12].try_into().expect("four octets"));
        let (packet, rest) = rest.split_at(usize::try_from(length).expect("a length"));
        all.push(packet.to_vec());
        bytes = rest;
    }
    all
}

/// Whether `text` stands in a packet in clear.
pub(crate) fn contains(packet: &[u8], text: &str) -> bool {
    packet.windows(text.len()).any(|window| window == text.as_bytes())
}
