//! A thousand shards make progress, with bounded requests and buffers.

use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::streams::StreamsSettings;
use dynamodb_connector::test_util::Operation;
use tokio::sync::Semaphore;

use super::rig::{
    Log, TABLE, Worker, eventually, leases, nth, open_shards, put_each, put_large, table,
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_thousand_shards_are_all_read_with_listings_within_an_accounts_limit() {
    let fake = table(1000);
    fake.limit_describe_stream(10);
    let settings = StreamsSettings::default().poll(4 * SECOND);
    let log = Log::default();
    let worker = Worker::start(nth(&fake, 1).settings(settings), &log).await;
    assert_eq!(leases(&fake).len(), 1000);
    put_each(&fake, 1000, 0).await;
    let took = eventually("all is read", 60 * SECOND, || log.len() == 1000).await;
    assert!(took < 8 * SECOND, "{took:?}");
    assert_eq!(worker.shards().len(), 1000);
    // A quarter of them are split, which asks for one listing after the other.
    for shard in open_shards(&fake).iter().step_by(4) {
        fake.split_shard(TABLE, shard);
    }
    put_each(&fake, 1000, 1).await;
    let took = eventually("the children are read", 60 * SECOND, || log.len() == 2000).await;
    assert!(took < 30 * SECOND, "{took:?}");
    worker.stop().await;
    log.assert_each(1000, 0..2);

    let mut listings: Vec<Duration> = fake
        .requests()
        .iter()
        .filter(|request| request.operation() == Some(Operation::DescribeStream))
        .map(dynamodb_connector::test_util::RequestRecord::received)
        .collect();
    listings.sort();
    let most = listings
        .iter()
        .map(|at| {
            let within = |other: &&Duration| *other >= at && **other < *at + SECOND;
            listings.iter().filter(within).count()
        })
        .max();
    assert!(most <= Some(5), "{most:?} listings in a second");
}

#[tokio::test(start_paused = true)]
async fn what_is_read_and_not_handled_is_bounded_whatever_the_number_of_shards() {
    for shards in [1, 40] {
        let fake = table(shards);
        for n in 0..1000 {
            put_large(&fake, &format!("k{}", n % 100), n / 100).await;
        }
        let settings = StreamsSettings::default().buffer_bytes(1 << 20);
        let (log, gate) = (Log::default(), Arc::new(Semaphore::new(0)));
        let builder = nth(&fake, 1).settings(settings);
        let worker = Worker::handle(builder, log.gated_handler(&gate)).await;
        tokio::time::sleep(60 * SECOND).await;
        // About 20 KB each, both images; the first page of a shard is asked for before anything is known of its records.
        let read = worker.control.stats().records;
        assert!(read > 0 && read <= 600, "{read} records of {shards} shards");
        assert_eq!(log.len(), 0);
        gate.add_permits(1);
        log.until(1000).await;
        worker.stop().await;
        log.assert_each(100, 0..10);
    }
}
