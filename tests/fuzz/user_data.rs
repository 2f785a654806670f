//! Testkit: User-Data of Cx: documents of the corpus with elements lost, doubled, moved, nested and refilled.

use hss_client::user_data::{ImsSubscription, UserDataError, UserDataLimits, parse, parse_within};
use ims_tests::hss::profile_xml;

use crate::dice::{Dice, change, few, pick, raw, seed};
use crate::engine::{Target, Verdict, assert_linear};

static TARGET: Target = Target {
    name: "user_data",
    check,
    generate,
    iterations: 6_000,
};

#[test]
fn every_user_data_is_refused_or_prints_as_what_reads_the_same() {
    fuzz!(TARGET);
}

const WORDS: Words = Words {
    elements: &ELEMENTS,
    texts: &TEXTS,
};

const TEXTS: [&str; 20] = [
    "0",
    "1",
    "2",
    "true",
    "false",
    "-1",
    "4294967296",
    "",
    " ",
    "sip:a@h.example",
    "tel:+15550001",
    "sip:b!.*!@h.example",
    "&amp;&lt;",
    "&#x41;",
    "&#0;",
    "&#xD;&#10;",
    "&nbsp;",
    "<![CDATA[<x>]]>",
    "<!-- c -->",
    "\u{e9}\u{6771}",
];

const ELEMENTS: [&str; 16] = [
    "<Extension></Extension>",
    "<x:Unknown xmlns:x=\"y\"><a><b/></a></x:Unknown>",
    "<PublicIdentity><Identity>sip:c@h</Identity></PublicIdentity>",
    "<BarringIndication>1</BarringIndication>",
    "<Priority>7</Priority>",
    "<SharedIFCSetID>3</SharedIFCSetID>",
    "<Group>1</Group>",
    "<IdentityType>4</IdentityType>",
    "<DisplayName>A</DisplayName>",
    "<ServiceProfile/>",
    "<IMSI>001010000000001</IMSI>",
    "<!DOCTYPE a [<!ENTITY b \"c\">]>",
    "<?pi x?>",
    "<Method>REGISTER</Method>",
    "<ConditionNegated>0</ConditionNegated>",
    "text",
];

fn generate(dice: &mut dyn Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    if dice.one_in(20) {
        return raw(dice, 200);
    }
    let text = String::from_utf8_lossy(&seed(dice, seeds)).into_owned();
    let mut pieces = pieces(&text);
    for _ in 0..few(dice) {
        change_pieces(dice, &mut pieces, &WORDS);
    }
    let mut bytes = pieces.concat().into_bytes();
    if dice.one_in(5) {
        change(
            dice,
            &mut bytes,
            &[
                b"<",
                b">",
                b"/>",
                b"&",
                b"]]>",
                b"<!--",
                b" a=\"b\"",
                b"xmlns=\"u\" ",
            ],
        );
    }
    bytes
}

/// What a generator puts into a document.
pub(crate) struct Words {
    /// Elements.
    pub(crate) elements: &'static [&'static str],
    /// Their text.
    pub(crate) texts: &'static [&'static str],
}

/// Tags and what stands between them.
pub(crate) fn pieces(text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['<', '>']) {
        let end = if rest[at..].starts_with('>') { at + 1 } else { at };
        if end > 0 {
            pieces.push(rest[..end].to_owned());
            rest = &rest[end..];
        } else {
            let end = rest.find('>').map_or(rest.len(), |at| at + 1);
            pieces.push(rest[..end].to_owned());
            rest = &rest[end..];
        }
    }
    pieces.push(rest.to_owned());
    pieces
}

/// Where the element that begins at `at` ends.
fn element_end(pieces: &[String], at: usize) -> usize {
    let mut depth = 0_usize;
    for (n, piece) in pieces.iter().enumerate().skip(at) {
        if piece.starts_with("</") {
            depth = depth.saturating_sub(1);
        } else if piece.starts_with('<') && !piece.ends_with("/>") {
            depth += 1;
        }
        if depth == 0 {
            return n + 1;
        }
    }
    pieces.len()
}

