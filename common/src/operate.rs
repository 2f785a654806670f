//! Codec: what an operator asks of a node, and what it answers: lists of rows, as values that both sides read.
//!
//! A node fills a [`Report`] in [`Node::report`](crate::node::Node::report), a pure read. The shell gives it out over HTTP as
//! JSON, joined over shards and, when asked, over the nodes of a site. No row has a field for a key.

mod endpoint;
mod explained;
mod filter;
mod reload;
mod rows;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

pub use endpoint::{ADMIN_PORT, Endpoint};
pub use explained::{Explained, FindingRow, Findings};
pub use filter::{FILTER_OCTETS_MAX, Filter};
pub use reload::{ConfigChange, ReloadReport, ReloadResult, RestartKey};
pub use rows::{
    BanRow, ContactRow, ImpuRow, LimitRow, NodeRow, NodeStatus, PeerRow, SaRow, SaStateRow, SessionRow,
    UserContactRow, UserRow,
};

/// Rows of a list, unless said.
pub const ROWS_DEFAULT: usize = 100;
/// Rows of a list at most.
pub const ROWS_MAX: usize = 1_000;

/// Which list is asked for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum List {
    /// The nodes themselves.
    Nodes,
    /// Users, at an S-CSCF.
    Users,
    /// Contacts, at a P-CSCF.
    Contacts,
    /// Dialogs, at a P- or S-CSCF.
    Sessions,
    /// Security associations, at a P-CSCF.
    Sas,
    /// Diameter peers, and next hops that are left out for a while.
    Peers,
    /// Limits, with what is used of them.
    Limits,
    /// Sources that are banned.
    Bans,
}

impl List {
    /// All lists, as the API names them.
    pub const ALL: [Self; 8] = [
        Self::Nodes,
        Self::Users,
        Self::Contacts,
        Self::Sessions,
        Self::Sas,
        Self::Peers,
        Self::Limits,
        Self::Bans,
    ];

    /// Where the API serves it.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Nodes => "/api/v1/node",
            Self::Users => "/api/v1/users",
            Self::Contacts => "/api/v1/contacts",
            Self::Sessions => "/api/v1/sessions",
            Self::Sas => "/api/v1/sas",
            Self::Peers => "/api/v1/peers",
            Self::Limits => "/api/v1/limits",
            Self::Bans => "/api/v1/bans",
        }
    }

    /// Its name in a [`Report`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nodes => "nodes",
            Self::Users => "users",
            Self::Contacts => "contacts",
            Self::Sessions => "sessions",
            Self::Sas => "sas",
            Self::Peers => "peers",
            Self::Limits => "limits",
            Self::Bans => "bans",
        }
    }
}

/// What an operator asks: a list, of whom, and how much of it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Question {
    /// The list.
    pub list: List,
    /// Only rows about these; `None`: all.
    pub who: Option<Filter>,
    /// Rows at most; the rest is counted.
    pub limit: usize,
}

impl Question {
    /// The first rows of a whole list.
    #[must_use]
    pub const fn of(list: List) -> Self {
        Self {
            list,
            who: None,
            limit: ROWS_DEFAULT,
        }
    }

    /// The keys of the rows that are looked at, newest first: of a whole list as many as fit, else all. `left_off` grows
    /// by those that are not.
    pub fn newest<K: Copy + Ord>(&self, keys: impl Iterator<Item = K>, left_off: &mut u64) -> Vec<K> {
        let mut keys: Vec<K> = keys.collect();
        if self.who.is_none() && keys.len() > self.limit {
            let (_, _, excess) = keys.select_nth_unstable_by(self.limit, |a, b| b.cmp(a));
            *left_off = left_off.saturating_add(count(excess.len() + 1));
            keys.truncate(self.limit);
        }
        keys.sort_unstable_by(|a, b| b.cmp(a));
        keys
    }

    /// The address that is asked for, when it is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.who.as_ref()?.as_str().parse().ok()
    }

    /// Whether a row with one of these identities is asked for.
    pub fn is_about<'a>(&self, identities: impl IntoIterator<Item = &'a str>) -> bool {
        match &self.who {
            None => true,
            Some(filter) => identities.into_iter().any(|identity| filter.names(identity)),
        }
    }
}

/// The rows of a list; the lists that were not asked for are empty.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Report {
    /// The nodes themselves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeRow>,
    /// Users of an S-CSCF.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<UserRow>,
    /// Contacts of a P-CSCF.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<ContactRow>,
    /// Dialogs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<SessionRow>,
    /// Sets of security associations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sas: Vec<SaRow>,
    /// Peers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<PeerRow>,
    /// Limits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitRow>,
    /// Bans.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bans: Vec<BanRow>,
    /// Rows that the limit left out.
    pub left_off: u64,
    /// Nodes that were asked too and did not answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<Unanswered>,
}

/// A node that did not answer.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "shell", derive(utoipa::ToSchema))]
pub struct Unanswered {
    /// Where it was asked.
    pub endpoint: String,
    /// What went wrong.
    pub error: String,
}

/// One kind of row of a [`Report`].
pub trait Row: Sized {
    /// Where it stands.
    fn rows(report: &mut Report) -> &mut Vec<Self>;
    /// Where the name of the node stands that told the row.
    fn node(&mut self) -> &mut String;
}

