//! Tests of refusals and their evidence alone.

mod tables;
mod writes;

use super::*;
use crate::sink::core::access::{ActionStatus, Attribution, RecordEvidence, RefusalKind, Tally};

const PUTS: Operation = Operation::BatchWriteItem;
const UPDATES: Operation = Operation::UpdateItem;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn unrecognized() -> ServiceError {
    Failure::new(ErrorClass::Fatal, "UnrecognizedClientException").into()
}

fn denied() -> ServiceError {
    Failure::new(ErrorClass::Fatal, "AccessDeniedException").into()
}
