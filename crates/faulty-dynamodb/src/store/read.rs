//! `GetItem`, `Query`, `Scan`.

use std::borrow::Cow;
use std::ops::Bound;
use std::sync::Arc;

use dynamodb_table_spec::IndexSpec;
use dynamodb_table_spec::{KeySchema, Projection as HeldAttributes};
use serde_json::{Value as Json, json};

use super::capacity::{Consumption, Report};
use super::execution::{Done, Store};
use super::expression::{Condition, Projection, Scope};
use super::key_condition::KeyCondition;
use super::request::Members;
use super::table::{Table, index_entry};
use super::write::refuse_legacy;
use crate::item::error::Refusal;
use crate::item::key::{Key, KeyPart, KeyRules as _};
use crate::item::value::{Item, item_size, item_to_json};

/// Bytes of items a page of a query or scan looks at (AWS: `API_Query`, "1 MB").
const MAX_PAGE_BYTES: usize = 1024 * 1024;
/// Segments of a parallel scan (AWS: `API_Scan`).
const MAX_SEGMENTS: usize = 1_000_000;

pub(crate) fn get(store: &Store, request: Members<'_>) -> Result<Done, Refusal> {
    refuse_legacy(request)?;
    let report = Report::of(request)?;
    let name = request.table_name()?;
    let key = request.key()?;
    let projection = request.text("ProjectionExpression")?;
    let scope = Scope::read(request, &[("ProjectionExpression", projection)])?;
    let projection = projection
        .map(|text| Projection::parse(text, &scope))
        .transpose()?;
    scope.finish()?;
    let table = store.table(name)?;
    let item = table.items.get(&table.keys().of_key(&key)?);
    let mut body = json!({});
    if let Some(item) = item {
        body["Item"] = projected(item, projection.as_ref());
    }
    if report != Report::None {
        let mut consumed = Consumption::default();
        let consistent = request.flag("ConsistentRead")?;
        consumed.add_read(item.map_or(0, |item| item_size(item)), consistent);
        body["ConsumedCapacity"] = consumed.to_json(name, report);
    }
    Ok(Done::read(body))
}

fn projected(item: &Item, projection: Option<&Projection>) -> Json {
    match projection {
        Some(projection) => item_to_json(&projection.of(item)),
        None => item_to_json(item),
    }
}

pub(crate) fn query(store: &Store, request: Members<'_>) -> Result<Done, Refusal> {
    let text = request.text("KeyConditionExpression")?;
    let reader = Reader::read(store, request, &[("KeyConditionExpression", text)])?;
    let text = text.ok_or_else(|| {
        Refusal::validation(
            "Either the KeyConditions or KeyConditionExpression parameter must be specified in the \
             request.",
        )
    })?;
    let condition = Condition::parse(text, "KeyConditionExpression", &reader.scope)?;
    reader.scope.finish()?;
    let requested = KeyCondition::of(&condition, reader.schema())?;
    let descending = request.get("ScanIndexForward").and_then(Json::as_bool) == Some(false);
    let after = reader.start(request)?;
    let mut found = reader.partition(&requested.partition);
    if descending {
        found.reverse();
    }
    let found = found.into_iter().filter(|(position, item)| {
        let passed = after.as_ref().is_none_or(|after| {
            if descending {
                position < after
            } else {
                position > after
            }
        });
        passed
            && requested
                .sort
                .is_none_or(|condition| condition.matches(Some(item)))
    });
    Ok(reader.page(found))
}