pub(crate) fn change_pieces(dice: &mut dyn Dice, pieces: &mut Vec<String>, words: &Words) {
    if pieces.is_empty() {
        return;
    }
    let (at, to) = (dice.below(pieces.len()), dice.below(pieces.len()));
    let end = element_end(pieces, at);
    match dice.below(9) {
        0 => drop(pieces.drain(at..end)),
        1 => {
            let copy = pieces[at..end].to_vec();
            pieces.splice(end..end, copy);
        }
        2 => {
            let copy: Vec<String> = pieces[at..end].to_vec();
            pieces.splice(to..to, copy);
        }
        3 => pieces.insert(at, (*pick(dice, words.elements)).to_owned()),
        4 => {
            let depth = if dice.one_in(4) { 40 } else { 2 };
            pieces.insert(end, "</Extension>".repeat(depth));
            pieces.insert(at, "<Extension>".repeat(depth));
        }
        5 if dice.one_in(4) => {
            let many = pieces[at..end].concat().repeat(1 + dice.below(150));
            pieces.insert(at, many);
        }
        _ => {
            let texts: Vec<usize> = (0..pieces.len())
                .filter(|n| !pieces[*n].starts_with('<'))
                .collect();
            let Some(at) = texts.get(dice.below(texts.len())) else {
                return;
            };
            pieces[*at] = (*pick(dice, words.texts)).to_owned();
        }
    }
}

fn check(bytes: &[u8]) -> Verdict {
    let narrow = UserDataLimits {
        octets_max: 4_096,
        depth_max: 6,
        text_max: 64,
        profiles_max: 2,
        identities_max: 3,
        criteria_max: 2,
        entries_max: 3,
    };
    let read = parse(bytes);
    if let Ok(small) = parse_within(bytes, &narrow) {
        within(&small, &narrow);
        assert_eq!(
            read.as_ref(),
            Ok(&small),
            "limits change nothing but what is refused"
        );
    }
    match read {
        Ok(subscription) => {
            within(&subscription, &UserDataLimits::default());
            same_again(&subscription);
            Verdict::Accepted
        }
        Err(error) => {
            quiet(&error);
            Verdict::Refused
        }
    }
}

/// An error never quotes the document.
fn quiet(error: &UserDataError) {
    let shown = format!("{error} {error:?}");
    assert!(
        !shown.contains("001010000000001") && !shown.contains('\u{e9}'),
        "{shown}"
    );
}

fn within(read: &ImsSubscription, limits: &UserDataLimits) {
    assert!((1..=limits.profiles_max).contains(&read.profiles.len()));
    for profile in &read.profiles {
        assert!(profile.public_identities.len() <= limits.identities_max);
        assert!(profile.filter_criteria.len() <= limits.criteria_max);
        assert!(profile.shared_ifc_set_ids.len() <= limits.entries_max);
        assert!(profile.service_ids.len() <= limits.entries_max);
        assert!(
            profile
                .filter_criteria
                .is_sorted_by_key(|criterion| criterion.priority)
        );
        for criterion in &profile.filter_criteria {
            assert!(criterion.application_server.server_name.len() <= limits.text_max);
            let Some(trigger) = &criterion.trigger_point else {
                continue;
            };
            assert!((1..=limits.entries_max).contains(&trigger.spts.len()));
            assert!(
                trigger
                    .spts
                    .iter()
                    .all(|spt| (1..=limits.entries_max).contains(&spt.groups.len()))
            );
        }
    }
    for identity in read.public_identities() {
        let found = read.find(&identity.impu).map(|(_, found)| &found.impu);
        assert_eq!(found, Some(&identity.impu));
        assert!(read.aliases(&identity.impu).count() <= read.public_identities().count());
    }
    assert_eq!(read.default_public_identity(), read.non_barred().next());
}

fn same_again(read: &ImsSubscription) {
    let printed = profile_xml::print(&read.private_identity, &read.profiles);
    let again = parse(printed.as_bytes()).unwrap_or_else(|e| panic!("{e}: {printed}"));
    assert_eq!(again.private_identity, read.private_identity);
    assert_eq!(again.profiles, read.profiles, "{printed}");
}

#[test]
fn large_user_data_costs_what_its_size_says() {
    let of = |part: &'static str| {
        move |size: usize| {
            let head = "<IMSSubscription><PrivateID>a@h</PrivateID><ServiceProfile><PublicIdentity><Identity>sip:a@h</Identity></PublicIdentity>";
            let tail = "</ServiceProfile></IMSSubscription>";
            format!("{head}{}{tail}", part.repeat(size / part.len())).into_bytes()
        }
    };
    let check = |bytes: &[u8]| _ = parse(bytes);
    for part in [
        "<a/>",
        "<a></a>",
        "<!-- -->",
        "&amp;",
        "<![CDATA[x]]>",
        "<a b='c'/>",
        "<x:y xmlns:x='z'/>",
        "<",
        "&",
        "]]>",
    ] {
        assert_linear(part, of(part), check);
    }
}
