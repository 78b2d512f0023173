//! The lease table. Each change of a row is one request, on condition of the state it relies on.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::ShardId;
use super::balance::{Manner, Take};
use super::change::{Change, Written};
use super::memory::MemoryRows;
use super::row::{
    CHECKPOINT, COUNTER, CREATED, Checkpoint, HANDED_OVER_BY, KEY, LeaseRow, MalformedRow, OWNER,
    READ, RawRow, SWITCHES, new_item,
};
use super::update::{Update, number, text};
use crate::retry::ServiceError;
use crate::transport::{Operation, Transport, TransportKind};

#[derive(Clone, Debug)]
pub(crate) struct LeaseTable {
    pub(super) client: Client,
    pub(super) transport: Transport,
    pub(super) name: String,
    /// This worker's name, under which no other worker or process writes.
    me: String,
    /// The rows, where they are kept in this process and not in the table.
    memory: Option<MemoryRows>,
}

/// An error of a look at the table.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookError {
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error(transparent)]
    Malformed(#[from] MalformedRow),
}

impl LeaseTable {
    pub(crate) fn new(
        client: &Client,
        kind: TransportKind,
        name: &str,
        me: &str,
        request_timeout: Duration,
    ) -> Self {
        Self {
            client: client.clone(),
            transport: Transport::new(client, kind, name, request_timeout),
            name: name.to_owned(),
            me: me.to_owned(),
            memory: None,
        }
    }

    /// Keeps the rows in this process, without any request to the table.
    pub(crate) fn in_memory(self) -> Self {
        Self {
            memory: Some(MemoryRows::default()),
            ..self
        }
    }

