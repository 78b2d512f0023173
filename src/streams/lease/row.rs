//! A lease: one row of the lease table, in the Kinesis Client Library's format.
//!
//! ```text
//! leaseKey                     S   shardId-00000001795407353833-5148a727
//! leaseOwner                   S   worker-2                        absent: free
//! leaseCounter                 N   29                              moves with every write but a request for the lease
//! checkpoint                   S   000000000000000000106           or TRIM_HORIZON, LATEST, AT_TIMESTAMP, SHARD_END
//! checkpointSubSequenceNumber  N   0                               always 0 for DynamoDB Streams
//! ownerSwitchesSinceCheckpoint N   0
//! parentShardId                SS  [shardId-00000001795407173026-25a3db9f]
//! childShardIds                SS                                  the children of a finished shard
//! checkpointOwner              S   worker-1                        the reader that hands over to leaseOwner
//! streamPositionTime           N   1795407353833                   ours: the time from which records are wanted, in ms
//! leaseCreatedTime             N   1795407353833                   ours: when the row was made, or one at LATEST first taken, in ms
//! streamReadTime               N   1795407353833                   ours: for a row at LATEST, the time up to which it was read, in ms
//! streamFirstNumber            S   000000000000000000101           ours: for a shard born since the first start, its first number
//! streamArn                    S   arn:aws:dynamodb:…/stream/2026-… ours: the shard's stream
//! ```
//!
//! Times are the service's. Other attributes are left as they are, except that a checkpoint removes
//! `pendingCheckpoint`, `pendingCheckpointSubSequenceNumber` and `pendingCheckpointState`.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::super::{SequenceNumber, ShardId};

pub(crate) const KEY: &str = "leaseKey";
pub(super) const OWNER: &str = "leaseOwner";
pub(super) const HANDED_OVER_BY: &str = "checkpointOwner";
pub(super) const COUNTER: &str = "leaseCounter";
pub(super) const CHECKPOINT: &str = "checkpoint";
pub(super) const CREATED: &str = "leaseCreatedTime";
pub(super) const READ: &str = "streamReadTime";
/// The number of changes of owner since the last checkpoint, as in the KCL.
pub(super) const SWITCHES: &str = "ownerSwitchesSinceCheckpoint";

/// The position up to which a shard has been worked through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Checkpoint {
    /// Nothing is done: reading begins at the oldest record.
    TrimHorizon,
    /// Nothing is done: reading begins at the records that came after the row was made.
    Latest,
    /// Nothing is done: reading begins at a time. Not set by this crate, which stores that time
    /// in `streamPositionTime`.
    AtTimestamp,
    /// All records up to this one are done.
    After(SequenceNumber),
    /// All records are done.
    ShardEnd,
}

impl Checkpoint {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "TRIM_HORIZON" => Self::TrimHorizon,
            "LATEST" => Self::Latest,
            "AT_TIMESTAMP" => Self::AtTimestamp,
            "SHARD_END" => Self::ShardEnd,
            digits => Self::After(digits.parse().ok()?),
        })
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Self::TrimHorizon => "TRIM_HORIZON".to_owned(),
            Self::Latest => "LATEST".to_owned(),
            Self::AtTimestamp => "AT_TIMESTAMP".to_owned(),
            Self::ShardEnd => "SHARD_END".to_owned(),
            Self::After(sequence) => sequence.to_string(),
        }
    }

    /// Returns whether no record has been passed yet.
    pub(crate) fn is_start(&self) -> bool {
        matches!(self, Self::TrimHorizon | Self::Latest | Self::AtTimestamp)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaseRow {
    pub(crate) shard: ShardId,
    pub(crate) owner: Option<String>,
    pub(crate) counter: u64,
    pub(crate) checkpoint: Checkpoint,
    /// The worker that still reads the shard while it is handed over to `owner`.
    pub(crate) checkpoint_owner: Option<String>,
    pub(crate) parents: BTreeSet<ShardId>,
    pub(crate) children: BTreeSet<ShardId>,
    /// The time from which records are wanted, in milliseconds since 1970, as in the parent's row.
    pub(crate) from_time: Option<u64>,
    /// The time at which this crate made the row, in milliseconds since 1970; for another library's
    /// row at LATEST, the time at which it was first taken.
    pub(crate) created: Option<u64>,
    /// The time up to which a shard at LATEST was read, in milliseconds since 1970. Changes made
    /// since then are kept for 24 hours.
    pub(crate) read: Option<u64>,
    /// The first number of a shard born since the application's first start: all of it is wanted.
    pub(crate) first: Option<SequenceNumber>,
    /// The ARN of the shard's stream, where this crate made the row.
    pub(crate) stream: Option<String>,
}

impl LeaseRow {
    /// Returns the row of a shard that no worker has had, with all optional attributes absent.
    pub(crate) fn new(shard: ShardId, checkpoint: Checkpoint) -> Self {
        Self {
            shard,
            owner: None,
            counter: 0,
            checkpoint,
            checkpoint_owner: None,
            parents: BTreeSet::new(),
            children: BTreeSet::new(),
            from_time: None,
            created: None,
            read: None,
            first: None,
            stream: None,
        }
    }

    /// Returns whether a worker has ever had the lease.
    pub(crate) fn was_taken(&self) -> bool {
        self.counter > 0 || self.owner.is_some()
    }

    /// Returns whether the row shows that the shard has passed its start, is read, or never waited
    /// for its parents: all of its ancestors are finished then. One at `TRIM_HORIZON` that no worker
    /// has had may wait for them.
    pub(crate) fn is_past_parents(&self) -> bool {
        self.checkpoint != Checkpoint::TrimHorizon || self.was_taken()
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.checkpoint == Checkpoint::ShardEnd
    }

    /// Returns the worker that reads the shard, as far as the row shows.
    pub(crate) fn reader(&self) -> Option<&str> {
        self.checkpoint_owner.as_deref().or(self.owner.as_deref())
    }
}

/// A lease's row that lacks an attribute that every lease has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lease of shard {shard} has {problem}")]
pub(crate) struct MalformedRow {
    pub(crate) shard: String,
    pub(crate) problem: &'static str,
}

/// An attribute of a type that lease rows use. Of any other type, only its presence is kept.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Attribute {
    #[serde(rename = "S", default)]
    text: Option<String>,
    #[serde(rename = "N", default)]
    number: Option<String>,
    #[serde(rename = "SS", default)]
    texts: Option<BTreeSet<String>>,
}

