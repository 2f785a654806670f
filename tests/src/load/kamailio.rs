//! Shell: Kamailio's IMS modules with a configuration of our own hand, to compare with.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::daemons::{Daemon, Daemons, fresh_directory};
use crate::site::{HOME, Site};

/// SIP workers of each process, and as many Diameter workers.
const WORKERS: &str = "4";
/// Binary logarithm of the size of each table of users.
const TABLE: &str = "16";
/// Megabytes that all processes of a CSCF share, at most.
const SHARED_MEMORY: &str = "4096";

const FILES: [(&str, &str); 3] = [
    ("scscf1", include_str!("../../benchmarks/kamailio/scscf.cfg")),
    ("icscf", include_str!("../../benchmarks/kamailio/icscf.cfg")),
    ("pcscf", include_str!("../../benchmarks/kamailio/pcscf.cfg")),
];
const DIAMETER: &str = include_str!("../../benchmarks/kamailio/diameter.xml");

/// Starts P-, I- and S-CSCF with these options; they may not serve yet.
pub(super) fn start(site: &Site, options: &[&str]) -> Result<Daemons> {
    let directory = fresh_directory()?;
    write_tables(site, &directory)?;
    let mut daemons = Daemons::none(directory.clone());
    for (name, text) in FILES {
        let config = directory.join(format!("{name}.cfg"));
        fs::write(&config, filled(text, name, site, &directory))?;
        let xml = directory.join(format!("{name}.xml"));
        fs::write(xml, filled(DIAMETER, name, site, &directory))?;
        let log = directory.join(format!("{name}.log"));
        let mut command = command(name, &config, &directory);
        command.args(options);
        let daemon = Daemon::run(name, command, log)
            .context("cannot start Kamailio: see tests/benchmarks/README.md for its packages")?;
        daemons.all.push(daemon);
    }
    Ok(daemons)
}

/// In the foreground; a core of its shared memory would take longer to write than anybody waits.
fn command(name: &str, config: &Path, directory: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -c 0; exec \"$0\" \"$@\"", "kamailio", "-DD", "-E"])
        .args(["-m", SHARED_MEMORY, "-M", "32"])
        .arg("-f")
        .arg(config)
        .arg("-w")
        .arg(directory)
        .arg("-Y")
        .arg(directory)
        .arg("-P")
        .arg(directory.join(format!("{name}.pid")));
    command
}

/// The tables that the I-CSCF reads when it starts, in the format of db_text.
fn write_tables(site: &Site, directory: &Path) -> Result<()> {
    let tables = directory.join("db");
    fs::create_dir_all(&tables)?;
    let uri = format!("sip:{}", site.scscf()).replace(':', "\\:");
    for (name, text) in [
        ("version", "table_name(str) table_version(int)\n".to_owned()),
        (
            "nds_trusted_domains",
            format!("id(int,auto) trusted_domain(str)\n1:{HOME}\n"),
        ),
        (
            "s_cscf",
            format!("id(int,auto) name(str) s_cscf_uri(str)\n1:scscf1:{uri}\n"),
        ),
        (
            "s_cscf_capabilities",
            "id(int,auto) id_s_cscf(int) capability(int)\n1:1:1\n".to_owned(),
        ),
    ] {
        fs::write(tables.join(name), text)?;
    }
    Ok(())
}

fn filled(text: &str, name: &str, site: &Site, directory: &Path) -> String {
    let values = [
        ("@node@", name.to_owned()),
        ("@home@", HOME.to_owned()),
        ("@children@", WORKERS.to_owned()),
        ("@workers@", WORKERS.to_owned()),
        ("@hash@", TABLE.to_owned()),
        ("@pcscf@", site.gm.to_string()),
        ("@icscf@", site.icscf.to_string()),
        ("@scscf@", site.scscf().to_string()),
        ("@hss@", site.hss.ip().to_string()),
        ("@directory@", directory.display().to_string()),
    ];
    let fill = |text: String, (key, value): &(&str, String)| text.replace(key, value);
    values.iter().fold(text.to_owned(), fill)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_between_at_signs() {
        let site = Site::on_network([127, 0, 79]);
        for (name, text) in FILES.into_iter().chain([("icscf", DIAMETER)]) {
            let text = filled(text, name, &site, Path::new("/tmp/x"));
            let is_left = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
            let odd: Vec<_> = text.split('@').skip(1).filter(|word| is_left(word)).collect();
            assert_eq!(odd, [""; 0], "{name}");
            assert!(text.contains("127.0.79."), "{name}");
        }
    }
}
