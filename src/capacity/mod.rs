//! The share of a table's write capacity that one sink may use.
//!
//! Under overload every client uses all of a provisioned table. The difference between clients is
//! the waste. Refused requests cost CPU, latency and alarms. Capacity that a cautious client leaves
//! unused was paid for. So the sink reads the table's capacity from its description, in **write
//! units**, and sends no more than that. Where the description gives none, the sink derives a rate
//! from the answers.
//!
//! ```text
//!  DescribeTable ──▶ TableCapacity ──┐             ┌─ ConsumedCapacity: the units really used
//!  settings ───────▶ CapacityConfig ─┼─▶ Budgets ◀─┼─ refusals, with a reason or without
//!                                    │    ├ table   ┐  └─ latency ──▶ ConcurrencyLimit ──▶ requests in flight
//!                                    │    ├ index … ├ Budget = Speed (how fast) + Bucket (governor: how much now)
//!                                    │    └ hot key ┘
//!                                    ▼
//!     may these units leave now?   yes │ not before a time │ park this write, send the others
//! ```
//!
//! | file | owns |
//! |---|---|
//! | `table_capacity` | the capacity mode and its numbers, as described |
//! | `budgets` | all budgets of a table |
//! | `index_budgets` | those of its global indexes |
//! | `write_cost` | the units that a write costs table and indexes, predicted and reported |
//! | `attribution` | the budget that a refusal concerns, by its reason or by what the refused writes have in common |
//! | `budget` | one budget: when to wait for a full request, pauses, and the correction of predictions |
//! | `speed` | how fast its units may leave: rate, burst credit and ceiling together |
//! | `estimator` | the rate that can be kept up, from what is taken of what is sent |
//! | `allowance` | the units that are known to be there, and their growth on demand |
//! | `burst_credit` | unused capacity that DynamoDB keeps |
//! | `ceiling` | a cap by partitions, which comes back |
//! | `delivered` | units taken in the last second |
//! | `bucket` | a token bucket of write units, on `governor` |
//! | `hot_keys` | partition keys that ask for more than their partition gives |
//! | `concurrency_limit`, `latency` | requests in flight, by the time that answers take |
//! | `concurrency_range`, `rate` | the two settings |
//! | `limit` | the reason why writes wait now, and the cause of a refusal |
//!
//! **Why not concurrency alone**, as other clients do: one request in flight already sends more
//! than a hundred units a second. **Why not the described rate alone**: other clients may use the
//! table too, and DynamoDB keeps unused capacity for 300 seconds. **Why no coordinator**: every
//! sink sees the same refusals, cuts a share of its rate and grows by the same as the others, which
//! evens the shares out.
//!
//! All code here is pure: the time is an argument, and nothing is sent.

mod allowance;
mod attribution;
mod bucket;
mod budget;
#[cfg(test)]
mod budget_tests;
mod budgets;
#[cfg(test)]
mod budgets_tests;
mod burst_credit;
mod ceiling;
mod concurrency_limit;
mod concurrency_range;
mod delivered;
mod estimator;
mod hot_keys;
mod index_budgets;
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
mod speed;
mod table_capacity;
mod write_cost;

pub(crate) use budgets::{BudgetKey, Budgets, CapacityConfig};
pub(crate) use concurrency_limit::ConcurrencyLimit;
pub use concurrency_range::Concurrency;
pub(crate) use limit::{Limit, ThrottleCause};
pub use rate::Rate;
pub use table_capacity::CapacityMode;
pub(crate) use table_capacity::{TableCapacity, Units};
pub(crate) use write_cost::{Consumption, IndexKind, WriteCost};
