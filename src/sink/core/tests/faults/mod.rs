//! Failed requests, and the outcomes of their writes.

mod ends;
mod retries;

use super::*;

fn condition_failed_with(item: Option<&[u8]>) -> ServiceError {
    let mut failure = Failure::new(ErrorClass::Permanent, "ConditionalCheckFailedException");
    failure.item = item.map(Box::from);
    failure.into()
}
