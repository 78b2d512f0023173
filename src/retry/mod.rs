//! Error classes, delays, retry budget.

mod class;

pub use class::ErrorClass;
