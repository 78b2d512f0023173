//! The costs of writes, the same by every way into the sink.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::*;
use crate::admission::Limits;
use crate::item::{KeyKind, KeySchema, check_json, encode, encode_key};
use crate::sink::admission::{Admission, Bounds};
use crate::sink::core::{Saved, Submission};
use crate::sink::describing::SharedShape;
use crate::sink::message::Message;
use crate::sink::receipt::Completion;
use crate::sink::shared::Shared;
use crate::sink::shared_limit::SharedLimit;
use crate::sink::snapshot::Snapshot;
use crate::sink::stats::Published;
use crate::sink::table::TableSink;

/// Returns a local index of keys, then global ones: of all, of keys, of some attributes.
fn shape() -> TableShape {
    let keys = KeySchema::new("pk", KeyKind::String).with_sort("sk", KeyKind::String);
    let state = KeySchema::new("state", KeyKind::String);
    let owner = KeySchema::new("owner", KeyKind::String).with_sort("at", KeyKind::Number);
    let local = KeySchema::new("pk", KeyKind::String).with_sort("state", KeyKind::String);
    let included = Projection::Include(vec!["a".to_owned()]);
    TableShape::new(keys)
        .with_index(
            IndexShape::new("local", local)
                .local()
                .projection(Projection::KeysOnly),
        )
        .with_index(IndexShape::new("all", state.clone()))
        .with_index(IndexShape::new("keys", owner.clone()).projection(Projection::KeysOnly))
        .with_index(IndexShape::new("some", owner).projection(included))
}

const LOCAL: usize = 0;
const ALL: usize = 1;
const KEYS: usize = 2;
const SOME: usize = 3;

fn bare() -> TableShape {
    TableShape::new(KeySchema::new("pk", KeyKind::String))
}

/// Returns a record of this size as stored, with these attributes.
fn record(size: usize, more: Value) -> Value {
    let mut record = json!({"pk": "p", "sk": "s", "text": ""});
    if let (Some(record), Value::Object(more)) = (record.as_object_mut(), more) {
        record.extend(more);
    }
    let rest = size - encode(&record, &shape()).unwrap().stored_size;
    record["text"] = "x".repeat(rest).into();
    record
}

fn put(record: &Value, shape: &TableShape) -> Cost {
    Cost::put(&encode(record, shape).unwrap(), shape)
}

fn entered(cost: &Cost) -> Vec<usize> {
    (0..40).filter(|&at| cost.indexes.contains(at)).collect()
}

#[test]
fn a_put_costs_a_unit_for_each_kilobyte_begun() {
    let smallest = encode(&json!({"pk": "p"}), &bare()).unwrap();
    assert_eq!(Cost::put(&smallest, &bare()).units, 1);
    for (size, units) in [(100, 1), (1024, 1), (1025, 2), (2048, 2), (409_600, 400)] {
        let cost = put(&record(size, json!({})), &shape());
        assert_eq!(cost.units, units, "{size} bytes");
        assert_eq!(usize::try_from(cost.size), Ok(size));
        assert!(cost.indexes.is_empty());
    }
}

/// Compares with DynamoDB Local 3.1.0: its charges for an item of 3 KB in each of these indexes.
#[test]
fn each_index_takes_what_it_holds_of_the_item() {
    let shape = shape();
    let cost = put(&record(3_000, json!({"state": "x"})), &shape);
    assert_eq!(entered(&cost), [LOCAL, ALL]);
    assert_eq!(cost.units, 3 + 1, "the local index's are the table's");
    assert_eq!(cost.index_units(ALL, &shape), 3);
    let cost = put(&record(3_000, json!({"owner": "o", "at": 7})), &shape);
    assert_eq!(entered(&cost), [KEYS, SOME]);
    assert_eq!(cost.units, 3);
    assert_eq!(cost.index_units(KEYS, &shape), 1);
    assert_eq!(cost.index_units(SOME, &shape), 3);
    assert_eq!(cost.index_units(ALL, &shape), 0);
    assert_eq!(cost.index_units(SOME + 1, &shape), 0);
}

#[test]
fn an_item_without_an_indexs_sort_key_is_not_in_it() {
    for more in [json!({"owner": "o"}), json!({"at": 7}), json!({})] {
        let cost = put(&record(100, more.clone()), &shape());
        assert!(cost.indexes.is_empty(), "{more}");
    }
}

#[test]
fn all_ways_of_encoding_agree_on_the_indexes() {
    let record = record(200, json!({"state": "x", "owner": "o", "at": 7}));
    let encoded = encode(&record, &shape()).unwrap();
    let checked = check_json(&encoded.json, &shape(), false).unwrap();
    let attributes = crate::item::Item::from_json(encoded.json.clone().into());
    let attributes = attributes.to_attributes().unwrap();
    let mapped = crate::item::encode_attributes(&attributes, &shape()).unwrap();
    for one in [&encoded, &checked, &mapped] {
        let held: Vec<usize> = (0..40).filter(|&at| one.indexes.contains(at)).collect();
        assert_eq!(held, [LOCAL, ALL, KEYS, SOME]);
    }
    let key = encode_key(&record, &shape()).unwrap();
    assert!(key.indexes.is_empty());
    let key = check_json(&encoded.json, &shape(), true).unwrap();
    assert!(key.indexes.is_empty());
}

