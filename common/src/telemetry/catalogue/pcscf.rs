//! Table: what a P-CSCF tells.

use super::{Label, REASON, Section, Values, counter, gauge, one_of};

const SA_STATES: &[&str] = &[
    "preparing",
    "temporary",
    "ending",
    "not_yet_used",
    "in_use",
    "superseded",
];
const XFRM_OUTCOMES: &[&str] = &[
    "done",
    "exists",
    "not_permitted",
    "unsupported",
    "kernel_full",
    "busy",
    "no_ipsec",
    "other",
];

pub(super) const SECTION: Section = Section {
    title: "P-CSCF",
    about: "Registration, sessions, emergency calls and the registration event package (TS 24.229 5.2).",
    rows: &[
        counter(
            "ims_pcscf_alternative_service_total",
            REASON,
            "Emergency calls that were answered with 380 (TS 24.229 5.2.10).",
        ),
        gauge(
            "ims_pcscf_challenges_waiting",
            &[],
            "Challenges whose security associations are not in the kernel yet.",
        ),
        gauge(
            "ims_pcscf_contacts",
            &[],
            "Contacts that are registered through this node.",
        ),
        gauge("ims_pcscf_dialogs", &[], "Dialogs that are answered."),
        counter(
            "ims_pcscf_dialogs_total",
            REASON,
            "Dialogs that ended otherwise than by BYE, or were found by their route set.",
        ),
        counter(
            "ims_pcscf_dropped_total",
            REASON,
            "ACKs that nobody may be told a refusal of.",
        ),
        gauge(
            "ims_pcscf_emergency_callers",
            &[],
            "Callers without a registration that make an emergency call.",
        ),
        gauge(
            "ims_pcscf_emergency_pending",
            &[],
            "Emergency requests on the way to an E-CSCF.",
        ),
        counter("ims_pcscf_emergency_total", REASON, "Emergency requests."),
        gauge("ims_pcscf_guard_bans", &[], "Sources that are banned."),
        counter(
            "ims_pcscf_guard_bans_total",
            REASON,
            "Bans of sources, by what they did.",
        ),
        counter(
            "ims_pcscf_guard_dropped_total",
            REASON,
            "Messages from UEs that were thrown away: of banned sources, of scanners, far above a rate.",
        ),
        counter(
            "ims_pcscf_guard_excess_total",
            REASON,
            "Messages above the rate of their source: refused with 503 if they begin something.",
        ),
        counter(
            "ims_pcscf_guard_failures_total",
            REASON,
            "What no phone does often, as the guard counts it.",
        ),
        counter(
            "ims_pcscf_guard_forbidden_total",
            REASON,
            "Messages of banned sources that were to be answered with 403.",
        ),
        gauge("ims_pcscf_guard_sources", &[], "Sources that were heard lately."),
        counter(
            "ims_pcscf_guard_sources_forgotten_total",
            &[],
            "Sources that were forgotten early, for others.",
        ),
        counter(
            "ims_pcscf_guard_spared_total",
            REASON,
            "Offences for which a source may not be banned: exempt, or with contacts behind it.",
        ),
        counter(
            "ims_pcscf_mechanisms_skipped_total",
            REASON,
            "Offers in a Security-Client that this node cannot take.",
        ),
        counter(
            "ims_pcscf_options_total",
            REASON,
            "OPTIONS that were answered here.",
        ),
        counter(
            "ims_pcscf_originating_total",
            REASON,
            "Requests of phones that were passed on.",
        ),
        counter(
            "ims_pcscf_reg_event_total",
            REASON,
            "Subscriptions to the registration event package, and notifications.",
        ),
        counter(
            "ims_pcscf_register_total",
            REASON,
            "REGISTERs, by what became of them.",
        ),
        gauge(
            "ims_pcscf_registers_pending",
            &[],
            "REGISTERs that wait for the home network.",
        ),
        counter("ims_pcscf_rejected_total", REASON, "Requests that were refused."),
        gauge(
            "ims_pcscf_requests_pending",
            &[],
            "Requests that are passed on and have no final response yet.",
        ),
        gauge(
            "ims_pcscf_restorations_pending",
            &[],
            "Requests whose headers are put back when their responses come.",
        ),
        counter(
            "ims_pcscf_restored_total",
            REASON,
            "Headers of messages that a phone had changed, and that were put back.",
        ),
        counter(
            "ims_pcscf_route_replaced_total",
            REASON,
            "Requests of phones with another route than the one that they were given.",
        ),
        gauge("ims_pcscf_setups", &[], "Calls that are being set up."),
        gauge(
            "ims_pcscf_subscribes_pending",
            &[],
            "SUBSCRIBEs to the registration event package without a final response.",
        ),
        gauge(
            "ims_pcscf_subscriptions",
            &[],
            "Subscriptions to the registration event package.",
        ),
        counter(
            "ims_pcscf_terminating_total",
            REASON,
            "Requests that went to phones.",
        ),
        counter(
            "ims_pcscf_ue_signals_total",
            REASON,
            "Signs that a phone cannot use its security associations, or has another SIM or address than it says.",
        ),
        counter(
            "ims_pcscf_ue_unwatched_total",
            REASON,
            "Phones that are not watched for such signs, for want of room.",
        ),
    ],
};

