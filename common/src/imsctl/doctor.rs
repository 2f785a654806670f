//! Shell: asks the daemons' doctors, each with its configuration, and joins what they say.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::args::Doctor;
use super::outcome::{Outcome, Problem};

/// Where configurations are installed.
const CONFIGS: &str = "/etc/ims";
/// The daemons; a configuration begins with the name of its own.
const DAEMONS: [&str; 3] = ["pcscf", "icscf", "scscf"];

/// What a doctor said of one file.
struct Examined {
    config: String,
    /// As text or as JSON, or why there is nothing.
    said: Result<String, String>,
    is_well: bool,
}

/// Examines all.
pub(super) fn run(doctor: &Doctor, is_json: bool) -> Result<Outcome, Problem> {
    let configs = match doctor.configs.is_empty() {
        true => installed()?,
        false => doctor.configs.clone(),
    };
    let all: Vec<Examined> = configs
        .iter()
        .map(|config| examine(doctor, config, is_json))
        .collect();
    Ok(Outcome {
        has_findings: !all.iter().all(|examined| examined.is_well),
        text: match is_json {
            true => super::json(&all.iter().map(as_json).collect::<Vec<_>>()),
            false => all.iter().map(told).collect::<Vec<_>>().join("\n"),
        },
        complaints: Vec::new(),
    })
}

fn told(examined: &Examined) -> String {
    match &examined.said {
        Ok(text) => format!("{}: {text}", examined.config),
        Err(error) => format!("{}: {error}\n", examined.config),
    }
}

fn as_json(examined: &Examined) -> Value {
    let read = |text: &String| serde_json::from_str::<Value>(text).map_err(|error| error.to_string());
    match examined.said.as_ref().map_err(Clone::clone).and_then(read) {
        Ok(diagnosis) => json!({"config": examined.config, "diagnosis": diagnosis}),
        Err(error) => json!({"config": examined.config, "error": error}),
    }
}

fn installed() -> Result<Vec<PathBuf>, Problem> {
    let entries = fs::read_dir(CONFIGS).map_err(|error| {
        Problem::Usage(format!(
            "{CONFIGS}: {error}; name the configuration files of the nodes"
        ))
    })?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut configs: Vec<PathBuf> = paths.filter(|path| daemon_of(path).is_ok()).collect();
    configs.sort();
    match configs.is_empty() {
        true => Err(Problem::Usage(format!(
            "{CONFIGS} has no configuration of a pcscf, icscf or scscf; name the files"
        ))),
        false => Ok(configs),
    }
}

/// Which daemon a file is for: by its first key.
fn daemon_of(config: &Path) -> Result<&'static str, String> {
    let is_yaml = config
        .extension()
        .is_some_and(|end| end == "yaml" || end == "yml");
    if !is_yaml {
        return Err("this is no YAML file".to_owned());
    }
    let text = fs::read_to_string(config)
        .map_err(|error| format!("cannot be read ({error}); give its right path"))?;
    key_of(&text).ok_or_else(|| "this is no configuration of a pcscf, icscf or scscf; give one".to_owned())
}

fn key_of(text: &str) -> Option<&'static str> {
    let keys = text
        .lines()
        .filter_map(|line| line.split_once(':').map(|(key, _)| key));
    let mut daemons = keys.filter_map(|key| DAEMONS.iter().find(|daemon| **daemon == key));
    daemons.next().copied()
}

fn examine(doctor: &Doctor, config: &Path, is_json: bool) -> Examined {
    let asked = ask(doctor, config, is_json);
    Examined {
        config: config.display().to_string(),
        is_well: asked.as_ref().is_ok_and(|(_, is_well)| *is_well),
        said: asked.map(|(text, _)| text),
    }
}

/// What the daemon's doctor said, and whether all is well.
fn ask(doctor: &Doctor, config: &Path, is_json: bool) -> Result<(String, bool), String> {
    let daemon = daemon_of(config)?;
    let program = program(doctor.bin.as_deref(), daemon);
    let mut command = Command::new(&program);
    command.args(["--doctor", "--config"]).arg(config);
    if is_json {
        command.arg("--json");
    }
    if let Some(file) = doctor.open5gs_smf.as_deref().filter(|_| daemon == "pcscf") {
        command.arg("--open5gs-smf").arg(file);
    }
    if let Some(file) = doctor.open5gs_hss.as_deref().filter(|_| daemon != "pcscf") {
        command.arg("--open5gs-hss").arg(file);
    }
    if let Some(file) = doctor.pyhss.as_deref().filter(|_| daemon != "pcscf") {
        command.arg("--pyhss").arg(file);
    }
    if doctor.snippets {
        command.arg("--snippets");
    }
    let output = command.stdin(Stdio::null()).output().map_err(|error| {
        let program = program.display();
        format!("{program} cannot be run ({error}); say with --bin where the daemons are")
    })?;
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).trim_end().to_owned();
    match (text(&output.stdout), text(&output.stderr)) {
        (said, _) if !said.is_empty() => Ok((said + "\n", output.status.success())),
        (_, error) if !error.is_empty() => Err(error),
        _ => Err(format!(
            "{} --doctor said nothing ({}); is it of this version?",
            program.display(),
            output.status
        )),
    }
}

/// Where it was said, beside this program, or on the search path.
fn program(directory: Option<&Path>, daemon: &str) -> PathBuf {
    if let Some(directory) = directory {
        return directory.join(daemon);
    }
    let own = std::env::current_exe().ok();
    let beside = own.and_then(|path| Some(path.parent()?.join(daemon)));
    match beside {
        Some(path) if path.is_file() => path,
        _ => PathBuf::from(daemon),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_of_the_daemon_that_its_first_key_names() {
        assert_eq!(key_of("# scscf: not this\nicscf:\n  pcscf: x\n"), Some("icscf"));
        assert_eq!(key_of("smf:\n  p-cscf: 192.0.2.1\n"), None);
    }

    #[test]
    fn a_doctor_that_cannot_be_asked_is_a_failure_with_a_remedy() {
        let directory = std::env::temp_dir().join(format!("imsctl-doctor-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let config = directory.join("pcscf.yaml");
        fs::write(&config, "pcscf:\n").unwrap();
        let doctor = Doctor {
            configs: vec![config, directory.join("other.txt")],
            bin: Some(directory.join("nowhere")),
            open5gs_smf: None,
            open5gs_hss: None,
            pyhss: None,
            snippets: false,
        };
        let outcome = run(&doctor, false).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        assert!(outcome.has_findings);
        assert!(
            outcome.text.contains("say with --bin where the daemons are"),
            "{}",
            outcome.text
        );
        assert!(
            outcome.text.contains("other.txt: this is no YAML file"),
            "{}",
            outcome.text
        );
    }
}