pub(crate) fn scan(store: &Store, request: Members<'_>) -> Result<Done, Refusal> {
    let reader = Reader::read(store, request, &[])?;
    reader.scope.finish()?;
    let (segment, total) = match (request.count("Segment")?, request.count("TotalSegments")?) {
        (None, None) => (0, 1),
        (Some(segment), Some(total)) if segment < total && total <= MAX_SEGMENTS => {
            (segment, total)
        }
        (Some(_), None) => {
            return Err(Refusal::validation(
                "If segment is specified, total segment must also be specified",
            ));
        }
        (None, Some(_)) => {
            return Err(Refusal::validation(
                "If total segment is specified, segment must also be specified",
            ));
        }
        (Some(_), Some(_)) => {
            return Err(Refusal::validation(
                "The Segment parameter is zero-based and must be less than parameter TotalSegments",
            ));
        }
    };
    let after = reader.start(request)?;
    let hash = move |key: &Key| usize::try_from(key.partition_hash()).unwrap_or(0) % total;
    let found = reader.all(after.as_ref(), move |key| {
        total == 1 || hash(key) == segment
    });
    Ok(reader.page(found))
}

/// The position of an item in the order of a table or an index: the key there, then the primary key.
type Position = (Key, Key);

/// The common part of a query and a scan.
struct Reader<'a> {
    name: &'a str,
    table: &'a Table,
    index: Option<&'a IndexSpec>,
    /// Attributes that the index does not hold are fetched from the table.
    whole: bool,
    scope: Scope,
    filter: Option<Condition>,
    projection: Option<Projection>,
    count_only: bool,
    consistent: bool,
    limit: usize,
    report: Report,
}

impl<'a> Reader<'a> {
    fn read(
        store: &'a Store,
        request: Members<'a>,
        more: &[(&str, Option<&str>)],
    ) -> Result<Self, Refusal> {
        refuse_legacy(request)?;
        let name = request.table_name()?;
        let filter = request.text("FilterExpression")?;
        let projection = request.text("ProjectionExpression")?;
        let mut expressions = vec![
            ("FilterExpression", filter),
            ("ProjectionExpression", projection),
        ];
        expressions.extend(more);
        let scope = Scope::read(request, &expressions)?;
        let filter = filter
            .map(|text| Condition::parse(text, "FilterExpression", &scope))
            .transpose()?;
        let projection = projection
            .map(|text| Projection::parse(text, &scope))
            .transpose()?;
        let limit = request.count("Limit")?;
        if limit == Some(0) {
            return Err(Refusal::validation(
                "1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: \
                 Member must have value greater than or equal to 1",
            ));
        }
        let consistent = request.flag("ConsistentRead")?;
        let table = store.table(name)?;
        let index = match request.text("IndexName")? {
            None => None,
            Some(index_name) => {
                let index = table
                    .spec
                    .indexes
                    .iter()
                    .find(|index| index.name == index_name);
                let index = index.ok_or_else(|| {
                    Refusal::validation(format!(
                        "The table does not have the specified index: {index_name}"
                    ))
                })?;
                if consistent && !index.local {
                    return Err(Refusal::validation(
                        "Consistent reads are not supported on global secondary indexes",
                    ));
                }
                Some(index)
            }
        };
        let select = request.text("Select")?;
        let count_only = select == Some("COUNT");
        let all = select == Some("ALL_ATTRIBUTES");
        if let Some(index) = index
            && all
            && !index.local
            && index.projection != HeldAttributes::All
        {
            return Err(Refusal::invalid_values(&format!(
                "Select type ALL_ATTRIBUTES is not supported for global secondary index {} because \
                 its projection type is not ALL",
                index.name
            )));
        }
        // A local index shares its table's partitions and so reaches the items themselves.
        let whole = index.is_none_or(|index| index.local && (all || projection.is_some()));
        let (limit, report) = (limit.unwrap_or(usize::MAX), Report::of(request)?);
        Ok(Self {
            name,
            table,
            index,
            whole,
            scope,
            filter,
            projection,
            count_only,
            consistent,
            limit,
            report,
        })
    }