pub(super) const PROTECTION: Section = Section {
    title: "Security associations",
    about: "Told by a P-CSCF: its own books, and what the kernel says.",
    rows: &[
        counter(
            "ims_pcscf_protected_dropped_total",
            REASON,
            "Messages on protected ports that belong to nobody.",
        ),
        counter("ims_pcscf_sa_gone_total", REASON, "Sets that the kernel lost."),
        counter(
            "ims_pcscf_sa_install_failures_total",
            REASON,
            "Sets that the kernel did not take.",
        ),
        counter(
            "ims_pcscf_sa_refused_total",
            REASON,
            "Sets that were not asked for.",
        ),
        counter("ims_pcscf_sa_removed_total", REASON, "Sets that were removed."),
        gauge(
            "ims_pcscf_sa_sets",
            &[one_of("state", SA_STATES)],
            "Sets of four security associations, by where they are in their life.",
        ),
        gauge("ims_pcscf_sa_spis", &[], "SPIs of ours that are in use."),
        counter("ims_pcscf_sa_total", REASON, "What happened to sets."),
        counter(
            "ims_pcscf_sec_agree_mismatches_total",
            REASON,
            "REGISTERs whose Security-Verify is not what was offered (RFC 3329).",
        ),
        counter(
            "ims_xfrm_kernel_total",
            &[Label {
                name: "counter",
                values: Values::Kernel,
            }],
            "The kernel's own counters of IPsec (/proc/net/xfrm_stat).",
        ),
        gauge("ims_xfrm_policies", &[], "Policies of this node in the kernel."),
        counter(
            "ims_xfrm_requests_total",
            &[
                one_of("request", &["install", "extend", "remove"]),
                one_of("outcome", XFRM_OUTCOMES),
            ],
            "Requests to the kernel, by what became of them.",
        ),
        gauge(
            "ims_xfrm_requests_waiting",
            &[],
            "Requests to the kernel that have no answer yet.",
        ),
        counter(
            "ims_xfrm_resyncs_total",
            &[],
            "How often all of the kernel's associations were read, because events were lost.",
        ),
        counter(
            "ims_xfrm_sets_vanished_total",
            &[one_of("cause", &["expired", "deleted"])],
            "Sets that went from the kernel without being asked to.",
        ),
        gauge(
            "ims_xfrm_states",
            &[],
            "Security associations of this node in the kernel.",
        ),
        counter(
            "ims_xfrm_states_not_deleted_total",
            &[],
            "Security associations that the kernel did not let go.",
        ),
    ],
};
