//! The journal: every write applied and every request received.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use http::HeaderMap;

use crate::item::key::Key;
use crate::item::value::{Item, Value, item_to_sdk};
use crate::store::operation::Operation;
use crate::store::request::Targets;
use crate::store::write::AppliedKind;

/// A write that the table took, in the order in which it took them.
#[derive(Clone, Debug)]
pub struct AppliedWrite {
    pub(crate) sequence: u64,
    pub(crate) request: u64,
    pub(crate) at: Duration,
    pub(crate) table: String,
    pub(crate) kind: AppliedKind,
    pub(crate) key: Arc<Item>,
    pub(crate) before: Option<Arc<Item>>,
    pub(crate) after: Option<Arc<Item>>,
}

impl AppliedWrite {
    /// The position of the write in the order of all writes, from 1.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The [number](RequestRecord::number) of the request that brought the write.
    pub fn request(&self) -> u64 {
        self.request
    }

    /// Returns the time at which it was applied, since the fake was made, by tokio's clock.
    pub fn at(&self) -> Duration {
        self.at
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Put, delete or update.
    pub fn kind(&self) -> AppliedKind {
        self.kind
    }

    /// The item's key.
    pub fn key(&self) -> HashMap<String, AttributeValue> {
        item_to_sdk(&self.key)
    }

    /// The item before, if there was one.
    pub fn before(&self) -> Option<HashMap<String, AttributeValue>> {
        self.before.as_deref().map(item_to_sdk)
    }

    /// The item after; none after a delete.
    pub fn after(&self) -> Option<HashMap<String, AttributeValue>> {
        self.after.as_deref().map(item_to_sdk)
    }

    /// One attribute of the item after, without converting the others.
    pub fn attribute(&self, name: &str) -> Option<AttributeValue> {
        self.after.as_ref()?.get(name).map(Value::to_sdk)
    }
}

/// The end of a request, as its sender saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestOutcome {
    /// No answer yet.
    Pending,
    /// Answered with this HTTP status. The body may still have been spoilt by a fault.
    Answered(u16),
    /// The connection was closed without an answer.
    Closed,
    /// The sender stopped waiting. What the request asks for may be applied all the same.
    GivenUp,
}

/// A request as it was received, and how it ended.
///
/// Its fields are facts that are noted once and read by name through the methods below. They have no
/// invariants together, so no smaller type would hold one.
#[derive(Clone, Debug)]
pub struct RequestRecord {
    pub(crate) number: u64,
    pub(crate) operation: Option<Operation>,
    pub(crate) tables: Vec<String>,
    pub(crate) items: usize,
    pub(crate) body_bytes: usize,
    pub(crate) headers: HeaderMap,
    pub(crate) received: Duration,
    pub(crate) ended: Option<Duration>,
    pub(crate) outcome: RequestOutcome,
    pub(crate) error_code: Option<String>,
    pub(crate) fault: Option<&'static str>,
    pub(crate) applied: usize,
    pub(crate) unprocessed: usize,
}

impl RequestRecord {
    /// The request's number, from 1, in order of arrival.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The operation; none for one that the fake does not know.
    pub fn operation(&self) -> Option<Operation> {
        self.operation
    }

    /// The tables it names.
    pub fn tables(&self) -> &[String] {
        &self.tables
    }

    /// The number of items it names: the writes of a batch, the actions of a transaction.
    pub fn items(&self) -> usize {
        self.items
    }

    /// Bytes of its body.
    pub fn body_bytes(&self) -> usize {
        self.body_bytes
    }

    /// A header, where it is there and is text. Names are compared without regard to case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the time at which it arrived, since the fake was made, by tokio's clock.
    pub fn received(&self) -> Duration {
        self.received
    }

    /// Returns the time at which it was answered, closed or given up; none while it is pending.
    pub fn ended(&self) -> Option<Duration> {
        self.ended
    }

    /// Returns its end.
    pub fn outcome(&self) -> RequestOutcome {
        self.outcome
    }

    /// The HTTP status it was answered with.
    pub fn status(&self) -> Option<u16> {
        match self.outcome {
            RequestOutcome::Answered(status) => Some(status),
            RequestOutcome::Pending | RequestOutcome::Closed | RequestOutcome::GivenUp => None,
        }
    }