    pub(crate) fn is_in_memory(&self) -> bool {
        self.memory.is_some()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn me(&self) -> &str {
        &self.me
    }

    /// Returns every lease. Strongly consistent, so that no later start counts as the first one.
    pub(crate) async fn scan(&self) -> Result<Vec<LeaseRow>, LookError> {
        if let Some(memory) = &self.memory {
            return Ok(memory.scan());
        }
        let mut rows = Vec::new();
        let mut from: Option<Value> = None;
        loop {
            let mut request = json!({"TableName": self.name, "ConsistentRead": true});
            if let Some(from) = from.take() {
                request["ExclusiveStartKey"] = from;
            }
            let body = self.call(Operation::Scan, request).await?;
            let page: Page = read(&body)?;
            for row in page.items {
                rows.extend(row.lease()?);
            }
            match page.last {
                Some(last) => from = Some(last),
                None => return Ok(rows),
            }
        }
    }

    pub(crate) async fn get(&self, shard: &ShardId) -> Result<Option<LeaseRow>, LookError> {
        if let Some(memory) = &self.memory {
            return Ok(memory.get(shard));
        }
        let request = json!({"TableName": self.name, "ConsistentRead": true, "Key": key(shard)});
        let body = self.call(Operation::GetItem, request).await?;
        let found: Found = read(&body)?;
        Ok(match found.item {
            Some(row) => row.lease()?,
            None => None,
        })
    }

    /// Creates a row unless there is one, and returns whether it did.
    pub(crate) async fn create(&self, row: &LeaseRow) -> Result<bool, ServiceError> {
        if let Some(memory) = &self.memory {
            return Ok(memory.create(row));
        }
        let request = json!({
            "TableName": self.name,
            "Item": new_item(row),
            "ConditionExpression": format!("attribute_not_exists({KEY})"),
        });
        match self.call(Operation::PutItem, request).await {
            Ok(_) => Ok(true),
            Err(error) if error.failed_condition().is_some() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deletes the row of a finished shard.
    pub(crate) async fn delete(&self, shard: &ShardId) -> Result<(), ServiceError> {
        if let Some(memory) = &self.memory {
            memory.delete(shard);
            return Ok(());
        }
        let request = json!({
            "TableName": self.name,
            "Key": key(shard),
            "ConditionExpression": "checkpoint = :end",
            "ExpressionAttributeValues": {":end": {"S": Checkpoint::ShardEnd.text()}},
        });
        match self.call(Operation::DeleteItem, request).await {
            Ok(_) => Ok(()),
            Err(error) if error.failed_condition().is_some() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes a lease or asks for it. Returns its row then, or `None` if another worker was faster.
    pub(crate) async fn take(&self, take: &Take) -> Result<Option<LeaseRow>, ServiceError> {
        if let Some(memory) = &self.memory {
            return Ok(memory.take(&self.me, take));
        }
        let row = &take.row;
        let mut after = row.clone();
        after.owner = Some(self.me.clone());
        let update = Update::default().set(OWNER, text(&self.me));
        let update = match &row.owner {
            Some(owner) => update.equal(OWNER, text(owner)),
            None => update.absent(OWNER),
        };
        let update = if take.manner == Manner::HandOver {
            after.checkpoint_owner.clone_from(&row.owner);
            let old = row.owner.as_deref().unwrap_or_default();
            // Not conditional on the counter, which a busy owner moves every second.
            update.set(HANDED_OVER_BY, text(old)).absent(HANDED_OVER_BY)
        } else {
            after.checkpoint_owner = None;
            after.counter += 1;
            update
                .set(COUNTER, number(after.counter))
                .remove(HANDED_OVER_BY)
                .equal(COUNTER, number(row.counter))
        };
        let switched = row.owner.as_deref().is_some_and(|owner| owner != self.me);
        let update = if switched {
            update.count(SWITCHES)
        } else {
            update
        };
        let update = update.not_equal(CHECKPOINT, text(&Checkpoint::ShardEnd.text()));
        match self.update(&row.shard, update).await? {
            Written::Done => Ok(Some(after)),
            Written::Refused(_) => Ok(None),
        }
    }

    /// Frees any worker's lease unless its counter has moved since. Returns whether it was freed.
    pub(crate) async fn release(&self, row: &LeaseRow) -> Result<bool, ServiceError> {
        let update = Update::default()
            .set(COUNTER, number(row.counter.saturating_add(1)))
            .remove(OWNER)
            .remove(HANDED_OVER_BY)
            .equal(COUNTER, number(row.counter));
        let written = self.update(&row.shard, update).await?;
        Ok(matches!(written, Written::Done))
    }

    /// Frees a lease that names this worker and that it has not begun to read. A lease that it has
    /// asked for and that is not handed over yet stays with its reader.
    pub(crate) async fn renounce(&self, row: &LeaseRow) -> Result<(), ServiceError> {
        let mut counter = row.counter;
        if let Some(reader) = &row.checkpoint_owner {
            // Not conditional on the counter, which a busy reader moves every second.
            let update = Update::default()
                .set(OWNER, text(reader))
                .remove(HANDED_OVER_BY)
                .equal(OWNER, text(&self.me))
                .equal(HANDED_OVER_BY, text(reader));
            match self.update(&row.shard, update).await? {
                Written::Refused(Some(now)) if now.checkpoint_owner.is_none() => {
                    counter = now.counter;
                }
                _ => return Ok(()),
            }
        }
        self.change(&row.shard, counter, false, &Change::let_go())
            .await
            .map(drop)
    }

    /// Takes back a lease that this worker reads and that `row`'s owner has asked for. The lease's own
    /// writes find that out. Returns whether it was as `row` says.
    pub(crate) async fn take_back(&self, row: &LeaseRow) -> Result<bool, ServiceError> {
        if self.memory.is_some() {
            return Ok(false);
        }
        let asker = row.owner.as_deref().unwrap_or_default();
        let update = Update::default()
            .set(OWNER, text(&self.me))
            .remove(HANDED_OVER_BY)
            .equal(OWNER, text(asker))
            .equal(HANDED_OVER_BY, text(&self.me));
        let written = self.update(&row.shard, update).await?;
        Ok(matches!(written, Written::Done))
    }

    /// Hands a lease on to the worker that has asked for it, where this one has not begun to read it. Returns whether it was as
    /// `row` says.
    pub(crate) async fn hand_on(&self, row: &LeaseRow) -> Result<bool, ServiceError> {
        let written = self
            .change(&row.shard, row.counter, true, &Change::let_go())
            .await?;
        Ok(matches!(written, Written::Done))
    }

    /// Changes a lease that this worker owns or hands over. `counter` is the counter as last
    /// written or seen; a change that is applied adds one to it.
    pub(crate) async fn change(
        &self,
        shard: &ShardId,
        counter: u64,
        handing_over: bool,
        change: &Change,
    ) -> Result<Written, ServiceError> {
        if let Some(memory) = &self.memory {
            return Ok(memory.change(&self.me, shard, counter, change));
        }
        let mut update = Update::default()
            .set(COUNTER, number(counter.saturating_add(1)))
            .equal(COUNTER, number(counter));
        if let Some(checkpoint) = &change.checkpoint {
            update = update
                .set(CHECKPOINT, text(&checkpoint.text()))
                .set("checkpointSubSequenceNumber", number(0))
                .set(SWITCHES, number(0))
                .remove("pendingCheckpoint")
                .remove("pendingCheckpointSubSequenceNumber")
                .remove("pendingCheckpointState");
        }
        if !change.children.is_empty() {
            let ids: Vec<&str> = change.children.iter().map(ShardId::as_str).collect();
            update = update.set("childShardIds", json!({"SS": ids}));
        }
        if let Some(created) = change.created {
            update = update.set(CREATED, number(created));
        }
        if let Some(read) = change.read {
            update = update.set(READ, number(read));
        }
        let (mine, update) = if handing_over {
            let update = update.equal(HANDED_OVER_BY, text(&self.me));
            (HANDED_OVER_BY, update)
        } else {
            let update = update.equal(OWNER, text(&self.me)).absent(HANDED_OVER_BY);
            (OWNER, update)
        };
        let update = if change.let_go {
            update.remove(mine)
        } else {
            update
        };
        self.update(shard, update).await
    }

    async fn update(&self, shard: &ShardId, update: Update) -> Result<Written, ServiceError> {
        let request = update.request(&self.name, &key(shard));
        let Err(error) = self.call(Operation::UpdateItem, request).await else {
            return Ok(Written::Done);
        };
        let Some(item) = error.failed_condition() else {
            return Err(error);
        };
        let shown = item.and_then(|item| serde_json::from_slice::<RawRow>(&item).ok());
        match shown.map(RawRow::lease) {
            Some(Ok(Some(row))) => Ok(Written::Refused(Some(Box::new(row)))),
            // There is no item, or the server does not return it.
            _ => match self.get(shard).await {
                Ok(row) => Ok(Written::Refused(row.map(Box::new))),
                Err(LookError::Service(error)) => Err(error),
                Err(LookError::Malformed(_)) => Ok(Written::Refused(None)),
            },
        }
    }

    async fn call(&self, operation: Operation, request: Value) -> Result<Bytes, ServiceError> {
        let body = Bytes::from(request.to_string());
        self.transport.call(operation, body).await
    }
}

#[derive(Deserialize)]
struct Page {
    #[serde(rename = "Items", default)]
    items: Vec<RawRow>,
    #[serde(rename = "LastEvaluatedKey", default)]
    last: Option<Value>,
}

#[derive(Deserialize)]
struct Found {
    #[serde(rename = "Item", default)]
    item: Option<RawRow>,
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ServiceError> {
    serde_json::from_slice(body).map_err(|_| ServiceError::garbled("lease rows can't be read"))
}

fn key(shard: &ShardId) -> Value {
    json!({KEY: {"S": shard.as_str()}})
}
