//! Refusals that leave the state of the table unproven, and the decisions of descriptions.

mod requests;
mod verdicts;

use super::access::{denied, holds, invalid, missing, run, unchanged};
use super::*;
use crate::capacity::Limit;
use crate::sink::core::description::Described;

fn described_denied(_: Duration) -> Described {
    Described::Denied
}

fn described_invalid(_: Duration) -> Described {
    Described::Failed(invalid())
}

fn described_failed(_: Duration) -> Described {
    Described::Failed(error(ErrorClass::Throttled, "ThrottlingException"))
}