/// A row as the service returns it. It has a field for each attribute of the format, so its number of
/// fields is the format's.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct RawRow {
    #[serde(rename = "leaseKey", default)]
    key: Attribute,
    #[serde(rename = "leaseOwner", default)]
    owner: Attribute,
    #[serde(rename = "leaseCounter", default)]
    counter: Option<Attribute>,
    #[serde(default)]
    checkpoint: Option<Attribute>,
    #[serde(rename = "checkpointOwner", default)]
    checkpoint_owner: Attribute,
    #[serde(rename = "parentShardId", default)]
    parents: Attribute,
    #[serde(rename = "childShardIds", default)]
    children: Attribute,
    #[serde(rename = "entityType", default)]
    entity: Attribute,
    #[serde(rename = "streamPositionTime", default)]
    from_time: Attribute,
    #[serde(rename = "leaseCreatedTime", default)]
    created: Attribute,
    #[serde(rename = "streamReadTime", default)]
    read: Attribute,
    #[serde(rename = "streamFirstNumber", default)]
    first: Attribute,
    #[serde(rename = "streamArn", default)]
    stream: Attribute,
}

impl RawRow {
    /// Returns the lease in a row, or `None` for a row of another kind: newer KCLs keep some here.
    ///
    /// # Errors
    ///
    /// [`MalformedRow`] where the row must be a lease and can't be used. It is not skipped, because
    /// its shard would never be read.
    pub(crate) fn lease(self) -> Result<Option<LeaseRow>, MalformedRow> {
        let Some(key) = self.key.text else {
            return Ok(None);
        };
        // Keys with a colon are of multi-stream leases, which belong to another application.
        let other = self.entity.text.is_some_and(|entity| entity != "LEASE") || key.contains(':');
        if other || (self.counter.is_none() && self.checkpoint.is_none()) {
            return Ok(None);
        }
        let malformed = |problem| MalformedRow {
            shard: key.clone(),
            problem,
        };
        let counter = self
            .counter
            .and_then(|counter| counter.number?.parse().ok())
            .ok_or_else(|| malformed("no leaseCounter that is a whole number"))?;
        let checkpoint = self
            .checkpoint
            .and_then(|checkpoint| Checkpoint::parse(&checkpoint.text?))
            .ok_or_else(|| malformed("no checkpoint that is a sequence number or a known word"))?;
        let shards = |attribute: Attribute| {
            let ids = attribute.texts.unwrap_or_default();
            ids.iter().map(|id| ShardId::new(id)).collect()
        };
        let number = |attribute: Attribute| attribute.number.and_then(|text| text.parse().ok());
        let present = |attribute: Attribute| attribute.text.filter(|text| !text.is_empty());
        Ok(Some(LeaseRow {
            shard: ShardId::new(&key),
            owner: present(self.owner),
            counter,
            checkpoint,
            checkpoint_owner: present(self.checkpoint_owner),
            parents: shards(self.parents),
            children: shards(self.children),
            from_time: number(self.from_time),
            created: number(self.created),
            read: number(self.read),
            first: self.first.text.and_then(|text| text.parse().ok()),
            stream: present(self.stream),
        }))
    }
}

