//! K2: writes of one key are applied in the order in which they were submitted, whatever fails in between.
//!
//! 60,000 writes of rising numbers to 100 keys, with several requests in flight, in each way in which DynamoDB
//! and the network fail. The measure is the one by which other clients were found to leave old values behind,
//! at the size at which they were found: no write lands after a newer one of its key, and at the end every key
//! holds its newest. What no client can promise, and what closes that gap, is in [`late`].

mod late;

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::sink::{DynamoDbSink, Outcome, Receipt, TableSettings, TableSink};
use dynamodb_connector::test_util::{FaultPlan, FaultyDynamoDb, Operation};
use serde::Serialize;

use crate::setup::{TABLE, assert_no_room_taken, fake};

const KEYS: usize = 100;
const WRITES: u64 = 60_000;
/// With this many requests under way, 100 keys still fill batches.
const IN_FLIGHT: usize = 4;
/// How many writes are submitted between two looks at the journal, which is emptied each time: kept whole,
/// it would take hundreds of megabytes.
const LOOK_EVERY: u64 = 2_000;

#[derive(Serialize)]
struct Value {
    pk: String,
    version: u64,
}

fn number(value: Option<&AttributeValue>) -> u64 {
    let Some(AttributeValue::N(text)) = value else {
        panic!("a number, not {value:?}");
    };
    text.parse().expect("a number")
}

fn text(value: Option<&AttributeValue>) -> &str {
    let Some(AttributeValue::S(text)) = value else {
        panic!("a string, not {value:?}");
    };
    text
}

/// The order in which the table took the writes of each key.
#[derive(Default)]
struct Watch {
    landed: HashMap<String, u64>,
    applied: usize,
    /// When the requests with writes were sent, and when their sender no longer waited.
    sent: Vec<(Duration, Duration)>,
    /// Writes that landed after a newer one of their key.
    stepped_back: usize,
}

impl Watch {
    /// Looks at what was applied since the last look.
    fn look(&mut self, fake: &FaultyDynamoDb) {
        let ended = fake.take_requests().into_iter().filter(|request| {
            // The table's description, which is asked for beside the writes, holds no key.
            request.operation() != Some(Operation::DescribeTable)
        });
        self.sent.extend(
            ended.map(|request| (request.received(), request.ended().expect("it has ended"))),
        );
        for write in fake.take_applied() {
            let (pk, version) = (write.attribute("pk"), write.attribute("version"));
            let version = number(version.as_ref());
            let before = self.landed.insert(text(pk.as_ref()).to_owned(), version);
            self.applied += 1;
            self.stepped_back += usize::from(before.is_some_and(|before| before > version));
        }
        assert!(fake.overlaps().is_empty(), "two requests held one key");
    }

    /// The most requests with writes that were under way at one time.
    fn max_in_flight(&self) -> usize {
        let took_time = || self.sent.iter().filter(|(from, until)| from < until);
        let mut moments: Vec<_> = took_time()
            .map(|(from, _)| (*from, true))
            .chain(took_time().map(|(_, until)| (*until, false)))
            .collect();
        // Of what happens at one moment the ends come first.
        moments.sort_unstable();
        let (mut most, mut now) = (0_usize, 0_usize);
        for (_, begins) in moments {
            now = if begins { now + 1 } else { now - 1 };
            most = most.max(now);
        }
        most
    }
}

/// The table under test, and the writes that go to it.
struct Run {
    fake: FaultyDynamoDb,
    table: TableSink,
    rng: fastrand::Rng,
    watch: Watch,
    newest: HashMap<String, u64>,
    receipts: Vec<Receipt>,
}

impl Run {
    async fn new(plan: FaultPlan, concurrency: usize) -> Self {
        let fake = fake();
        let settings = TableSettings::default()
            .concurrency(concurrency)
            .buffer_records(2_000)
            .linger(ms(5))
            .request_timeout(Duration::from_secs(2));
        let sink = DynamoDbSink::builder(&fake.client())
            .table(TABLE, settings)
            .seed(plan.seed())
            .open();
        let table = sink.await.expect("opened").table(TABLE).expect("opened");
        let rng = fastrand::Rng::with_seed(plan.seed());
        fake.fault_plan(plan);
        Self {
            fake,
            table,
            rng,
            watch: Watch::default(),
            newest: HashMap::new(),
            receipts: Vec::new(),
        }
    }

