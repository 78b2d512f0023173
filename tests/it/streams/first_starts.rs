//! Two workers that open an application for the first time together, at LATEST: every change made since the first of them was open is given,
//! whatever listings show and shards do in between.

use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::streams::StartPosition;
use dynamodb_connector::test_util::{FaultPlan, FaultyDynamoDb, Operation};
use tokio::sync::Notify;

use super::rig::{Log, TABLE, Worker, nth, open_shards, put_each, table};

const SECOND: Duration = Duration::from_secs(1);
const IDS: u64 = 6;
const VERSIONS: u64 = 9;

fn millis(rng: &mut fastrand::Rng, most: u64) -> Duration {
    Duration::from_millis(rng.u64(0..=most))
}

/// Splits shards at random moments of the first seconds.
async fn split_some(fake: FaultyDynamoDb, mut rng: fastrand::Rng) {
    for _ in 0..rng.usize(0..4) {
        tokio::time::sleep(millis(&mut rng, 1_500)).await;
        let open = open_shards(&fake);
        if let Some(shard) = rng.choice(open) {
            fake.split_shard(TABLE, &shard);
        }
    }
}

async fn open_two(seed: u64, nothing_for: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let fake = table(rng.usize(1..4));
    put_each(&fake, IDS, 0).await;
    tokio::time::sleep(10 * SECOND).await;
    fake.list_nothing(TABLE, millis(&mut rng, nothing_for));
    use Operation::{DescribeStream, GetShardIterator, PutItem, Scan};
    let slow =
        FaultPlan::seeded(seed).operations([DescribeStream, GetShardIterator, PutItem, Scan]);
    fake.fault_plan(slow.delay(0.5, Duration::ZERO..=Duration::from_millis(500)));
    let (log, opened) = (Log::default(), Arc::new(Notify::new()));
    let opening = [1, 2].map(|n| {
        let (fake, log, opened) = (fake.clone(), log.clone(), Arc::clone(&opened));
        let pause = millis(&mut rng, 1_500);
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let source = nth(&fake, n).start(StartPosition::Latest);
            let source = source.open().await.expect("it opens");
            opened.notify_one();
            Worker::of(source, &log)
        })
    });
    let splitting = tokio::spawn(split_some(fake.clone(), rng.fork()));
    opened.notified().await;
    for version in 1..VERSIONS {
        put_each(&fake, IDS, version).await;
        tokio::time::sleep(millis(&mut rng, 300)).await;
    }
    splitting.await.expect("no panic");
    let mut workers = Vec::new();
    for worker in opening {
        workers.push(worker.await.expect("it opens"));
    }
    fake.heal();
    let lacking = || {
        let all = (0..IDS).flat_map(|id| (1..VERSIONS).map(move |version| (id, version)));
        all.filter(|(id, version)| !log.versions(&format!("k{id}")).contains(version))
            .collect::<Vec<_>>()
    };
    let since = tokio::time::Instant::now();
    while !lacking().is_empty() && since.elapsed() < 120 * SECOND {
        tokio::time::sleep(SECOND / 10).await;
    }
    let lost = lacking();
    assert!(lost.is_empty(), "seed {seed}: lost {lost:?}");
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn at_latest_two_workers_lose_nothing_while_no_shard_is_listed() {
    for seed in 0..80 {
        open_two(seed, 4_000).await;
    }
}

#[tokio::test(start_paused = true)]
async fn at_latest_two_workers_lose_nothing_of_shards_that_split_meanwhile() {
    for seed in 1_000..1_080 {
        open_two(seed, 0).await;
    }
}
