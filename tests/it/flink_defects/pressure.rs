//! Throttling: seen, and answered by the rate alone. Counted in successful requests and in round trips.

use aws_sdk_dynamodb::config::retry::RetryConfig;
use dynamodb_connector::sink::{DynamoDbSink, TableSettings, TableSink, TableStats};
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
    /// took.
    async fn until_full(&self) -> (u32, u64) {
        let successes = |stats: TableStats| stats.requests - stats.failed_requests;
        let before = successes(self.table.stats());
        for millis in 1_u32.. {
            tokio::time::sleep(ms(1)).await;
            let stats = self.table.stats();
            let round_trips = millis.div_ceil(10);
            if stats.concurrency == FULL {
                return (round_trips, successes(stats) - before);
            }
            assert!(round_trips < 1_000, "{stats:?}");
        }
        unreachable!("it counts without end")
    }

    async fn stop(self) {
        self.table.close().await.expect("all written");
    }
}

#[tokio::test(start_paused = true)]
async fn full_concurrency_is_reached_by_doubling_and_refusals_cost_none_of_it() {
    let busy = Busy::start().await;
    // From the start, at 4: three doublings, and one until they are tried.
    let (round_trips, successes) = busy.until_full().await;
    assert!(round_trips <= 4, "{round_trips}");
    assert!(successes <= 60, "{successes}");
    let refused = Fault::throttled(Throttle::ProvisionedThroughput);
    for fault in [Fault::unprocessed_count(1), refused] {
        busy.fake.inject(fault);
        for _ in 0..500 {
            tokio::time::sleep(ms(1)).await;
            assert_eq!(busy.table.stats().concurrency, FULL);
        }
        assert_eq!(busy.fake.waiting_faults(), 0, "it has struck");
    }
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
    let sink = DynamoDbSink::builder(&client).table(TABLE, settings).open();
    let table = sink.await.expect("opened").table(TABLE).expect("opened");
    let refused = Fault::throttled(Throttle::ProvisionedThroughput);
    fake.inject(refused.on(Operation::BatchWriteItem).times(20));
    let mut receipts = Vec::new();
    for n in 0..1_000 {
        receipts.push(table.put(&row(format!("k{n}"), n)).await.expect("accepted"));
    }
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
