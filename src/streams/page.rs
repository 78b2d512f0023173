//! The parser of `GetRecords` answers. It makes one pass; images stay unparsed until requested.

use super::record::{EventKind, MalformedRecord, Record, ShardId, Shared};
use super::{SequenceNumber, time};
use crate::item::{Fault, Scanner, elements, entries};
use crate::retry::ServiceError;
use bytes::Bytes;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// A record, or the malformed one in its place. The error policy decides how to treat the latter:
/// its neighbors are not lost with it.
pub(crate) type Entry = Result<Record, MalformedRecord>;

/// The answer of one `GetRecords`.
#[derive(Debug)]
pub(crate) struct Page {
    /// In the shard's order.
    pub(crate) records: Vec<Entry>,
    /// The iterator of the next page; `None` at the end of a closed shard, which may still have records.
    pub(crate) next_iterator: Option<String>,
}

/// Parses the answer of a `GetRecords`.
///
/// # Errors
///
/// Ambiguous if it can't be the service's answer. An answer without even an empty list of records
/// is refused: it would be taken for the end of the shard.
pub(crate) fn parse_page(shard: &ShardId, body: Bytes) -> Result<Page, ServiceError> {
    let shared = Arc::new(Shared {
        shard: shard.clone(),
        body,
    });
    let mut records = None;
    let mut next_iterator = Ok(None);
    let mut scanner = Scanner::new(&shared.body);
    let walked = entries(&mut scanner, |scanner, name| {
        match name {
            "Records" if scanner.peek() == Some(b'[') => {
                let mut all = Vec::new();
                elements(scanner, |scanner, _| {
                    all.push(read(scanner)?.finish(&shared));
                    Ok(())
                })?;
                records = Some(all);
            }
            "NextShardIterator" => {
                next_iterator = string(scanner)?.map(|text| text.map(Cow::into_owned));
            }
            _ => drop(scanner.skip()?),
        }
        Ok(())
    })
    .and_then(|()| scanner.end());
    // The fault is left out: it names a byte of a page that is not kept.
    walked.map_err(|_| ServiceError::garbled("it is no page of records"))?;
    Ok(Page {
        records: records.ok_or_else(|| ServiceError::garbled("it has no list of records"))?,
        next_iterator: next_iterator
            .map_err(|_| ServiceError::garbled("its next iterator is no string"))?,
    })
}

/// The parts of a record found so far.
#[derive(Default)]
struct Draft {
    whole: Range<usize>,
    kind: Option<EventKind>,
    sequence_number: Option<SequenceNumber>,
    created: Option<std::time::SystemTime>,
    size: Option<u64>,
    keys: Option<Range<usize>>,
    new_image: Option<Range<usize>>,
    old_image: Option<Range<usize>>,
    by_service: bool,
    as_dynamodb: bool,
    /// The first defect found.
    problem: Option<&'static str>,
}

impl Draft {
    fn wrong(&mut self, problem: &'static str) {
        self.problem.get_or_insert(problem);
    }

    fn finish(self, page: &Arc<Shared>) -> Entry {
        let page = Arc::clone(page);
        let malformed = |problem| MalformedRecord {
            page: Arc::clone(&page),
            sequence_number: self.sequence_number,
            problem,
            json: self.whole.clone(),
        };
        if let Some(problem) = self.problem {
            return Err(malformed(problem));
        }
        let kind = self.kind.ok_or_else(|| malformed("it has no event name"))?;
        let sequence_number = self
            .sequence_number
            .ok_or_else(|| malformed("it has no sequence number"))?;
        let keys = self
            .keys
            .clone()
            .ok_or_else(|| malformed("it has no keys"))?;
        let created = self
            .created
            .ok_or_else(|| malformed("it has no time of creation"))?;
        let size = self.size.unwrap_or_else(|| {
            u64::try_from(self.whole.len()).expect("a body's length fits 64 bits")
        });
        Ok(Record {
            kind,
            ttl_delete: kind == EventKind::Remove && self.by_service && self.as_dynamodb,
            sequence_number: Some(sequence_number),
            created,
            size,
            keys,
            new_image: self.new_image,
            old_image: self.old_image,
            page,
        })
    }
}

