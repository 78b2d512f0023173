//! Typed operators between a source and a sink: nothing lost, in order, bounded.
//!
//! **The problem.** Records come in partitions (shards of a stream, partitions of a topic), each
//! with an order and a position to store. What is made of them becomes durable elsewhere, in any
//! order, late, or not at all. Storing a position too early loses records, a lookup out of turn
//! reorders them, and one bad record either stops everything or vanishes.
//!
//! **The choice.** Each record carries the duty to say that its effects are durable, a
//! [`Delivery`], through all operators to the sink. Skipped and dead-lettered records say so too;
//! whatever is dropped, by an error or a bug, says that it was not done, and the source never
//! passes it. So a crash at any moment gives records again, and loses none: at least once.
//!
//! ```text
//!           source ──batches──▶ validate ▶ enrich ▶ key_by ▶ map ──batches──▶ sink
//!             ▲                    │          │                                │
//!             │                    │      lookup, cache                        │ once durable
//!  checkpoint │                    ▼                                           │
//!             │               dead letters ◀────────── rejected ◀──────────────┤
//!             │                    │ once durable                              │
//!             └──────── Ack ◀──────┴──── all effects of the record done ◀──────┘
//! ```
//!
//! ```
//! use dynamodb_connector::pipeline::{Enrichment, Pipeline};
//! use dynamodb_connector::test_util::{CollectSink, IterSource};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! #[derive(Clone)]
//! struct Decision { customer: u64, amount: i64 }
//!
//! let decisions = [(1, 500), (2, -1), (1, 70)];
//! let source = IterSource::new(decisions.map(|(customer, amount)| Decision { customer, amount }));
//! let names = Enrichment::new(|customer: u64| async move {
//!     Ok::<_, std::io::Error>(Some(format!("customer {customer}")))
//! });
//! let (events, invalid) = (CollectSink::new(), CollectSink::new());
//!
//! let report = Pipeline::from(source)
//!     .validate(|d: &Decision| if d.amount < 0 { Err("negative amount") } else { Ok(()) })
//!     .named("amounts")
//!     .enrich(|d| d.customer, names, |d, name| (name, d.amount))
//!     .key_by(|(name, _)| name.clone())
//!     .map(|event| format!("{}: {}", event.key(), event.value().1))
//!     .dead_letter(invalid.clone())
//!     .to(events.clone())
//!     .run_until_signal()
//!     .await?;
//!
//! assert_eq!(events.take(), ["customer 1: 500", "customer 1: 70"]);
//! assert_eq!(invalid.take()[0].to_string(), "amounts: records@1: negative amount");
//! assert_eq!(report.acknowledged, 3);
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Order
//!
//! Every operator and the sink see the records of one partition in the source's order, also after
//! operators that wait: those work on many records at once, and what they finish too early waits
//! for its turn. Partitions do not wait for each other. A key that always comes in the same
//! partition is so kept in order.
//!
//! # Bad records
//!
//! Records that an operator finds invalid, lookups that find nothing or refuse the record, closures
//! that panic, and values that the sink rejects go to the [dead-letter
//! output](Pipeline::dead_letter), as the source gave them, with the operator's name and the
//! reason. Where there is no such output, the first of them stops the pipeline: none is dropped.
//! [`OnFailure`] changes that for one operator.
//!
//! # Bounds
//!
//! [`PipelineSettings`] bounds the records between source and durability, by count and bytes;
//! asynchronous operators bound what they work on at once, caches what they keep.
//!
//! # Ends
//!
//! [`Job::run`] ends with the source; [`Job::run_until_signal`] on SIGTERM, when what is in flight
//! is finished, the sink flushed, and the source closed so that its positions are stored. After an
//! error the same is tried for what the sink has; the rest is given again by the next run. An end
//! takes 25 s at most, by [`PipelineSettings::stop_timeout`], and a second signal cuts it short at
//! any moment.
//!
//! **Rejected.** A task for each operator with channels between: a hop for each record and operator
//! costs more than most operators do. One future for a record through all operators: operators
//! behind one that waits would see records out of order. Operators that are always boxed: they are
//! known at compile time, and [`boxed`](Pipeline::boxed) is there where a type is too long to write.
//! A task for each branch: a record is done once both branches are, so they can't be far apart.
//!
//! **Names of types.** The type of a pipeline grows with each operator, and so do the names of its
//! compiled functions. A closure inside a method that is generic over the whole chain would have that
//! chain in its name and beside it in the next type, which doubles names with each operator. So each
//! operator's function is a type of its own (`step_fns`).
//!
//! **Circles.** `source` and `sink` name their adapters (`boxed`, `merge`, `map_item`), which
//! implement them. `error` and `endpoint_error` use each other, through the crate's table of all errors
//! (`error::classified`): a pipeline's error holds that of an endpoint, which may hold any of them.

