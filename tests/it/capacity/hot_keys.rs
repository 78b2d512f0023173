//! Partition keys that ask for more than a partition gives are held back, and what is held is neither lost nor
//! out of order, nor forgotten by what concerns all writes.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::sink::{Outcome, Receipt, RejectReason, TableSettings, TableSink, Write};
use dynamodb_connector::test_util::{FaultPlan, FaultyDynamoDb, Operation, TableSpecExt as _};

use super::{Class, Event, capacity, open, seconds, settings, spec};
use crate::setup::{TABLE, assert_no_room_taken, settle};

/// What a partition takes, and so a partition key, in units a second.
const PARTITION: u32 = 50;

/// A table whose eight partitions are what is short.
fn fake() -> FaultyDynamoDb {
    let fake = FaultyDynamoDb::new();
    let capacity = capacity(8, PARTITION.into()).seed(2);
    fake.create_table(spec(TABLE).provisioned(5, 400).enforce(capacity));
    fake
}

fn hot(sk: u32, body: u64) -> Event {
    Event {
        pk: "hot".to_owned(),
        sk,
        state: None,
        body: body.to_string(),
    }
}

async fn put(table: &TableSink, sk: u32, body: u64) -> Receipt {
    table.put(&hot(sk, body)).await.expect("accepted")
}

fn is_hot(key: &HashMap<String, AttributeValue>) -> bool {
    key["pk"] == AttributeValue::S("hot".to_owned())
}

/// A table with so many writes of sort keys from 0 on under the hot key, found to be hot, while others come that
/// their partitions take.
struct Heated {
    fake: FaultyDynamoDb,
    table: TableSink,
    receipts: Vec<Receipt>,
    cold: super::Load,
}

impl Heated {
    async fn new(settings: TableSettings, writes: u32) -> Self {
        let fake = fake();
        let table = open(&fake, settings.max_key_share(1.0), 1).await;
        let cold = Class::offered("cold", |_| 100.0).start(&table);
        seconds(2.0).await;
        let mut receipts = Vec::new();
        for sk in 0..writes {
            receipts.push(put(&table, sk, 0).await);
        }
        for _ in 0..500 {
            seconds(0.01).await;
            if table.stats().held > 0 {
                break;
            }
        }
        let stats = table.stats();
        assert_eq!(stats.hot_keys, 1, "{stats:?}");
        assert!(stats.held > 0, "{stats:?}");
        Self {
            fake,
            table,
            receipts,
            cold,
        }
    }

    /// How many of the hot key's writes were applied.
    fn applied(&self) -> usize {
        let applied = self.fake.applied();
        applied.iter().filter(|write| is_hot(&write.key())).count()
    }

    /// Submits one more write of a sort key that is held for seconds to come.
    async fn one_more<'a>(&'a self, change: impl FnOnce(Write<'a>) -> Write<'a>) -> Receipt {
        let write = change(self.table.put(&hot(10_000, 1)));
        let receipt = write.await.expect("accepted");
        settle().await;
        receipt
    }
}

fn body(fake: &FaultyDynamoDb, sk: u32) -> Option<String> {
    let key = [
        ("pk", AttributeValue::S("hot".to_owned())),
        ("sk", AttributeValue::N(sk.to_string())),
    ];
    let item = fake.item(TABLE, key)?;
    item.get("body")?.as_s().ok().cloned()
}

