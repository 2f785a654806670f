//! Test: the files for containers and for Kubernetes are what their schemas want, and the configurations in them good.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};

use ims_tests::daemons::fresh_directory;

use crate::{DAEMONS, binaries, deploy, must, run, said, text};

fn validate(schema: &str, files: &[PathBuf]) -> Output {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/schemas");
    run(Command::new("/usr/bin/python3")
        .arg(folder.join("validate.py"))
        .arg(folder.join(schema))
        .args(files))
}

#[derive(serde::Deserialize)]
struct Kustomization {
    resources: Vec<String>,
}

/// The manifests that `kubectl apply -k` takes, and the example of the Secret.
fn manifests() -> Vec<PathBuf> {
    let list: Kustomization =
        serde_saphyr::from_str(&text("kubernetes/kustomization.yaml")).expect("a kustomization");
    let names = list.resources.into_iter().chain(["secret.yaml".to_owned()]);
    names.map(|name| deploy().join("kubernetes").join(name)).collect()
}

#[test]
fn the_manifests_are_what_kubernetes_wants() {
    let output = validate("kubernetes.json", &manifests());
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn every_manifest_is_applied_or_says_why_not() {
    let listed = manifests();
    for entry in std::fs::read_dir(deploy().join("kubernetes")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_owned();
        let known = listed.iter().any(|listed| listed.file_name() == Some(&name));
        assert!(known || name == "kustomization.yaml", "{}", path.display());
    }
}

#[test]
fn a_key_that_kubernetes_does_not_know_is_found() {
    let directory = fresh_directory().expect("a directory");
    let file = directory.join("scscf.yaml");
    let wrong = text("kubernetes/scscf.yaml").replace("replicas: 2", "replicaz: 2");
    std::fs::write(&file, wrong).expect("a file");
    let output = validate("kubernetes.json", &[file]);
    assert!(
        !output.status.success() && said(&output).contains("replicaz"),
        "{}",
        said(&output)
    );
    let _ = std::fs::remove_dir_all(directory);
}

#[test]
fn the_compose_file_is_what_docker_wants() {
    let output = validate("compose-spec.json", &[deploy().join("container/compose.yaml")]);
    assert!(output.status.success(), "{}", said(&output));
    // Gm behind Docker's NAT does not work.
    assert!(!text("container/compose.yaml").contains("ports:"));
}

#[test]
fn the_image_has_no_base() {
    let file = text("container/Dockerfile");
    let from: Vec<&str> = file.lines().filter(|line| line.starts_with("FROM ")).collect();
    assert_eq!(from, ["FROM scratch"]);
    assert!(file.contains("\nUSER ") && !file.contains("USER 0"));
}

/// Checks configurations with what the environment of their container would say.
fn check(files: impl Fn(&str) -> String, environment: &[(&str, &str)]) {
    let directory = fresh_directory().expect("a directory");
    for daemon in DAEMONS {
        let file = directory.join(format!("{daemon}.yaml"));
        std::fs::write(&file, files(daemon)).expect("a file");
        let said = must(
            Command::new(binaries().join(daemon))
                .arg("--config")
                .arg(&file)
                .arg("--check")
                .envs(environment.iter().copied()),
        );
        for (name, value) in environment {
            let wanted = files(daemon).contains(&format!("${{{name}}}"));
            assert!(!wanted || said.contains(value), "{daemon} {name}\n{said}");
        }
    }
    let _ = std::fs::remove_dir_all(directory);
}

#[test]
fn the_configurations_of_compose_are_good_with_its_environment() {
    let file = text("container/.env");
    let environment: Vec<(&str, &str)> = file
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .collect();
    assert!(environment.len() >= 5, "{environment:?}");
    check(
        |daemon| text(&format!("container/config/{daemon}.yaml")),
        &environment,
    );
    let compose = text("container/compose.yaml");
    for (name, _) in environment {
        assert!(compose.contains(&format!("${{{name}:?")), "{name}");
    }
}

#[derive(serde::Deserialize)]
struct ConfigMap {
    data: BTreeMap<String, String>,
}

#[test]
fn the_configurations_of_kubernetes_are_good_with_what_a_pod_knows() {
    let map: ConfigMap = serde_saphyr::from_str(&text("kubernetes/configmap.yaml")).expect("a ConfigMap");
    let environment = [
        ("POD_NAME", "scscf-0"),
        ("POD_IP", "192.0.2.77"),
        ("HOST_IP", "192.0.2.5"),
    ];
    let file = |daemon: &str| map.data[&format!("{daemon}.yaml")].clone();
    check(file, &environment);
}

#[test]
fn no_pod_may_do_more_than_it_needs() {
    for daemon in DAEMONS {
        let manifest = text(&format!("kubernetes/{daemon}.yaml"));
        for line in [
            "allowPrivilegeEscalation: false",
            "readOnlyRootFilesystem: true",
            "automountServiceAccountToken: false",
            "seccompProfile: {type: RuntimeDefault}",
            "kind: PodDisruptionBudget",
            "path: /health",
        ] {
            assert!(manifest.contains(line), "{daemon}: {line}");
        }
        let capabilities = if daemon == "pcscf" {
            "capabilities: {drop: [ALL], add: [NET_ADMIN]}"
        } else {
            "capabilities: {drop: [ALL]}"
        };
        assert!(manifest.contains(capabilities), "{daemon}");
    }
}