mod ack_tracker;
mod apply;
mod batch_channel;
mod box_job;
mod boxed;
mod boxed_chain;
mod branched_sink;
mod branches;
mod branching;
mod builder;
mod chain;
#[cfg(feature = "streams")]
mod changes;
#[cfg(feature = "kafka")]
mod commit;
#[cfg(all(feature = "kafka", feature = "test-util"))]
pub(crate) mod crash;
mod dead_letter;
mod delivery;
#[cfg_attr(
    not(feature = "kafka"),
    expect(dead_code, reason = "transactions are Kafka's")
)]
mod driver;
mod ending;
mod endpoint_error;
mod enrich;
mod enrichment;
mod error;
mod flat_map;
mod flow;
mod fn_sink;
#[cfg(feature = "kafka")]
mod gate;
#[cfg(feature = "kafka")]
mod gate_keeper;
mod groups;
#[cfg(feature = "kafka")]
mod guarantee;
mod in_flight;
mod job;
#[cfg(feature = "kafka")]
mod kafka_output;
#[cfg(feature = "kafka")]
mod kafka_source;
#[cfg(feature = "kafka")]
mod kafka_transactions;
mod keyed;
mod lag;
mod letter;
mod letter_file;
mod lookup_cache;
mod map_async;
mod map_item;
mod merge;
mod meter;
mod monitor;
mod operator;
mod partition;
mod pending_error;
mod position;
#[cfg(feature = "kafka")]
mod raw_message;
mod reason;
mod reorder_buffer;
mod run;
#[cfg(test)]
pub(crate) mod samples;
mod scheduler;
mod settings;
mod shared;
mod signal;
mod sink;
mod source;
mod stats;
mod step_fns;
mod successes;
mod table_lookup;
mod table_sink;
#[cfg(feature = "kafka")]
mod transact;
#[cfg(feature = "kafka")]
mod transaction_meter;
#[cfg(feature = "kafka")]
mod transaction_positions;
mod transaction_stats;
#[cfg(feature = "kafka")]
mod transactional_job;
#[cfg(feature = "kafka")]
mod transactional_output;
#[cfg(feature = "kafka")]
mod transactional_sink;
#[cfg(feature = "kafka")]
mod transactions;
#[cfg_attr(
    not(feature = "kafka"),
    expect(dead_code, reason = "transactions are Kafka's")
)]
mod turns;

pub use box_job::BoxJob;
pub use boxed::{BoxSink, BoxSource};
pub use boxed_chain::{BoxChain, BoxPipeline};
pub use branched_sink::Branched;
pub use branches::{BranchJob, BranchStart};
pub use branching::Branch;
pub use builder::Pipeline;
pub use chain::Chain;
pub use dead_letter::{DeadLetter, DeadLetters, DeadLettersTo, NoDeadLetters, Refusal};
pub use delivery::Delivery;
pub use endpoint_error::EndpointError;
pub use enrich::LookupKey;
pub use enrichment::{Enrichment, LookupError};
pub use error::{PipelineError, PipelinePart};
pub use fn_sink::FnSink;
pub use groups::Groups;
#[cfg(feature = "kafka")]
pub use guarantee::Guarantee;
#[cfg(feature = "kafka")]
pub(crate) use guarantee::GuaranteeField;
pub use job::Job;
#[cfg(feature = "kafka")]
pub use kafka_output::KafkaOutput;
#[cfg(feature = "kafka")]
pub use kafka_transactions::{KafkaTransactions, TransactionalSource};
pub use keyed::Keyed;
pub use lag::{LagProbe, SourceLag};
pub use letter_file::LetterFile;
pub use map_item::MapItem;
pub use merge::Merge;
pub use operator::OnFailure;
pub use position::{Position, PositionError};
#[cfg(feature = "kafka")]
pub use raw_message::RawMessage;
pub use reason::{Reason, ReasonKind};
pub use settings::PipelineSettings;
pub use sink::{IntoSink, Sink};
pub use source::{NextEvent, Source, SourceEvent, SourceRecord};
pub use stats::{OperatorReport, PipelineReport, PipelineStats};
pub use table_sink::TableOutput;
pub use transaction_stats::TransactionReport;
#[cfg(feature = "kafka")]
pub use transactional_job::LettersInTransaction;
#[cfg(feature = "kafka")]
pub use transactional_output::{KafkaRecords, TransactionalOutput};
#[cfg(feature = "kafka")]
pub use transactional_sink::TransactionalSink;
