//! `GetShardIterator`, and what an iterator says.

use std::time::Duration;

use serde_json::json;

use super::Streams;
use super::record::SequenceNumber;
use super::table_of_arn;
use crate::item::error::Refusal;
use crate::store::execution::{Context, Done};
use crate::store::request::Members;

/// The time for which an iterator is valid (AWS: `API_streams_GetShardIterator`).
const LIFE: Duration = Duration::from_secs(15 * 60);

/// Digits that a sequence number has at least, leading zeros included (AWS:
/// `API_streams_GetShardIterator`).
const NUMBER_DIGITS: usize = 21;

/// The position at which a shard is to be read. It says all of that itself, so it may be used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) arn: String,
    pub(crate) shard: String,
    pub(crate) from: SequenceNumber,
    /// The time at which it was given, since the fake was made.
    pub(crate) given: Duration,
    pub(crate) generation: u64,
}

impl Token {
    pub(crate) fn write(&self) -> String {
        let Self {
            arn,
            shard,
            from,
            generation,
            ..
        } = self;
        let given = self.given.as_nanos();
        format!("{arn}|{shard}|{from}|{given}|{generation}")
    }

    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('|');
        let token = Self {
            arn: parts.next()?.to_owned(),
            shard: parts.next()?.to_owned(),
            from: parts.next()?.parse().ok()?,
            given: Duration::from_nanos(parts.next()?.parse().ok()?),
            generation: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(token)
    }

    pub(crate) fn has_expired(&self, generation: u64, now: Duration) -> bool {
        self.generation < generation || self.given + LIFE <= now
    }
}

/// The table and the shard that an iterator is about.
pub(crate) fn target_of_token(text: &str) -> Option<(String, String)> {
    let mut parts = text.split('|');
    let table = table_of_arn(parts.next()?)?;
    Some((table.to_owned(), parts.next()?.to_owned()))
}

/// `GetShardIterator`.
pub(crate) fn iterator(
    streams: &mut Streams,
    request: Members<'_>,
    context: &Context<'_>,
) -> Result<Done, Refusal> {
    let (now, generation) = (context.now, streams.generation);
    let arn = required(request, "StreamArn")?;
    let id = required(request, "ShardId")?;
    let kind = required(request, "ShardIteratorType")?;
    let number = request.text("SequenceNumber")?;
    let stream = streams.find(arn, now)?;
    let (lag, like_local, empty_pages) = (stream.lag, stream.like_local, stream.empty_pages);
    let shard = stream.shards.get_mut(id).ok_or_else(no_shard)?;
    shard.age(now);
    if shard.is_gone(now) && (shard.forgotten || !like_local) {
        return Err(no_shard());
    }
    if number.is_some() && matches!(kind, "TRIM_HORIZON" | "LATEST") {
        return Err(Refusal::invalid_values(
            "SequenceNumber should not be passed for this iterator type",
        ));
    }
    let from = match kind {
        "TRIM_HORIZON" => {
            shard.use_.empty_pages = empty_pages;
            let first = shard.records().front().filter(|_| like_local);
            first.map_or_else(|| shard.oldest(), |first| first.sequence)
        }
        "LATEST" => match shard.ending {
            Some(ending) => ending + 1,
            None => shard.latest(now, lag),
        },
        "AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER" => {
            let number = read_number(number)?;
            let after = shard.ending.is_some_and(|ending| number > ending);
            if number < shard.starting || after {
                return Err(Refusal::validation("Invalid SequenceNumber for the shard"));
            }
            let from = number.saturating_add(u128::from(kind == "AFTER_SEQUENCE_NUMBER"));
            if shard.is_trimmed(from) && !like_local {
                return Err(trimmed());
            }
            from
        }
        other => {
            return Err(Refusal::validation(format!(
                "1 validation error detected: Value '{other}' at 'shardIteratorType' failed to satisfy \
                 constraint: Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, \
                 AT_SEQUENCE_NUMBER, TRIM_HORIZON]"
            )));
        }
    };
    let token = Token {
        arn: arn.to_owned(),
        shard: id.to_owned(),
        from,
        given: now,
        generation,
    };
    Ok(Done::read(json!({ "ShardIterator": token.write() })))
}

fn read_number(given: Option<&str>) -> Result<SequenceNumber, Refusal> {
    let given = given.ok_or_else(invalid_number)?;
    if given.len() < NUMBER_DIGITS {
        return Err(Refusal::validation(format!(
            "1 validation error detected: Value '{given}' at 'sequenceNumber' failed to satisfy \
             constraint: Member must have length greater than or equal to {NUMBER_DIGITS}"
        )));
    }
    given.parse().map_err(|_| invalid_number())
}

fn invalid_number() -> Refusal {
    Refusal::invalid_values("Invalid SequenceNumber")
}

/// A text that has to be given.
pub(crate) fn required<'a>(request: Members<'a>, name: &str) -> Result<&'a str, Refusal> {
    request.text(name)?.ok_or_else(|| {
        let (first, rest) = name.split_at(1);
        Refusal::validation(format!(
            "1 validation error detected: Value null at '{}{rest}' failed to satisfy constraint: \
             Member must not be null",
            first.to_ascii_lowercase()
        ))
    })
}

pub(crate) fn no_shard() -> Refusal {
    Refusal::new(400, "ResourceNotFoundException", "Shard does not exist")
}

pub(crate) fn trimmed() -> Refusal {
    Refusal::new(
        400,
        "TrimmedDataAccessException",
        "The operation attempted to read past the oldest stream record in a shard",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_iterator_reads_back_as_it_was_written() {
        let token = Token {
            arn: "arn:aws:dynamodb:us-east-1:000000000000:table/decisions/stream/now".to_owned(),
            shard: "shardId-1".to_owned(),
            from: u128::MAX,
            given: Duration::from_nanos(1_000_000_001),
            generation: 3,
        };
        let text = token.write();
        assert_eq!(Token::read(&text), Some(token.clone()));
        assert_eq!(Token::read(&format!("{text}|")), None);
        let target = ("decisions".to_owned(), "shardId-1".to_owned());
        assert_eq!(target_of_token(&text), Some(target));
    }

    #[test]
    fn an_iterator_is_good_for_fifteen_minutes() {
        let token = Token {
            arn: String::new(),
            shard: String::new(),
            from: 1,
            given: Duration::from_secs(7),
            generation: 1,
        };
        assert!(!token.has_expired(1, Duration::from_secs(6 + 900)));
        assert!(token.has_expired(1, Duration::from_secs(7 + 900)));
        assert!(token.has_expired(2, Duration::from_secs(8)));
    }
}
