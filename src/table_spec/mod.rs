//! The specification of a table: one type for every server that this crate brings along.
//!
//! The fake of `test_util` makes a table of it directly, `embedded` sends it as a `CreateTable`.
//! So it can say what `CreateTable` takes and nothing else: that the fake enforces a capacity, or
//! begins a stream with several shards, is in its `FakeTable`. What `CreateTable` would refuse is
//! refused here, by [`TableSpec::check`], so that both servers refuse the same.

mod index;
mod rules;
mod spec;
#[cfg(test)]
mod tests;
mod view;

pub use index::IndexSpec;
pub use spec::TableSpec;
pub use view::StreamView;

#[cfg(feature = "test-util")]
pub(crate) use rules::is_table_name;
pub(crate) use spec::Billing;