#[tokio::test(start_paused = true)]
async fn a_hot_key_is_held_back_and_its_neighbours_go_on() {
    let heated = Heated::new(settings(), 1_000).await;
    // It takes a moment to find out how much its partition takes.
    seconds(3.0).await;
    let (cold, applied) = (heated.cold.written(), heated.applied());
    let throttled = heated.table.stats().throttled;
    seconds(5.0).await;
    let written = heated.cold.written() - cold;
    assert!(written >= 475.0, "{written} of 500");
    let applied = heated.applied() - applied;
    // Its partition's, less the cold ones' eighth.
    let rest = (50.0 - 100.0 / 8.0) * 5.0;
    let applied = f64::from(u32::try_from(applied).expect("few"));
    // Of so small a partition a batch is half a second's worth: the scenario with larger ones asks for 90 %.
    assert!(applied >= rest * 0.8, "{applied} of {rest}");
    let throttled = heated.table.stats().throttled - throttled;
    assert!(
        throttled <= 40,
        "{throttled} writes of some 690 were refused"
    );
    let told = heated.table.stats().limited_by.to_string();
    assert!(told.starts_with("hot keys: 1 of them hold"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_hot_key_of_which_a_share_is_refused_whatever_is_sent_keeps_its_partitions_speed() {
    let heated = Heated::new(settings().buffer_records(4_000), 3_000).await;
    let plan = FaultPlan::seeded(5).operations([Operation::BatchWriteItem]);
    heated.fake.fault_plan(plan.unprocessed(0.05));
    seconds(20.0).await;
    let (cold, applied) = (heated.cold.written(), heated.applied());
    seconds(30.0).await;
    let written = heated.cold.written() - cold;
    assert!(written >= 2_900.0, "{written} of 3,000");
    let applied = heated.applied() - applied;
    let rest = (50.0 - 100.0 / 8.0) * 30.0;
    let applied = f64::from(u32::try_from(applied).expect("few"));
    assert!(applied >= rest * 0.8, "{applied} of {rest}");
}

#[tokio::test(start_paused = true)]
async fn held_writes_keep_the_order_of_each_item_and_none_is_lost_at_close() {
    let mut heated = Heated::new(settings(), 300).await;
    for body in 1..=3 {
        for sk in 0..100 {
            let receipt = put(&heated.table, sk, body).await;
            heated.receipts.push(receipt);
        }
    }
    heated.cold.task.abort();
    heated.table.close().await.expect("all written");
    assert_no_room_taken(&heated.table);
    for mut receipt in heated.receipts {
        let outcome = receipt.try_outcome();
        assert!(matches!(outcome, Some(Outcome::Written)), "{outcome:?}");
    }
    let mut landed: HashMap<String, Vec<u64>> = HashMap::new();
    let applied = heated.fake.applied();
    for write in applied.iter().filter(|write| is_hot(&write.key())) {
        let text = |name| match write.attribute(name) {
            Some(AttributeValue::S(text) | AttributeValue::N(text)) => text,
            other => panic!("{other:?}"),
        };
        let body = text("body").parse().expect("a number");
        landed.entry(text("sk")).or_default().push(body);
    }
    assert_eq!(landed.len(), 300);
    for (sk, bodies) in landed {
        let twice = sk.parse::<u32>().expect("a number") < 100;
        let expected: &[u64] = if twice { &[0, 1, 2, 3] } else { &[0] };
        assert_eq!(bodies, expected, "{sk}");
    }
    assert!(heated.fake.overlaps().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_held_write_is_superseded_by_a_newer_one() {
    let heated = Heated::new(settings().coalesce(true), 500).await;
    let older = heated.one_more(|write| write).await;
    let held = heated.table.stats().held;
    let newer = heated.table.put(&hot(10_000, 2)).await.expect("accepted");
    settle().await;
    assert_eq!(heated.table.stats().held, held, "it has the other's place");
    assert!(newer.await.is_written());
    let older = older.await;
    assert!(matches!(older, Outcome::Superseded), "{older:?}");
    assert_eq!(body(&heated.fake, 10_000).as_deref(), Some("2"));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_held_write_ends_its_wait() {
    let heated = Heated::new(settings(), 500).await;
    let before = tokio::time::Instant::now();
    let held = heated
        .one_more(|write| write.deadline(Duration::from_secs(1)))
        .await;
    let outcome = held.await;
    let Outcome::Rejected {
        reason:
            RejectReason::DeadlineExceeded {
                attempts,
                may_have_applied,
                ..
            },
        ..
    } = outcome
    else {
        panic!("{outcome:?}");
    };
    assert_eq!((attempts, may_have_applied), (0, false));
    let took = before.elapsed();
    assert!(took < Duration::from_millis(1_010), "{took:?}");
    // Neither it nor its place holds up the others.
    heated.cold.task.abort();
    heated.table.close().await.expect("all others are written");
    assert_eq!(heated.applied(), 500);
    assert_eq!(body(&heated.fake, 10_000), None);
    assert_no_room_taken(&heated.table);
}

#[tokio::test(start_paused = true)]
async fn a_flush_waits_for_what_is_held() {
    let mut heated = Heated::new(settings(), 300).await;
    let before = tokio::time::Instant::now();
    heated.table.flush().await.expect("all written");
    let took = before.elapsed();
    assert!(
        took > Duration::from_secs(2),
        "{took:?} for what takes seconds"
    );
    for mut receipt in heated.receipts.drain(..) {
        let outcome = receipt.try_outcome();
        assert!(matches!(outcome, Some(Outcome::Written)), "{outcome:?}");
    }
    assert_eq!(heated.applied(), 300);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_and_an_abort_include_what_is_held() {
    let mut heated = Heated::new(settings(), 300).await;
    heated.cold.task.abort();
    // What is left of the others is written meanwhile.
    seconds(2.0).await;
    let snapshot = heated.table.snapshot().await.expect("it runs");
    let written = heated.applied();
    // A few of the others may still wait for their next attempt.
    let (held, others) = (300 - written, snapshot.len() + written - 300);
    assert!(others <= 20, "{held} held, {others} others");
    let handed_back = heated.table.abort().await;
    let applied = heated.applied();
    assert!(handed_back.len() + applied >= 300, "{applied} written");
    for receipt in heated.receipts.drain(..) {
        let outcome = receipt.await;
        assert!(
            matches!(outcome, Outcome::Written | Outcome::Unwritten { .. }),
            "{outcome:?}"
        );
    }
    assert_no_room_taken(&heated.table);
    // They are all there again, in a sink that knows of no hot key and has nothing else to write.
    let table = open(&heated.fake, settings().max_key_share(1.0), 2).await;
    let restored = table.restore(&snapshot).await.expect("restored");
    assert_eq!(restored.receipts.len(), snapshot.len());
    table.close().await.expect("all written");
    for sk in 0..300 {
        assert!(body(&heated.fake, sk).is_some(), "{sk}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_has_cooled_down_is_held_no_more() {
    let mut heated = Heated::new(settings(), 200).await;
    heated.table.flush().await.expect("all written");
    heated.receipts.clear();
    seconds(60.0).await;
    let stats = heated.table.stats();
    assert_eq!((stats.hot_keys, stats.held), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_hot_key_leaves_room_in_the_buffer_to_the_others() {
    let fake = fake();
    let settings = TableSettings::default().buffer_records(400);
    let table = open(&fake, settings, 1).await;
    let heat = Class {
        one_key: true,
        ..Class::overload("hot")
    };
    let _hot = heat.start(&table);
    let cold = Class::offered("cold", |_| 100.0).start(&table);
    seconds(5.0).await;
    let before = cold.written();
    seconds(10.0).await;
    let written = cold.written() - before;
    assert!(written >= 950.0, "{written} of 1,000");
    let stats = table.stats();
    assert!(stats.hot_keys == 1 && stats.held <= 100, "{stats:?}");
}
