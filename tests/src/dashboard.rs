//! Table: the Grafana dashboard: what an operator looks at, in which order.

use serde_json::{Value, json};

/// A row of panels.
struct Section {
    title: &'static str,
    panels: &'static [Panel],
}

/// One picture.
struct Panel {
    title: &'static str,
    about: &'static str,
    unit: &'static str,
    shape: Shape,
    /// Query and legend.
    queries: &'static [(&'static str, &'static str)],
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Shape {
    Number,
    Lines,
    Stacked,
}

const fn number(
    title: &'static str,
    about: &'static str,
    unit: &'static str,
    queries: &'static [(&'static str, &'static str)],
) -> Panel {
    Panel {
        title,
        about,
        unit,
        shape: Shape::Number,
        queries,
    }
}

const fn lines(
    title: &'static str,
    about: &'static str,
    unit: &'static str,
    queries: &'static [(&'static str, &'static str)],
) -> Panel {
    Panel {
        title,
        about,
        unit,
        shape: Shape::Lines,
        queries,
    }
}

const fn stacked(
    title: &'static str,
    about: &'static str,
    unit: &'static str,
    queries: &'static [(&'static str, &'static str)],
) -> Panel {
    Panel {
        title,
        about,
        unit,
        shape: Shape::Stacked,
        queries,
    }
}

/// `@` stands for the matcher of the chosen instances, and `~` for the range that fits the picture.
const SECTIONS: &[Section] = &[
    Section {
        title: "Is it healthy",
        panels: &[
            number(
                "Nodes that serve",
                "Those that drain take nothing new.",
                "short",
                &[("count(ims_draining{@} == 0)", "serving")],
            ),
            number(
                "Contacts",
                "Registered through P-CSCFs.",
                "short",
                &[("sum(ims_pcscf_contacts{@})", "contacts")],
            ),
            number(
                "Users",
                "Implicit registration sets at S-CSCFs.",
                "short",
                &[("sum(ims_scscf_registration_sets{@})", "users")],
            ),
            number(
                "Dialogs",
                "Answered, at P-CSCFs.",
                "short",
                &[("sum(ims_pcscf_dialogs{@})", "dialogs")],
            ),
            number(
                "HSS peers",
                "Open, for each node.",
                "short",
                &[("min by (instance) (ims_diameter_peers_open{@})", "{{instance}}")],
            ),
            number(
                "Registrations that succeed",
                "Of those that S-CSCFs answer finally.",
                "percentunit",
                &[(
                    "sum(rate(ims_sip_request_duration_seconds_count{@,interface=\"mw\",side=\"client\",method=\"REGISTER\",status=\"2xx\"}[~])) / sum(rate(ims_sip_request_duration_seconds_count{@,interface=\"mw\",side=\"client\",method=\"REGISTER\"}[~]))",
                    "part",
                )],
            ),
            stacked(
                "Failures explained",
                "What `imsctl findings` tells in full.",
                "ops",
                &[(
                    "sum by (detector) (rate(ims_why_findings_total{@}[~]))",
                    "{{detector}}",
                )],
            ),
            stacked(
                "Refused on sight",
                "Overload, limits, draining, unknown extensions.",
                "ops",
                &[(
                    "sum by (reason) (rate(ims_sip_refusals_total{@}[~]))",
                    "{{reason}}",
                )],
            ),
        ],
    },
    Section {
        title: "Registrations",
        panels: &[
            stacked(
                "REGISTERs at P-CSCFs",
                "By what became of them.",
                "ops",
                &[(
                    "sum by (reason) (rate(ims_pcscf_register_total{@}[~]))",
                    "{{reason}}",
                )],
            ),
            stacked(
                "REGISTERs at S-CSCFs",
                "By what became of them.",
                "ops",
                &[(
                    "sum by (reason) (rate(ims_scscf_registers_total{@}[~]))",
                    "{{reason}}",
                )],
            ),
            lines(
                "Registration, 95 of 100",
                "From the first REGISTER to its 200, the phone's answer to the challenge included.",
                "s",
                &[(
                    "histogram_quantile(0.95, sum by (le, kind) (rate(ims_registration_duration_seconds_bucket{@}[~])))",
                    "{{kind}}",
                )],
            ),
            stacked(
                "Refused by P- and I-CSCF",
                "By reason.",
                "ops",
                &[
                    (
                        "sum by (reason) (rate(ims_pcscf_rejected_total{@}[~]))",
                        "P: {{reason}}",
                    ),
                    (
                        "sum by (reason) (rate(ims_icscf_rejected_total{@}[~]))",
                        "I: {{reason}}",
                    ),
                ],
            ),
            lines(
                "Challenges and bindings",
                "What S-CSCFs hold.",
                "short",
                &[
                    ("sum(ims_scscf_challenges{@})", "challenges"),
                    ("sum(ims_scscf_bindings{@})", "bindings"),
                ],
            ),
            stacked(
                "Expired",
                "Not renewed, or not answered.",
                "ops",
                &[(
                    "sum by (reason) (rate(ims_scscf_expirations_total{@}[~]))",
                    "{{reason}}",
                )],
            ),
        ],
    },
    Section {
        title: "Calls and messages",
        panels: &[
            lines(
                "Post-dial delay",
                "From INVITE to the first sign of the callee.",
                "s",
                &[
                    (
                        "histogram_quantile(0.5, sum by (le) (rate(ims_call_post_dial_delay_seconds_bucket{@}[~])))",
                        "half",
                    ),
                    (
                        "histogram_quantile(0.95, sum by (le) (rate(ims_call_post_dial_delay_seconds_bucket{@}[~])))",
                        "95 of 100",
                    ),
                ],
            ),
            lines(
                "Call setup, 95 of 100",
                "From INVITE to 180, and to 200.",
                "s",
                &[(
                    "histogram_quantile(0.95, sum by (le, until) (rate(ims_call_setup_duration_seconds_bucket{@}[~])))",
                    "{{until}}",
                )],
            ),
            stacked(
                "INVITEs by final response",
                "At S-CSCFs and I-CSCFs, towards who asked.",
                "ops",
                &[(
                    "sum by (status) (rate(ims_sip_request_duration_seconds_count{@,side=\"server\",method=\"INVITE\"}[~]))",
                    "{{status}}",
                )],
            ),
            stacked(
                "Requests at S-CSCFs",
                "By what became of them.",
                "ops",
                &[(
                    "sum by (reason) (rate(ims_scscf_requests_total{@}[~]))",
                    "{{reason}}",
                )],
            ),
            lines(
                "Dialogs",
                "Answered, and being set up.",
                "short",
                &[
                    ("sum(ims_pcscf_dialogs{@})", "P-CSCF"),
                    ("sum(ims_pcscf_setups{@})", "P-CSCF, setting up"),
                    ("sum(ims_scscf_dialogs{@})", "S-CSCF"),
                ],
            ),
            stacked(
                "Ended by the network",
                "At S-CSCFs and P-CSCFs.",
                "ops",
                &[
                    (
                        "sum by (reason) (rate(ims_scscf_releases_total{@}[~]))",
                        "S: {{reason}}",
                    ),
                    (
                        "sum by (reason) (rate(ims_pcscf_dialogs_total{@}[~]))",
                        "P: {{reason}}",
                    ),
                ],
            ),
            stacked(
                "Emergency requests",
                "",
                "ops",
                &[(
                    "sum by (reason) (rate(ims_pcscf_emergency_total{@}[~]))",
                    "{{reason}}",
                )],
            ),
        ],
    },
    Section {
        title: "SIP",
        panels: &[
            stacked(
                "Requests",
                "By method.",
                "ops",
                &[(
                    "sum by (method) (rate(ims_sip_requests_total{@}[~]))",
                    "{{method}}",
                )],
            ),
            lines(
                "Request duration, 95 of 100",
                "Of requests that nodes make, by interface and method.",
                "s",
                &[(
                    "histogram_quantile(0.95, sum by (le, interface, method) (rate(ims_sip_request_duration_seconds_bucket{@,side=\"client\"}[~])))",
                    "{{interface}} {{method}}",
                )],
            ),
            stacked(
                "Responses",
                "By class.",
                "ops",
                &[(
                    "sum by (reason) (rate(ims_sip_responses_total{@}[~]))",
                    "{{reason}}",
                )],
            ),
            lines(
                "Repeated",
                "Messages that came or went once more: loss, or somebody too slow.",
                "ops",
                &[(
                    "sum by (reason) (rate(ims_sip_retransmissions_total{@}[~]))",
                    "{{reason}}",
                )],
            ),
            lines(
                "Timeouts and failovers",
                "",
                "ops",
                &[
                    (
                        "sum by (reason) (rate(ims_sip_timeouts_total{@}[~]))",
                        "timer {{reason}}",
                    ),
                    (
                        "sum by (reason) (rate(ims_sip_failovers_total{@}[~]))",
                        "failover {{reason}}",
                    ),
                    (
                        "sum by (reason) (rate(ims_sip_send_failures_total{@}[~]))",
                        "not sent: {{reason}}",
                    ),
                ],
            ),
            lines(
                "Transactions",
                "",
                "short",
                &[(
                    "sum by (instance, side) (ims_sip_transactions{@})",
                    "{{instance}} {{side}}",
                )],
            ),
            lines(
                "Not SIP",
                "",
                "ops",
                &[(
                    "sum by (reason) (rate(ims_sip_malformed_total{@}[~]))",
                    "{{reason}}",
                )],
            ),
        ],
    },
    Section {
        title: "HSS",
        panels: &[
            lines(
                "Duration of requests, 95 of 100",
                "By command.",
                "s",
                &[(
                    "histogram_quantile(0.95, sum by (le, command) (rate(ims_diameter_request_duration_seconds_bucket{@,side=\"client\"}[~])))",
                    "{{command}}",
                )],
            ),
            stacked(
                "Requests",
                "By command and class of result.",
                "ops",
                &[(
                    "sum by (command, result) (rate(ims_diameter_request_duration_seconds_count{@,side=\"client\"}[~]))",
                    "{{command}} {{result}}",
                )],
            ),
            stacked(
                "Answers",
                "By what became of requests.",
                "ops",
                &[("sum by (reason) (rate(ims_cx_answers_total{@}[~]))", "{{reason}}")],
            ),
            lines(
                "Waiting",
                "Without an answer, and not yet sent.",
                "short",
                &[
                    (
                        "sum by (instance) (ims_cx_requests_pending{@})",
                        "{{instance}} pending",
                    ),
                    (
                        "sum by (instance) (ims_cx_requests_waiting{@})",
                        "{{instance}} waiting",
                    ),
                ],
            ),
            lines(
                "Peers",
                "What happened to them.",
                "ops",
                &[(
                    "sum by (reason) (rate(ims_diameter_events_total{@}[~]))",
                    "{{reason}}",
                )],
            ),
        ],
    },
    Section {
        title: "Security associations",
        panels: &[
            stacked(
                "Sets",
                "Of four associations each, by where they are in their life.",
                "short",
                &[("sum by (state) (ims_pcscf_sa_sets{@})", "{{state}}")],
            ),
            stacked(
                "Signs that a phone cannot use them",
                "",
                "ops",
                &[(
                    "sum by (reason) (rate(ims_pcscf_ue_signals_total{@}[~]))",
                    "{{reason}}",
                )],
            ),
            lines(
                "Not installed, refused, gone",
                "",
                "ops",
                &[
                    (
                        "sum by (reason) (rate(ims_pcscf_sa_install_failures_total{@}[~]))",
                        "kernel: {{reason}}",
                    ),
                    (
                        "sum by (reason) (rate(ims_pcscf_sa_refused_total{@}[~]))",
                        "refused: {{reason}}",
                    ),
                    (
                        "sum by (reason) (rate(ims_pcscf_sa_gone_total{@}[~]))",
                        "gone: {{reason}}",
                    ),
                ],
            ),
            lines(
                "The kernel's counters",
                "Those that grow when packets are lost.",
                "ops",
                &[(
                    "sum by (counter) (rate(ims_xfrm_kernel_total{@}[~])) > 0",
                    "{{counter}}",
                )],
            ),
        ],
    },
    Section {
        title: "Load",
        panels: &[
            lines(
                "Waiting for a turn, 99 of 100",
                "Messages that were served.",
                "s",
                &[(
                    "histogram_quantile(0.99, sum by (le, instance) (rate(ims_queue_wait_duration_seconds_bucket{@}[~])))",
                    "{{instance}}",
                )],
            ),
            lines(
                "Turn of the driver, 99 of 100",
                "How long a shard's thread is busy before it looks for new messages again.",
                "s",
                &[(
                    "histogram_quantile(0.99, sum by (le, instance) (rate(ims_driver_turn_duration_seconds_bucket{@}[~])))",
                    "{{instance}}",
                )],
            ),
            lines(
                "Busy",
                "The part of the time that the threads of a node work.",
                "percentunit",
                &[(
                    "sum by (instance) (rate(ims_driver_turn_duration_seconds_sum{@}[~])) / max by (instance) (ims_shards{@})",
                    "{{instance}}",
                )],
            ),
            lines(
                "Queue",
                "",
                "short",
                &[(
                    "sum by (instance, work) (ims_queue_length{@})",
                    "{{instance}} {{work}}",
                )],
            ),
            lines(
                "Connections",
                "",
                "short",
                &[(
                    "sum by (instance, protocol) (ims_connections{@})",
                    "{{instance}} {{protocol}}",
                )],
            ),
            lines(
                "Left out",
                "What was lost of logs, copies and measurements; nothing of it concerns a call.",
                "ops",
                &[
                    ("sum(rate(ims_log_lines_left_out_total{@}[~]))", "log lines"),
                    (
                        "sum by (to, outcome) (rate(ims_export_total{@,outcome!=\"sent\"}[~]))",
                        "{{to}} {{outcome}}",
                    ),
                    ("sum(rate(ims_latency_unmeasured_total{@}[~]))", "unmeasured"),
                ],
            ),
        ],
    },
];

/// The dashboard's identifier: links to it stay.
pub const UID: &str = "ims-core";

/// The file that Grafana loads.
#[must_use]
pub fn dashboard() -> String {
    let mut panels = Vec::new();
    let (mut id, mut y) = (0, 0);
    for section in SECTIONS {
        id += 1;
        panels.push(json!({
            "id": id, "type": "row", "title": section.title, "collapsed": false, "panels": [],
            "gridPos": {"h": 1, "w": 24, "x": 0, "y": y},
        }));
        y += 1;
        let (mut x, mut height) = (0, 0);
        for panel in section.panels {
            let (w, h) = if panel.shape == Shape::Number {
                (4, 4)
            } else {
                (12, 8)
            };
            if x + w > 24 {
                (x, y) = (0, y + height);
            }
            height = h;
            id += 1;
            panels.push(one(panel, id, json!({"h": h, "w": w, "x": x, "y": y})));
            x += w;
        }
        y += height;
    }
    let text = json!({
        "uid": UID,
        "title": "IMS core",
        "tags": ["ims"],
        "schemaVersion": 39,
        "version": 1,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "",
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": [
            {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "refresh": 1},
            {
                "name": "instance", "label": "Node", "type": "query", "datasource": datasource(), "refresh": 2,
                "query": {"query": "label_values(ims_uptime_seconds, instance)", "refId": "nodes"},
                "definition": "label_values(ims_uptime_seconds, instance)",
                "includeAll": true, "multi": true, "allValue": ".*", "current": {"text": "All", "value": "$__all"}, "sort": 1,
            },
        ]},
        "panels": panels,
    });
    format!("{text:#}\n")
}

