//! Testkit: application servers in a scene.

use std::time::Instant;

use ims_common::net::{Interface, ResolvedTarget, Transport};

use super::Scene;
use crate::app_server::{AppServer, AsBehaviour, AsConfig, ThirdParty};
use crate::site::Site;
use crate::sms_gateway::{SmsEvent, SmsGateway, SmsGatewayConfig};
use crate::world::NodeSpec;

impl Scene {
    /// Adds the application server with this number, called `AS1` and so on, which does this.
    ///
    /// Criteria name it by [`Site::app_server_uri`]; without this call that name serves nothing.
    pub fn app_server(&mut self, number: u8, behaviour: AsBehaviour) {
        let local = self.site.app_server(number);
        let config = self.app_server_config(number, behaviour);
        let seed = self.world.next_seed();
        let spec = NodeSpec::network(&format!("AS{number}")).socket(Interface::Mw, local);
        self.world.add(spec, AppServer::new(config, &seed));
        self.serve_app_server(number);
    }

    pub(crate) fn app_server_config(&self, number: u8, behaviour: AsBehaviour) -> AsConfig {
        AsConfig::new(self.site.app_server(number))
            .host(&Site::app_server_host(number))
            .hosts(self.site.hosts_table())
            .behaviour(behaviour)
    }

    /// Adds the IP-SM-GW as the application server with this number, called `IP-SM-GW`.
    pub fn sms_gateway(&mut self, number: u8) {
        let config = SmsGatewayConfig {
            host: Some(Site::app_server_host(number)),
            ..self.site.sms_gateway(number)
        };
        let seed = self.world.next_seed();
        let spec = NodeSpec::network("IP-SM-GW").socket(Interface::Mw, config.local);
        self.world.add(spec, SmsGateway::new(config, &seed));
        self.serve_app_server(number);
    }

    /// Lets the name of an application server resolve.
    pub fn serve_app_server(&mut self, number: u8) {
        let remote = self.site.app_server(number);
        let both = [Transport::Udp, Transport::Tcp];
        let targets = both.map(|transport| ResolvedTarget { transport, remote });
        self.world
            .serve_name(&Site::app_server_host(number), targets.to_vec());
    }

    /// Acts on an application server.
    pub fn with_app_server<R>(&mut self, number: u8, act: impl FnOnce(Instant, &mut AppServer) -> R) -> R {
        self.world.with(&format!("AS{number}"), act)
    }

    /// Changes what an application server does with initial requests.
    pub fn app_server_behaves(&mut self, number: u8, behaviour: AsBehaviour) {
        self.with_app_server(number, |_, server| server.behave(behaviour));
    }

    /// The third-party registrations that an application server has seen.
    pub fn third_party(&mut self, number: u8) -> Vec<ThirdParty> {
        self.with_app_server(number, |_, server| server.third_party().to_vec())
    }

    /// Acts on the IP-SM-GW.
    pub fn with_sms_gateway<R>(&mut self, act: impl FnOnce(Instant, &mut SmsGateway) -> R) -> R {
        self.world.with("IP-SM-GW", act)
    }

    /// What the IP-SM-GW has seen.
    pub fn sms_events(&mut self) -> Vec<SmsEvent> {
        self.with_sms_gateway(|_, gateway| gateway.events().to_vec())
    }
}
