//! The snapshot's table: `<lease table>-snapshot`.
//!
//! It has two rows. `snapshot` is a lease in the form of a shard's: its owner takes the snapshot, and
//! its checkpoint is `SHARD_END` once the snapshot is complete. `positions` holds the position of
//! each segment. They are never in the lease table itself: a KCL gives up at a row of another kind.

use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::merge::Cursor;
use super::scan::SNAPSHOT;
use crate::retry::ServiceError;
use crate::streams::ShardId;
use crate::streams::lease::{Checkpoint, LeaseRow, LeaseTable};
use crate::transport::{Operation, Transport, TransportKind};

const POSITIONS: &str = "positions";

#[derive(Clone, Debug)]
pub(crate) struct SnapshotTable {
    pub(crate) leases: LeaseTable,
    transport: Transport,
    name: String,
}

/// The progress of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Positions {
    /// The number of this snapshot: one that has to begin again has another.
    pub(super) generation: u64,
    pub(super) segments: Vec<Cursor>,
}

/// A cursor in its stored form: nothing, a key in DynamoDB's JSON, or the end.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    #[serde(default)]
    end: bool,
}

impl SnapshotTable {
    pub(crate) fn new(
        client: &aws_sdk_dynamodb::Client,
        kind: TransportKind,
        lease_table: &str,
        me: &str,
        timeout: Duration,
    ) -> Self {
        let name = format!("{lease_table}-snapshot");
        Self {
            leases: LeaseTable::new(client, kind, &name, me, timeout),
            transport: Transport::new(client, kind, &name, timeout),
            name,
        }
    }

    pub(crate) fn shard() -> ShardId {
        ShardId::new(SNAPSHOT)
    }

    /// Stores whether a snapshot is to be taken, unless that is stored already. Returns whether this
    /// call stored it.
    pub(crate) async fn note(&self, wanted: bool) -> Result<bool, ServiceError> {
        let checkpoint = if wanted {
            Checkpoint::TrimHorizon
        } else {
            Checkpoint::ShardEnd
        };
        let row = LeaseRow::new(Self::shard(), checkpoint);
        self.leases.create(&row).await
    }

    /// Requests a new scan of the table, whatever is under way. The worker that takes the snapshot
    /// now loses its lease, and the next begins at the start.
    pub(crate) async fn rescan(&self) -> Result<(), ServiceError> {
        // Another worker that does the same at this moment adds one more generation.
        let request = json!({
            "TableName": self.name,
            "Key": {"leaseKey": {"S": POSITIONS}},
            "UpdateExpression": "ADD generation :one REMOVE #segments",
            "ExpressionAttributeNames": {"#segments": "segments"},
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        });
        self.call(Operation::UpdateItem, request).await?;
        let request = json!({
            "TableName": self.name,
            "Key": {"leaseKey": {"S": SNAPSHOT}},
            "UpdateExpression": "SET checkpoint = :start, \
                leaseCounter = if_not_exists(leaseCounter, :zero) + :one \
                REMOVE leaseOwner, checkpointOwner",
            "ExpressionAttributeValues": {
                ":start": {"S": Checkpoint::TrimHorizon.text()},
                ":zero": {"N": "0"},
                ":one": {"N": "1"},
            },
        });
        self.call(Operation::UpdateItem, request).await?;
        Ok(())
    }

    /// Returns the progress of the snapshot: the start, where nothing is stored.
    pub(super) async fn load(&self, segments: NonZeroUsize) -> Result<Positions, ServiceError> {
        let (generation, stored) = self.load_row().await?.unwrap_or_default();
        let segments = match stored {
            Some(stored) => {
                let stored: Vec<Stored> = serde_json::from_str(&stored)
                    .map_err(|_| ServiceError::garbled("the snapshot's positions can't be read"))?;
                let cursor = |stored: Stored| match (stored.end, stored.after) {
                    (true, _) => Cursor::End,
                    (false, Some(key)) => Cursor::After(key),
                    (false, None) => Cursor::Start,
                };
                stored.into_iter().map(cursor).collect()
            }
            None => vec![Cursor::Start; segments.get()],
        };
        Ok(Positions {
            generation,
            segments,
        })
    }

    async fn load_row(&self) -> Result<Option<(u64, Option<String>)>, ServiceError> {
        let request = json!({
            "TableName": self.name,
            "Key": {"leaseKey": {"S": POSITIONS}},
            "ConsistentRead": true,
        });
        let body = self.call(Operation::GetItem, request).await?;
        let garbled = || ServiceError::garbled("the snapshot's positions can't be read");
        let answer: Value = serde_json::from_slice(&body).map_err(|_| garbled())?;
        let Some(item) = answer.get("Item") else {
            return Ok(None);
        };
        let generation = item.pointer("/generation/N").and_then(Value::as_str);
        let generation = generation.and_then(|text| text.parse().ok());
        let stored = item.pointer("/segments/S").and_then(Value::as_str);
        Ok(Some((
            generation.ok_or_else(garbled)?,
            stored.map(str::to_owned),
        )))
    }

    /// Stores the progress. Returns `false` if another snapshot has been requested since.
    pub(super) async fn save(&self, positions: &Positions) -> Result<bool, ServiceError> {
        let stored: Vec<Stored> = positions
            .segments
            .iter()
            .map(|cursor| Stored {
                after: match cursor {
                    Cursor::After(key) => Some(key.clone()),
                    Cursor::Start | Cursor::End => None,
                },
                end: *cursor == Cursor::End,
            })
            .collect();
        let stored = serde_json::to_string(&stored)
            .map_err(|_| ServiceError::garbled("the snapshot's positions can't be written"))?;
        let generation = json!({"N": positions.generation.to_string()});
        let request = json!({
            "TableName": self.name,
            "Item": {
                "leaseKey": {"S": POSITIONS},
                "generation": generation,
                "segments": {"S": stored},
            },
            "ConditionExpression": "attribute_not_exists(leaseKey) OR generation = :generation",
            "ExpressionAttributeValues": {":generation": generation},
        });
        match self.call(Operation::PutItem, request).await {
            Ok(_) => Ok(true),
            Err(error) if error.failed_condition().is_some() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn call(&self, operation: Operation, request: Value) -> Result<Bytes, ServiceError> {
        let body = Bytes::from(request.to_string());
        self.transport.call(operation, body).await
    }
}
