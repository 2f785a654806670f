//! Testkit: the chapter of the manual has the help of every command, as the program prints it.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Command, CommandFactory as _};

use super::Imsctl;

const BEGIN: &str = "writes it anew -->\n";
const END: &str = "<!-- /help -->";

fn add(text: &mut String, command: &mut Command, path: &str) {
    let help = command.render_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = writeln!(
        text,
        "### {path}\n\n```text\n{}\n```\n",
        help.join("\n").trim_end()
    );
    for sub in command.get_subcommands_mut() {
        let name = format!("{path} {}", sub.get_name());
        add(text, sub, &name);
    }
}

#[test]
fn the_manual_has_the_help_of_every_command() {
    let mut command = Imsctl::command().max_term_width(100).term_width(100);
    command.build();
    let mut help = String::from("\n");
    add(&mut help, &mut command, "imsctl");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/manual/imsctl.md");
    let chapter = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = chapter.split_once(BEGIN).unwrap();
    let (_, tail) = rest.split_once(END).unwrap();
    let printed = format!("{head}{BEGIN}{help}{END}{tail}");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &printed).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        kept, printed,
        "UPDATE_GOLDEN=1 cargo test -p ims-common --lib imsctl"
    );
}
