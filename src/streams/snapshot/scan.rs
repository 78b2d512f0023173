//! One page of a scan: its request, and the reading of its answer into records.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use serde_json::{Value, json};

use super::merge::{Cursor, ItemKey, ScanPage};
use crate::item::{Fault, Scanner, elements, entries};
use crate::retry::ServiceError;
use crate::streams::record::{EventKind, Record, ShardId, Shared};
use crate::transport::{Operation, Transport};

/// The name that snapshot records have in the place of a shard's.
pub(crate) const SNAPSHOT: &str = "snapshot";

/// The request for a page.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    pub(super) table: String,
    pub(super) keys: Arc<[String]>,
    pub(super) segment: usize,
    pub(super) segments: usize,
    pub(super) from: Cursor,
    pub(super) limit: usize,
}

/// A page, with the read units that it took if the service reports them.
pub(super) struct Scanned {
    pub(super) page: ScanPage<Record>,
    pub(super) count: usize,
    pub(super) units: Option<f64>,
}

impl Scan {
    /// Requests the page, once. `now` becomes the time of its records.
    ///
    /// # Cancel safety
    ///
    /// A scan changes nothing: harmless to drop.
    pub(super) async fn page(
        self,
        transport: Transport,
        now: SystemTime,
    ) -> Result<Scanned, ServiceError> {
        let mut request = json!({
            "TableName": self.table,
            "ConsistentRead": true,
            "ReturnConsumedCapacity": "TOTAL",
            "Segment": self.segment,
            "TotalSegments": self.segments,
            "Limit": self.limit,
        });
        if let Cursor::After(key) = &self.from {
            request["ExclusiveStartKey"] = serde_json::from_str(key)
                .map_err(|_| ServiceError::garbled("the stored key of a segment is none"))?;
        }
        let body = Bytes::from(request.to_string());
        let body = transport.call(Operation::Scan, body).await?;
        read(&body, &self.keys, now).ok_or_else(|| ServiceError::garbled("it is no page of a scan"))
    }
}

#[derive(Default)]
struct Draft {
    items: Option<Vec<Range<usize>>>,
    last: Option<Range<usize>>,
    units: Option<f64>,
}

fn read(body: &Bytes, names: &[String], now: SystemTime) -> Option<Scanned> {
    let draft = walk(body).ok()?;
    let items = draft.items?;
    // Each item's key is appended to the page, in one piece, as a record needs it.
    let mut text = body.to_vec();
    let mut found = Vec::with_capacity(items.len());
    for item in items {
        let key = key_of(body.get(item.clone())?, names)?;
        let start = text.len();
        text.extend_from_slice(key.as_bytes());
        found.push((item, start..text.len(), key));
    }
    let bytes = text.len();
    let page = Arc::new(Shared {
        shard: ShardId::new(SNAPSHOT),
        body: Bytes::from(text),
    });
    let count = found.len();
    let items = found.into_iter().map(|(item, keys, key)| {
        let record = Record {
            page: Arc::clone(&page),
            kind: EventKind::Snapshot,
            ttl_delete: false,
            sequence_number: None,
            created: now,
            size: u64::try_from(item.len()).unwrap_or(u64::MAX),
            keys,
            new_image: Some(item),
            old_image: None,
        };
        (key, record)
    });
    let cursor = match draft.last.and_then(|last| body.get(last)) {
        Some(key) => Cursor::After(String::from_utf8(key.to_vec()).ok()?),
        None => Cursor::End,
    };
    Some(Scanned {
        page: ScanPage {
            items: items.collect(),
            cursor,
            bytes,
        },
        count,
        units: draft.units,
    })
}

