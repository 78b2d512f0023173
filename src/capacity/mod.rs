//! How much of a table one sink may ask for.
//!
//! Under overload every client uses all of a provisioned table. What differs is the waste: requests that are refused cost
//! CPU, latency and alarms, and what a shy client leaves unused was paid for. So the sink knows what a table has, in
//! **write units**, and sends no more than that; and where it can't know, it finds out from the answers.
//!
//! ```text
//!  DescribeTable ──▶ Known ─┐                        ┌─ ConsumedCapacity: what was really used
//!  settings ───────▶ Wishes ┼─▶ Budgets ◀────────────┼─ refusals, with reasons or without
//!                           │    ├ table   ┐         └─ latency ──▶ ConcurrencyLimit ──▶ requests in flight
//!                           │    ├ index … ├ Budget = Control (how fast) + Bucket (governor: how much now)
//!                           │    └ hot key ┘
//!                           ▼
//!     may these units leave now?   yes │ not before a time │ hold this write back, its neighbours go on
//! ```
//!
//! | file | owns |
//! |---|---|
//! | `known` | the capacity mode and its numbers |
//! | `budgets` | all budgets of a table |
//! | `blame` | which of them a refusal concerns, by its reason or by what the refused writes have in common |
//! | `budget` | one budget: when to wait for a full request, pauses, and the correction of predictions |
//! | `control` | its rate and speed: burst credit, congestion, on-demand growth |
//! | `growth` | how a rate that was cut comes back: additive increase, or the cubic one where the sink is alone |
//! | `doubt` | whether refusals come of the rate at all |
//! | `bucket` | the rate held by `governor` |
//! | `hot` | partition keys that ask for more than their partition gives |
//! | `concurrency`, `latency` | requests in flight, where no rate holds writes back |
//! | `limit` | what holds writes back now |
//!
//! **Why not concurrency alone**, as others do: a hundred units a second are less than one request in flight brings. **Why not
//! the described rate alone**: others may use the table too, and unused capacity is kept for 300 seconds. **Why no
//! coordinator**: every sink sees the same refusals; additive increase and multiplicative decrease even the shares out.
//!
//! Everything here is pure: the time comes as an argument and nothing is sent.

mod attribution;
mod bucket;
mod budget;
#[cfg(test)]
mod budget_tests;
mod budgets;
#[cfg(test)]
mod budgets_tests;
mod concurrency_limit;
mod concurrency_range;
mod control;
mod delivered;
mod doubt;
mod growth;
mod hot_keys;
mod latency;
mod limit;
mod rate;
#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "simulated numbers are small"
)]
mod simulation;
mod table_capacity;

pub(crate) use budgets::{BudgetKey, Budgets, CapacityConfig, Consumption, IndexKind, WriteCost};
pub(crate) use concurrency_limit::ConcurrencyLimit;
pub use concurrency_range::Concurrency;
pub(crate) use limit::{Limit, ThrottleCause};
pub use rate::Rate;
pub use table_capacity::CapacityMode;
pub(crate) use table_capacity::{TableCapacity, Units};
