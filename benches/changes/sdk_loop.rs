//! The reads that every client built on the SDK makes, and nothing else.

use std::hint::black_box;

use aws_sdk_dynamodbstreams::types::ShardIteratorType;

use super::Clients;
use crate::rig::Failure;

/// Reads all changes by `GetRecords` of the SDK, one shard after the other. The attribute maps are
/// not looked at: it is the least that a client built on the SDK spends.
///
/// Fails where it has not read as many as `changes`.
pub(crate) async fn read(clients: &Clients, changes: usize) -> Result<(), Failure> {
    let describing = clients.dynamodb.describe_table().table_name(&clients.table);
    let arn = describing
        .send()
        .await?
        .table
        .and_then(|table| table.latest_stream_arn)
        .ok_or("the table has no stream")?;
    let streams = &clients.streams;
    let described = streams.describe_stream().stream_arn(&arn).send().await?;
    let described = described
        .stream_description
        .ok_or("the stream is not described")?;
    let mut read = 0;
    for shard in described.shards() {
        let mut iterator = streams
            .get_shard_iterator()
            .stream_arn(&arn)
            .set_shard_id(shard.shard_id.clone())
            .shard_iterator_type(ShardIteratorType::TrimHorizon)
            .send()
            .await?
            .shard_iterator;
        while let Some(from) = iterator {
            let page = streams.get_records().shard_iterator(from).send().await?;
            let records = black_box(page.records.unwrap_or_default());
            read += records.len();
            iterator = page.next_shard_iterator.filter(|_| !records.is_empty());
        }
    }
    if read == changes {
        Ok(())
    } else {
        Err(format!("the SDK read {read} of {changes} changes").into())
    }
}
