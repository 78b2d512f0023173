//! Faults: by script, in order, and at random, by seed.
//!
//! A fault is drawn when a request arrives and says what is to happen to it ([`effects`]). The front
//! makes it happen; the store below is honest.

pub(crate) mod effects;
pub(crate) mod fault;
mod narrowing;
pub(crate) mod plan;
