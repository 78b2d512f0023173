//! librdkafka's producers, the thread that serves them, and what becomes of their reports.
//!
//! **Problem.** A broker refuses a *batch*, and librdkafka then reports each of its records as refused; after a refusal,
//! and after a record that timed out, it goes on with what is behind. So good records are refused for a neighbor's sake,
//! and records overtake others that were not delivered.
//!
//! **Choice.** The queue of each partition is kept here ([`partition`]); librdkafka is given copies of its records.
//! With `enable.gapless.guarantee` a client stops for good at the first permanent refusal, so nothing behind it goes. What
//! the client has is called back, each partition is put in order, and a new client goes on, a *generation*: the records of
//! a refused batch go through a client whose batches have one record, and only what is refused there is at fault. Time-outs
//! are kept here too: librdkafka's own would let what is behind go on.
//!
//! **A hole and its lid.** Brokers accept any first batch of a producer on a partition: with two on their way, the second is
//! accepted although the first was refused. So a generation's first record on a partition goes by itself.
//!
//! **The price.** A new client is one for all partitions of the thread, and takes some 100 ms. So records that a topic is known
//! to refuse, and for a while all of a topic whose batches are refused in turn, go alone from the beginning ([`rules`]).
//!
//! **Rejected.** `max.in.flight=1`: one request at a time to each broker, for all partitions. Calling back with the same
//! client: it may have sent what is behind before the report is seen. A fatal error that ends the sink: one bad record
//! would stop a fleet.
//!
//! ```text
//! send ─▶ partition's queue ─▶ client that fills batches ─▶ brokers
//!              ▲     │                    │ refused, timed out
//!              │     └ alone ─▶ client of single records
//!              └──── called back, in order ◀──┘   new generation
//! ```
//!
//! **A circle.** `thread`, `client` and `alone` use each other: reports of both clients go to the
//! thread's `Route`, which hands records to them.

mod alone;
mod client;
mod handing_over;
mod partition;
mod recovery;
mod rules;
mod thread;
mod threads;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::admission::{Admission, Entered};
use super::connection::Connection;
use super::error::KafkaError;
use super::receipt::{RecordMetadata, Slot};
use super::record::ProducerRecord;
use super::scope::CallerScope;
use super::stats::SinkMeter;
use super::unobserved::OutageNumber;
use crate::clock::Clock;

pub(super) use client::{headers, log};
pub(super) use partition::Partition;
pub(super) use rules::{TopicLimits, TopicRules};
pub(super) use thread::ProducerThread;
pub(super) use threads::ProducerThreads;

/// The way in which a record's outcome is reported.
pub(super) enum DeliveryCallback {
    Receipt(Arc<Slot>),
    Call(Callback),
}

pub(super) type Callback = Box<dyn FnOnce(Result<RecordMetadata, KafkaError>) + Send>;

/// An accepted record that is not settled.
pub(super) struct Pending {
    pub(super) record: ProducerRecord,
    pub(super) scope: Arc<CallerScope>,
    pub(super) epoch: u64,
    pub(super) entered: Entered,
    pub(super) callback: DeliveryCallback,
    /// The outage that failed it.
    pub(super) outage: Option<OutageNumber>,
}

/// The state that all clients of a sink share.
pub(super) struct Core {
    pub(super) admission: Arc<Admission>,
    pub(super) meter: SinkMeter,
    pub(super) connection: Connection,
    pub(super) clock: Clock,
    /// The time for which a record may be under way.
    pub(super) delivery_timeout: Duration,
    /// `message.max.bytes`.
    pub(super) max_bytes: Option<usize>,
}

impl Core {
    pub(super) fn settle(
        &self,
        pending: Pending,
        accepted: Option<Duration>,
        result: Result<RecordMetadata, KafkaError>,
    ) {
        match &result {
            Ok(_) => {
                let took = accepted.map(|accepted| self.clock.now().saturating_sub(accepted));
                self.meter
                    .delivered(pending.entered.bytes, took.unwrap_or_default());
                self.connection.succeeded();
            }
            Err(error) => self.meter.failed(error),
        }
        let left = self.admission.leave(pending.entered);
        match pending.callback {
            DeliveryCallback::Receipt(slot) => {
                if let Some(Err(error)) = slot.settle(result, pending.outage) {
                    pending.scope.keep_unobserved(error, pending.outage);
                }
            }
            DeliveryCallback::Call(callback) => {
                // A panic would end the thread, and with it every other record's report.
                if catch_unwind(AssertUnwindSafe(|| callback(result))).is_err() {
                    let topic = &*pending.record.topic;
                    tracing::error!(topic, "a delivery callback panicked");
                }
            }
        }
        // Last, so that a flush resolves after the reports of all records before it.
        pending.scope.leave(pending.epoch);
        self.admission.settled(left);
    }
}