/// Returns a row as the item to put.
pub(crate) fn new_item(row: &LeaseRow) -> serde_json::Value {
    use serde_json::json;
    let mut item = json!({
        KEY: {"S": row.shard.as_str()},
        COUNTER: {"N": row.counter.to_string()},
        CHECKPOINT: {"S": row.checkpoint.text()},
        "checkpointSubSequenceNumber": {"N": "0"},
        SWITCHES: {"N": "0"},
    });
    let sets = [
        ("parentShardId", &row.parents),
        ("childShardIds", &row.children),
    ];
    for (name, ids) in sets {
        if !ids.is_empty() {
            let ids: Vec<&str> = ids.iter().map(ShardId::as_str).collect();
            item[name] = json!({"SS": ids});
        }
    }
    if let Some(owner) = &row.owner {
        item[OWNER] = json!({"S": owner});
    }
    if let Some(first) = &row.first {
        item["streamFirstNumber"] = json!({"S": first.to_string()});
    }
    if let Some(stream) = &row.stream {
        item["streamArn"] = json!({"S": stream});
    }
    let times = [
        ("streamPositionTime", row.from_time),
        (CREATED, row.created),
        (READ, row.read),
    ];
    for (name, time) in times {
        if let Some(time) = time {
            item[name] = json!({"N": time.to_string()});
        }
    }
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Option<LeaseRow>, MalformedRow> {
        serde_json::from_str::<RawRow>(json)
            .expect("an item")
            .lease()
    }

    const WRITTEN_BY_KCL_3: &str = r#"{
        "checkpoint": {"S": "000000000000000000106"}, "checkpointSubSequenceNumber": {"N": "0"},
        "endingHashKey": {"S": "1"}, "leaseCounter": {"N": "29"},
        "leaseKey": {"S": "shardId-00000001795407353833-5148a727"}, "leaseOwner": {"S": "worker-2"},
        "ownerSwitchesSinceCheckpoint": {"N": "0"}, "parentShardId": {"SS": ["shardId-00000001795407173026-25a3db9f"]},
        "startingHashKey": {"S": "0"}, "throughputKBps": {"N": "1.46E-4"}
    }"#;

    #[test]
    fn a_row_of_the_kcl_is_read() {
        let row = read(WRITTEN_BY_KCL_3)
            .expect("well formed")
            .expect("a lease");
        assert_eq!(row.shard.as_str(), "shardId-00000001795407353833-5148a727");
        assert_eq!(row.owner.as_deref(), Some("worker-2"));
        assert_eq!(row.counter, 29);
        assert_eq!(row.checkpoint.text(), "000000000000000000106");
        assert_eq!(row.parents.len(), 1);
    }

    #[test]
    fn rows_of_other_kinds_are_passed_over() {
        for other in [
            r#"{"leaseKey": {"S": "Leader"}, "entityType": {"S": "LEADER"}, "leaseCounter": {"N": "1"}, "checkpoint": {"S": "x"}}"#,
            r#"{"leaseKey": {"S": "Migration3.0"}, "cv": {"S": "CLIENT_VERSION_3X"}}"#,
            r#"{"leaseKey": {"S": "1:region$1$t$l:1:shardId-1"}, "leaseCounter": {"N": "1"}, "checkpoint": {"S": "TRIM_HORIZON"}}"#,
            r#"{"other": {"S": "x"}}"#,
        ] {
            assert_eq!(read(other), Ok(None), "{other}");
        }
        let named = r#"{"leaseKey": {"S": "shardId-1"}, "entityType": {"S": "LEASE"}, "leaseCounter": {"N": "1"}, "checkpoint": {"S": "SHARD_END"}}"#;
        assert!(
            read(named)
                .expect("well formed")
                .expect("a lease")
                .is_finished()
        );
    }

    #[test]
    fn a_lease_that_lacks_what_every_lease_has_is_told() {
        let lacking = r#"{"leaseKey": {"S": "shardId-1"}, "leaseCounter": {"N": "1"}}"#;
        assert_eq!(
            read(lacking).expect_err("no checkpoint").to_string(),
            "the lease of shard shardId-1 has no checkpoint that is a sequence number or a known word"
        );
        let lacking = r#"{"leaseKey": {"S": "shardId-1"}, "checkpoint": {"S": "TRIM_HORIZON"}}"#;
        read(lacking).expect_err("no counter");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut row = read(WRITTEN_BY_KCL_3)
            .expect("well formed")
            .expect("a lease");
        row.from_time = Some(1_795_407_353_833);
        (row.created, row.first) = (Some(7), "000000000000000000101".parse().ok());
        row.stream = Some("arn".to_owned());
        row.children = [ShardId::new("shardId-9")].into();
        let again: RawRow = serde_json::from_value(new_item(&row)).expect("an item");
        assert_eq!(again.lease(), Ok(Some(row)));
    }
}
