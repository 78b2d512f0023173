//! The streams source over the faulty DynamoDB, in virtual time.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "the tests measure virtual time, and their helpers fail as tests do"
)]

mod askers;
mod basics;
mod churn;
mod empty_pages;
mod events;
mod first_starts;
mod flink;
mod gaps;
mod handovers;
mod health;
mod kcl_failures;
mod kcl_rows;
mod lag;
mod leases;
mod lost_rows;
mod many_shards;
mod model;
mod numbers;
mod odd_answers;
mod odd_listings;
mod policy;
mod releases;
mod replaced;
mod rescans;
pub(crate) mod rig;
mod snapshot;
mod starts;
mod throttling;