/// Reads one record. Only invalid JSON is an error; other defects are noted in the draft.
fn read(scanner: &mut Scanner<'_>) -> Result<Draft, Fault> {
    let mut draft = Draft::default();
    if scanner.peek() != Some(b'{') {
        draft.wrong("it is no object");
        draft.whole = range(scanner)?;
        return Ok(draft);
    }
    let start = scanner.offset();
    entries(scanner, |scanner, name| {
        match (name, scanner.peek()) {
            ("eventName", _) => match string(scanner)? {
                Ok(Some(name)) => match name.as_ref() {
                    "INSERT" => draft.kind = Some(EventKind::Insert),
                    "MODIFY" => draft.kind = Some(EventKind::Modify),
                    "REMOVE" => draft.kind = Some(EventKind::Remove),
                    _ => draft.wrong("its event name is none that is known"),
                },
                Ok(None) => {}
                Err(NoString) => draft.wrong("its event name is no string"),
            },
            ("dynamodb", Some(b'{')) => change(scanner, &mut draft)?,
            ("dynamodb", _) => {
                scanner.skip()?;
                draft.wrong("it has no change in it");
            }
            ("userIdentity", Some(b'{')) => identity(scanner, &mut draft)?,
            _ => drop(scanner.skip()?),
        }
        Ok(())
    })?;
    draft.whole = start..scanner.offset();
    Ok(draft)
}

/// Reads the record's `dynamodb` member.
fn change(scanner: &mut Scanner<'_>, draft: &mut Draft) -> Result<(), Fault> {
    entries(scanner, |scanner, name| {
        match name {
            "Keys" => draft.keys = image(scanner, draft, "its keys are no object")?,
            "NewImage" => {
                draft.new_image = image(scanner, draft, "its new image is no object")?;
            }
            "OldImage" => {
                draft.old_image = image(scanner, draft, "its old image is no object")?;
            }
            "SequenceNumber" => match string(scanner)? {
                Ok(Some(text)) => match text.parse() {
                    Ok(number) => draft.sequence_number = Some(number),
                    Err(_) => draft.wrong("its sequence number is none"),
                },
                Ok(None) => {}
                Err(NoString) => draft.wrong("its sequence number is no string"),
            },
            "ApproximateCreationDateTime" => {
                draft.created = time::parse(scanner.skip()?);
                if draft.created.is_none() {
                    draft.wrong("its time of creation is none");
                }
            }
            "SizeBytes" => {
                let text = std::str::from_utf8(scanner.skip()?).ok();
                draft.size = text.and_then(|text| text.parse().ok());
            }
            _ => drop(scanner.skip()?),
        }
        Ok(())
    })
}

/// Reads the identity that made the change. The API reference names the fields in upper case, the
/// guide and some servers in lower case.
fn identity(scanner: &mut Scanner<'_>, draft: &mut Draft) -> Result<(), Fault> {
    entries(scanner, |scanner, name| {
        match name {
            "Type" | "type" => {
                draft.by_service = matches!(string(scanner)?, Ok(Some(text)) if text == "Service");
            }
            "PrincipalId" | "principalId" => {
                draft.as_dynamodb = matches!(
                    string(scanner)?,
                    Ok(Some(text)) if text == "dynamodb.amazonaws.com"
                );
            }
            _ => drop(scanner.skip()?),
        }
        Ok(())
    })
}

/// Returns the range of an image without parsing it, or `None` for a null in its place.
///
/// An empty object is not an image: an item has at least its key. Some servers write one where the
/// API reference leaves the member out.
fn image(
    scanner: &mut Scanner<'_>,
    draft: &mut Draft,
    otherwise: &'static str,
) -> Result<Option<Range<usize>>, Fault> {
    let first = scanner.peek();
    let value = scanner.skip()?;
    let is_empty = value.len() >= 2
        && value[1..value.len() - 1]
            .iter()
            .all(u8::is_ascii_whitespace);
    let end = scanner.offset();
    let range = end - value.len()..end;
    match first {
        Some(b'{') => return Ok((!is_empty).then_some(range)),
        Some(b'n') => {}
        _ => draft.wrong(otherwise),
    }
    Ok(None)
}

/// Skips any value and returns its range.
fn range(scanner: &mut Scanner<'_>) -> Result<Range<usize>, Fault> {
    let len = scanner.skip()?.len();
    let end = scanner.offset();
    Ok(end - len..end)
}

/// A value that is neither a string nor a null; it was skipped.
struct NoString;

/// Reads a string, or a null in its place.
fn string<'a>(scanner: &mut Scanner<'a>) -> Result<Result<Option<Cow<'a, str>>, NoString>, Fault> {
    match scanner.peek() {
        Some(b'"') => scanner.text().map(|text| Ok(Some(text))),
        _ if scanner.skip()? == b"null" => Ok(Ok(None)),
        _ => Ok(Err(NoString)),
    }
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
