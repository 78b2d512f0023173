//! One read of a shard: an iterator where there is none, then a page.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::page::{Page, parse_page};
use super::{SequenceNumber, ShardId};
use crate::retry::ServiceError;
use crate::transport::{Operation, Transport};

/// Where the next page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReadFrom {
    TrimHorizon,
    Latest,
    After(SequenceNumber),
    At(SequenceNumber),
}

/// What a read needs to know.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) transport: Transport,
    pub(crate) stream_arn: String,
    pub(crate) shard: ShardId,
    pub(crate) from: ReadFrom,
    pub(crate) iterator: Option<String>,
    pub(crate) limit: usize,
}

/// Why a read brought no page.
#[derive(Debug)]
pub(crate) struct ReadFailure {
    pub(crate) error: ServiceError,
    /// Whether the iterator was new: then it is the position that is refused, not the iterator's age.
    pub(crate) fresh: bool,
    /// The iterator that the page was asked by.
    pub(crate) iterator: Option<String>,
}

impl Read {
    /// Reads a page, once.
    ///
    /// # Cancel safety
    ///
    /// A read changes nothing: harmless to drop.
    pub(crate) async fn page(self) -> Result<(Page, usize), ReadFailure> {
        let fresh = self.iterator.is_none();
        let failed = |iterator, error| ReadFailure {
            error,
            fresh,
            iterator,
        };
        let iterator = match self.iterator {
            Some(iterator) => iterator,
            None => iterator(&self.transport, &self.stream_arn, &self.shard, &self.from)
                .await
                .map_err(|error| failed(None, error))?,
        };
        let request = json!({"ShardIterator": iterator, "Limit": self.limit}).to_string();
        let called = self
            .transport
            .call(Operation::GetRecords, Bytes::from(request));
        let page = called.await.and_then(|body| {
            let bytes = body.len();
            Ok((parse_page(&self.shard, body)?, bytes))
        });
        page.map_err(|error| failed(Some(iterator), error))
    }
}

/// An iterator of a shard.
pub(crate) async fn iterator(
    transport: &Transport,
    stream_arn: &str,
    shard: &ShardId,
    from: &ReadFrom,
) -> Result<String, ServiceError> {
    let request = iterator_request(stream_arn, shard, from);
    let body = transport.call(Operation::GetShardIterator, request).await?;
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
        ReadFrom::At(sequence) => ("AT_SEQUENCE_NUMBER", Some(sequence)),
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
