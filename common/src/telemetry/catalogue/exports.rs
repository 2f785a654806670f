//! Table: what leaves the node for capture servers and trace collectors.

use super::Section;

pub(super) const SECTION: Section = Section {
    title: "Captures and traces",
    about: "Told where they are configured.",
    rows: &[],
};
