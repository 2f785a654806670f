//! Testkit: one small site (P-, I-, S-CSCFs and an HSS), its addresses, and the very configuration files that its
//! daemons read. The virtual world, the lab and the end-to-end suite all begin here.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ims_common::config::DaemonConfig;
use ims_common::net::{ResolvedTarget, Transport};
use ims_common::proxy::HostsTable;

use crate::sms_gateway::SmsGatewayConfig;

/// The home network of all tests (PLMN 001/01).
pub const HOME: &str = "ims.mnc001.mcc001.3gppnetwork.org";

/// Where everything is, and what differs from the defaults.
#[derive(Clone, Debug)]
pub struct Site {
    /// P-CSCF towards UEs.
    pub gm: SocketAddr,
    /// P-CSCF towards the core.
    pub pcscf: SocketAddr,
    /// I-CSCF.
    pub icscf: SocketAddr,
    /// S-CSCFs, `scscf1` first.
    pub scscfs: Vec<SocketAddr>,
    /// HSS.
    pub hss: SocketAddr,
    /// Whom the CSCFs dial instead of the HSS, as in their files, the preferred one first; empty means the HSS itself.
    pub diameter: Vec<String>,
    /// The first address of UEs; the others follow.
    pub ues: IpAddr,
    /// Gm is protected by IPsec.
    pub ipsec: bool,
    /// With `ipsec`: phones without it are served too.
    pub allow_unprotected: bool,
    /// The P-CSCF subscribes to the registrations of UEs.
    pub reg_event: bool,
    /// Lines for the P-CSCF's file.
    pub pcscf_more: String,
    /// Lines for the I-CSCF's file.
    pub icscf_more: String,
    /// Lines for the S-CSCFs' files. Unless set, AKA is accepted without IPsec.
    pub scscf_more: String,
    /// MTU between the CSCFs, when they are to know it.
    pub mw_path_mtu: Option<u16>,
    /// Operator's endpoints of P-, I- and first S-CSCF.
    pub admin: Option<[SocketAddr; 3]>,
}

impl Site {
    /// The site on loopback addresses 127.0.1.1 and up, as the lab has it.
    #[must_use]
    pub fn loopback() -> Self {
        Self::on_network([127, 0, 1])
    }

    /// The site on addresses of one /24 network: P-CSCF .1 and .2, I-CSCF .3, S-CSCFs .4, .6, HSS .5, UEs .10 and up.
    #[must_use]
    pub fn on_network([a, b, c]: [u8; 3]) -> Self {
        let ip = |last| IpAddr::V4(Ipv4Addr::new(a, b, c, last));
        Self {
            gm: SocketAddr::new(ip(1), 5060),
            pcscf: SocketAddr::new(ip(2), 5060),
            icscf: SocketAddr::new(ip(3), 5060),
            scscfs: vec![SocketAddr::new(ip(4), 5060)],
            hss: SocketAddr::new(ip(5), 3868),
            diameter: Vec::new(),
            ues: ip(10),
            ipsec: false,
            allow_unprotected: false,
            reg_event: false,
            pcscf_more: String::new(),
            icscf_more: String::new(),
            scscf_more: "  registration: {unprotected_response: accept}\n".to_owned(),
            mw_path_mtu: None,
            admin: None,
        }
    }

