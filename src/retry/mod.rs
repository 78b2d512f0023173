//! Error classes, delays, the one retry loop, retry budget.
//!
//! Every answer of the service and every failure of the network becomes one [`ServiceError`], and
//! every `ServiceError` has one [`ErrorClass`], which says what to do next. The table that maps
//! one to the other is in one place, exhaustive over the codes known, so that no caller ever
//! matches on a code to decide whether to send again.
//!
//! A call that is repeated on its own goes through `Retries::call`. The sink's writes do not:
//! they are queued again, one record at a time, and paid for from the `RetryBudget`.

mod backoff;
mod budget;
mod class;
#[cfg(test)]
mod class_tests;
pub(crate) mod error;
mod failure;
pub(crate) mod message;
mod policy;
mod retries;
#[cfg(test)]
pub(crate) mod samples;
mod throttling;

pub(crate) use backoff::Backoff;
pub(crate) use budget::RetryBudget;
pub use class::ErrorClass;
use class::is_clock_code;
pub(crate) use class::{
    classify, classify_cancellation, is_action_code, is_credentials_code, is_identity_code,
    is_skew_code,
};
pub(crate) use error::ServiceError;
pub use failure::CancellationReason;
pub(crate) use failure::{Failure, code};
pub use policy::{RetryBudgetSettings, RetryPolicy};
pub(crate) use retries::{Decision, Retries};
pub use throttling::{ThrottlingLimit, ThrottlingReason};
