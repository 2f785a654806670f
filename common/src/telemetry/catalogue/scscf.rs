//! Table: what an S-CSCF tells.

use super::{REASON, Section, counter, gauge};

pub(super) const SECTION: Section = Section {
    title: "S-CSCF",
    about: "Registrar, service control and sessions (TS 24.229 5.4).",
    rows: &[
        gauge(
            "ims_scscf_answered_calls",
            &[],
            "Calls that are answered and kept until the ACK has come.",
        ),
        counter(
            "ims_scscf_bad_criteria_total",
            REASON,
            "Filter criteria of profiles that cannot be used, and never match.",
        ),
        gauge("ims_scscf_bindings", &[], "Contacts that are registered."),
        gauge(
            "ims_scscf_challenges",
            &[],
            "Challenges that wait for the phone's answer.",
        ),
        gauge(
            "ims_scscf_changes_unread",
            &[],
            "Changes of registrations that nobody has read yet.",
        ),
        counter(
            "ims_scscf_commands_total",
            REASON,
            "What operators did to registrations.",
        ),
        gauge(
            "ims_scscf_dialog_ids",
            &[],
            "Original dialog identifiers that application servers hold.",
        ),
        gauge("ims_scscf_dialogs", &[], "Dialogs that are answered."),
        counter(
            "ims_scscf_expirations_total",
            REASON,
            "What was not renewed, or not answered, in time.",
        ),
        gauge("ims_scscf_in_progress", &[], "Procedures that wait for the HSS."),
        gauge(
            "ims_scscf_limited_calls",
            &[],
            "Calls that count against a limit of calls.",
        ),
        counter(
            "ims_scscf_notices_total",
            REASON,
            "Notices to the HSS (SAR) that a registration has ended.",
        ),
        counter(
            "ims_scscf_notifies_total",
            REASON,
            "NOTIFYs of the registration event package.",
        ),
        gauge(
            "ims_scscf_open_records",
            &[],
            "Charging data records of what is in progress.",
        ),
        counter(
            "ims_scscf_pushes_refused_total",
            REASON,
            "Requests of the HSS that failed, by command.",
        ),
        counter(
            "ims_scscf_pushes_total",
            REASON,
            "Requests of the HSS that were done, by command.",
        ),
        counter(
            "ims_scscf_records_left_out_total",
            &[],
            "Calls and messages for whose charging data records the table had no place.",
        ),
        counter(
            "ims_scscf_reg_event_total",
            REASON,
            "SUBSCRIBEs to the registration event package.",
        ),
        gauge(
            "ims_scscf_reg_subscriptions",
            &[],
            "Subscriptions to the registration event package.",
        ),
        counter(
            "ims_scscf_registers_total",
            REASON,
            "REGISTERs, by what became of them.",
        ),
        gauge(
            "ims_scscf_registration_sets",
            &[],
            "Implicit registration sets that are registered.",
        ),
        counter(
            "ims_scscf_releases_total",
            REASON,
            "Sessions that the network ended.",
        ),
        counter(
            "ims_scscf_requests_total",
            REASON,
            "Requests that are no REGISTER, by what became of them.",
        ),
        gauge(
            "ims_scscf_sessions",
            &[],
            "Requests that are on their way through application servers to the user.",
        ),
        counter(
            "ims_scscf_third_party_registers_total",
            REASON,
            "REGISTERs to application servers (TS 24.229 5.4.1.7).",
        ),
        gauge(
            "ims_scscf_trunk_calls",
            &[],
            "Calls that go to trunks whose calls are limited.",
        ),
        gauge(
            "ims_scscf_unregistered_profiles",
            &[],
            "Profiles of users that are not registered and are called.",
        ),
    ],
};
