//! Testkit: why something failed, in one sentence, as an operator would read it.

mod calls;
mod manual;
