//! Shell: what this machine is, as netlink and /proc tell: addresses, links, routes, switches of the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use futures_util::TryStreamExt;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::AddressAttribute;
use netlink_packet_route::link::{LinkAttribute, LinkFlags};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteType};
use rtnetlink::Handle;

use crate::config::{Cidr, ShellConfig};

/// What this machine is, as far as the doctor asks.
#[derive(Clone, Debug, Default)]
pub(super) struct Machine {
    /// Addresses and the interface that each is on.
    pub(super) addresses: BTreeMap<IpAddr, String>,
    /// Loopback is up: then all of 127.0.0.0/8 is ours.
    pub(super) loopback: bool,
    /// An interface to name in a remedy.
    pub(super) device: Option<String>,
    /// Routes to the blocks that the configuration names; `None`: there is none.
    pub(super) routes: BTreeMap<Cidr, Option<Route>>,
    /// Runs inside a container, as far as one tells.
    pub(super) container: bool,
}

/// What the kernel would do with packets to a block of addresses.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Route {
    /// The interface by which they leave.
    pub(super) device: Option<String>,
    pub(super) gateway: Option<IpAddr>,
    /// Nothing better than the default route fits.
    pub(super) is_default: bool,
    /// They do not leave this machine.
    pub(super) is_local: bool,
}

impl Machine {
    /// The interface that has this address.
    pub(super) fn device_of(&self, ip: IpAddr) -> &str {
        self.addresses.get(&ip).map_or("lo", String::as_str)
    }

    /// Whether packets to this address end here.
    pub(super) fn has(&self, ip: IpAddr) -> bool {
        self.addresses.contains_key(&ip) || (ip.is_ipv4() && ip.is_loopback() && self.loopback)
    }

    /// Asks the kernel.
    ///
    /// # Errors
    /// Without netlink: then binding will tell.
    pub(super) async fn gather(config: &ShellConfig) -> Result<Self, String> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(|error| error.to_string())?;
        let task = tokio::spawn(connection);
        let result = machine(&handle, &config.ue_pools).await;
        task.abort();
        result.map_err(|error| error.to_string())
    }
}

/// A setting of the kernel, by its path below /proc/sys.
pub(super) fn sysctl(setting: &str) -> String {
    std::fs::read_to_string(format!("/proc/sys/{setting}")).unwrap_or_default()
}

async fn machine(handle: &Handle, pools: &[Cidr]) -> Result<Machine, rtnetlink::Error> {
    let marks = ["/.dockerenv", "/run/.containerenv"];
    let mut machine = Machine {
        container: marks.iter().any(|path| std::path::Path::new(path).exists()),
        ..Machine::default()
    };
    let mut names = BTreeMap::new();
    let mut links = handle.link().get().execute();
    while let Some(link) = links.try_next().await? {
        let flags = link.header.flags;
        let name = link.attributes.iter().find_map(|a| match a {
            LinkAttribute::IfName(name) => Some(name.clone()),
            _ => None,
        });
        let name = name.unwrap_or_else(|| link.header.index.to_string());
        if flags.contains(LinkFlags::Up) && flags.contains(LinkFlags::Loopback) {
            machine.loopback = true;
        } else if flags.contains(LinkFlags::Up) {
            machine.device.get_or_insert_with(|| name.clone());
        }
        names.insert(link.header.index, name);
    }
    let mut addresses = handle.address().get().execute();
    while let Some(message) = addresses.try_next().await? {
        let name = names.get(&message.header.index).cloned().unwrap_or_default();
        for attribute in &message.attributes {
            if let AddressAttribute::Address(ip) | AddressAttribute::Local(ip) = attribute {
                machine.addresses.insert(*ip, name.clone());
            }
        }
    }
    for pool in pools.iter().copied().collect::<BTreeSet<_>>() {
        machine
            .routes
            .insert(pool, route(handle, pool.network, &names).await);
    }
    Ok(machine)
}

/// What the kernel would do with a packet to this address.
async fn route(handle: &Handle, ip: IpAddr, names: &BTreeMap<u32, String>) -> Option<Route> {
    let chosen = lookup(handle, ip, RouteFlags::empty()).await?;
    // The entry of the table by which it was chosen. Kernels before 4.13 do not tell: then it is as good as any.
    let entry = lookup(handle, ip, RouteFlags::FibMatch).await;
    let mut route = Route {
        is_local: chosen.header.kind == RouteType::Local,
        is_default: entry.is_some_and(|entry| entry.header.destination_prefix_length == 0),
        ..Route::default()
    };
    for attribute in &chosen.attributes {
        match attribute {
            RouteAttribute::Oif(index) => route.device = names.get(index).cloned(),
            RouteAttribute::Gateway(RouteAddress::Inet(ip)) => route.gateway = Some((*ip).into()),
            RouteAttribute::Gateway(RouteAddress::Inet6(ip)) => route.gateway = Some((*ip).into()),
            _ => {}
        }
    }
    Some(route)
}

async fn lookup(handle: &Handle, ip: IpAddr, flags: RouteFlags) -> Option<RouteMessage> {
    let mut question = RouteMessage::default();
    let (family, bits, address) = match ip {
        IpAddr::V4(v4) => (AddressFamily::Inet, 32, RouteAddress::Inet(v4)),
        IpAddr::V6(v6) => (AddressFamily::Inet6, 128, RouteAddress::Inet6(v6)),
    };
    question.header.address_family = family;
    question.header.destination_prefix_length = bits;
    question.header.flags = flags;
    question.attributes.push(RouteAttribute::Destination(address));
    let mut routes = Box::pin(handle.route().get(question).execute());
    routes.try_next().await.ok().flatten()
}
