//! Test: the configuration files in `deploy/config` are what the daemons print, and each of them builds its node.

use std::path::{Path, PathBuf};

use icscf::IcscfConfig;
use ims_common::config::{DaemonConfig, documented, load};
use ims_common::node::Seed;
use ims_tests::hss::HssFile;
use pcscf::PcscfConfig;
use scscf::ScscfConfig;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config")
}

fn assert_printed<C: DaemonConfig>() {
    let path = folder().join(format!("{}.yaml", C::NAME));
    let printed = documented::<C>();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &printed).expect("a writable folder");
    }
    let kept = std::fs::read_to_string(&path).expect("the file is kept in the tree");
    assert_eq!(kept, printed, "{} differs from --print-defaults", path.display());
}

fn assert_builds<C: DaemonConfig>() {
    let path = folder().join("one-machine").join(format!("{}.yaml", C::NAME));
    let config: C = load(C::NAME, &path).unwrap_or_else(|error| panic!("{error}"));
    let built = config.build(Seed::from_number(1));
    assert!(
        built.is_ok(),
        "{}: {}",
        path.display(),
        built.err().map(|e| e.to_string()).unwrap_or_default()
    );
}

#[test]
fn files_with_all_keys_equal_what_the_daemons_print() {
    assert_printed::<PcscfConfig>();
    assert_printed::<IcscfConfig>();
    assert_printed::<ScscfConfig>();
}

#[test]
fn files_for_one_machine_build_their_nodes() {
    assert_builds::<PcscfConfig>();
    assert_builds::<IcscfConfig>();
    assert_builds::<ScscfConfig>();
    assert_builds::<HssFile>();
}