    /// The site on addresses of 2001:db8::/64, with the last numbers of [`Self::on_network`].
    #[must_use]
    pub fn on_ipv6_network() -> Self {
        let v4 = Self::on_network([192, 0, 2]);
        let ip = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => {
                let [.., last] = ip.octets();
                IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(last)))
            }
            ip @ IpAddr::V6(_) => ip,
        };
        let at = |address: SocketAddr| SocketAddr::new(ip(address.ip()), address.port());
        Self {
            gm: at(v4.gm),
            pcscf: at(v4.pcscf),
            icscf: at(v4.icscf),
            scscfs: v4.scscfs.iter().copied().map(at).collect(),
            hss: at(v4.hss),
            ues: ip(v4.ues),
            ..v4
        }
    }

    /// The site on `[::1]`, told apart by ports from `port` on.
    #[must_use]
    pub fn on_ipv6_ports(port: u16) -> Self {
        let at = |offset| SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), port + offset);
        Self {
            gm: at(0),
            pcscf: at(1),
            icscf: at(2),
            scscfs: vec![at(3)],
            hss: at(4),
            ues: IpAddr::V6(Ipv6Addr::LOCALHOST),
            ..Self::loopback()
        }
    }

    /// The same site with Gm protected: then no answer to a challenge is believed outside of security associations.
    #[must_use]
    pub fn with_ipsec(mut self) -> Self {
        self.ipsec = true;
        self.scscf_more.clear();
        self
    }

    /// The same site with a P-CSCF that subscribes to the registrations of UEs, as it does unless told otherwise.
    #[must_use]
    pub fn with_reg_event(mut self) -> Self {
        self.reg_event = true;
        self
    }

    /// The same site with a second S-CSCF.
    #[must_use]
    pub fn with_second_scscf(mut self) -> Self {
        let first = self.scscf();
        let ip = match first.ip() {
            IpAddr::V4(ip) => {
                let [a, b, c, d] = ip.octets();
                IpAddr::V4(Ipv4Addr::new(a, b, c, d + 2))
            }
            ip @ IpAddr::V6(_) => ip,
        };
        let port = if first.is_ipv4() {
            first.port()
        } else {
            first.port() + 2
        };
        self.scscfs.push(SocketAddr::new(ip, port));
        self
    }

    /// The first S-CSCF.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn scscf(&self) -> SocketAddr {
        *self
            .scscfs
            .first()
            .unwrap_or_else(|| panic!("a site has an S-CSCF"))
    }

    /// The address of the UE with this number.
    #[must_use]
    pub fn ue(&self, number: u8) -> SocketAddr {
        match self.ues {
            IpAddr::V4(ip) => {
                let [a, b, c, d] = ip.octets();
                SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d + number)), 5060)
            }
            IpAddr::V6(ip) if !ip.is_loopback() => {
                let [a, b, c, d, e, f, g, h] = ip.segments();
                let ip = Ipv6Addr::new(a, b, c, d, e, f, g, h + u16::from(number));
                SocketAddr::new(IpAddr::V6(ip), 5060)
            }
            ip @ IpAddr::V6(_) => SocketAddr::new(ip, self.gm.port() + 20 + u16::from(number)),
        }
    }

    /// The address of the application server with this number, 1 and up: beside the I-CSCF.
    #[must_use]
    pub fn app_server(&self, number: u8) -> SocketAddr {
        match self.icscf.ip() {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, 200 + number)), 5060)
            }
            IpAddr::V6(ip) if !ip.is_loopback() => {
                let [a, b, c, d, e, f, g, _] = ip.segments();
                let ip = Ipv6Addr::new(a, b, c, d, e, f, g, 200 + u16::from(number));
                SocketAddr::new(IpAddr::V6(ip), 5060)
            }
            ip @ IpAddr::V6(_) => SocketAddr::new(ip, self.gm.port() + 10 + u16::from(number)),
        }
    }

    /// The URI of the application server with this number, by name. Its host resolves where the server was added.
    #[must_use]
    pub fn app_server_uri(&self, number: u8) -> String {
        format!(
            "sip:{}:{}",
            Self::app_server_host(number),
            self.app_server(number).port()
        )
    }

    /// The host name of the application server with this number.
    #[must_use]
    pub fn app_server_host(number: u8) -> String {
        format!("as{number}.{HOME}")
    }

    /// The IP-SM-GW in the place of the application server with this number, named by its address.
    #[must_use]
    pub fn sms_gateway(&self, number: u8) -> SmsGatewayConfig {
        SmsGatewayConfig {
            local: self.app_server(number),
            host: None,
            icscf: format!("sip:{}", self.icscf),
            refuses: None,
            hosts: self.hosts_table(),
        }
    }

    /// Where the names of the S-CSCFs are served.
    #[must_use]
    pub fn hosts_table(&self) -> HostsTable {
        let named = self.scscfs.iter().enumerate().map(|(index, remote)| {
            let both = [Transport::Udp, Transport::Tcp];
            let targets = both.map(|transport| ResolvedTarget {
                transport,
                remote: *remote,
            });
            (format!("scscf{}.{HOME}", index + 1), targets.to_vec())
        });
        HostsTable(named.collect())
    }

    /// The SIP URI of the S-CSCF with this index, as the HSS stores it.
    #[must_use]
    pub fn server_name(index: usize) -> String {
        format!("sip:scscf{}.{HOME}", index + 1)
    }

    /// The file of the P-CSCF.
    #[must_use]
    pub fn pcscf_file(&self) -> String {
        let mut text = format!(
            "pcscf:\n  home_realm: {HOME}\n  gm: {{address: \"{}\", security: {}}}\n  {}\n  \
             icscf: \"sip:{}\"\n  visited_network: {HOME}\n",
            self.gm,
            match (self.ipsec, self.allow_unprotected) {
                (false, _) => "none",
                (true, false) => "ipsec",
                (true, true) => "ipsec, allow_unprotected: true",
            },
            self.mw(self.pcscf),
            self.icscf
        );
        if !self.reg_event {
            text.push_str("  reg_event: {subscribe: false}\n");
        }
        self.finish(text_with_admin(&mut text, self.admin, 0), &self.pcscf_more)
    }

    /// The file of the I-CSCF.
    #[must_use]
    pub fn icscf_file(&self) -> String {
        let mut text = format!(
            "icscf:\n  home_realm: {HOME}\n  {}\n  \
             hss: {{peers: [{}], origin_host: icscf.{HOME}}}\n  scscfs:\n",
            self.mw(self.icscf),
            self.diameter_peers()
        );
        for index in 0..self.scscfs.len() {
            let _ = writeln!(
                text,
                "    - {{uri: \"{}\", capabilities: [{}]}}",
                Self::server_name(index),
                index + 1
            );
        }
        self.finish(text_with_admin(&mut text, self.admin, 1), &self.icscf_more)
    }

    /// The file of the S-CSCF with this index.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn scscf_file(&self, index: usize) -> String {
        let address = self
            .scscfs
            .get(index)
            .unwrap_or_else(|| panic!("no S-CSCF {index}"));
        let mut text = format!(
            "scscf:\n  home_realm: {HOME}\n  {}\n  server_name: \"{}\"\n  \
             hss: {{peers: [{}], origin_host: scscf{}.{HOME}}}\n  icscf: \"sip:{}\"\n",
            self.mw(*address),
            Self::server_name(index),
            self.diameter_peers(),
            index + 1,
            self.icscf
        );
        let admin = self.admin.filter(|_| index == 0);
        self.finish(text_with_admin(&mut text, admin, 2), &self.scscf_more)
    }

    fn mw(&self, address: SocketAddr) -> String {
        let path_mtu = self
            .mw_path_mtu
            .map_or(String::new(), |mtu| format!(", path_mtu: {mtu}"));
        format!("mw: {{address: \"{address}\"{path_mtu}}}")
    }

    fn diameter_peers(&self) -> String {
        if self.diameter.is_empty() {
            return format!("\"{}\"", self.hss);
        }
        let quoted: Vec<String> = self.diameter.iter().map(|peer| format!("\"{peer}\"")).collect();
        quoted.join(", ")
    }

    fn finish(&self, text: &str, more: &str) -> String {
        let mut text = text.to_owned();
        text += "  hosts:\n";
        for (index, address) in self.scscfs.iter().enumerate() {
            let _ = writeln!(text, "    scscf{}.{HOME}: \"{address}\"", index + 1);
        }
        text + more
    }
}

fn text_with_admin(text: &mut String, admin: Option<[SocketAddr; 3]>, index: usize) -> &str {
    let Some(all) = admin else { return text };
    let own = all.iter().skip(index).take(1);
    let neighbours: Vec<String> = all
        .iter()
        .enumerate()
        .filter(|(other, _)| *other != index)
        .map(|(_, address)| format!("\"http://{address}\""))
        .collect();
    for address in own {
        let _ = writeln!(
            text,
            "  admin: {{listen: \"{address}\", neighbours: [{}]}}",
            neighbours.join(", ")
        );
    }
    text
}

/// Reads a configuration file as its daemon does.
///
/// # Panics
/// When the daemon would refuse it: the files are ours.
#[must_use]
pub fn read<T: DaemonConfig>(text: &str) -> T {
    ims_common::config::parse::<T>(T::NAME, text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}