macro_rules! rows {
    ($($row:ty: $field:ident;)*) => {
        $(impl Row for $row {
            fn rows(report: &mut Report) -> &mut Vec<Self> {
                &mut report.$field
            }
            fn node(&mut self) -> &mut String {
                &mut self.node
            }
        })*

        impl Report {
            /// Adds the rows of another shard or node; of each list no more than `limit` stay.
            pub fn join(&mut self, other: Self, limit: usize) {
                $(self.$field.extend(other.$field);)*
                self.limits = add_up(std::mem::take(&mut self.limits));
                let mut too_many = 0;
                $(
                    too_many += self.$field.len().saturating_sub(limit);
                    self.$field.truncate(limit);
                )*
                self.left_off = self.left_off.saturating_add(other.left_off).saturating_add(count(too_many));
                self.unanswered.extend(other.unanswered);
            }

            /// Whether a list has no rows.
            #[must_use]
            pub fn is_empty(&self, list: List) -> bool {
                $((list.name() != stringify!($field) || self.$field.is_empty()))&&*
            }

            /// Writes the name of the node that told them into all rows.
            #[must_use]
            pub fn told_by(mut self, node: &str) -> Self {
                $(for row in &mut self.$field {
                    node.clone_into(&mut row.node);
                })*
                self
            }
        }
    };
}

rows! {
    NodeRow: nodes;
    UserRow: users;
    ContactRow: contacts;
    SessionRow: sessions;
    SaRow: sas;
    PeerRow: peers;
    LimitRow: limits;
    BanRow: bans;
}

/// One row for each limit of a node: the shards have their parts of it.
fn add_up(rows: Vec<LimitRow>) -> Vec<LimitRow> {
    let mut sums: Vec<LimitRow> = Vec::new();
    for row in rows {
        let known = sums
            .iter_mut()
            .find(|sum| sum.node == row.node && sum.limit == row.limit);
        match known {
            Some(sum) => sum.add(&row),
            None => sums.push(row),
        }
    }
    sums
}

impl Report {
    /// Adds a row, or counts it when there are enough. It is only made when it stays.
    pub fn add<R: Row>(&mut self, question: &Question, row: impl FnOnce() -> R) {
        if R::rows(self).len() < question.limit {
            let row = row();
            R::rows(self).push(row);
        } else {
            self.left_off = self.left_off.saturating_add(1);
        }
    }
}

/// Whole seconds from one instant to a later one.
#[must_use]
pub fn secs_between(from: Instant, to: Instant) -> u64 {
    to.saturating_duration_since(from)
        .saturating_add(Duration::from_millis(500))
        .as_secs()
}

/// A number of rows.
#[must_use]
pub fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ban(source: &str) -> BanRow {
        BanRow {
            source: source.to_owned(),
            ..BanRow::default()
        }
    }

    #[test]
    fn rows_beyond_the_limit_are_counted_and_not_made() {
        let question = Question {
            limit: 2,
            ..Question::of(List::Bans)
        };
        let mut report = Report::default();
        let mut made = 0;
        for _ in 0..5 {
            report.add(&question, || {
                made += 1;
                ban("192.0.2.66")
            });
        }
        assert_eq!((made, report.bans.len(), report.left_off), (2, 2, 3));
    }

    #[test]
    fn joined_reports_keep_the_limit_and_add_what_was_left_off() {
        let mut all = Report {
            bans: vec![ban("a"), ban("b")],
            left_off: 1,
            ..Report::default()
        };
        let other = Report {
            bans: vec![ban("c"), ban("d")],
            left_off: 2,
            ..Report::default()
        };
        all.join(other.told_by("pcscf"), 3);
        let sources: Vec<&str> = all.bans.iter().map(|row| row.source.as_str()).collect();
        assert_eq!((sources, all.left_off), (vec!["a", "b", "c"], 4));
        assert_eq!(all.bans.last().map(|row| row.node.as_str()), Some("pcscf"));
    }

    #[test]
    fn shards_add_up_their_parts_of_a_limit() {
        let part = |used| Report {
            limits: vec![LimitRow::new("limits.transactions", 100).used(used).refused(2)],
            ..Report::default()
        };
        let mut all = part(3);
        all.join(part(4), 10);
        assert_eq!(
            all.limits,
            [LimitRow::new("limits.transactions", 200).used(7).refused(4)]
        );
        all.join(part(1).told_by("scscf"), 10);
        assert_eq!(all.limits.len(), 2);
    }

    #[test]
    fn the_newest_rows_of_a_whole_list_are_looked_at_and_all_of_a_filtered_one() {
        let mut left_off = 0;
        let question = Question {
            limit: 2,
            ..Question::of(List::Users)
        };
        assert_eq!(question.newest([3, 1, 4, 2].into_iter(), &mut left_off), [4, 3]);
        assert_eq!(left_off, 2);
        assert_eq!(question.newest([1, 2].into_iter(), &mut left_off), [2, 1]);
        let filtered = Question {
            who: "+15550001".parse().ok(),
            ..question
        };
        assert_eq!(filtered.newest([3, 1, 4].into_iter(), &mut left_off), [4, 3, 1]);
        assert_eq!(left_off, 2);
    }

    #[test]
    fn a_list_is_named_as_its_rows_are() {
        for list in List::ALL {
            let text = serde_saphyr::to_string(&list).unwrap();
            assert_eq!(text.trim(), list.name());
        }
    }

    #[test]
    fn a_list_without_rows_is_empty_whatever_the_others_have() {
        let report = Report {
            nodes: Vec::new(),
            users: vec![UserRow::default()],
            ..Report::default()
        };
        for list in List::ALL {
            assert_eq!(report.is_empty(list), list != List::Users, "{list:?}");
        }
    }
}
