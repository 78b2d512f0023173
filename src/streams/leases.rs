//! An application's leases for its operators: the reader of each shard, and releasing a lease by hand.

use std::fmt;
use std::time::Duration;

use aws_sdk_dynamodb::Client;

use super::ShardId;
use super::error::StreamsError;
use super::lease::{LeaseRow, LeaseTable, LookError};
use crate::transport::TransportKind;

/// The timeout of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// The attempts at releasing a lease with an `idle` of zero: its reader may write it in between.
const ATTEMPTS: u32 = 10;

/// A handle to an application's lease table that reads no shard.
///
/// ```
/// # #[cfg(feature = "test-util")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use dynamodb_connector::streams::{Leases, Released, StreamsSource};
/// # use dynamodb_connector::{StreamView, TableSpec};
/// # use dynamodb_connector::item::KeyKind;
/// # use dynamodb_connector::test_util::FaultyDynamoDb;
/// # tokio::time::pause();
/// # let fake = FaultyDynamoDb::new();
/// # fake.create_table(TableSpec::new("decisions").partition("id", KeyKind::String).stream(StreamView::NewAndOldImages));
/// # let (dynamodb, streams) = (fake.client(), fake.streams_client());
/// # let source = StreamsSource::builder(&dynamodb, &streams, "decisions").open().await?;
/// # let control = source.control();
/// # let reading = tokio::spawn(async move {
/// #     let mut records = source.into_stream();
/// #     while let Some(Ok(_)) = futures::StreamExt::next(&mut records).await {}
/// # });
/// # while Leases::new(&dynamodb, "decisions-leases").list().await?[0].owner().is_none() {
/// #     tokio::time::sleep(Duration::from_millis(100)).await;
/// # }
///
/// let leases = Leases::new(&dynamodb, "decisions-leases");
/// let lease = leases.list().await?.remove(0);
/// assert!(lease.owner().is_some());
///
/// // Its worker lives: the lease is renewed in time.
/// let failover = Duration::from_secs(10);
/// assert_eq!(leases.release(lease.shard(), failover).await?, Released::Renewed);
/// # reading.abort();
/// # assert!(reading.await.unwrap_err().is_cancelled());
///
/// // A worker that stops gives its leases free by itself; one that died does not (`Released::Yes`).
/// assert_eq!(leases.release(lease.shard(), failover).await?, Released::Unowned);
/// assert_eq!(leases.list().await?[0].owner(), None);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "test-util"))]
/// # fn main() {}
/// ```
#[derive(Clone, Debug)]
pub struct Leases {
    table: LeaseTable,
}

/// A shard's lease as it was listed.
#[derive(Clone, PartialEq, Eq)]
pub struct Lease {
    row: LeaseRow,
}

/// The answer to [`Leases::release`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Released {
    /// The lease was released: any worker may take it.
    Yes,
    /// Nothing was done: the lease was written in between, so its worker is alive.
    Renewed,
    /// Nothing was done: no worker has the lease.
    Unowned,
    /// Nothing was done: the shard was read to its end.
    Finished,
    /// Nothing was done: the table has no lease of this shard.
    Missing,
}

impl Leases {
    /// Creates a handle to the leases in this table, by its name or ARN. Nothing is sent.
    #[must_use]
    pub fn new(dynamodb: &Client, lease_table: &str) -> Self {
        // This handle writes no row under a worker's name, so the name is empty.
        let table = LeaseTable::new(
            dynamodb,
            TransportKind::default(),
            lease_table,
            "",
            REQUEST_TIMEOUT,
        );
        Self { table }
    }

    /// Returns every lease, sorted by the shards' names.
    ///
    /// # Errors
    ///
    /// [`StreamsError::Service`] if the table can't be read, [`StreamsError::MalformedLease`] for a
    /// row that can only be a lease but is malformed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn list(&self) -> Result<Vec<Lease>, StreamsError> {
        let rows = self.table.scan().await;
        let mut rows = rows.map_err(|error| self.look_error("Scan", error))?;
        rows.sort_by(|one, other| one.shard.cmp(&other.shard));
        Ok(rows.into_iter().map(|row| Lease { row }).collect())
    }

    /// Releases a shard's lease if its worker does not write it for `idle`, so that any worker may
    /// take it at once.
    ///
    /// Workers do the same by themselves after their failover time, and `idle` should not be
    /// shorter than that. Use this for a lease that none of them takes. The decision uses the
    /// lease's counter alone, which changes with every write of its worker; no clocks are compared.
    ///
    /// With an `idle` of zero the lease is taken from a live worker too. The worker notices at its
    /// next write, within a third of the failover time. Until then the shard may have two readers:
    /// changes may be handled twice, and those of one item by both at the same time.
    ///
    /// # Errors
    ///
    /// As for [`list`](Self::list), and [`StreamsError::Service`] if the row can't be written.
    ///
    /// # Cancel safety
    ///
    /// If dropped before it resolves, the lease may or may not have been released.
    pub async fn release(&self, shard: &ShardId, idle: Duration) -> Result<Released, StreamsError> {
        for _ in 0..ATTEMPTS {
            let row = self.table.get(shard).await;
            let Some(row) = row.map_err(|error| self.look_error("GetItem", error))? else {
                return Ok(Released::Missing);
            };
            if row.is_finished() {
                return Ok(Released::Finished);
            }
            if row.reader().is_none() {
                return Ok(Released::Unowned);
            }
            tokio::time::sleep(idle).await;
            let released = self.table.release(&row).await;
            let released = released
                .map_err(|error| StreamsError::service("UpdateItem", self.table.name(), error))?;
            if released {
                return Ok(Released::Yes);
            }
            if !idle.is_zero() {
                break;
            }
        }
        Ok(Released::Renewed)
    }

    fn look_error(&self, operation: &'static str, error: LookError) -> StreamsError {
        let table = self.table.name();
        match error {
            LookError::Service(error) => StreamsError::service(operation, table, error),
            LookError::Malformed(row) => StreamsError::malformed_lease(table, row),
        }
    }
}

impl Lease {
    /// Returns the shard.
    #[must_use]
    pub fn shard(&self) -> &ShardId {
        &self.row.shard
    }

    /// Returns the worker that has the lease, or to which it is handed over; `None` if it is free.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.row.owner.as_deref()
    }

    /// Returns the worker that hands the lease over to the [`owner`](Self::owner) and still reads;
    /// `None` if there is none.
    #[must_use]
    pub fn handed_over_by(&self) -> Option<&str> {
        self.row.checkpoint_owner.as_deref()
    }

    /// Returns the counter, which changes with every write of the lease's worker.
    #[must_use]
    pub fn counter(&self) -> u64 {
        self.row.counter
    }

    /// Returns the checkpoint as stored in the row: a sequence number, or `TRIM_HORIZON`, `LATEST`,
    /// `AT_TIMESTAMP` or `SHARD_END`.
    #[must_use]
    pub fn checkpoint(&self) -> String {
        self.row.checkpoint.text()
    }

    /// Returns whether the shard was read to its end.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.row.is_finished()
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("shard", &self.row.shard)
            .field("owner", &self.row.owner)
            .field("counter", &self.row.counter)
            .field("checkpoint", &self.row.checkpoint)
            .finish_non_exhaustive()
    }
}
