//! Concurrency under throttling: seen, answered in proportion, and made up for. Counted in successful requests and in
//! round trips.

use aws_sdk_dynamodb::config::retry::RetryConfig;
use dynamodb_connector::sink::{Sink, Stats, TableSettings, TableSink};
use dynamodb_connector::test_util::{
    Fault, FaultPlan, FaultyDynamoDb, Operation, RequestRecord, Throttle,
};

use super::{all_written, batches, ms, secs};
use crate::setup::{TABLE, fake, open_with, row};

const FULL: usize = 32;

/// A table that is written to without end, each request taking 10 ms.
struct Busy {
    fake: FaultyDynamoDb,
    table: TableSink,
}

impl Busy {
    async fn start() -> Self {
        let fake = fake();
        fake.keep_journal(false);
        fake.fault_plan(FaultPlan::seeded(1).delay(1.0, ms(10)..=ms(10)));
        let settings = TableSettings::default().concurrency(1..=FULL);
        let table = open_with(&fake, settings).await;
        let feeding = table.clone();
        tokio::spawn(async move {
            let mut n = 0;
            while let Ok(receipt) = feeding.put(&row(format!("k{n}"), n)).await {
                drop(receipt);
                n += 1;
            }
        });
        Self { fake, table }
    }

    /// Waits until as many requests may be in flight as ever. Returns how many round trips and how many successes that
    /// took, and the fewest requests that were allowed meanwhile.
    async fn until_full(&self) -> (u32, u64, usize) {
        let successes = |stats: Stats| stats.requests - stats.failed_requests;
        let before = successes(self.table.stats());
        let mut fewest = FULL;
        for millis in 1_u32.. {
            tokio::time::sleep(ms(1)).await;
            let stats = self.table.stats();
            let round_trips = millis.div_ceil(10);
            fewest = fewest.min(stats.concurrency);
            if self.fake.waiting_faults() == 0 && stats.concurrency == FULL {
                return (round_trips, successes(stats) - before, fewest);
            }
            assert!(round_trips < 1_000, "{stats:?}");
        }
        unreachable!("it counts without end")
    }

    /// Until a fault has struck, and its answer is in.
    async fn until_struck(&self) {
        while self.fake.waiting_faults() > 0 || self.table.stats().concurrency == FULL {
            tokio::time::sleep(ms(1)).await;
        }
    }

    async fn stop(self) {
        self.table.close().await.expect("all written");
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_left_unprocessed_costs_one_request_of_concurrency() {
    let busy = Busy::start().await;
    busy.until_full().await;
    busy.fake.inject(Fault::unprocessed_count(1));
    busy.until_struck().await;
    let (round_trips, successes, fewest) = busy.until_full().await;
    assert_eq!(fewest, FULL - 1, "not half of it");
    assert!(round_trips <= 2, "{round_trips}");
    assert!(successes <= 2 * FULL as u64, "{successes}");
    busy.stop().await;
}

#[tokio::test(start_paused = true)]
async fn full_concurrency_is_reached_by_doubling_and_comes_back_by_a_request_a_round_trip() {
    let busy = Busy::start().await;
    // From the start, at 4: three doublings, and one until they are tried.
    let (round_trips, successes, _) = busy.until_full().await;
    assert!(round_trips <= 4, "{round_trips}");
    assert!(successes <= 60, "{successes}");
    // One request refused whole takes half.
    let refused = Fault::throttled(Throttle::ProvisionedThroughput);
    busy.fake.inject(refused);
    busy.until_struck().await;
    let (round_trips, successes, fewest) = busy.until_full().await;
    assert_eq!(fewest, FULL / 2);
    assert!(round_trips <= 18, "{round_trips}");
    assert!(successes <= 430, "{successes}");
    busy.stop().await;
}

#[tokio::test(start_paused = true)]
async fn requests_throttled_whole_are_seen_and_not_retried_by_the_sdk() {
    let fake = fake();
    let retrying = fake
        .config_builder()
        .retry_config(RetryConfig::standard().with_max_attempts(10));
    let client = aws_sdk_dynamodb::Client::from_conf(retrying.build());
    let settings = TableSettings::default().concurrency(1..=FULL);
    let sink = Sink::builder(&client).table(TABLE, settings).open();
    let table = sink.await.expect("opened").table(TABLE).expect("opened");
    let refused = Fault::throttled(Throttle::ProvisionedThroughput);
    fake.inject(refused.on(Operation::BatchWriteItem).times(20));
    let mut receipts = Vec::new();
    for n in 0..1_000 {
        receipts.push(table.put(&row(format!("k{n}"), n)).await.expect("accepted"));
    }
    tokio::time::sleep(ms(40)).await;
    let stats = table.stats();
    assert_eq!(stats.concurrency, 1, "it began with 4: {stats:?}");
    let all = tokio::time::timeout(secs(600), all_written(receipts)).await;
    all.expect("not stuck");
    table.close().await.expect("all written");
    let stats = table.stats();
    let batches = batches(&fake);
    let throttled = batches.iter().filter(|batch| batch.error_code().is_some());
    let throttled: usize = throttled.map(RequestRecord::items).sum();
    assert_eq!(stats.failed_requests, 20);
    assert_eq!(stats.requests, batches.len() as u64);
    assert_eq!(stats.throttled, throttled as u64);
}