#[test]
fn an_index_past_the_thirty_second_costs_nothing_known() {
    let mut shape = bare();
    for n in 0..40 {
        let keys = KeySchema::new("state", KeyKind::String);
        shape = shape.with_index(IndexShape::new(format!("i{n}"), keys).local());
    }
    let cost = put(&json!({"pk": "p", "state": "x"}), &shape);
    assert_eq!(entered(&cost), (0..32).collect::<Vec<_>>());
    assert_eq!(cost.units, 1 + 32);
}

#[test]
fn an_updates_size_is_its_keys_and_its_values() {
    let key = encode_key(&json!({"pk": "p", "sk": "s"}), &shape()).unwrap();
    let update = |expressions: &[u8]| Cost::single(WriteKind::Update, &key, expressions, &shape());
    assert_eq!(update(b"").units, 1);
    let long = "x".repeat(3_000);
    let name = format!(r#""UpdateExpression":"{long}""#);
    assert_eq!(update(name.as_bytes()).units, 1, "text is not stored");
    let value = format!(
        r#""UpdateExpression":"SET a = :a","ExpressionAttributeValues":{{":a":{{"S":"{long}"}}}}"#
    );
    assert_eq!(update(value.as_bytes()).units, 3);
    assert!(update(value.as_bytes()).indexes.is_empty());
    for kind in [WriteKind::Delete, WriteKind::Check] {
        let cost = Cost::single(kind, &key, value.as_bytes(), &shape());
        assert_eq!(cost, Cost::delete());
        assert_eq!(cost.units, 1);
    }
}

/// Compares with DynamoDB Local 3.1.0: its charges for a put of 3 KB and a check in one
/// transaction.
#[test]
fn a_transaction_is_charged_twice() {
    let shape = shape();
    let first = put(&record(3_000, json!({"state": "x"})), &shape);
    let second = put(&record(100, json!({"owner": "o", "at": 7})), &shape);
    let cost = Cost::transaction([first, second, Cost::delete()]);
    assert_eq!(cost.units, 2 * (3 + 1) + 2 + 2);
    assert_eq!(cost.size, 3_100);
    assert_eq!(entered(&cost), [LOCAL, ALL, KEYS, SOME]);
    assert_eq!(cost.index_units(KEYS, &shape), 6, "three parts, twice");
    assert_eq!(cost.index_units(ALL, &shape), 2 * (3 + 1 + 1));
    let largest = put(&record(409_600, json!({})), &shape);
    let all = Cost::transaction(std::iter::repeat_n(largest, 100));
    assert_eq!(all.units, 80_000, "no sum runs over");
}

#[test]
fn a_cost_is_small() {
    assert!(size_of::<Cost>() <= 16);
}

/// Returns a table whose worker is the test, and its admission.
fn table() -> (TableSink, Arc<Admission<Message>>) {
    let bounds = Bounds {
        buffer: Limits {
            records: 100,
            bytes: 1 << 20,
        },
        share: 100,
    };
    let admission = Arc::new(Admission::new(
        bounds,
        Arc::default(),
        &SharedLimit::of_bytes(usize::MAX),
    ));
    let shared = Shared {
        name: "decisions".into(),
        shape: SharedShape::new(shape()),
        admission: Arc::clone(&admission),
        deadline: None,
        max_requests: 256,
        stats: Arc::new(Mutex::new(Published::default())),
        token_prefix: 0,
        tokens: AtomicU64::new(0),
        dead_letters: None,
        runtime: tokio::runtime::Handle::current(),
    };
    (TableSink::from_shared(Arc::new(shared)), admission)
}

/// Returns the writes that have passed the admission.
fn submitted(admission: &Admission<Message>) -> Vec<Submission<Completion>> {
    let mut inbox = std::collections::VecDeque::new();
    admission.receive(&mut inbox);
    inbox
        .into_iter()
        .map(|message| match message {
            Message::Write(submission) => submission,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[tokio::test]
async fn every_way_into_the_sink_says_what_the_write_costs() {
    let (table, admission) = table();
    let item = record(1_500, json!({"state": "x", "owner": "o", "at": 7}));
    let key = json!({"pk": "p", "sk": "s"});
    let attributes = crate::item::Item::from_json(encode(&item, &shape()).unwrap().json.into());
    let attributes = attributes.to_attributes().unwrap();
    let update = || {
        table
            .update(&key, "SET a = :a")
            .value(":a", &"x".repeat(2_500))
    };
    let writes = [
        table.put(&item),
        table.put_item(&attributes),
        table.put(&item).condition("attribute_not_exists(pk)"),
        table.put(&item).exactly_once(),
        table.delete(&key),
        table.delete(&key).condition("attribute_exists(pk)"),
        update(),
        update().exactly_once(),
    ];
    for write in writes {
        drop(write.await.unwrap());
    }
    let transaction = table
        .transaction()
        .add(table.put(&item))
        .add(table.check(&json!({"pk": "q", "sk": "s"}), "attribute_exists(pk)"));
    drop(transaction.await.unwrap());
    let expected = [3, 3, 3, 6, 1, 1, 3, 6, 8];
    let partition = encode_key(&key, &shape()).unwrap().key.partition_hash();
    let check = |submissions: &[Submission<Completion>]| {
        let units: Vec<u32> = submissions.iter().map(|one| one.cost.units).collect();
        assert_eq!(units, expected);
        for (n, one) in submissions.iter().enumerate() {
            let puts = ![4, 5, 6, 7].contains(&n);
            assert_eq!(entered(&one.cost).len(), if puts { 4 } else { 0 }, "{n}");
            assert_eq!(one.partition, partition, "{n}");
        }
    };
    let first = submitted(&admission);
    check(&first);

    let saved = |one: &Submission<Completion>| Saved {
        payload: one.payload.clone(),
        may_have_applied: false,
    };
    let snapshot = Snapshot::of("decisions", first.iter().map(saved).collect());
    let snapshot = Snapshot::from_bytes(&snapshot.to_bytes()).unwrap();
    table.restore(&snapshot).await.unwrap();
    let again = submitted(&admission);
    check(&again);
    for (first, again) in first.iter().zip(&again) {
        assert_eq!(first.cost, again.cost);
    }
}

/// Checks that items are predicted to be in the indexes that the faulty DynamoDB counts them in.
#[cfg(feature = "test-util")]
mod against_a_service {
    use std::collections::HashMap;

    use aws_sdk_dynamodb::types::AttributeValue;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use crate::item::KeyKind;
    use crate::sink::{DynamoDbSink, TableSettings};
    use crate::test_util::FaultyDynamoDb;
    use crate::{IndexSpec, TableSpec};

    fn spec() -> TableSpec {
        let local = IndexSpec::local("local").sort("state", KeyKind::String);
        let state = IndexSpec::global("all").partition("state", KeyKind::String);
        let owner = IndexSpec::global("keys").partition("owner", KeyKind::String);
        TableSpec::new("decisions")
            .sort("sk", KeyKind::String)
            .index(owner.sort("at", KeyKind::Number))
            .index(state)
            .index(local)
    }

    /// Items by the attributes that they have of `state`, `owner` and `at`.
    type Has = (bool, bool, bool);

    fn item(n: usize, (state, owner, at): Has) -> HashMap<String, AttributeValue> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        [
            (true, "pk", text("p")),
            (true, "sk", text(&n.to_string())),
            (state, "state", text("x")),
            (owner, "owner", text("o")),
            (at, "at", AttributeValue::N("7".to_owned())),
        ]
        .into_iter()
        .filter(|(has, _, _)| *has)
        .map(|(_, name, value)| (name.to_owned(), value))
        .collect()
    }

    /// Returns for each index its name, its content there, and the prediction here.
    async fn counts(all: &[Has]) -> Vec<(String, i64, i64)> {
        let fake = FaultyDynamoDb::new();
        fake.create_table(spec());
        let client = fake.client();
        let sink = DynamoDbSink::builder(&client)
            .table("decisions", TableSettings::default())
            .open();
        let table = sink.await.unwrap().table("decisions").unwrap();
        let shape = &table.shape();
        let mut said = vec![0; shape.indexes().len()];
        for (n, has) in all.iter().enumerate() {
            let item = item(n, *has);
            let encoded = crate::item::encode_attributes(&item, shape).unwrap();
            for (at, said) in said.iter_mut().enumerate() {
                *said += i64::from(encoded.indexes.contains(at));
            }
            drop(table.put_item(&item).await.unwrap());
        }
        table.flush().await.unwrap();
        let described = client.describe_table().table_name("decisions").send().await;
        let described = described.unwrap().table.unwrap();
        let local = described.local_secondary_indexes().iter();
        let local = local.map(|index| (index.index_name(), index.item_count()));
        let global = described.global_secondary_indexes().iter();
        let global = global.map(|index| (index.index_name(), index.item_count()));
        let held: HashMap<_, _> = local.chain(global).collect();
        let shapes = shape.indexes().iter().zip(said);
        shapes
            .map(|(index, said)| {
                let held = held.get(&Some(index.name())).copied().flatten();
                (index.name().to_owned(), held.unwrap(), said)
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 32,
            rng_seed: RngSeed::Fixed(0x1d7e_3000),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn an_item_is_in_the_indexes_that_hold_it(
            all in prop::collection::vec(any::<Has>(), 1..30),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let counts = runtime.block_on(counts(&all));
            prop_assert_eq!(counts.len(), 3);
            for (index, held, said) in counts {
                prop_assert_eq!(held, said, "{}", index);
            }
        }
    }
}
