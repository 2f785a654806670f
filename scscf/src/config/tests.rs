//! Codec: tests of the configuration.

use super::*;
use ims_common::config::{check_documented, documented, parse};

fn config(more: &str) -> Result<ScscfConfig, ConfigError> {
    let text = format!("{}{more}", ScscfConfig::DEFAULTS);
    parse("scscf", &text)
}

#[test]
fn documented_file_is_valid_and_tells_the_defaults() {
    check_documented::<ScscfConfig>().unwrap();
}

#[test]
fn documented_file_builds_a_node_that_listens_on_mw() {
    let config: ScscfConfig = parse("scscf", &documented::<ScscfConfig>()).unwrap();
    let (_, shell) = config.build(Seed::from_number(1)).unwrap();
    assert_eq!(shell.sip.len(), 1);
    assert_eq!(shell.sip[0].address.to_string(), "192.0.2.7:5060");
}

#[test]
fn unknown_keys_and_impossible_lifetimes_are_refused() {
    let error = config("  registration: {expire_min: 60s}\n").unwrap_err();
    assert!(
        error.to_string().contains("registration.expire_min: unknown key"),
        "{error}"
    );
    let error = config("  registration: {expires_min: 2h, expires_max: 1h}\n").unwrap();
    let error = error.build(Seed::from_number(1)).err().unwrap();
    assert_eq!(error.key, "scscf.registration.expires_min");
}

#[test]
fn reauthentication_is_never_always_or_an_interval() {
    let policy = |text: &str| {
        config(&format!("  registration: {{reauthenticate: {text}}}\n"))
            .map(|c| c.registration.reauthenticate)
    };
    assert_eq!(policy("never").unwrap(), ReauthenticatePolicy::Never);
    assert_eq!(policy("always").unwrap(), ReauthenticatePolicy::Always);
    assert_eq!(
        policy("12h").unwrap(),
        ReauthenticatePolicy::Interval(Duration::from_secs(43_200))
    );
    assert!(policy("sometimes").is_err());
}

#[test]
fn server_name_must_be_a_sip_uri() {
    let text = ScscfConfig::DEFAULTS.replace("\"sip:scscf1", "\"scscf1");
    let error = parse::<ScscfConfig>("scscf", &text).unwrap_err();
    assert!(error.to_string().contains("scscf.server_name"), "{error}");
}
