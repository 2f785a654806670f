//! Testkit: what comes from a card, and what goes to one.

mod commands;
mod files;
mod session;

/// What a person is shown is a sentence or a name, and nothing that does something to a terminal.
fn assert_shown(text: &str) {
    assert!(!text.is_empty() && !text.contains(char::is_control), "{text:?}");
}
