//! Testkit: calls in progress among the registered users: set up, acknowledged, and not ended.
//!
//! An I-CSCF keeps nothing of a call but transactions; in its place the request just comes back.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ims_common::net::{Interface, NetInput, SipInput};
use ims_common::node::Node as _;

use super::{GM, PHONES, SETTLE, Site, flow, imsi, scanned};
use crate::load::talk::{Heard, Kind, Party, Talk, number_of};

/// Longer than anything that is measured.
const HOLD: Duration = Duration::from_secs(86_400);

impl Site {
    /// Sets so many calls up, at a rate a second; says what is allocated at the worst moment, and leaves them when their
    /// transactions have ended.
    pub(super) fn call(&mut self, calls: u32, rate: u32, live: &dyn Fn() -> usize) -> usize {
        let mut talk = Talk::new(Kind::Call, 1, HOLD, HOLD);
        let routes = std::mem::take(&mut self.service_routes);
        let party = |(user, service_route): (u32, String)| {
            let imsi = imsi(user).parse().expect("digits");
            Party {
                imsi,
                number: number_of(imsi),
                local: address(user),
                route: format!("<sip:{GM};lr>,{service_route}"),
            }
        };
        talk.meet((0..).zip(routes).map(party).collect());
        self.talk = Some(talk);
        let mut peak = 0;
        for number in 0..calls {
            self.advance(Duration::from_secs(1) / rate.max(1));
            let now = self.now;
            let talk = self.talk.as_mut().expect("phones that talk");
            talk.begin(now, u64::from(number), now);
            self.speak();
            peak = peak.max(live());
        }
        self.advance(SETTLE);
        // What the phones keep is not of interest.
        let talk = self.talk.take().expect("phones that talk");
        assert_eq!(talk.established(), usize::try_from(calls).expect("a few"));
        peak
    }

    /// Carries what phones say, until nobody has more to say.
    fn speak(&mut self) {
        while let Some((phone, octets)) = self.talk.as_mut().and_then(Talk::poll_sent) {
            let user = u32::try_from(phone).expect("a few");
            let flow = flow(Interface::Gm, GM, address(user));
            let message = scanned(&octets);
            let input = NetInput::Sip(SipInput::Received { flow, message });
            self.pcscf.handle(self.now, input);
            self.exchange();
        }
    }

    /// Lets a phone hear a message of a call.
    pub(super) fn hear(&mut self, to: SocketAddr, octets: &[u8]) {
        let (now, Some(talk)) = (self.now, &mut self.talk) else {
            return;
        };
        let heard = Heard::read(octets).expect("it is SIP");
        let std::net::IpAddr::V4(ip) = to.ip() else {
            return;
        };
        let phone = usize::try_from(ip.to_bits() - PHONES).expect("a few");
        talk.receive(now, phone, &heard);
    }
}

fn address(user: u32) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::from(PHONES + user).into(), 5060)
}

#[cfg(test)]
mod tests {
    use super::super::{Plan, measure};

    #[test]
    fn all_calls_between_registered_users_are_in_progress_at_the_end() {
        let plan = Plan {
            users: 4,
            rate: 2,
            criteria: 0,
            ipsec: false,
            calls: 5,
            reg_event: true,
        };
        // It says itself when a call is not.
        assert_eq!(measure(plan, &|| 0).registered, 4);
    }
}
