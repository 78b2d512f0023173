//! Each reason for which DynamoDB throttles has its own reaction.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::IndexSpec;
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::sink::{DynamoDbSink, LimitedBy, TableSettings, TableSink, ThrottledBy};
use dynamodb_connector::test_util::{
    Fault, FaultyDynamoDb, Operation, TableSpecExt as _, Throttle,
};
use futures::future::join_all;

use super::{Class, Event, capacity, open, seconds, spec};
use crate::setup::TABLE;

const ARN: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/decisions";
const INDEX: &str = "by_state";
const UNITS: f64 = 200.0;

/// A table of [`UNITS`] with an index as large, in a service that grants more: what is refused is refused by the
/// fault alone.
fn fake() -> FaultyDynamoDb {
    let index = IndexSpec::global(INDEX).partition("state", KeyKind::String);
    let fake = FaultyDynamoDb::new();
    fake.create_table(spec(TABLE).provisioned(5, 200).index(index));
    fake
}

/// No burst credit is looked for, so that the rate is what is provisioned until something is refused.
fn settings() -> TableSettings {
    super::settings().burst(false)
}

/// Refuses two requests in a row: one alone says nothing of a rate.
fn refused(reason: &str, resource: &str) -> Fault {
    Fault::throttled(Throttle::ProvisionedThroughput)
        .reason(reason, resource)
        .on(Operation::BatchWriteItem)
        .table(TABLE)
        .times(2)
}

/// What the next refusal comes to.
#[derive(Debug)]
struct Reaction {
    /// What the sink says it is throttled by.
    by: Option<ThrottledBy>,
    /// The table's rate before it and after it.
    before: f64,
    after: f64,
}

impl Reaction {
    async fn to(fault: Fault, fake: &FaultyDynamoDb, table: &TableSink) -> Self {
        seconds(3.0).await;
        let before = table.stats();
        fake.inject(fault);
        let (mut by, mut answered) = (None, 0);
        for _ in 0..500 {
            seconds(0.001).await;
            let stats = table.stats();
            if let LimitedBy::Throttled { by: told, .. } = stats.limited_by {
                by.get_or_insert(told);
            }
            // Numbers are up to a millisecond behind.
            let is_refused = stats.throttled > before.throttled && fake.waiting_faults() == 0;
            answered = if is_refused && stats.in_flight == 0 {
                answered + 1
            } else {
                0
            };
            if answered == 3 {
                break;
            }
        }
        let after = table.stats();
        assert!(after.throttled > before.throttled, "the fault has struck");
        let rate = |stats: dynamodb_connector::sink::TableStats| stats.rate.expect("it has one");
        Self {
            by,
            before: rate(before),
            after: rate(after),
        }
    }

    fn slows_the_table(&self) -> bool {
        self.after < self.before * 0.9 && self.after >= self.before * 0.5
    }
}

fn same(one: f64, other: f64) -> bool {
    (one - other).abs() < 1e-6
}

#[tokio::test(start_paused = true)]
async fn the_tables_capacity_slows_the_table() {
    let fake = fake();
    let table = open(&fake, settings(), 1).await;
    let _load = Class::overload("all").start(&table);
    let fault = refused("TableWriteProvisionedThroughputExceeded", ARN);
    let reaction = Reaction::to(fault, &fake, &table).await;
    assert_eq!(reaction.by, Some(ThrottledBy::Table));
    assert!(same(reaction.before, UNITS), "{reaction:?}");
    assert!(reaction.slows_the_table(), "{reaction:?}");
    // It is no grudge.
    seconds(10.0).await;
    let rate = table.stats().rate.expect("it has one");
    assert!(rate >= UNITS * 0.99, "{rate}");
}

/// Of what was applied since, how many entered the index and how many did not.
fn inside_and_outside(fake: &FaultyDynamoDb) -> (usize, usize) {
    let applied = fake.take_applied();
    let inside = applied
        .iter()
        .filter(|write| write.attribute("state").is_some())
        .count();
    (inside, applied.len() - inside)
}

