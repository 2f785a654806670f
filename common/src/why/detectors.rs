//! Engine: the catalogue of causes: one file each, in the order in which a phone meets them.
//!
//! A detector reads a [`Case`](super::Case) and nothing else, so that one node's view and the view of all nodes are read
//! alike. A sentence names the cause, the values that prove it and the remedy.

mod callee_unknown;

use super::detector::Detector;

/// All detectors.
pub const CATALOGUE: &[Detector] = &[callee_unknown::DETECTOR];
