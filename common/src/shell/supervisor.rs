//! Shell: what a supervisor such as systemd is told: that we serve, that we end, that we live (`sd_notify(3)`).
//!
//! One datagram to the socket that `NOTIFY_SOCKET` names; without that variable nobody asked. A supervisor that has
//! gone does not stop a node, so nothing here fails.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Whom to tell.
#[derive(Debug)]
pub(super) struct Supervisor {
    /// Where `NOTIFY_SOCKET` points; `None`: nobody asked.
    socket: Option<UnixDatagram>,
    /// Half of what `WATCHDOG_USEC` allows between two signs of life.
    sign_of_life: Option<Duration>,
}

impl Supervisor {
    /// The one that the environment names.
    pub(super) fn from_environment() -> Self {
        let pid = std::env::var("WATCHDOG_PID").ok();
        let is_ours = pid.is_none_or(|pid| pid == std::process::id().to_string());
        let watchdog = std::env::var("WATCHDOG_USEC").ok().filter(|_| is_ours);
        Self::new(std::env::var_os("NOTIFY_SOCKET"), watchdog.as_deref())
    }

    fn new(socket: Option<OsString>, watchdog_usec: Option<&str>) -> Self {
        let socket = socket.and_then(|name| {
            connect(&name)
                .inspect_err(|error| tracing::warn!(%error, "NOTIFY_SOCKET cannot be reached"))
                .ok()
        });
        let sign_of_life = watchdog_usec
            .and_then(|text| text.parse().ok())
            .filter(|micros| *micros > 0 && socket.is_some())
            .map(|micros| Duration::from_micros(micros) / 2);
        Self { socket, sign_of_life }
    }

    /// The node serves.
    pub(super) fn ready(&self, name: &str) {
        self.tell(&format!("READY=1\nSTATUS={name} serves"));
    }

    /// The node takes no new work and ends soon.
    pub(super) fn stopping(&self, name: &str, cause: &str) {
        self.tell(&format!("STOPPING=1\nSTATUS={name} drains: {cause}"));
    }

    /// Says again and again that this thread does its work, if the supervisor wants to hear it. What blocks the thread
    /// for long, for whatever reason, makes the supervisor start the daemon again.
    pub(super) fn keep_alive(&self) {
        let (Some(pause), Some(socket)) = (self.sign_of_life, &self.socket) else {
            return;
        };
        let Ok(socket) = socket.try_clone() else {
            return;
        };
        tokio::spawn(async move {
            loop {
                let _ = socket.send(b"WATCHDOG=1");
                tokio::time::sleep(pause).await;
            }
        });
    }

    fn tell(&self, words: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(words.as_bytes())
        {
            tracing::warn!(%error, "the supervisor does not listen");
        }
    }
}

/// A path, or with `@` in front an abstract name.
fn connect(name: &OsString) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    // A full queue of the supervisor must not stop a node.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut octets = [0; 256];
        let length = socket.recv(&mut octets).unwrap();
        String::from_utf8_lossy(&octets[..length]).into_owned()
    }

    #[test]
    fn an_abstract_socket_hears_that_the_node_serves_and_that_it_ends() {
        let name = format!("ims-supervisor-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        let supervisor = Supervisor::new(Some(format!("@{name}").into()), None);
        supervisor.ready("pcscf");
        supervisor.stopping("pcscf", "SIGTERM");
        assert_eq!(heard(&socket), "READY=1\nSTATUS=pcscf serves");
        assert_eq!(heard(&socket), "STOPPING=1\nSTATUS=pcscf drains: SIGTERM");
    }

    #[test]
    fn a_supervisor_that_has_gone_or_was_never_there_is_no_trouble() {
        Supervisor::new(None, Some("1000000")).ready("pcscf");
        let gone = Supervisor::new(Some("/nonexistent/notify".into()), Some("1000000"));
        gone.ready("pcscf");
        assert_eq!(gone.sign_of_life, None);
    }

    #[test]
    fn a_watchdog_hears_twice_as_often_as_it_asks() {
        let name = format!("ims-watchdog-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        let at = Some(OsString::from(format!("@{name}")));
        let asked = Supervisor::new(at.clone(), Some("20000"));
        assert_eq!(asked.sign_of_life, Some(Duration::from_millis(10)));
        assert_eq!(Supervisor::new(at.clone(), Some("0")).sign_of_life, None);
        assert_eq!(Supervisor::new(at, Some("often")).sign_of_life, None);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        runtime.unwrap().block_on(async {
            asked.keep_alive();
            tokio::time::sleep(Duration::from_millis(25)).await;
        });
        assert_eq!(heard(&socket), "WATCHDOG=1");
        assert_eq!(heard(&socket), "WATCHDOG=1");
    }
}
