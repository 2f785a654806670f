//! Codec: tests.
