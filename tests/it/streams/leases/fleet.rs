//! Workers that come, go, die or are slow.

use super::*;

/// Whether the fleet reads every one of so many shards, each once, and nobody two more than another.
fn is_balanced(fleet: &[Worker], shards: usize) -> bool {
    let loads: Vec<usize> = fleet.iter().map(|worker| worker.shards().len()).collect();
    let all: BTreeSet<String> = fleet.iter().flat_map(Worker::shards).collect();
    let (least, most) = (loads.iter().min().unwrap(), loads.iter().max().unwrap());
    loads.iter().sum::<usize>() == shards && all.len() == shards && most - least <= 1
}

#[tokio::test(start_paused = true)]
async fn workers_that_come_and_go_share_evenly_and_hand_over_in_order_without_repeats() {
    for shards in [7, 12] {
        let fake = table(shards);
        let log = Log::default();
        let mut fleet = vec![Worker::start(nth(&fake, 1), &log).await];
        let mut version = 0;
        let mut write = async |seconds: u64| {
            for _ in 0..seconds {
                put_each(&fake, 20, version).await;
                version += 1;
                tokio::time::sleep(SECOND).await;
            }
        };
        write(5).await;
        assert!(is_balanced(&fleet, shards));
        for n in 2..4 {
            fleet.push(Worker::start(nth(&fake, n), &log).await);
            write(15).await;
            assert!(is_balanced(&fleet, shards), "15 s after worker {n} came");
        }
        fleet.remove(0).stop().await;
        write(15).await;
        assert!(is_balanced(&fleet, shards), "15 s after one was stopped");
        fleet.remove(0).stop().await;
        write(15).await;
        assert!(is_balanced(&fleet, shards), "the last has them all");
        log.until(20 * usize::try_from(version).unwrap()).await;
        let lost: u64 = fleet.iter().map(|w| w.control.stats().leases_lost).sum();
        assert_eq!(lost, 0);
        fleet.remove(0).stop().await;
        log.assert_each(20, 0..version);
    }
}

#[tokio::test(start_paused = true)]
async fn more_workers_than_shards_leave_some_without_and_nothing_unread() {
    let fake = table(2);
    let log = Log::default();
    let mut fleet = Vec::new();
    for n in 0..5 {
        fleet.push(Worker::start(nth(&fake, n), &log).await);
    }
    put_each(&fake, 20, 0).await;
    log.until(20).await;
    tokio::time::sleep(30 * SECOND).await;
    assert!(is_balanced(&fleet, 2));
    let counted =
        |fleet: &[Worker]| -> u64 { fleet.iter().map(|w| w.control.stats().leases_lost).sum() };
    assert_eq!(counted(&fleet), 0);
    let owners = |fake: &FaultyDynamoDb| -> BTreeMap<String, Option<String>> {
        let rows = leases(fake).into_iter();
        rows.map(|(key, row)| (key, text(&row, "leaseOwner")))
            .collect()
    };
    let before = owners(&fake);
    tokio::time::sleep(120 * SECOND).await;
    assert_eq!(owners(&fake), before, "what is even stays where it is");
    for worker in fleet {
        worker.stop().await;
    }
    log.assert_each(20, 0..1);
}

