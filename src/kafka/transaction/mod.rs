//! A producer whose records and whose source's offsets are one transaction.
//!
//! **Problem.** Each event's outputs must be published once, whatever crashes: together with the source's offsets, or not at all.
//! Kafka has the means, and traps in them. An error's flags depend on the call; some calls never return; a commit that was
//! sent twice may end the transaction after it; what fences a member that is none any more is the group's generation
//! alone; and a record that is refused fails whatever is sent after it.
//!
//! **Choice.** librdkafka's transactional client, on threads of its own ([`generation`]), behind an async handle
//! ([`producer`]). One function sorts all errors into what follows ([`sort`]): the call again, an abort, a new producer, the end.
//! A watchdog of our own is around each call. The commit is made only once each record was reported as delivered,
//! by count ([`deliveries`]), since rdkafka's own wait takes 100 ms. A producer goes on only where nothing of
//! its last transaction can be late ([`wear`]), and otherwise a new one takes its place. Sizes are checked before a record is
//! sent ([`topics`]). Offsets come with the group's metadata of the same moment
//! ([`GroupOffsets`](super::source::GroupOffsets)), and an empty list is refused: it would fence nothing.
//!
//! **Rejected.** Fencing by an id for each partition: a client for each, and each one is opened again at every
//! rebalance. A time-out for the commit shorter than the transaction's: one that was given up is carried out all the
//! same, and an outcome that is not known is then called a failure. Going on after `INVALID_PRODUCER_ID_MAPPING`
//! with a higher epoch, as librdkafka would: a producer that slept long enough would fence the one that took its place.
//!
//! ```text
//! begin ─▶ produce ─▶ delivered ─▶ send_offsets ─▶ commit ─▶ worn? ─ no ─▶ begin
//!             │           │             │             │         │ yes
//!             │ full      │ failed      └── Abort ◀───┘         ▼
//!             ▼           └────────────▶ abort ──────────▶ worn? renew: same id, next epoch
//!           room                    Renew, Fenced ────────────▶ ┘      (ends what is open or late)
//!
//! handle ─ calls ──▶ thread of calls ───▶ librdkafka ──▶ transaction coordinator, group coordinator
//!   │ records ─────────────────────────▶ │
//!   └ counts ◀── thread of reports ◀─────┘
//! ```
//!
//! After `Renew` and `Fenced` nothing is known of a commit that was under way: positions are taken from the group's offsets, for which
//! the broker waits until the transaction has ended.

mod client;
mod deliveries;
mod facts;
mod failures;
mod generation;
mod opening;
mod phase;
mod producer;
mod settings;
mod sort;
#[cfg(test)]
mod tests;
mod topics;
mod wear;

#[cfg(feature = "pipeline")]
pub(crate) use producer::{NotTaken, TransactionalProducer};
pub use settings::TransactionSettings;
#[cfg(feature = "pipeline")]
pub(crate) use sort::Verdict;
