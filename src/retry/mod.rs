//! Error classes, delays, retry budget.

mod backoff;
mod budget;
mod class;
mod policy;

pub(crate) use backoff::Backoff;
pub(crate) use budget::RetryBudget;
pub use class::ErrorClass;
pub use policy::{RetryBudgetSettings, RetryPolicy};
