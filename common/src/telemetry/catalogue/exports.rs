//! Table: what leaves the node for capture servers and trace collectors.

use super::{Section, counter, gauge, one_of};

pub(super) const SECTION: Section = Section {
    title: "Captures and traces",
    about: "Told by every daemon.",
    rows: &[
        counter(
            "ims_export_total",
            &[
                one_of("to", &["hep", "otlp", "pcap"]),
                one_of("outcome", &["sent", "left_out", "failed"]),
            ],
            "Messages (of otlp: spans that were sent or failed) for capture servers, collectors and captures; left_out are those that would have waited too long.",
        ),
        gauge("ims_pcap_bytes", &[], "Octets of captures that can be fetched."),
        gauge("ims_pcap_captures", &[], "Captures that run or can be fetched."),
    ],
};
