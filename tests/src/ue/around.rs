//! Testkit: what goes into the messages of a phone that are no REGISTERs: its names, where it is, and the way.

use std::net::IpAddr;

use super::UeConfig;
use super::dialog::{Outgoing, uri_of};
use super::register::{Authorization, Procedure, Registrant};
use super::sas::Said;
use super::shape::Fill;
use super::talk::{Manner, Preferred};

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Around {
    pub(super) manner: Manner,
    pub(super) ip: IpAddr,
    /// Contact
    pub(super) contact: String,
    /// From, without tag
    pub(super) from: String,
    /// P-Preferred-Identity
    pub(super) preferred: String,
    /// Its default public identity
    pub(super) identity: String,
    /// The P-CSCF and the Service-Route
    pub(super) routes: Vec<String>,
    /// Security-Verify
    pub(super) verify: String,
}

impl Around {
    pub(super) fn of(registrant: &Registrant, config: &UeConfig) -> Self {
        let said = match &registrant.sas {
            Some(sas) => sas.said_in_use(config),
            None => Said::default(),
        };
        let inside = registrant.sas.as_ref();
        let inside = inside.and_then(|sas| sas.way_in_use(config.transport));
        let pcscf = inside.map_or(config.pcscf, |flow| flow.remote);
        let identity = |scheme: &str| {
            let mut names = registrant.associated.iter().map(|value| uri_of(value));
            names.find(|name| name.starts_with(scheme)).map(ToOwned::to_owned)
        };
        let sip = identity("").unwrap_or_else(|| config.identity.impu.clone());
        let tel = identity("tel:").unwrap_or_else(|| sip.clone());
        let (from, preferred) = match config.manner.preferred {
            Preferred::Bracketed => (&sip, format!("<{sip}>")),
            Preferred::Unbracketed => (&sip, sip.clone()),
            Preferred::Tel => (&tel, format!("<{tel}>")),
            Preferred::UnbracketedTel => (&sip, tel.clone()),
            Preferred::Absent => (&sip, String::new()),
            Preferred::Words(words) => (&sip, words.to_owned()),
        };
        let mut routes = vec![format!("<sip:{pcscf};lr>")];
        routes.extend(registrant.service_route.iter().cloned());
        if !registrant.is_registered() {
            routes.clear();
        }
        Self {
            manner: config.manner,
            ip: config.local.ip(),
            contact: contact(config, &said),
            from: format!("<{from}>"),
            preferred,
            identity: sip,
            routes,
            verify: said.verify,
        }
    }

    /// What each request of a phone says (TS 24.229 5.1.2A.1.1).
    pub(super) fn dress(&self, request: Outgoing) -> Outgoing {
        let sec_agree = if self.verify.is_empty() { "" } else { "sec-agree" };
        request
            .line("P-Access-Network-Info", self.manner.access)
            .line("Require", sec_agree)
            .line("Proxy-Require", sec_agree)
            .line("Security-Verify", &self.verify)
    }
}

/// What a REGISTER says of its contact, but for the seconds.
fn contact(config: &UeConfig, said: &Said) -> String {
    let fill = Fill {
        config,
        command: Procedure::Register,
        call_id: "",
        from_tag: "",
        cseq: 1,
        authorization: &Authorization::default(),
        said,
    };
    let contact = fill.other("{contact}");
    let mut parts: Vec<_> = contact.trim().split(';').collect();
    parts.retain(|part| !part.starts_with("expires="));
    parts.join(";")
}
