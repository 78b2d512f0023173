//! Error classes, delays, retry budget.
//!
//! Every answer of the service and every failure of the network becomes one [`ServiceError`], and
//! every `ServiceError` has one [`ErrorClass`], which says what to do next. The table that maps
//! one to the other is in one place, exhaustive over the codes known, so that no caller ever
//! matches on a code to decide whether to send again.

mod backoff;
mod budget;
mod class;
mod error;
mod message;
mod policy;
mod retries;
mod throttling;

pub(crate) use backoff::Backoff;
pub(crate) use budget::RetryBudget;
pub use class::ErrorClass;
use class::is_clock_code;
pub(crate) use class::{
    classify, classify_cancellation, is_action_code, is_credentials_code, is_identity_code,
    is_skew_code,
};
pub use error::{CancellationReason, ServiceError};
pub(crate) use error::{Failure, code};
pub use policy::{RetryBudgetSettings, RetryPolicy};
pub(crate) use retries::{Decision, Retries};
pub use throttling::{ThrottlingLimit, ThrottlingReason};