#[tokio::test(start_paused = true)]
async fn an_indexs_capacity_holds_only_what_enters_it() {
    for reason in [
        "IndexWriteProvisionedThroughputExceeded",
        "IndexWriteMaxOnDemandThroughputExceeded",
    ] {
        let fake = fake();
        let table = open(&fake, settings(), 1).await;
        let inside = Class {
            indexed: true,
            ..Class::offered("inside", |_| 80.0)
        };
        let _inside = inside.start(&table);
        let _outside = Class::offered("outside", |_| 80.0).start(&table);
        let fault = refused(reason, &format!("{ARN}/index/{INDEX}"));
        let inside = |key: &HashMap<String, AttributeValue>| {
            key["pk"].as_s().is_ok_and(|pk| pk.starts_with("inside"))
        };
        let reaction = Reaction::to(fault.on_key(inside), &fake, &table).await;
        assert!(
            same(reaction.after, reaction.before),
            "{reason}: {reaction:?}"
        );
        // For as long as the index rests, the others go on.
        fake.take_applied();
        seconds(0.045).await;
        let (inside, outside) = inside_and_outside(&fake);
        assert_eq!(inside, 0, "{reason}");
        assert!(outside >= 3, "{reason}: {outside}");
        seconds(2.0).await;
        let (inside, outside) = inside_and_outside(&fake);
        assert!(
            inside > 100 && outside > 100,
            "{reason}: {inside} {outside}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_range_of_one_key_is_that_keys_matter() {
    for reason in [
        "TableWriteKeyRangeThroughputExceeded",
        "IndexWriteKeyRangeThroughputExceeded",
    ] {
        let fake = fake();
        let table = open(&fake, settings(), 1).await;
        let load = Class::offered("cold", |_| 100.0).start(&table);
        seconds(3.0).await;
        let hot = |key: &HashMap<String, AttributeValue>| {
            key["pk"] == AttributeValue::S("hot".to_owned())
        };
        let fault = Fault::throttled(Throttle::ProvisionedThroughput)
            .reason(reason, ARN)
            .on_key(hot);
        fake.inject(fault.always());
        // A condition has each sent by itself.
        let puts = (0..40).map(|sk| {
            let event = Event {
                pk: "hot".to_owned(),
                sk,
                state: None,
                body: String::new(),
            };
            let put = table.put(&event).condition("attribute_not_exists(pk)");
            put.into_future()
        });
        let receipts = join_all(puts).await;
        let before = load.written();
        seconds(5.0).await;
        let stats = table.stats();
        assert_eq!(stats.hot_keys, 1, "{reason}");
        assert!(stats.held > 0, "{reason}");
        assert!(same(stats.rate.expect("it has one"), UNITS), "{stats:?}");
        let written = load.written() - before;
        assert!(written >= 490.0, "{reason}: {written} of 500");
        fake.heal();
        for receipt in receipts {
            assert!(receipt.expect("accepted").await.is_written());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn many_keys_that_meet_their_ranges_neither_pause_nor_slow_what_can_be_kept_up() {
    let fake = fake();
    let table = open(&fake, settings(), 1).await;
    let _load = Class::overload("all").start(&table);
    let fault = refused("TableWriteKeyRangeThroughputExceeded", ARN);
    let reaction = Reaction::to(fault, &fake, &table).await;
    assert_eq!(reaction.by, None, "{reaction:?}");
    assert!(same(reaction.after, reaction.before), "{reaction:?}");
    assert_eq!(table.stats().hot_keys, 0);
}

#[tokio::test(start_paused = true)]
async fn the_accounts_limit_slows_every_table_of_the_sink() {
    for reason in [
        "TableWriteAccountLimitExceeded",
        "IndexWriteAccountLimitExceeded",
    ] {
        let fake = fake();
        fake.create_table(spec("other").provisioned(5, 200));
        let sink = DynamoDbSink::builder(&fake.client())
            .table(TABLE, settings())
            .table("other", settings())
            .seed(1)
            .open();
        let sink = sink.await.expect("opened");
        let (table, other) = (sink.table(TABLE), sink.table("other"));
        let (table, other) = (table.expect("opened"), other.expect("opened"));
        let _loads = [&table, &other].map(|table| Class::overload("all").start(table));
        let fault = refused(reason, ARN);
        let reaction = Reaction::to(fault, &fake, &table).await;
        assert_eq!(reaction.by, Some(ThrottledBy::Account), "{reason}");
        assert!(reaction.slows_the_table(), "{reason}: {reaction:?}");
        // The other one hears of it with its next request.
        seconds(0.1).await;
        let stats = other.stats();
        assert_eq!(stats.throttled, 0);
        let rate = stats.rate.expect("it has one");
        assert!(rate < UNITS * 0.9, "{reason}: {rate}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_maximum_on_demand_slows_the_table_and_ends_its_growth() {
    for refuse in [true, false] {
        let fake = FaultyDynamoDb::new();
        fake.create_table(spec(TABLE).enforce(capacity(4, 1_000).warm_units(100)));
        let table = open(&fake, settings(), 1).await;
        let _load = Class::overload("all").start(&table);
        if refuse {
            let fault = refused("TableWriteMaxOnDemandThroughputExceeded", ARN);
            let reaction = Reaction::to(fault, &fake, &table).await;
            assert_eq!(reaction.by, Some(ThrottledBy::MaxOnDemand));
            assert!(reaction.slows_the_table(), "{reaction:?}");
        }
        seconds(20.0).await;
        let rate = table.stats().rate.expect("it has one");
        if refuse {
            assert!((99.0..=100.5).contains(&rate), "{rate}");
        } else {
            assert!(rate > 100.6, "{rate}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reason_that_is_not_known_is_as_good_as_none() {
    let fake = fake();
    let table = open(&fake, settings(), 1).await;
    let _load = Class::overload("all").start(&table);
    let fault = refused("TableWriteMoonPhaseExceeded", ARN);
    let reaction = Reaction::to(fault, &fake, &table).await;
    assert_eq!(reaction.by, Some(ThrottledBy::NotReported));
    assert!(reaction.slows_the_table(), "{reaction:?}");
}

/// The requests of single writes.
fn asked(fake: &FaultyDynamoDb) -> usize {
    let requests = fake.requests();
    let single = requests
        .iter()
        .filter(|request| request.operation() == Some(Operation::BatchWriteItem))
        .filter(|request| request.items() == 1);
    single.count()
}

#[tokio::test(start_paused = true)]
async fn a_reason_that_is_not_told_is_asked_for_by_one_write_alone() {
    let fake = fake();
    let table = open(&fake, settings(), 1).await;
    let _load = Class::overload("all").start(&table);
    seconds(3.0).await;
    fake.inject(Fault::unprocessed_all());
    // Refused by itself, a write is told the reason, which holds for the batches beside it.
    let told = Fault::throttled(Throttle::ProvisionedThroughput)
        .reason("TableWriteProvisionedThroughputExceeded", ARN)
        .on(Operation::BatchWriteItem);
    fake.inject(told.delayed(Duration::from_millis(20)));
    fake.clear_journal();
    let mut by = Vec::new();
    for _ in 0..400 {
        seconds(0.001).await;
        if let LimitedBy::Throttled { by: told, .. } = table.stats().limited_by
            && by.last() != Some(&told)
        {
            by.push(told);
        }
    }
    // Batches of one are sent beside it where units are scarce.
    assert!(asked(&fake) >= 1);
    assert_eq!(by.last(), Some(&ThrottledBy::Table));
}
