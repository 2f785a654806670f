//! Shell: tests of the command line.

use super::*;
use crate::config::ShellConfig;
use crate::net::{NetInput, NetOutput};
use crate::node::{Metrics, Node, Sharded};
use crate::steering::ShardPlace;

#[derive(Clone, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
struct EchoConfig {
    greeting: String,
    #[serde(default)]
    log: crate::config::LogConfig,
}

struct Echo;

impl Node for Echo {
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

impl Sharded for Echo {
    type Word = std::convert::Infallible;
}

impl DaemonConfig for EchoConfig {
    type Node = Echo;
    const NAME: &'static str = "echo";
    const DEFAULTS: &'static str = "echo:\n  greeting: hello\n";
    fn build_shard(self, _: Seed, _: ShardPlace) -> Result<(Echo, ShellConfig), ConfigError> {
        if self.greeting.is_empty() {
            return Err(ConfigError::invalid("echo.greeting", "is empty", "a word"));
        }
        Ok((Echo, ShellConfig::new(Self::NAME, Vec::new())))
    }
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("ims-cli-{}-{name}.yaml", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn check_prints_the_effective_configuration() {
    let path = file("good", "echo:\n  greeting: hello\n");
    let printed = check::<EchoConfig>(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    assert_eq!(
        printed,
        "echo:\n  greeting: hello\n  log:\n    level: info\n    format: text\n"
    );
}

#[test]
fn check_also_asks_the_node_and_says_where_the_key_stands() {
    let path = file("bad", "# a comment\necho:\n  greeting: \"\"\n");
    let error = check::<EchoConfig>(&path).unwrap_err().to_string();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(
        error,
        format!(
            "{}:3:13: echo.greeting: is empty; expected a word",
            path.display()
        )
    );
}

#[test]
fn the_command_line_knows_its_four_options_and_no_other() {
    let command = command::<EchoConfig>();
    command.clone().debug_assert();
    for good in [
        vec!["echo", "--config", "x.yaml"],
        vec!["echo", "--config", "x.yaml", "--check"],
        vec!["echo", "--print-defaults"],
    ] {
        assert!(command.clone().try_get_matches_from(&good).is_ok(), "{good:?}");
    }
    let version = command
        .clone()
        .try_get_matches_from(["echo", "--version"])
        .unwrap_err();
    assert_eq!(version.exit_code(), 0);
    let unknown = command
        .clone()
        .try_get_matches_from(["echo", "--daemon"])
        .unwrap_err();
    assert_eq!(unknown.exit_code(), i32::from(EXIT_CONFIG));
}