#[tokio::test(start_paused = true)]
async fn a_dead_workers_shards_are_read_again_within_the_failover_time_and_three_seconds() {
    for failover in [2 * SECOND, FAILOVER, 30 * SECOND] {
        for moment in 0..3 {
            let fake = table(8);
            let settings = StreamsSettings::default().failover(failover);
            let (log, dead) = (Log::default(), Log::default());
            let open = |n| nth(&fake, n).settings(settings.clone());
            let first = Worker::start(open(1), &dead).await;
            let fleet = [
                Worker::start(open(2), &log).await,
                Worker::start(open(3), &log).await,
            ];
            eventually("the leases are shared", 60 * SECOND, || {
                first.shards().len() + fleet.iter().map(|w| w.shards().len()).sum::<usize>() == 8
                    && (2..=3).contains(&first.shards().len())
            })
            .await;
            tokio::time::sleep(failover / 3 + failover * moment / 9).await;
            let shards = first.shards();
            first.kill().await;
            let killed = Instant::now();
            put_each(&fake, 60, 0).await;
            let theirs = || {
                let read: BTreeSet<String> = fleet.iter().flat_map(Worker::shards).collect();
                shards.is_subset(&read)
            };
            eventually("the shards have a reader", 60 * SECOND, theirs).await;
            log.until(60).await;
            let took = killed.elapsed();
            assert!(took <= failover + 3 * SECOND, "{took:?} of {failover:?}");
            assert!(took >= failover / 2, "not before they may: {took:?}");
            for worker in fleet {
                worker.stop().await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn leases_are_renewed_each_third_of_the_failover_time_and_cost_no_more() {
    let fake = table(3);
    let worker = Worker::start(nth(&fake, 1), &Log::default()).await;
    tokio::time::sleep(10 * SECOND).await;
    fake.clear_journal();
    tokio::time::sleep(60 * SECOND).await;
    let requests = fake.take_requests();
    let count = |operation| {
        let of_it = requests
            .iter()
            .filter(|request| request.operation() == Some(operation));
        of_it.count()
    };
    let renewals = count(Operation::UpdateItem);
    assert!((51..=57).contains(&renewals), "18 a shard: {renewals}");
    let looks = count(Operation::Scan);
    assert!((55..=65).contains(&looks), "one a second: {looks}");
    assert_eq!(count(Operation::PutItem), 0);
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_renewals_are_slow_or_fail_at_times_keeps_its_leases() {
    let fake = table(3);
    let log = Log::default();
    let fleet = [
        Worker::start(nth(&fake, 1), &log).await,
        Worker::start(nth(&fake, 2), &log).await,
    ];
    for round in 0..40 {
        let fault = match round % 5 {
            0 => Fault::close_after(),
            1 => Fault::internal_error(),
            2 => Fault::internal_error().after_applying(),
            3 => Fault::never_answer(),
            _ => Fault::delay_after(2 * SECOND),
        };
        fake.inject(fault.on(Operation::UpdateItem).table(LEASES));
        put_each(&fake, 10, round).await;
        tokio::time::sleep(3 * SECOND).await;
    }
    fake.heal();
    log.until(400).await;
    let lost: u64 = fleet.iter().map(|w| w.control.stats().leases_lost).sum();
    assert_eq!(lost, 0);
    for worker in fleet {
        worker.stop().await;
    }
    log.assert_each(10, 0..40);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_moves_no_lease() {
    let fake = table(4);
    let log = Log::default();
    let skews: [&dyn Fn(); 4] = [
        &|| fake.set_clock_ahead(3 * 3600 * SECOND),
        &|| fake.set_clock_behind(3 * 3600 * SECOND),
        &|| fake.set_clock_ahead(40 * SECOND),
        &|| fake.set_clock_behind(Duration::ZERO),
    ];
    let mut fleet = Vec::new();
    for (n, skew) in (0..).zip(skews) {
        skew();
        if n < 2 {
            fleet.push(Worker::start(nth(&fake, n), &log).await);
        }
        put_each(&fake, 20, n).await;
        tokio::time::sleep(30 * SECOND).await;
    }
    log.until(80).await;
    assert!(is_balanced(&fleet, 4));
    for worker in fleet {
        assert_eq!(worker.control.stats().leases_lost, 0);
        worker.stop().await;
    }
    log.assert_each(20, 0..4);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_slow_is_waited_for_when_its_shard_is_handed_over() {
    let fake = table(2);
    let log = Log::default();
    let slow = |log: &Log| {
        let log = log.clone();
        move |batch| {
            let log = log.clone();
            async move {
                tokio::time::sleep(4 * SECOND).await;
                log.note(&batch);
                Ok(())
            }
        }
    };
    let one = Worker::handle(nth(&fake, 1), slow(&log)).await;
    eventually("it has both", 10 * SECOND, || one.shards().len() == 2).await;
    for version in 0..6 {
        put_each(&fake, 10, version).await;
    }
    tokio::time::sleep(SECOND).await;
    let two = Worker::handle(nth(&fake, 2), slow(&log)).await;
    for version in 6..12 {
        put_each(&fake, 10, version).await;
    }
    eventually("one was handed over", 60 * SECOND, || {
        one.shards().len() == 1 && two.shards().len() == 1
    })
    .await;
    log.until(120).await;
    tokio::time::sleep(60 * SECOND).await;
    one.stop().await;
    two.stop().await;
    log.assert_each(10, 0..12);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_leaves_while_a_lease_is_being_handed_to_it_leaves_no_lease_to_lapse() {
    let fake = table(2);
    let (log, gate) = (Log::default(), Arc::new(Semaphore::new(0)));
    let one = Worker::handle(nth(&fake, 1), log.gated_handler(&gate)).await;
    eventually("it has both", 10 * SECOND, || one.shards().len() == 2).await;
    put_each(&fake, 10, 0).await;
    let two = Worker::start(nth(&fake, 2), &log).await;
    let named = |column| {
        let rows = leases(&fake).into_values();
        let names = rows.filter_map(move |row| text(&row, column));
        names
            .filter(|name| name.starts_with("w2-"))
            .collect::<Vec<_>>()
    };
    eventually("it asks for one", 30 * SECOND, || {
        named("leaseOwner").len() == 1
    })
    .await;
    two.stop().await;
    assert_eq!(named("leaseOwner"), [""; 0]);
    gate.add_permits(1);
    put_each(&fake, 10, 1).await;
    let took = eventually("all is read", 60 * SECOND, || log.len() == 20).await;
    assert!(took < FAILOVER, "{took:?}: nothing had to lapse");
    assert_eq!(one.control.stats().leases_lost, 0);
    one.stop().await;
    assert!(
        leases(&fake)
            .values()
            .all(|row| text(row, "leaseOwner").is_none())
    );
    log.assert_each(10, 0..2);
}
