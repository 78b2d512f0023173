//! A task that writes: everything that callers do, at random, to keys of its own.

use std::collections::{HashSet, VecDeque};
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::sink::{DynamoDbSink, Receipt, Snapshot, SubmitError, TableSink};
use tokio::sync::watch;

use crate::LONGEST;
use crate::ledger::{Kind, Ledger};
use crate::tables::{Spot, Table, ids_in};

/// Keys of one task in each table.
const KEYS: u32 = 250;
/// Keys that all tasks count on.
const COUNTERS: u32 = 10;
/// Receipts held before the oldest is awaited.
const HELD: usize = 3_000;
/// Writes whose receipts were dropped, before a flush is due.
const UNHEARD: usize = 300;

pub(crate) struct Writer {
    number: u32,
    rng: fastrand::Rng,
    sink: DynamoDbSink,
    ledger: Arc<Ledger>,
    stop: watch::Receiver<bool>,
    held: VecDeque<(u64, Kind, Receipt)>,
    unheard: Vec<u64>,
    pub(crate) flushes: u64,
    pub(crate) snapshots: u64,
    pub(crate) cancelled: u64,
}

/// What a task leaves behind when it is stopped.
pub(crate) struct Rest {
    pub(crate) held: VecDeque<(u64, Kind, Receipt)>,
    pub(crate) unheard: Vec<u64>,
    pub(crate) flushes: u64,
    pub(crate) snapshots: u64,
    pub(crate) cancelled: u64,
}

