//! Codec: tests of the configuration reader.

use super::*;
use crate::net::{NetInput, NetOutput};
use crate::node::{Metrics, Node, Seed, Sharded};
use crate::steering::ShardPlace;
use serde::Deserialize;

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct EchoConfig {
    home_realm: DomainName,
    mw: MwConfig,
    hss: HssConfig,
    #[serde(default)]
    ue_pool: Vec<Cidr>,
    #[serde(default)]
    security: Security,
    #[serde(default)]
    strict: bool,
    #[serde(default)]
    cx: CxConfig,
    #[serde(default)]
    hosts: HostsConfig,
    #[serde(default)]
    admin: Option<AdminConfig>,
    #[serde(default)]
    shards: ShardCount,
    #[serde(default = "default_drain_timeout")]
    drain_timeout: DurationText,
    #[serde(default)]
    harden: Harden,
    #[serde(default)]
    log: LogConfig,
    /// What is kept for whoever asks why something failed.
    #[serde(default)]
    why: WhyConfig,
    #[serde(default)]
    export: ExportConfig,
    #[serde(default)]
    sip_timers: SipTimersConfig,
    #[serde(default)]
    limits: LimitsConfig,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Security {
    #[default]
    Ipsec,
    None,
}

struct EchoNode;

impl Node for EchoNode {
    type Input = NetInput;
    type Output = NetOutput;
    fn handle(&mut self, _: std::time::Instant, _: NetInput) {}
    fn handle_timeout(&mut self, _: std::time::Instant) {}
    fn poll_output(&mut self) -> Option<NetOutput> {
        None
    }
    fn poll_timeout(&self) -> Option<std::time::Instant> {
        None
    }
    fn metrics(&self, _: &mut Metrics) {}
}

impl Sharded for EchoNode {
    type Word = std::convert::Infallible;
}

impl DaemonConfig for EchoConfig {
    type Node = EchoNode;
    const NAME: &'static str = "echo";
    const DEFAULTS: &'static str = "\
echo:
  ## The home network.
  home_realm: ims.mnc001.mcc001.3gppnetwork.org
  mw: {address: 192.0.2.5}
  hss: {peers: [192.0.2.9], origin_host: echo.ims.mnc001.mcc001.3gppnetwork.org}
  # ue_pool: []
  # security: ipsec
  # strict: false
  # cx: {request_timeout: 5s, watchdog: 30s, reconnect: 30s, outstanding: 20000, in_flight: 1000}
";
    fn build_shard(self, _: Seed, _: ShardPlace) -> Result<(EchoNode, ShellConfig), ConfigError> {
        Ok((EchoNode, ShellConfig::new(Self::NAME, Vec::new())))
    }
}

const HEAD: &str = "\
echo:
  home_realm: ims.mnc001.mcc001.3gppnetwork.org
  mw: {address: 192.0.2.5}
  hss: {peers: [192.0.2.9], origin_host: echo.example}
";

#[test]
fn a_bad_configuration_is_told_in_one_line_with_place_key_and_remedy() {
    let secret = "  secret_key: 00112233\n";
    for (tail, complaint) in [
        (
            "  securty: none\n",
            "x.yaml:5:3: echo.securty: unknown key; expected one of home_realm, mw, hss, ",
        ),
        (
            "  cx:\n    watchdog: 30\n",
            "x.yaml:6:15: echo.cx.watchdog: `30` has no unit; expected a whole number with its unit",
        ),
        (
            "  cx: {watchdog: 3 weeks}\n",
            "x.yaml:5:18: echo.cx.watchdog: `3 weeks` is not a duration; expected",
        ),
        (
            "  cx: {outstanding: many}\n",
            "x.yaml:5:21: echo.cx.outstanding: ",
        ),
        ("  cx: {outstanding: -1}\n", "x.yaml:5:21: echo.cx.outstanding: "),
        ("  cx: 4\n", "x.yaml:5:7: echo.cx: "),
        ("  strict: yes\n", "x.yaml:5:11: echo.strict: "),
        (
            "  security: tls\n",
            "x.yaml:5:13: echo.security: `tls` is not known; expected one of ipsec, none",
        ),
        ("  admin: 9091\n", "x.yaml:5:3: echo.admin: "),
        (
            "  ue_pool: [10.45.0.0/16, 10.46.0.0]\n",
            "x.yaml:5:27: echo.ue_pool[1]: `10.46.0.0` is not a block",
        ),
        (
            "  hosts: {scscf.example: scscf2.example}\n",
            "x.yaml:5:26: echo.hosts.scscf.example: `scscf2.example`",
        ),
        (
            "  hosts: {\"sip:x\": 192.0.2.1}\n",
            "x.yaml:5:11: echo.hosts.sip:x: `sip:x` is not a host name; expected",
        ),
        ("  limits: {headers: 1, headers: 2}\n", "x.yaml:5:"),
        ("  mw: {address: 192.0.2.6}\n", "x.yaml:5:3: echo"),
        (
            "other: {}\n",
            "x.yaml:5:1: other: unknown key; expected `echo` alone at the top level",
        ),
        ("  log: [\n", "x.yaml:5:8: echo.log: "),
        ("\tlog: {}\n", "x.yaml:5:"),
    ] {
        let text = format!("{HEAD}{tail}");
        let error = parse::<EchoConfig>("echo", &text).expect_err(tail);
        let line = error.located("x.yaml", &text).to_string();
        assert!(
            line.starts_with(complaint),
            "for {tail:?}\n got {line}\nwant {complaint}"
        );
        assert!(!line.contains('\n') && !line.contains("192.0.2.9"), "{line}");
        let with_secret = format!("{HEAD}{tail}{secret}");
        let error = parse::<EchoConfig>("echo", &with_secret).expect_err(tail);
        assert!(!error.to_string().contains("00112233"), "{error}");
    }
}

#[test]
fn a_missing_key_is_named_with_the_section_it_belongs_to() {
    let text = "echo:\n  home_realm: a.example\n  hss: {origin_host: b.example}\n";
    let error = parse::<EchoConfig>("echo", text).unwrap_err();
    assert_eq!(
        (error.key.as_str(), error.problem.as_str()),
        ("echo.mw", "missing"),
        "{error}"
    );
    let empty = parse::<EchoConfig>("echo", "").unwrap_err();
    assert_eq!(empty.to_string(), "1:1: the file is empty or ends too early");
    let wrong_node = parse::<EchoConfig>("echo", "pcscf: {}\n").unwrap_err();
    assert_eq!(
        wrong_node.to_string(),
        "1:1: pcscf: unknown key; expected `echo` alone at the top level"
    );
}

#[test]
fn a_file_that_is_not_there_is_told_by_name() {
    let error = load::<EchoConfig>("echo", Path::new("/nonexistent/echo.yaml")).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("/nonexistent/echo.yaml: cannot be read: "),
        "{error}"
    );
}

