//! Shell: two network namespaces with a cable between them: a network's host, and one of phones.
//!
//! Packets between addresses of one namespace pass no IPsec; only a cable shows it.

use std::fs::File;
use std::net::IpAddr;
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::sched::{CloneFlags, setns};

/// A network namespace. It goes away with this value.
pub struct Space {
    name: String,
}

impl Space {
    /// A new one, with its loopback up.
    ///
    /// # Errors
    /// Without the right to make one.
    pub fn new(name: &str) -> Result<Self> {
        ip(&["netns", "add", name])?;
        let space = Self {
            name: name.to_owned(),
        };
        space.ip("link set lo up")?;
        Ok(space)
    }

    /// A command of `ip` inside.
    ///
    /// # Errors
    /// With what it says.
    pub fn ip(&self, arguments: &str) -> Result<()> {
        let mut all = vec!["-n", &self.name];
        all.extend(arguments.split_whitespace());
        ip(&all)
    }

    /// Does something in a thread inside: sockets, threads and processes that it makes stay there.
    ///
    /// # Errors
    /// Those of `act`, and when the namespace cannot be entered.
    pub fn inside<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let path = format!("/run/netns/{}", self.name);
        let entered = || {
            let file = File::open(&path).with_context(|| format!("no namespace {path}"))?;
            setns(file, CloneFlags::CLONE_NEWNET).context("cannot enter a namespace")?;
            act()
        };
        std::thread::scope(|scope| scope.spawn(entered).join())
            .unwrap_or_else(|_| Err(anyhow!("a thread in a namespace has panicked")))
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = ip(&["netns", "del", &self.name]);
    }
}

/// The two ends of a cable.
pub struct Cable {
    /// The network's.
    pub network: Space,
    /// The phones'.
    pub phones: Space,
}

impl Cable {
    /// Lays it, with these addresses of one /24 network at its ends.
    ///
    /// # Errors
    /// Without the right, or without veth interfaces.
    pub fn lay(network: IpAddr, phones: &[IpAddr]) -> Result<Self> {
        let name = |side: &str| format!("ims-{}-{side}", std::process::id());
        let cable = Self {
            network: Space::new(&name("network"))?,
            phones: Space::new(&name("phones"))?,
        };
        let (near, far) = (&cable.network.name, &cable.phones.name);
        ip(&[
            "link", "add", "name", "v0", "netns", near, "type", "veth", "peer", "name", "v0", "netns", far,
        ])?;
        cable.network.ip(&format!("addr add {network}/24 dev v0"))?;
        for phone in phones {
            cable.phones.ip(&format!("addr add {phone}/24 dev v0"))?;
        }
        for end in [&cable.network, &cable.phones] {
            end.ip("link set v0 up")?;
        }
        Ok(cable)
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .context("cannot run ip")?;
    ensure!(
        output.status.success(),
        "ip {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
