//! Testkit: User-Data with the shape of PyHSS's default: comments, indentation, hosts that do not resolve.

use std::fmt::Write as _;

use super::cx::{imsi, msisdn};
use crate::hss::subscribers::Subscriber;

/// Priority, whether CNF, conditions with their groups, host of the server, whether it wants the REGISTER.
type Criterion = (u32, u8, &'static str, &'static str, bool);

const REGISTER: &str = "<SPT><ConditionNegated>0</ConditionNegated><Group>0</Group><Method>REGISTER</Method>\
                        <Extension></Extension></SPT>";
const SMS: &str = "<SPT><ConditionNegated>0</ConditionNegated><Group>0</Group><Method>MESSAGE</Method>\
                   <Extension></Extension></SPT>\n<SPT><ConditionNegated>1</ConditionNegated><Group>1</Group>\
                   <SIPHeader><Header>Server</Header></SIPHeader></SPT>\n<SPT><ConditionNegated>0</ConditionNegated>\
                   <Group>2</Group><SessionCase>0</SessionCase><Extension></Extension></SPT>";
const USSD: &str = "<SPT><ConditionNegated>0</ConditionNegated><Group>1</Group><SIPHeader><Header>Recv-Info</Header>\
                    <Content>\"g.3gpp.ussd\"</Content></SIPHeader></SPT>";
/// Meant as "and", says "or".
const INVITE: &str = "<SPT><Group>0</Group><Method>INVITE</Method><Extension></Extension></SPT>\n\
                      <SPT><Group>0</Group><SessionCase>0</SessionCase></SPT>";

const CRITERIA: [Criterion; 5] = [
    (10, 0, REGISTER, "applicationserver", true),
    (11, 0, REGISTER, "smsc", true),
    (20, 1, SMS, "smsc", false),
    (25, 1, USSD, "ussd", false),
    (30, 1, INVITE, "applicationserver", false),
];

/// Prints the profile: the identity that the phone registers comes last and is not barred.
pub(super) fn print(subscriber: &Subscriber) -> String {
    let (imsi, home) = (imsi(subscriber), &subscriber.home);
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- Template of a user -->\n<IMSSubscription>\n    \
         <PrivateID>{imsi}@{home}</PrivateID>\n    <ServiceProfile>\n"
    );
    if let Some(msisdn) = msisdn(subscriber) {
        let alias = "<Extension><AliasIdentityGroupID>1</AliasIdentityGroupID></Extension>";
        identity(&mut xml, &format!("sip:{msisdn}@{home}"), alias);
        identity(&mut xml, &format!("tel:{msisdn}"), alias);
    }
    identity(&mut xml, &format!("sip:{imsi}@{home}"), "");
    for (priority, cnf, spts, server, wants_register) in CRITERIA {
        let extension = if wants_register {
            "<Extension><IncludeRegisterRequest></IncludeRegisterRequest><IncludeRegisterResponse>\
             </IncludeRegisterResponse></Extension>"
        } else {
            ""
        };
        let _ = writeln!(
            xml,
            "        <!-- {server} -->\n        <InitialFilterCriteria>\n            <Priority>{priority}</Priority>\n            \
             <TriggerPoint>\n<ConditionTypeCNF>{cnf}</ConditionTypeCNF>\n{spts}\n            </TriggerPoint>\n            \
             <ApplicationServer>\n<ServerName>sip:{server}.{home}:5060</ServerName>\n<DefaultHandling>0</DefaultHandling>\n\
             {extension}</ApplicationServer>\n        </InitialFilterCriteria>"
        );
    }
    xml + "    </ServiceProfile>\n</IMSSubscription>\n"
}

fn identity(xml: &mut String, identity: &str, alias: &str) {
    let _ = writeln!(
        xml,
        "        <PublicIdentity>\n            <Identity>{identity}</Identity>\n            \
         <Extension>\n                <IdentityType>0</IdentityType>{alias}\n            </Extension>\n        </PublicIdentity>"
    );
}
