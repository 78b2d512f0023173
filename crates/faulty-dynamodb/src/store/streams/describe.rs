//! `ListStreams` and `DescribeStream`.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::Streams;
use super::iterator::required;
use super::shard::Shard;
use super::stream::Stream;
use crate::item::error::Refusal;
use crate::store::describe::schema_json;
use crate::store::execution::{Context, Done};
use crate::store::request::{Members, checked_table_name};

/// Shards or streams a page may hold (AWS: `API_streams_DescribeStream`, `API_streams_ListStreams`).
const MAX_PAGE: usize = 100;

/// `ListStreams`.
pub(crate) fn list(
    streams: &Streams,
    request: Members<'_>,
    context: &Context<'_>,
) -> Result<Done, Refusal> {
    let table = request.text("TableName")?;
    let table = table.map(checked_table_name).transpose()?;
    let start = request.text("ExclusiveStartStreamArn")?;
    let limit = page_size(request)?;
    let mut found = streams.all.values().filter(|stream| {
        !stream.is_gone(context.now)
            && table.is_none_or(|table| stream.table == table)
            && start.is_none_or(|start| stream.arn.as_str() > start)
    });
    let page: Vec<&Stream> = found.by_ref().take(limit).collect();
    let listed: Vec<Json> = page
        .iter()
        .map(|stream| {
            json!({
                "StreamArn": stream.arn, "StreamLabel": stream.label, "TableName": stream.table,
            })
        })
        .collect();
    let mut body = json!({ "Streams": listed });
    if let (Some(_), Some(last)) = (found.next(), page.last()) {
        body["LastEvaluatedStreamArn"] = json!(last.arn);
    }
    Ok(Done::read(body))
}

/// `DescribeStream`.
pub(crate) fn describe(
    streams: &mut Streams,
    request: Members<'_>,
    context: &Context<'_>,
) -> Result<Done, Refusal> {
    let now = context.now;
    let arn = required(request, "StreamArn")?;
    let limit = page_size(request)?;
    let start = request.text("ExclusiveStartShardId")?;
    streams.limits.describe(now)?;
    let stream = streams.find(arn, now)?;
    stream.shards.age(now);
    let parent = wanted_parent(request)?.filter(|_| !stream.listing.ignores_filter);
    let all: Vec<&Shard> = stream
        .shards
        .iter()
        .filter(|shard| stream.listing.shows(shard, now))
        .filter(|shard| !shard.is_gone(now) || stream.like_local && !shard.forgotten)
        .filter(|shard| parent.is_none() || shard.parent.as_deref() == parent)
        .collect();
    let first = match start {
        None => 0,
        // The start may have vanished since it was given: names are in the order of time.
        Some(start) => match all.iter().position(|shard| shard.id == start) {
            Some(at) => at + 1,
            None => all.partition_point(|shard| shard.id.as_str() <= start),
        },
    };
    let mut page: Vec<&Shard> = all.iter().skip(first).take(limit).copied().collect();
    let last = page.last().filter(|_| first + page.len() < all.len());
    let last = last.map(|shard| shard.id.clone());
    stream.listing.spoil(&mut page, &all, start.is_none());
    let shards: Vec<Json> = page
        .iter()
        .map(|shard| shard_json(shard, stream.listing.parent(shard)))
        .collect();
    if last.is_none() {
        stream.listing.listed();
    }
    let mut description = json!({
        "CreationRequestDateTime": Duration::from_millis(stream.created.unsigned_abs()).as_secs_f64(),
        "KeySchema": schema_json(&stream.keys),
        "Shards": shards,
        "StreamArn": stream.arn,
        "StreamLabel": stream.label,
        "StreamStatus": if stream.disabled.is_some() { "DISABLED" } else { "ENABLED" },
        "StreamViewType": stream.view.name(),
        "TableName": stream.table,
    });
    if let Some(last) = last {
        description["LastEvaluatedShardId"] = json!(last);
    }
    Ok(Done::read(json!({ "StreamDescription": description })))
}

fn shard_json(shard: &Shard, parent: Option<&String>) -> Json {
    let mut range = json!({ "StartingSequenceNumber": shard.starting.to_string() });
    if let Some(ending) = shard.ending {
        range["EndingSequenceNumber"] = json!(ending.to_string());
    }
    let mut json = json!({ "SequenceNumberRange": range, "ShardId": shard.id });
    if let Some(parent) = parent {
        json["ParentShardId"] = json!(parent);
    }
    json
}

/// The shard whose children alone are asked for.
fn wanted_parent(request: Members<'_>) -> Result<Option<&str>, Refusal> {
    let Some(filter) = request.structure("ShardFilter")? else {
        return Ok(None);
    };
    match filter.text("Type")? {
        None => Ok(None),
        Some("CHILD_SHARDS") => Ok(Some(required(filter, "ShardId")?)),
        Some(other) => Err(Refusal::validation(format!(
            "1 validation error detected: Value '{other}' at 'shardFilter.type' failed to satisfy \
             constraint: Member must satisfy enum value set: [CHILD_SHARDS]"
        ))),
    }
}

fn page_size(request: Members<'_>) -> Result<usize, Refusal> {
    match request.count("Limit")? {
        Some(0) => Err(Refusal::validation(
            "1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: Member \
             must have value greater than or equal to 1",
        )),
        Some(limit) if limit > MAX_PAGE => Err(Refusal::invalid_values(&format!(
            "Limit cannot be greater than the maximum: {MAX_PAGE}"
        ))),
        Some(limit) => Ok(limit),
        None => Ok(MAX_PAGE),
    }
}