#[test]
fn a_complaint_of_the_node_gets_line_and_column_of_its_key() {
    let text = format!("{HEAD}  ue_pool:\n    - 10.45.0.0/16\n    - 10.46.0.0/16\n");
    for (key, place) in [
        ("echo.mw.address", Some((3, 17))),
        ("echo.ue_pool[1]", Some((7, 7))),
        ("echo.cx.watchdog", Some((2, 3))),
        ("other", None),
    ] {
        let error = ConfigError::invalid(key, "is wrong", "right").located("x.yaml", &text);
        assert_eq!(error.position, place, "{key}");
    }
}

#[test]
fn the_documented_file_states_the_defaults_and_names_every_key() {
    check_documented::<EchoConfig>().unwrap();
}

#[test]
fn the_effective_configuration_is_itself_a_configuration() {
    let text = format!("{HEAD}  hosts: {{A.example: [192.0.2.1, \"192.0.2.2:5070;transport=tcp\"]}}\n");
    let config: EchoConfig = parse("echo", &text).unwrap();
    let printed = effective("echo", &config).unwrap();
    let again: EchoConfig = parse("echo", &printed).unwrap();
    assert_eq!(effective("echo", &again).unwrap(), printed);
    assert!(printed.contains("request_timeout: 5s"), "{printed}");
    let targets = again.hosts.targets();
    let targets: Vec<_> = targets["a.example"]
        .iter()
        .map(|t| (t.transport, t.remote.to_string()))
        .collect();
    assert_eq!(
        targets,
        [
            (crate::net::Transport::Udp, "192.0.2.1:5060".to_owned()),
            (crate::net::Transport::Tcp, "192.0.2.2:5070".to_owned())
        ]
    );
}

#[test]
fn there_are_1_to_64_shards() {
    let with = |count: &str| {
        let text = format!(
            "echo: {{home_realm: h.test, mw: {{address: 192.0.2.5}}, hss: {{origin_host: e.h.test}}, shards: {count}}}"
        );
        parse::<EchoConfig>("echo", &text)
            .map(|config| config.shards.get())
            .map_err(|e| e.to_string())
    };
    assert_eq!((with("1"), with("64")), (Ok(1), Ok(64)));
    for wrong in ["0", "65", "300"] {
        let error = with(wrong).unwrap_err();
        assert!(
            error.contains("echo.shards") && error.contains("1 to 64"),
            "{error}"
        );
    }
}