    /// Submits rising versions, each to a key drawn at random.
    async fn submit(&mut self, writes: u64, guarded: bool) {
        for version in 1..=writes {
            let pk = format!("key-{}", self.rng.usize(..KEYS));
            self.newest.insert(pk.clone(), version);
            let put = self.table.put(&Value { pk, version });
            let put = if guarded {
                put.newer_by("version")
            } else {
                put
            };
            self.receipts.push(put.await.expect("accepted"));
            if version % LOOK_EVERY == 0 {
                self.watch.look(&self.fake);
            }
        }
    }

    /// Closes the table: every receipt has its outcome by then, and all is written.
    async fn close(&mut self) {
        self.table.close().await.expect("all written");
        assert_eq!(self.receipts.is_empty(), self.newest.is_empty());
        for mut receipt in self.receipts.drain(..) {
            let outcome = receipt.try_outcome();
            assert!(matches!(outcome, Some(Outcome::Written)), "{outcome:?}");
        }
        assert_no_room_taken(&self.table);
    }

    /// Each key holds its newest value, and nothing else was written.
    fn assert_newest(&self) {
        assert_eq!(self.newest.len(), KEYS);
        let items = self.fake.items(TABLE);
        let held = items
            .iter()
            .map(|item| (text(item.get("pk")).to_owned(), number(item.get("version"))));
        assert_eq!(held.collect::<HashMap<_, _>>(), self.newest);
    }
}

/// Writes under the plan and looks at the order in which the table took the writes. Returns how many
/// applications there were.
async fn in_order_under(plan: FaultPlan) -> usize {
    let mut run = Run::new(plan, IN_FLIGHT).await;
    run.submit(WRITES, false).await;
    run.close().await;
    run.watch.look(&run.fake);
    assert_eq!(run.watch.stepped_back, 0, "writes landed after newer ones");
    run.assert_newest();
    assert_eq!(run.watch.landed, run.newest);
    assert_eq!(
        run.watch.max_in_flight(),
        IN_FLIGHT,
        "the test must have had requests to reorder"
    );
    run.watch.applied
}

/// As many as there were writes, for faults that apply nothing that they deny.
const ONCE: usize = 60_000;

/// Answers that take from 1 to 80 ms, so that they come out of order.
fn jumbled(plan: FaultPlan) -> FaultPlan {
    plan.delay(0.5, ms(1)..=ms(80))
}

#[tokio::test(start_paused = true)]
async fn no_old_value_lands_late_with_writes_left_unprocessed_at_random() {
    let plan = FaultPlan::seeded(1).unprocessed(0.2);
    assert_eq!(in_order_under(jumbled(plan)).await, ONCE);
}

#[tokio::test(start_paused = true)]
async fn no_old_value_lands_late_with_whole_requests_throttled() {
    let plan = FaultPlan::seeded(2).throttle(0.3);
    assert_eq!(in_order_under(jumbled(plan)).await, ONCE);
}

#[tokio::test(start_paused = true)]
async fn no_old_value_lands_late_with_internal_errors() {
    let plan = FaultPlan::seeded(3)
        .internal_error(0.05)
        .internal_error_after(0.05)
        .unavailable(0.05);
    assert!(in_order_under(jumbled(plan)).await > ONCE);
}

#[tokio::test(start_paused = true)]
async fn no_old_value_lands_late_with_connections_closed_before_applying() {
    let plan = FaultPlan::seeded(4).close_before(0.15);
    assert_eq!(in_order_under(jumbled(plan)).await, ONCE);
}

#[tokio::test(start_paused = true)]
async fn no_old_value_lands_late_with_connections_closed_after_applying() {
    let plan = FaultPlan::seeded(5).close_after(0.15);
    assert!(in_order_under(jumbled(plan)).await > ONCE);
}

#[tokio::test(start_paused = true)]
async fn no_old_value_lands_late_with_answers_late_and_out_of_order() {
    // The request times out after 2 s: of the slowest, some are given up before and some after they were applied.
    let plan = FaultPlan::seeded(6).delay(0.4, ms(1)..=ms(4_000));
    assert!(in_order_under(plan).await > ONCE);
}

#[tokio::test(start_paused = true)]
async fn no_old_value_lands_late_with_all_of_it_at_once() {
    let plan = FaultPlan::seeded(7)
        .unprocessed(0.1)
        .throttle(0.03)
        .internal_error(0.02)
        .internal_error_after(0.02)
        .unavailable(0.02)
        .close_before(0.02)
        .close_after(0.02)
        .never(0.02)
        .never_after(0.02)
        .garbage(0.02)
        .truncated(0.02)
        .delay(0.3, ms(1)..=ms(2_500));
    assert!(in_order_under(plan).await > ONCE);
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
