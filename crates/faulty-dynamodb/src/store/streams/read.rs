//! `GetRecords`.

use bytes::{BufMut as _, BytesMut};

use super::Streams;
use super::iterator::{Token, no_shard, required, trimmed};
use crate::item::error::Refusal;
use crate::store::execution::{Context, Done};
use crate::store::request::Members;

/// Records a page may hold (AWS: `API_streams_GetRecords`).
const MAX_RECORDS: usize = 1000;
/// Bytes of records a page may hold, as `SizeBytes` counts them.
const MAX_BYTES: usize = 1024 * 1024;

/// `GetRecords`.
pub(crate) fn records(
    streams: &mut Streams,
    request: Members<'_>,
    context: &Context<'_>,
) -> Result<Done, Refusal> {
    let (now, generation, limited) = (context.now, streams.generation, streams.limits.readers);
    let text = required(request, "ShardIterator")?;
    let limit = request.count("Limit")?.unwrap_or(MAX_RECORDS);
    if limit == 0 {
        return Err(Refusal::validation(
            "1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: Member \
             must have value greater than or equal to 1",
        ));
    }
    if limit > MAX_RECORDS {
        return Err(exceeded("Limit must not be greater than 1000"));
    }
    let token = Token::read(text).ok_or_else(|| Refusal::validation("Invalid ShardIterator"))?;
    if token.has_expired(generation, now) {
        return Err(Refusal::new(
            400,
            "ExpiredIteratorException",
            "Shard iterator has expired",
        ));
    }
    let stream = streams.find(&token.arn, now)?;
    let (lag, like_local) = (stream.lag, stream.like_local);
    let shard = stream.shards.get_mut(&token.shard).ok_or_else(no_shard)?;
    shard.age(now);
    if shard.is_gone(now) {
        return Err(no_shard());
    }
    if limited && shard.use_.exceeds(now) {
        return Err(exceeded("Rate exceeded for shard"));
    }
    if shard.is_trimmed(token.from) || like_local && shard.is_trimmed_locally(token.from) {
        return Err(trimmed());
    }
    let limit = match shard.use_.empty_pages.checked_sub(1) {
        Some(left) => {
            shard.use_.empty_pages = left;
            0
        }
        None => limit,
    };
    let page = shard.page(token.from, limit, MAX_BYTES, now, lag);
    let bytes: usize = page
        .records
        .iter()
        .map(|record| record.json.len() + 1)
        .sum();
    let mut body = BytesMut::with_capacity(bytes + 512);
    body.put_slice(b"{");
    if let Some(from) = page.next {
        let next = Token {
            from,
            given: now,
            ..token
        };
        body.put_slice(br#""NextShardIterator":""#);
        // Nothing in an iterator has to be escaped.
        body.put_slice(next.write().as_bytes());
        body.put_slice(br#"","#);
    }
    body.put_slice(br#""Records":["#);
    for (at, record) in page.records.iter().enumerate() {
        if at > 0 {
            body.put_u8(b',');
        }
        body.put_slice(&record.json);
    }
    body.put_slice(b"]}");
    Ok(Done::worded(body.freeze()))
}

fn exceeded(message: &str) -> Refusal {
    Refusal::new(400, "LimitExceededException", message)
}