fn walk(body: &[u8]) -> Result<Draft, Fault> {
    let mut draft = Draft::default();
    let mut scanner = Scanner::new(body);
    entries(&mut scanner, |scanner, name| {
        match (name, scanner.peek()) {
            ("Items", Some(b'[')) => {
                let mut items = Vec::new();
                elements(scanner, |scanner, _| {
                    items.push(range(scanner)?);
                    Ok(())
                })?;
                draft.items = Some(items);
            }
            ("LastEvaluatedKey", Some(b'{')) => draft.last = Some(range(scanner)?),
            ("ConsumedCapacity", Some(b'{')) => entries(scanner, |scanner, name| {
                let value = scanner.skip()?;
                if name == "CapacityUnits" {
                    draft.units = std::str::from_utf8(value).ok().and_then(|n| n.parse().ok());
                }
                Ok(())
            })?,
            _ => drop(scanner.skip()?),
        }
        Ok(())
    })?;
    scanner.end()?;
    Ok(draft)
}

/// Skips any value and returns its range.
fn range(scanner: &mut Scanner<'_>) -> Result<Range<usize>, Fault> {
    let len = scanner.skip()?.len();
    let end = scanner.offset();
    Ok(end - len..end)
}

/// Returns an item's primary key, in one form whatever its order and escapes in the page.
fn key_of(item: &[u8], names: &[String]) -> Option<ItemKey> {
    let mut scanner = Scanner::new(item);
    let mut parts: BTreeMap<Cow<'_, str>, Value> = BTreeMap::new();
    entries(&mut scanner, |scanner, name| {
        let value = scanner.skip()?;
        if names.iter().any(|wanted| wanted == name)
            && let Ok(value) = serde_json::from_slice(value)
        {
            parts.insert(Cow::Owned(name.to_owned()), value);
        }
        Ok(())
    })
    .ok()?;
    (parts.len() == names.len()).then(|| serde_json::to_string(&parts).ok())?
}

/// Returns the key of a record of the stream, in the same form.
pub(super) fn key_of_record(record: &Record) -> Option<ItemKey> {
    let parts: BTreeMap<Cow<'_, str>, Value> = serde_json::from_slice(record.keys_json()).ok()?;
    serde_json::to_string(&parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"{"Count":2,"Items":[{"v":{"N":"1"},"id":{"S":"\u0061"},"n":{"N":"7"}},
        {"n":{"N":"8"},"id":{"S":"b"}}],"ConsumedCapacity":{"TableName":"t","CapacityUnits":1.5},
        "LastEvaluatedKey":{"id":{"S":"b"},"n":{"N":"8"}}}"#;

    #[test]
    fn a_page_becomes_records_with_their_keys_in_the_form_of_the_streams() {
        let names = ["id".to_owned(), "n".to_owned()];
        let now = SystemTime::UNIX_EPOCH;
        let scanned = read(&Bytes::from(PAGE), &names, now).expect("a page");
        assert_eq!((scanned.count, scanned.units), (2, Some(1.5)));
        let (key, record) = &scanned.page.items[0];
        assert_eq!(key, r#"{"id":{"S":"a"},"n":{"N":"7"}}"#);
        assert_eq!(record.keys_json(), key.as_bytes());
        assert_eq!(key_of_record(record).as_ref(), Some(key));
        assert_eq!(record.kind(), EventKind::Snapshot);
        assert_eq!(record.sequence_number(), None);
        assert_eq!(record.shard_id().as_str(), SNAPSHOT);
        let image: BTreeMap<String, Value> = record.new_image().unwrap().unwrap();
        assert_eq!(image["v"], 1);
        let after = r#"{"id":{"S":"b"},"n":{"N":"8"}}"#.to_owned();
        assert_eq!(scanned.page.cursor, Cursor::After(after));
    }

    #[test]
    fn what_is_no_page_is_refused() {
        let names = ["id".to_owned()];
        for text in [
            "",
            "{}",
            "[]",
            r#"{"Items":[{"other":{"S":"a"}}]}"#,
            r#"{"Items":[1]}"#,
        ] {
            let body = Bytes::from(text);
            assert!(
                read(&body, &names, SystemTime::UNIX_EPOCH).is_none(),
                "{text}"
            );
        }
        let empty = Bytes::from(r#"{"Items":[]}"#);
        let scanned = read(&empty, &names, SystemTime::UNIX_EPOCH).expect("the last page");
        assert_eq!(scanned.page.cursor, Cursor::End);
    }
}