fn datasource() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

fn one(panel: &Panel, id: u32, place: Value) -> Value {
    let letters = "ABCDEF".chars();
    let targets: Vec<Value> = letters
        .zip(panel.queries)
        .map(|(letter, (query, legend))| {
            let query = query.replace('~', "$__rate_interval").replace('@', "instance=~\"$instance\"");
            json!({"refId": letter.to_string(), "expr": query, "legendFormat": legend, "datasource": datasource()})
        })
        .collect();
    let (kind, custom) = match panel.shape {
        Shape::Number => ("stat", json!({})),
        Shape::Lines => ("timeseries", json!({"fillOpacity": 0})),
        Shape::Stacked => (
            "timeseries",
            json!({"fillOpacity": 30, "stacking": {"mode": "normal", "group": "A"}}),
        ),
    };
    json!({
        "id": id, "type": kind, "title": panel.title, "description": panel.about, "datasource": datasource(),
        "gridPos": place, "targets": targets,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": custom}, "overrides": []},
        "options": {},
    })
}

/// All queries of a dashboard file, with the title of the panel.
///
/// # Errors
/// What is not as a dashboard has it.
pub fn queries(text: &str) -> anyhow::Result<Vec<(String, String)>> {
    let all: Value = serde_json::from_str(text)?;
    anyhow::ensure!(all["uid"] == UID && all["schemaVersion"].is_u64(), "no dashboard");
    let variables = all["templating"]["list"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    anyhow::ensure!(
        variables
            .iter()
            .any(|it| it["type"] == "datasource" && it["name"] == "datasource"),
        "the data source cannot be chosen"
    );
    let mut ids = std::collections::BTreeSet::new();
    let mut found = Vec::new();
    for panel in all["panels"].as_array().map_or(&[][..], Vec::as_slice) {
        let title = panel["title"].as_str().unwrap_or_default().to_owned();
        anyhow::ensure!(!title.is_empty(), "a panel without a title");
        anyhow::ensure!(
            ids.insert(panel["id"].as_u64()),
            "{title}: its number is not its own"
        );
        let place = &panel["gridPos"];
        let right = place["x"].as_u64().unwrap_or(99) + place["w"].as_u64().unwrap_or(99);
        anyhow::ensure!(right <= 24, "{title}: wider than the page");
        if panel["type"] == "row" {
            continue;
        }
        anyhow::ensure!(
            panel["datasource"]["uid"] == "${datasource}",
            "{title}: a fixed data source"
        );
        let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
        anyhow::ensure!(!targets.is_empty(), "{title}: no query");
        for target in targets {
            let query = target["expr"].as_str().unwrap_or_default();
            found.push((title.clone(), query.to_owned()));
        }
    }
    anyhow::ensure!(found.len() > 30, "only {} queries", found.len());
    Ok(found)
}