    /// The exception it was answered with, without its namespace.
    pub fn error_code(&self) -> Option<&str> {
        self.error_code.as_deref()
    }

    /// The name of the fault that struck it.
    pub fn fault(&self) -> Option<&'static str> {
        self.fault
    }

    /// The number of writes it has brought to the table so far.
    pub fn applied(&self) -> usize {
        self.applied
    }

    /// The number of writes handed back as unprocessed.
    pub fn unprocessed(&self) -> usize {
        self.unprocessed
    }
}

/// Two requests that held one key at the same time, seen from the sender: the second was sent before
/// the first was answered or given up.
#[derive(Clone, Debug)]
pub struct Overlap {
    pub(crate) table: String,
    pub(crate) key: Item,
    pub(crate) requests: (u64, u64),
}

impl Overlap {
    /// The table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The key both requests hold.
    pub fn key(&self) -> HashMap<String, AttributeValue> {
        item_to_sdk(&self.key)
    }

    /// The numbers of the two requests, the earlier one first.
    pub fn requests(&self) -> (u64, u64) {
        self.requests
    }
}

/// The record of everything. Kept unless switched off.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) keep: bool,
    pub(crate) writes: Vec<AppliedWrite>,
    pub(crate) requests: Vec<RequestRecord>,
    pub(crate) overlaps: Vec<Overlap>,
    pub(crate) max_in_flight: usize,
    next_sequence: u64,
    in_flight: BTreeMap<u64, Vec<(String, Key)>>,
    holders: BTreeMap<(String, Key), u64>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self {
            keep: true,
            writes: Vec::new(),
            requests: Vec::new(),
            overlaps: Vec::new(),
            max_in_flight: 0,
            next_sequence: 0,
            in_flight: BTreeMap::new(),
            holders: BTreeMap::new(),
        }
    }

    /// A request arrived. `number` is one more than the last one's.
    pub(crate) fn arrived(&mut self, record: RequestRecord, targets: &Targets) {
        let number = record.number;
        let writes = record.operation.is_some_and(Operation::is_write);
        let mut keys = Vec::new();
        for target in targets.keys.iter().filter(|_| writes && self.keep) {
            let item = (target.table.clone(), target.key.clone());
            if let Some(earlier) = self.holders.insert(item.clone(), number)
                && earlier != number
            {
                self.overlaps.push(Overlap {
                    table: target.table.clone(),
                    key: target.attributes.clone(),
                    requests: (earlier, number),
                });
            }
            keys.push(item);
        }
        self.in_flight.insert(number, keys);
        self.max_in_flight = self.max_in_flight.max(self.in_flight.len());
        if self.keep {
            self.requests.push(record);
        }
    }

    /// The sender no longer waits for a request.
    pub(crate) fn ended(&mut self, number: u64) {
        for item in self.in_flight.remove(&number).into_iter().flatten() {
            if self.holders.get(&item) == Some(&number) {
                self.holders.remove(&item);
            }
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The record of a request, where it is kept.
    pub(crate) fn record(&mut self, number: u64) -> Option<&mut RequestRecord> {
        let at = self
            .requests
            .binary_search_by_key(&number, |record| record.number)
            .ok()?;
        self.requests.get_mut(at)
    }

    /// Takes out the records of requests whose sender no longer waits.
    pub(crate) fn take_ended(&mut self) -> Vec<RequestRecord> {
        let ended = |record: &mut RequestRecord| record.outcome != RequestOutcome::Pending;
        self.requests.extract_if(.., ended).collect()
    }

    /// Counts writes that were applied and are not recorded.
    pub(crate) fn wrote_unrecorded(&mut self, request: u64, writes: usize) {
        self.next_sequence += u64::try_from(writes).unwrap_or(0);
        if let Some(record) = self.record(request) {
            record.applied += writes;
        }
    }

    pub(crate) fn wrote(&mut self, write: AppliedWrite) {
        self.next_sequence += 1;
        if let Some(record) = self.record(write.request) {
            record.applied += 1;
        }
        self.writes.push(AppliedWrite {
            sequence: self.next_sequence,
            ..write
        });
    }
}
