//! Codec: the Service-Route of a binding: our URI with a token that no other contact has.
//!
//! TS 24.229 5.4.1.2.2F and 5.4.3.2: an initial request whose topmost Route is this URI is an originating
//! one, and the token says from which contact.

use ims_common::sip::{Uri, UriBuf};

/// Stands before the token in the user part and marks the originating direction.
const ORIGINATING: &str = "orig-";

/// Stands before the token of an original dialog identifier (TS 24.229 5.4.3.4).
const DIALOG_ID: &str = "odi-";

/// Prints the Service-Route values of this server.
#[derive(Clone, Debug)]
pub(crate) struct ServiceRoute {
    /// `host[:port]` of the server name.
    host_port: String,
}

impl ServiceRoute {
    /// From the SIP URI of the server.
    pub(crate) fn of(server_name: &UriBuf) -> Self {
        let text = server_name.to_string();
        let rest = text.split_once(':').map_or(&*text, |(_, rest)| rest);
        let rest = rest.split([';', '?']).next().unwrap_or_default();
        let host_port = rest.rsplit_once('@').map_or(rest, |(_, host_port)| host_port);
        Self {
            host_port: host_port.to_owned(),
        }
    }

    /// `host[:port]` of the server name.
    pub(crate) fn host_port(&self) -> &str {
        &self.host_port
    }

    /// The header value for a binding's token.
    pub(crate) fn value(&self, token: &str) -> String {
        format!("<sip:{ORIGINATING}{token}@{};lr>", self.host_port)
    }

    /// The Route value by which an application server sends a request back.
    pub(crate) fn dialog_id(&self, token: &str) -> String {
        format!("<sip:{DIALOG_ID}{token}@{};lr>", self.host_port)
    }

    /// A Record-Route value of this server.
    pub(crate) fn record_route(&self, token: &str) -> String {
        format!("<sip:rr-{token}@{};lr>", self.host_port)
    }
}

/// The token of one of our Service-Route URIs, or `None` when the URI marks no originating direction.
pub(crate) fn token_of<'a>(uri: &Uri<'a>) -> Option<&'a str> {
    let user = std::str::from_utf8(uri.user()?).ok()?;
    user.strip_prefix(ORIGINATING)
}

/// The token of an original dialog identifier of ours, or `None` when the URI is none.
pub(crate) fn dialog_id_of<'a>(uri: &Uri<'a>) -> Option<&'a str> {
    let user = std::str::from_utf8(uri.user()?).ok()?;
    user.strip_prefix(DIALOG_ID)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(server_name: &str) -> ServiceRoute {
        ServiceRoute::of(&server_name.parse().unwrap())
    }

    #[test]
    fn service_route_keeps_host_and_port_of_the_server_name_and_nothing_else() {
        let value = route("sip:scscf1.home.example:6060;transport=tcp").value("00abc");
        assert_eq!(value, "<sip:orig-00abc@scscf1.home.example:6060;lr>");
        let value = route("sip:any@[2001:db8::5]:6060").value("00abc");
        assert_eq!(value, "<sip:orig-00abc@[2001:db8::5]:6060;lr>");
    }

    #[test]
    fn only_the_originating_marker_gives_a_token() {
        let token = |text: &str| {
            let uri: UriBuf = text.parse().unwrap();
            token_of(&uri.as_uri()).map(str::to_owned)
        };
        assert_eq!(token("sip:orig-00abc@s.example;lr"), Some("00abc".to_owned()));
        assert_eq!(token("sip:00abc@s.example;lr"), None);
        assert_eq!(token("sip:s.example;lr"), None);
    }
}
