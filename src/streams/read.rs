//! One read of a shard: of an iterator, if there is none yet, then of a page.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::page::{Page, parse_page};
use super::shared::Stream;
use super::{SequenceNumber, ShardId};
use crate::retry::ServiceError;
use crate::transport::Operation;

/// The position at which the next page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReadFrom {
    TrimHorizon,
    Latest,
    After(SequenceNumber),
    At(SequenceNumber),
    /// The shard's own first number, of which there may be no record.
    First(SequenceNumber),
}

/// The parameters of a read.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) stream: Arc<Stream>,
    pub(crate) shard: ShardId,
    pub(crate) from: ReadFrom,
    pub(crate) iterator: Option<String>,
    pub(crate) limit: usize,
}

/// The failure of a read.
#[derive(Debug)]
pub(crate) struct ReadFailure {
    /// The request that failed.
    pub(crate) operation: &'static str,
    pub(crate) error: ServiceError,
    /// Set if the iterator was new: then its position is refused, not its age.
    pub(crate) fresh: bool,
    /// The iterator with which the page was requested.
    pub(crate) iterator: Option<String>,
}

impl Read {
    /// Reads a page, without retries.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a read changes nothing.
    pub(crate) async fn page(self) -> Result<(Page, usize), ReadFailure> {
        let fresh = self.iterator.is_none();
        let failed = |operation, iterator, error| ReadFailure {
            operation,
            error,
            fresh,
            iterator,
        };
        let iterator = match self.iterator {
            Some(iterator) => iterator,
            None => iterator(&self.stream, &self.shard, &self.from)
                .await
                .map_err(|error| failed("GetShardIterator", None, error))?,
        };
        let request = json!({"ShardIterator": iterator, "Limit": self.limit}).to_string();
        let called = self
            .stream
            .transport
            .call(Operation::GetRecords, Bytes::from(request));
        let page = called.await.and_then(|body| {
            let bytes = body.len();
            Ok((parse_page(&self.shard, body)?, bytes))
        });
        page.map_err(|error| failed("GetRecords", Some(iterator), error))
    }
}

/// Requests an iterator of a shard.
pub(crate) async fn iterator(
    stream: &Stream,
    shard: &ShardId,
    from: &ReadFrom,
) -> Result<String, ServiceError> {
    let request = iterator_request(&stream.arn, shard, from);
    let called = stream.transport.call(Operation::GetShardIterator, request);
    let body = called.await?;
    let answer: Iterator = serde_json::from_slice(&body)
        .map_err(|_| ServiceError::garbled("there is no shard iterator in it"))?;
    Ok(answer.iterator)
}

fn iterator_request(stream_arn: &str, shard: &ShardId, from: &ReadFrom) -> Bytes {
    let mut request = json!({"StreamArn": stream_arn, "ShardId": shard.as_str()});
    let (kind, sequence) = match from {
        ReadFrom::TrimHorizon => ("TRIM_HORIZON", None),
        ReadFrom::Latest => ("LATEST", None),
        ReadFrom::After(sequence) => ("AFTER_SEQUENCE_NUMBER", Some(sequence)),
        ReadFrom::At(sequence) | ReadFrom::First(sequence) => {
            ("AT_SEQUENCE_NUMBER", Some(sequence))
        }
    };
    if let Some(sequence) = sequence {
        request["SequenceNumber"] = json!(sequence.to_string());
    }
    request["ShardIteratorType"] = json!(kind);
    Bytes::from(request.to_string())
}

#[derive(Deserialize)]
struct Iterator {
    #[serde(rename = "ShardIterator")]
    iterator: String,
}