    fn schema(&self) -> &'a KeySchema {
        self.index.map_or(self.table.keys(), |index| &index.keys)
    }

    /// The position of `ExclusiveStartKey`.
    fn start(&self, request: Members<'_>) -> Result<Option<Position>, Refusal> {
        let Some(start) = request.item("ExclusiveStartKey")? else {
            return Ok(None);
        };
        let invalid = |_| Refusal::validation("The provided starting key is invalid");
        let key = self.table.keys().project(&start);
        let key = self.table.keys().of_key(&key).map_err(invalid)?;
        let position = match self.index {
            None => key.clone(),
            Some(index) => index
                .keys
                .of_key(&index.keys.project(&start))
                .map_err(invalid)?,
        };
        Ok(Some((position, key)))
    }

    /// Every item after a position whose key is wanted, in order.
    fn all<'b>(
        &'b self,
        after: Option<&Position>,
        requested: impl Fn(&Key) -> bool + 'b,
    ) -> Box<dyn Iterator<Item = (Position, &'a Arc<Item>)> + 'b> {
        let Some(IndexSpec { keys: index, .. }) = self.index else {
            let from = after.map_or(Bound::Unbounded, |(_, key)| Bound::Excluded(key));
            let items = self.table.items.range((from, Bound::Unbounded));
            let items = items.filter(move |(key, _)| requested(key));
            return Box::new(items.map(|(key, item)| ((key.clone(), key.clone()), item)));
        };
        let mut found: Vec<(Position, &Arc<Item>)> = self
            .table
            .items
            .iter()
            .filter(|(key, _)| requested(key))
            .filter_map(|(key, item)| {
                Some((
                    (index.of_key(&index.project(item)).ok()?, key.clone()),
                    item,
                ))
            })
            .filter(|(position, _)| after.is_none_or(|after| position > after))
            .collect();
        found.sort_by(|(one, _), (two, _)| one.cmp(two));
        Box::new(found.into_iter())
    }

    /// The items of one partition, in order.
    fn partition(&self, partition: &KeyPart) -> Vec<(Position, &'a Arc<Item>)> {
        if self.index.is_some() {
            return self
                .all(None, |_| true)
                .filter(|((key, _), _)| key.partition == *partition)
                .collect();
        }
        let from = Key {
            partition: partition.clone(),
            sort: None,
        };
        self.table
            .items
            .range(from..)
            .take_while(|(key, _)| key.partition == *partition)
            .map(|(key, item)| ((key.clone(), key.clone()), item))
            .collect()
    }

    /// One page: as many items as the limit and the page's size allow.
    fn page<'b>(&self, found: impl Iterator<Item = (Position, &'b Arc<Item>)>) -> Done {
        let mut items = Vec::new();
        let (mut count, mut scanned, mut bytes) = (0_usize, 0_usize, 0_usize);
        let mut last = None;
        for (_, item) in found {
            if scanned == self.limit || bytes > MAX_PAGE_BYTES {
                break;
            }
            scanned += 1;
            let held: Cow<'_, Item> = match self.index {
                Some(index) if !self.whole => index_entry(index, self.table.keys(), item),
                _ => Cow::Borrowed(item.as_ref()),
            };
            bytes += item_size(&held);
            if self
                .filter
                .as_ref()
                .is_none_or(|filter| filter.matches(Some(&held)))
            {
                count += 1;
                if !self.count_only {
                    items.push(projected(&held, self.projection.as_ref()));
                }
            }
            last = Some(item);
        }
        let mut body = json!({ "Count": count, "ScannedCount": scanned });
        if !self.count_only {
            body["Items"] = Json::Array(items);
        }
        // As DynamoDB does, a page that ends at its limit names a next one, even an empty one.
        if let Some(item) = last.filter(|_| scanned == self.limit || bytes > MAX_PAGE_BYTES) {
            let mut key = self.table.keys().project(item);
            key.extend(
                self.index
                    .map(|index| index.keys.project(item))
                    .unwrap_or_default(),
            );
            body["LastEvaluatedKey"] = item_to_json(&key);
        }
        if self.report != Report::None {
            let mut consumed = Consumption::default();
            consumed.add_read(bytes, self.consistent);
            body["ConsumedCapacity"] = consumed.to_json(self.name, self.report);
        }
        Done::read(body)
    }
}
