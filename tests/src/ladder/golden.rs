//! Testkit: comparison with golden files. `UPDATE_GOLDEN=1` writes them anew.

use std::path::PathBuf;

/// Compares `actual` with `tests/golden/NAME.ladder`.
///
/// # Panics
/// As [`assert_golden_file`].
pub fn assert_golden(name: &str, actual: &str) {
    assert_golden_file(&format!("{name}.ladder"), actual);
}

/// Compares `actual` with a file of `tests/golden`.
///
/// # Panics
/// When they differ: with the first line that does, and how to accept the new text.
pub fn assert_golden_file(name: &str, actual: &str) {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "golden", name].iter().collect();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let written = path
            .parent()
            .map(std::fs::create_dir_all)
            .and_then(|_| std::fs::write(&path, actual).ok());
        assert!(written.is_some(), "cannot write {}", path.display());
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if expected == actual {
        return;
    }
    let differs = expected
        .lines()
        .zip(actual.lines())
        .position(|(a, b)| a != b)
        .unwrap_or_else(|| expected.lines().count().min(actual.lines().count()));
    panic!(
        "{} differs in line {}:\n  golden: {}\n  actual: {}\nUPDATE_GOLDEN=1 accepts this:\n{actual}",
        path.display(),
        differs + 1,
        expected.lines().nth(differs).unwrap_or("(end)"),
        actual.lines().nth(differs).unwrap_or("(end)"),
    );
}
