//! Machine: why something failed: what crossed a node's border, by subscriber, and the sentence that explains it.
//!
//! A [`Recorder`] sees what a node is told and says, and the [`Note`]s that the node makes of what no wire shows. It keeps a
//! bounded story per Call-ID and knows whose it is. A [`Case`] is what one node, or all of them, know of one subscriber;
//! [`explain`] looks through it with every [`Detector`] of the [`CATALOGUE`], and a [`Finding`] is a sentence that names the
//! cause, the values that prove it and the remedy.
//!
//! ```text
//!  NetInput ─┐                       ┌─> Case (this node) ──┐
//!  NetOutput ┼─> Recorder (stories) ─┤                      ├─ merge ─> explain ─> Finding
//!  Note ─────┘                       └─> Case (other nodes) ┘
//! ```
//!
//! * [`entry`]: what one line of a timeline is; [`facts`](Facts): the values that it has
//! * `sip_reading`, `diameter_reading`: a message as an entry
//! * `stories`: the bounded table; `recorder`: what fills it
//! * `registers`: REGISTERs with their answers, which most detectors look at
//! * [`who`](Who): how a subscriber or a call is asked for
//! * [`case`](Case): what is known of one; [`detectors`]: what it means
//!
//! Nothing here decides anything on the wire. Keys, nonces and message bodies are never kept.

mod case;
mod detector;
pub mod detectors;
mod diameter_reading;
pub mod entry;
mod facts;
mod note;
mod recorder;
mod registers;
mod sip_reading;
mod stories;
mod who;

#[cfg(test)]
mod tests;

pub use case::Case;
pub use detector::{Detector, Finding, explain};
pub use detectors::CATALOGUE;
pub use entry::{Entry, What};
pub use facts::{Fact, Facts};
pub use note::{Note, NoteKind, Notes};
pub use recorder::{Followed, Recorder, RecorderSettings};
pub use who::Who;
