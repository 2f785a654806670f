//! Table: what the writer of charging data records tells.

use super::{REASON, Section, counter, gauge};

pub(super) const SECTION: Section = Section {
    title: "Charging data records",
    about: "Told by an S-CSCF with `cdr.directory`.",
    rows: &[
        counter("ims_cdr_files_total", REASON, "Files that were finished."),
        counter(
            "ims_cdr_lines_total",
            REASON,
            "Lines of records, by kind: start, interim, stop, event.",
        ),
        counter(
            "ims_cdr_lost_total",
            REASON,
            "Lines that neither the disk nor the buffer has taken: records are missing.",
        ),
        gauge(
            "ims_cdr_open",
            &[],
            "Records of sessions that last, in the files of this process.",
        ),
        counter(
            "ims_cdr_recovered_total",
            REASON,
            "Records that an earlier process had left open and that were closed at the start.",
        ),
        gauge(
            "ims_cdr_refusing",
            &[],
            "1 while new calls and messages are refused because the disk takes no records.",
        ),
        gauge(
            "ims_cdr_waiting_bytes",
            &[],
            "Size of the lines that wait for the disk.",
        ),
        gauge("ims_cdr_waiting_lines", &[], "Lines that wait for the disk."),
        counter(
            "ims_cdr_write_errors_total",
            REASON,
            "Writes and syncs that failed.",
        ),
    ],
};
