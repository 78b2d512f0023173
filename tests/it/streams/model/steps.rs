//! What is done to the table, its stream, its leases and the workers.

use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, DeleteRequest, PutRequest, TransactWriteItem, WriteRequest,
};
use dynamodb_connector::StreamView;
use dynamodb_connector::test_util::ShardInfo;

use super::super::rig::TABLE;
use super::LEASES;
use super::case::Step;
use super::fleet::{Fleet, MOST_WORKERS, pick};
use super::gate::Passage;
use super::ledger::{tail, text};

impl Fleet {
    pub(super) async fn step(&mut self, step: &Step) {
        let acts = !matches!(step, Step::Put(..) | Step::Delete(_));
        if acts {
            self.ledger.note(format!("{step:?}"));
        }
        match *step {
            Step::Put(key, count) => {
                for _ in 0..count {
                    self.write(key, false).await;
                }
            }
            Step::Delete(key) => {
                if matches!(self.ledger.last(key), Some((_, false))) {
                    self.write(key, true).await;
                }
            }
            Step::Split(at) => {
                if let Some(shard) = pick(&self.open_shards(), at) {
                    self.fake.split_shard(TABLE, shard.id());
                }
            }
            Step::Roll(at) => {
                if let Some(shard) = pick(&self.open_shards(), at) {
                    self.fake.roll_shard(TABLE, shard.id());
                }
            }
            Step::Start => {
                if self.workers.len() < MOST_WORKERS {
                    self.start();
                }
            }
            Step::Crash(at) => {
                if let Some(at) = self.at(at) {
                    let worker = self.workers.remove(at);
                    self.ledger.note(format!("w{} crashes", worker.number));
                    worker.task.abort();
                }
            }
            Step::Stop(at) => {
                if let Some(at) = self.at(at) {
                    let worker = self.workers.remove(at);
                    self.ledger.note(format!("w{} is stopped", worker.number));
                    worker.stop();
                    self.leaving.push(worker);
                }
            }
            Step::Hold(at, time) => self.close_gate(at, Passage::Held, time),
            Step::Cut(at, time) => self.close_gate(at, Passage::Cut, time),
            Step::Skew(seconds) => {
                if self.case.latest.is_none() {
                    self.skew(seconds);
                }
            }
            Step::Trim(at, keep) => self.trim(at, keep),
            Step::ExpireIterators => self.fake.expire_iterators(),
            Step::ListLate(at, late) => {
                if let Some(shard) = pick(&self.fake.shards(TABLE), at) {
                    let late = Duration::from_millis(late);
                    self.fake.list_shard_late(TABLE, shard.id(), late);
                }
            }
            Step::ListNothing(late) => self.fake.list_nothing(TABLE, Duration::from_millis(late)),
            Step::Misname(at, parent, times) => {
                let shards = self.fake.shards(TABLE);
                let (shard, parent) = (pick(&shards, at), pick(&shards, parent));
                if let Some((shard, parent)) = shard.zip(parent)
                    && shard.parent().is_some()
                {
                    let parents = [parent.id()];
                    self.fake.misname_parent(TABLE, shard.id(), &parents, times);
                }
            }
            Step::Slow(at, time) => {
                if let Some(shard) = pick(&self.fake.shards(TABLE), at) {
                    let time = Duration::from_millis(time);
                    self.fake.slow_shard(TABLE, shard.id(), time);
                }
            }
            Step::DeleteRow(at) => self.delete_row(at).await,
            Step::Vanish(at) => {
                let mut shards = self.fake.shards(TABLE);
                shards.retain(|shard| !shard.is_open() && !self.ledger.has_vanished(shard.id()));
                if let Some(shard) = pick(&shards, at) {
                    self.ledger.note(format!("{} vanishes", tail(shard.id())));
                    self.ledger.vanished(shard.id());
                    self.fake.forget_shard(TABLE, shard.id());
                }
            }
            Step::Replace => {
                self.ledger.replaced();
                self.fake.enable_stream(TABLE, StreamView::NewAndOldImages);
            }
        }
        self.look_after();
    }

    /// Deletes the row of an open shard. Its reader makes it again where it is, or a worker makes it anew, for the whole shard.
    async fn delete_row(&self, at: u8) {
        // Without rows, a start at LATEST is a first one: what the rows stood for is lost.
        if self.case.latest.is_some() {
            return;
        }
        let mut shards = self.open_shards();
        shards.retain(|shard| self.ledger.row(shard.id()).is_some());
        let Some(shard) = pick(&shards, at) else {
            return;
        };
        let name = tail(shard.id());
        self.ledger.note(format!("the row of {name} is deleted"));
        let failover = self.case.settings.failover;
        self.ledger
            .row_deleted(shard.id(), Duration::from_millis(failover));
        let delete = Delete::builder().table_name(LEASES);
        let delete = delete.key("leaseKey", text(shard.id())).build();
        let delete = TransactWriteItem::builder().delete(delete.expect("a key"));
        let deleting = self.client.transact_write_items();
        let deleted = deleting.transact_items(delete.build()).send().await;
        deleted.expect("no fault strikes a transaction");
    }

    pub(super) async fn write(&self, key: u8, removed: bool) {
        let version = self.ledger.last(key).map_or(0, |(last, _)| last + 1);
        self.ledger.writes(key, removed);
        let last = |shards: &[ShardInfo]| -> Vec<Option<String>> {
            let last = shards.iter().map(ShardInfo::last_sequence_number);
            last.map(|last| last.map(str::to_owned)).collect()
        };
        let before = last(&self.fake.shards(TABLE));
        let id = text(&key.to_string());
        let request = WriteRequest::builder();
        let request = if removed {
            request.delete_request(
                DeleteRequest::builder()
                    .key("id", id)
                    .build()
                    .expect("a key"),
            )
        } else {
            let item = PutRequest::builder()
                .item("id", id)
                .item("version", AttributeValue::N(version.to_string()))
                .item("padding", AttributeValue::S("x".repeat(self.case.padding)));
            request.put_request(item.build().expect("an item"))
        };
        let batch = self.client.batch_write_item();
        let written = batch.request_items(TABLE, vec![request.build()]).send();
        written.await.expect("no fault strikes a batch");
        let shards = self.fake.shards(TABLE);
        let after = last(&shards);
        let at = (0..before.len()).find(|&at| before[at] != after[at]);
        let at = at.expect("a change is a record");
        let sequence = after[at].as_ref().and_then(|text| text.parse().ok());
        let sequence = sequence.expect("a number");
        self.ledger.wrote(key, shards[at].id(), sequence);
    }

    fn trim(&self, at: u8, keep: usize) {
        let shards = self.fake.shards(TABLE);
        let Some(shard) = pick(&shards, at) else {
            return;
        };
        let mut there: Vec<u128> = self
            .ledger
            .changes()
            .into_iter()
            .filter(|(_, change)| change.shard == shard.id() && !change.lost)
            .map(|(_, change)| change.sequence)
            .collect();
        there.sort_unstable();
        there.truncate(there.len().saturating_sub(keep));
        if let Some(last) = there.last() {
            self.ledger
                .note(format!("trimmed: {} of {}", there.len(), tail(shard.id())));
            self.ledger.trimmed(shard.id(), *last);
            self.fake.trim_shard(TABLE, shard.id(), &last.to_string());
        }
    }
}