impl Writer {
    pub(crate) fn new(
        number: u32,
        sink: &DynamoDbSink,
        ledger: &Arc<Ledger>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            number,
            rng: fastrand::Rng::with_seed(u64::from(number) + 1),
            sink: sink.clone(),
            ledger: Arc::clone(ledger),
            stop,
            held: VecDeque::new(),
            unheard: Vec::new(),
            flushes: 0,
            snapshots: 0,
            cancelled: 0,
        }
    }

    /// Writes until it is told to stop.
    pub(crate) async fn run(mut self) -> Rest {
        while !*self.stop.borrow() {
            match self.rng.u32(0..2_000) {
                0..4 => self.flush().await,
                4..8 => self.snapshot().await,
                8..1_300 => self.plain().await,
                1_300..1_550 => self.simple(Table::Coalesced).await,
                1_550..1_800 => self.guarded().await,
                1_800..1_990 => self.hot().await,
                _ => self.count().await,
            }
            self.hear();
            if self.unheard.len() > UNHEARD {
                self.flush().await;
            }
            if self.held.len() > HELD {
                self.hear_one().await;
            }
        }
        Rest {
            held: self.held,
            unheard: self.unheard,
            flushes: self.flushes,
            snapshots: self.snapshots,
            cancelled: self.cancelled,
        }
    }

    fn table(&self, table: Table) -> TableSink {
        self.sink.table(&table.name()).expect("it was opened")
    }

    /// A key of this task, one of them more often than the others. Not much more: a key's writes go one after the
    /// other, and all would wait for this one.
    fn spot(&mut self, table: Table) -> Spot {
        let key = if self.rng.u32(0..50) == 0 {
            0
        } else {
            self.rng.u32(0..KEYS)
        };
        Spot {
            table,
            key: self.number * 1_000 + key,
        }
    }

    async fn plain(&mut self) {
        let table = self.table(Table::Plain);
        let spot = self.spot(Table::Plain);
        let add = "SET id = :id ADD n :one";
        match self.rng.u32(0..1_000) {
            0..3 => {
                let id = self.ledger.offer(Kind::Put, &[spot]);
                let bytes = self.rng.usize(100_000..400_000);
                let row = spot.row(id).with_text(bytes);
                self.submit(id, Kind::Put, table.put(&row)).await;
            }
            3..6 => {
                let id = self.ledger.offer(Kind::Put, &[spot]);
                let refused = table.put(&spot.row(id).with_text(409_600)).await;
                assert!(matches!(refused, Err(SubmitError::Item { .. })));
                self.ledger.withdraw(id);
            }
            6..10 => {
                let id = self.ledger.offer(Kind::Bad, &[spot]);
                self.submit(id, Kind::Bad, table.put(&spot.row(id).bad()))
                    .await;
            }
            10..12 => {
                let id = self.ledger.offer(Kind::AddOnce, &[spot]);
                let add = table.update(&spot.id(), add).value(":id", &id);
                let add = add.value(":one", &1).exactly_once();
                self.submit(id, Kind::AddOnce, add).await;
            }
            12..14 => {
                let key = self.number * 1_000 + KEYS;
                let other = Spot { key, ..spot };
                let id = self.ledger.offer(Kind::Transaction, &[spot, other]);
                let add = table.update(&other.id(), add).value(":id", &id);
                let both = table.transaction().add(table.put(&spot.row(id)));
                let both = both.add(add.value(":one", &1));
                self.submit(id, Kind::Transaction, both).await;
            }
            14..60 => {
                let id = self.ledger.offer(Kind::Add, &[spot]);
                let add = table.update(&spot.id(), add).value(":id", &id);
                self.submit(id, Kind::Add, add.value(":one", &1)).await;
            }
            60..120 => {
                let id = self.ledger.offer(Kind::Set, &[spot]);
                let set = table.update(&spot.id(), "SET id = :id").value(":id", &id);
                self.submit(id, Kind::Set, set).await;
            }
            120..160 => {
                let id = self.ledger.offer(Kind::IfAbsent, &[spot]);
                let put = table.put(&spot.row(id));
                let put = put.condition("attribute_not_exists(pk)");
                self.submit(id, Kind::IfAbsent, put).await;
            }
            160..200 => {
                let id = self.ledger.offer(Kind::NewerBy, &[spot]);
                let put = table.put(&spot.row(id)).newer_by("id");
                self.submit(id, Kind::NewerBy, put).await;
            }
            _ => self.simple(Table::Plain).await,
        }
    }

    /// A put or a delete.
    async fn simple(&mut self, on: Table) {
        let (table, spot) = (self.table(on), self.spot(on));
        if self.rng.u32(0..8) == 0 {
            let id = self.ledger.offer(Kind::Delete, &[spot]);
            self.submit(id, Kind::Delete, table.delete(&spot.id()))
                .await;
        } else {
            let id = self.ledger.offer(Kind::Put, &[spot]);
            let bytes = self.rng.usize(0..600);
            let row = spot.row(id).with_text(bytes);
            self.submit(id, Kind::Put, table.put(&row)).await;
        }
    }

    async fn guarded(&mut self) {
        let (table, spot) = (self.table(Table::Guarded), self.spot(Table::Guarded));
        let id = self.ledger.offer(Kind::NewerBy, &[spot]);
        let put = table.put(&spot.row(id)).newer_by("id");
        self.submit(id, Kind::NewerBy, put).await;
    }

    /// One partition key with little room: some callers are not patient, some writes not urgent.
    async fn hot(&mut self) {
        let (table, spot) = (self.table(Table::Hot), self.spot(Table::Hot));
        let id = self.ledger.offer(Kind::Put, &[spot]);
        let row = spot.row(id);
        let put = table.put(&row);
        match self.rng.u32(0..4) {
            0 => {
                let patience = Duration::from_micros(self.rng.u64(0..2_000));
                self.within(Some(patience), id, Kind::Put, put).await;
            }
            1 => {
                let put = put.deadline(Duration::from_millis(self.rng.u64(10..3_000)));
                self.submit(id, Kind::Put, put).await;
            }
            2 => match put.try_submit() {
                Ok(receipt) => {
                    self.ledger.accept(id);
                    self.held.push_back((id, Kind::Put, receipt));
                }
                Err(SubmitError::Full) => self.ledger.withdraw(id),
                Err(error) => panic!("{error}"),
            },
            _ => self.submit(id, Kind::Put, put).await,
        }
    }

    async fn count(&mut self) {
        let table = self.table(Table::Counters);
        let key = self.rng.u32(0..COUNTERS);
        let spot = Spot {
            table: Table::Counters,
            key,
        };
        let id = self.ledger.offer(Kind::Count, &[spot]);
        let add = table.update(&spot.id(), "ADD n :one").value(":one", &1);
        self.submit(id, Kind::Count, add.exactly_once()).await;
    }

    async fn submit(
        &mut self,
        id: u64,
        kind: Kind,
        write: impl IntoFuture<Output = Result<Receipt, SubmitError>>,
    ) {
        self.within(None, id, kind, write).await;
    }

    /// Submits, unless that takes longer than the caller's patience or the end comes.
    async fn within(
        &mut self,
        patience: Option<Duration>,
        id: u64,
        kind: Kind,
        write: impl IntoFuture<Output = Result<Receipt, SubmitError>>,
    ) {
        let mut stop = self.stop.clone();
        let entered = tokio::select! {
            entered = write.into_future() => Some(entered),
            _ = stop.wait_for(|stop| *stop) => None,
            () = tokio::time::sleep(patience.unwrap_or(LONGEST)) => {
                assert!(patience.is_some(), "no room for write {id}");
                None
            }
        };
        match entered {
            None => {
                self.cancelled += 1;
                self.ledger.withdraw(id);
            }
            Some(Ok(receipt)) => {
                self.ledger.accept(id);
                if kind == Kind::Put && self.rng.u32(0..20) == 0 {
                    self.unheard.push(id);
                } else {
                    self.held.push_back((id, kind, receipt));
                }
            }
            Some(Err(error)) => panic!("write {id} ({kind:?}) was not accepted: {error}"),
        }
    }

    /// Takes the outcomes that are there.
    fn hear(&mut self) {
        while let Some((id, _, receipt)) = self.held.front_mut() {
            let Some(outcome) = receipt.try_outcome() else {
                return;
            };
            self.ledger.end(*id, &outcome);
            self.held.pop_front();
        }
    }

    async fn hear_one(&mut self) {
        let mut stop = self.stop.clone();
        let Some((id, kind, mut receipt)) = self.held.pop_front() else {
            return;
        };
        tokio::select! {
            outcome = &mut receipt => self.ledger.end(id, &outcome),
            _ = stop.wait_for(|stop| *stop) => self.held.push_front((id, kind, receipt)),
        }
    }

    /// After a flush nothing submitted before it is without outcome, held or not.
    async fn flush(&mut self) {
        let mut stop = self.stop.clone();
        let flushed = tokio::select! {
            flushed = self.sink.flush() => flushed,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        flushed.unwrap_or_else(|error| panic!("a flush failed: {error}"));
        self.flushes += 1;
        self.hear();
        let left = self.held.front().map(|(id, kind, _)| (id, kind));
        assert!(left.is_none(), "{left:?} has no outcome after a flush");
        for id in self.unheard.drain(..) {
            self.ledger.end_unheard(id);
        }
    }

    /// A snapshot holds all that has no outcome.
    async fn snapshot(&mut self) {
        let mut stop = self.stop.clone();
        let snapshot = tokio::select! {
            snapshot = self.sink.snapshot() => snapshot.expect("the sink is open"),
            _ = stop.wait_for(|stop| *stop) => return,
        };
        self.snapshots += 1;
        let bytes = snapshot.to_bytes();
        let read = Snapshot::from_bytes(&bytes).expect("what was written can be read");
        assert_eq!(read.len(), snapshot.len());
        let text = String::from_utf8(bytes).expect("a snapshot is text");
        let there: HashSet<u64> = ids_in(&text).collect();
        for (id, kind, receipt) in &mut self.held {
            let carries_id = !matches!(kind, Kind::Delete | Kind::Count);
            assert!(
                !carries_id || there.contains(id) || receipt.try_outcome().is_some(),
                "write {id} ({kind:?}) is missing in a snapshot"
            );
        }
    }
}
