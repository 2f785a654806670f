//! Testkit: the catalogue holds what it says of itself.

use super::*;

#[test]
fn names_follow_the_convention_and_stand_once_in_order() {
    let mut names = Vec::new();
    for section in CATALOGUE {
        assert!(
            section.rows.is_sorted_by_key(|row| row.name),
            "{} is not in order",
            section.title
        );
        for row in section.rows {
            names.push(row.name);
            let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(
                row.name.starts_with("ims_") && row.name.chars().all(is_word),
                "{}",
                row.name
            );
            assert_eq!(
                row.kind == Kind::Counter,
                row.name.ends_with("_total"),
                "{}",
                row.name
            );
            for wrong in [
                "milliseconds",
                "_ms",
                "minutes",
                "hours",
                "_kb",
                "octets",
                "_count",
                "_sum",
            ] {
                assert!(!row.name.contains(wrong), "{} is no base unit", row.name);
            }
            if row.kind == Kind::Histogram {
                assert_eq!(row.unit(), Some("seconds"), "{}", row.name);
            }
        }
    }
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
}

#[test]
fn help_is_one_sentence_and_labels_are_bounded() {
    for row in rows() {
        assert!(
            row.help.ends_with('.') && !row.help.contains('\n'),
            "{}: {}",
            row.name,
            row.help
        );
        assert!(row.labels.len() <= 4, "{}", row.name);
        for label in row.labels {
            assert!(
                !["le", "quantile", "job", "instance"].contains(&label.name),
                "{}",
                row.name
            );
            if let Values::OneOf(values) = label.values {
                assert!(!values.is_empty() && values.len() <= VALUES_MAX, "{}", row.name);
            }
        }
    }
}

#[test]
fn what_is_not_promised_is_complained_about() {
    let none: [(&str, &str); 0] = [];
    assert_eq!(complaint("ims_pcscf_contacts", Kind::Gauge, &none), None);
    assert!(complaint("ims_pcscf_contact", Kind::Gauge, &none).is_some());
    assert!(complaint("ims_pcscf_contacts", Kind::Counter, &none).is_some());
    assert!(
        complaint(
            "ims_pcscf_contacts",
            Kind::Gauge,
            &[("impu", "sip:alice@home.example")]
        )
        .is_some()
    );
    let methods = |method| complaint("ims_sip_requests_total", Kind::Counter, &[("method", method)]);
    assert_eq!(methods("INVITE"), None);
    assert!(methods("X-INVENTED").is_some());
}

#[test]
fn manual_has_the_metrics_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/manual/metrics.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, chapter()).unwrap();
    }
    let printed = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        printed,
        chapter(),
        "UPDATE_GOLDEN=1 cargo test -p ims-common --lib catalogue"
    );
}
