//! Testkit: two network namespaces, of a P-CSCF and of UEs, with a cable between them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use socket2::{Domain, Protocol, Socket, Type};

use crate::esp::State;

/// How long a packet may take on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How long nothing has to come before a test believes that nothing comes.
pub(crate) const SILENCE: Duration = Duration::from_millis(300);

/// One network namespace. It goes away with this value.
pub(crate) struct Space {
    name: String,
}

impl Space {
    fn new(name: String) -> Self {
        run("ip", &["netns", "add", &name], "");
        Self { name }
    }

    /// Does something in a thread inside: sockets, threads and processes that it makes stay there.
    pub(crate) fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.name);
        let result = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    let file = File::open(&path).expect("a namespace");
                    setns(file, CloneFlags::CLONE_NEWNET).expect("the right to enter a namespace");
                    act()
                })
                .join()
        });
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// What `ip` says inside.
    pub(crate) fn ip(&self, arguments: &str) -> String {
        let mut all = vec!["-n", &self.name];
        all.extend(arguments.split_whitespace());
        run("ip", &all, "")
    }

    /// Many commands of `ip`, one a line; all have to hold.
    pub(crate) fn batch(&self, lines: &str) {
        run("ip", &["-n", &self.name, "-batch", "-"], lines);
    }

    /// The security associations inside, with what they have carried.
    pub(crate) fn states(&self) -> Vec<State> {
        State::all(&self.ip("-s xfrm state"))
    }

    /// How many policies there are; those of sockets do not count.
    pub(crate) fn policies(&self) -> usize {
        let said = self.ip("xfrm policy");
        said.lines().filter(|line| line.starts_with("src ")).count()
    }

    /// A counter of /proc/net/xfrm_stat.
    pub(crate) fn xfrm_stat(&self, name: &str) -> u64 {
        self.drops().get(name).copied().unwrap_or(0)
    }

    /// Counters of what was dropped for a reason of IPsec, those above zero.
    pub(crate) fn drops(&self) -> BTreeMap<String, u64> {
        let text = self.inside(|| std::fs::read_to_string("/proc/thread-self/net/xfrm_stat"));
        let text = text.expect("the statistics of XFRM");
        let counters = text.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
        });
        counters.filter(|(_, value)| *value > 0).collect()
    }

    /// A UDP socket inside.
    pub(crate) fn udp(&self, address: SocketAddr) -> UdpSocket {
        let socket = self
            .inside(|| patiently(|| UdpSocket::bind(address)))
            .expect("a free port");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket
    }

    /// A TCP listener inside.
    pub(crate) fn listener(&self, address: SocketAddr) -> TcpListener {
        self.inside(|| patiently(|| TcpListener::bind(address)))
            .expect("a free port")
    }

    /// A TCP connection from exactly `local`.
    pub(crate) fn connect(
        &self,
        local: SocketAddr,
        remote: SocketAddr,
        patience: Duration,
    ) -> std::io::Result<TcpStream> {
        self.inside(|| {
            let socket = Socket::new(Domain::for_address(local), Type::STREAM, Some(Protocol::TCP))?;
            socket.set_reuse_address(true)?;
            patiently(|| socket.bind(&local.into()))?;
            socket.connect_timeout(&remote.into(), patience)?;
            let stream = TcpStream::from(socket);
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(stream)
        })
    }

    /// The name of the namespace.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// That nothing of IPsec is left.
    pub(crate) fn assert_no_xfrm(&self) {
        assert_eq!(self.states(), Vec::new(), "states are left in {}", self.name);
        assert_eq!(self.policies(), 0, "policies are left in {}", self.name);
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

/// The addresses of the P-CSCF.
pub(crate) const PCSCF: [&str; 2] = ["192.0.2.1", "2001:db8::1"];
/// How many UE addresses there are of each family.
const UES: u16 = 20;

/// A P-CSCF's host, and one of UEs, joined by a veth pair.
pub(crate) struct Net {
    /// The network's side.
    pub(crate) pcscf: Space,
    /// The UEs' side: each has an address of its own.
    pub(crate) ue: Space,
}

impl Net {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = |side: &str| format!("ims-{}-{number}-{side}", std::process::id());
        let net = Self {
            pcscf: Space::new(name("p")),
            ue: Space::new(name("u")),
        };
        let (p, u) = (&net.pcscf.name, &net.ue.name);
        run(
            "ip",
            &["-batch", "-"],
            &format!("link add name v0 netns {p} type veth peer name v0 netns {u}\n"),
        );
        let up = "link set lo up\nlink set v0 up\n";
        let [v4, v6] = PCSCF;
        net.pcscf.batch(&format!(
            "addr add {v4}/24 dev v0\naddr add {v6}/64 dev v0 nodad\n{up}"
        ));
        let mut lines = up.to_owned();
        for number in 0..UES {
            let [v4, v6] = [true, false].map(|v4| ue_address(v4, number));
            lines += &format!("addr add {v4}/24 dev v0\naddr add {v6}/64 dev v0 nodad\n");
        }
        net.ue.batch(&lines);
        net
    }

    /// That both sides hold nothing of IPsec.
    pub(crate) fn assert_no_xfrm(&self) {
        self.pcscf.assert_no_xfrm();
        self.ue.assert_no_xfrm();
    }
}

/// The P-CSCF's address of one family.
pub(crate) fn pcscf_address(v4: bool) -> IpAddr {
    let [first, second] = PCSCF;
    if v4 { first } else { second }.parse().expect("an address")
}

/// The address of a UE.
pub(crate) fn ue_address(v4: bool, number: u16) -> IpAddr {
    assert!(number < UES, "there are {UES} UE addresses");
    let text = match v4 {
        true => format!("192.0.2.{}", 101 + number),
        false => format!("2001:db8::{:x}", 0x101 + number),
    };
    text.parse().expect("an address")
}

/// Waits while a port is taken: a child that another test starts holds a copy of each of our sockets until it runs its
/// program.
fn patiently<T>(mut bind: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        match bind() {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}

/// Waits until something is so.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "after {PATIENCE:?} not so: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Runs a program to its end with this input: what it printed.
pub(crate) fn run(program: &str, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("a reader");
    drop(stdin);
    let output = child.wait_with_output().expect("an end");
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}\n{input}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}
