//! The whole source over the faulty DynamoDB: random changes, shards that split, workers that come and go and are cut off.
//!
//! A case is a list of steps, drawn at random. When they are over, everything heals, and what has been written must be worked through. What is
//! looked after all the while:
//!
//! - A change is not begun before all earlier ones of its item are done, but for those that the stream lost; and never after a later one, unless
//!   it is a repeat.
//! - A handler's call is on behalf of the worker that has the lease, on what lies behind the checkpoint; no two calls hold one item, and no
//!   two workers one shard. Of records that are taken as a stream the same holds of each step of the work, before which it is asked whether the
//!   record is current: the times from first to last step of two workers on one shard are disjoint.
//! - A worker holds no more than its buffer and a page of each shard.
//!
//! And in the end:
//!
//! - Every change was done, but for those that the stream lost, by trimming, with a shard or when it was replaced; a gap was reported for each.
//! - No checkpoint ever passed a change that was not done, or went back.
//! - The open shards were spread within one of each other, and every row is where its shard ends.
//!
//! Each case has a seed, told when it fails: `STREAMS_MODEL_SEED` runs that one alone, as it was drawn; `PROPTEST_CASES` sets how many there are.

mod calls;
mod case;
mod checks;
mod draw;
mod fleet;
mod gate;
mod handlers;
mod ledger;
mod pages;
mod steps;

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dynamodb_connector::test_util::FaultyDynamoDb;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use super::rig::{TABLE, table};
use case::{Case, Step};
use fleet::Fleet;
use ledger::Ledger;

const LEASES: &str = "leases";
/// Cases where nothing else is asked for: about as many as two cores run in a minute.
const CASES: u64 = 300;
/// After everything has healed, all is done within this time.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often it is looked whether something is so.
const TICK: Duration = Duration::from_millis(100);

fn name_of(worker: usize) -> String {
    format!("w{worker}")
}

async fn run(case: &Case) -> Result<(), String> {
    let fake = table(case.shards);
    if case.like_local {
        fake.imitate_dynamodb_local(TABLE);
    }
    let ledger = Ledger::new(&fake);
    let mut fleet = Fleet::new(&fake, &ledger, case);
    if let Some(seconds) = case.latest {
        fleet.skew(seconds);
        fleet.start_at_latest().await;
    } else {
        fleet.start();
    }
    case.listing.set(&fake);
    fake.fault_plan(case.faults.plan(case.seed));
    for (pause, step) in &case.steps {
        tokio::time::sleep(Duration::from_millis(*pause)).await;
        fleet.step(step).await;
        if !ledger.wrongs().is_empty() {
            break;
        }
    }
    if ledger.wrongs().is_empty() {
        finish(&fake, &ledger, &mut fleet).await;
    }
    match ledger.wrongs().as_slice() {
        [] => Ok(()),
        wrongs => Err(format!(
            "{}\n\n{}\n\n{}",
            wrongs.join("\n"),
            ledger.trace(),
            checks::lease_writes(&fake)
        )),
    }
}

async fn finish(fake: &FaultyDynamoDb, ledger: &Ledger, fleet: &mut Fleet) {
    fleet.heal();
    if fleet.count() == 0 {
        fleet.start();
    }
    let all_done = async {
        while ledger.outstanding() > 0 && ledger.wrongs().is_empty() {
            tokio::time::sleep(TICK).await;
        }
    };
    if tokio::time::timeout(PATIENCE, all_done).await.is_err() {
        ledger.wrong(format!(
            "{} changes are never handled",
            ledger.outstanding()
        ));
        return;
    }
    let spread = async {
        while let Err(problem) = checks::spread(fake, &fleet.names()) {
            ledger.note(problem);
            tokio::time::sleep(TICK).await;
        }
    };
    if tokio::time::timeout(PATIENCE, spread).await.is_err() {
        ledger.wrong("the shards are never spread evenly".to_owned());
        return;
    }
    // A worker has yet to see that it was handed a lease, and goes on from the last checkpoint then.
    let stored = async {
        while checks::positions(fake, ledger).is_err() {
            tokio::time::sleep(TICK).await;
        }
    };
    // What is wrong after that is found once all have stopped.
    let _ = tokio::time::timeout(Duration::from_secs(10), stored).await;
    fleet.stop().await;
    checks::rows(fake, ledger);
    checks::checkpoints(fake, ledger);
    checks::gaps(ledger, fleet.is_like_local());
}

fn run_alone(case: &Case) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(run(case))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn check(seed: u64) {
    let config = ProptestConfig {
        cases: 1,
        failure_persistence: None,
        max_shrink_iters: if number("STREAMS_MODEL_SEED").is_some() {
            0
        } else {
            500
        },
        max_shrink_time: 60_000,
        ..ProptestConfig::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let outcome = TestRunner::new_with_rng(config, rng).run(&draw::case(), |case| {
        run_alone(&case).map_err(TestCaseError::fail)
    });
    if let Err(error) = outcome {
        panic!("seed {seed}: {error}");
    }
}

#[test]
fn every_promise_holds_whatever_happens_to_workers_and_shards() {
    if let Some(seed) = number("STREAMS_MODEL_SEED") {
        return check(seed);
    }
    let cases = number("PROPTEST_CASES").unwrap_or(CASES);
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    // A case is a runtime of its own on one thread: how many run side by side changes nothing in it.
    let run_some = || {
        while !failed.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= cases {
                return;
            }
            let checked = std::panic::catch_unwind(|| check(seed));
            if let Err(panic) = checked {
                failed.store(true, Ordering::Relaxed);
                std::panic::resume_unwind(panic);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run_some)).collect();
        for thread in running {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}

/// Consumers that don't ask whether a record is current are seen to work beside the next reader: else the model would show nothing.
#[test]
fn a_consumer_that_does_not_ask_whether_a_record_is_current_is_seen() {
    use Step::{Hold, Put, Start};
    let steps = vec![
        (0, Put(0, 3)),
        (2_000, Hold(0, 20_000)),
        (0, Start),
        (20_000, Put(0, 1)),
    ];
    let mut case = Case::plain(1, None, steps);
    case.as_stream = true;
    case.manners.steps = (8, 4_000);
    if let Err(problem) = run_alone(&case) {
        panic!("{problem}");
    }
    case.asks = false;
    let problem = run_alone(&case).expect_err("two workers work on one shard");
    assert!(
        problem.contains("has begun on the shard since"),
        "{problem}"
    );
}

/// The shortest steps that once showed a defect.
#[test]
fn what_was_found_before_is_not_there_again() {
    use Step::{Crash, ExpireIterators, Put, Roll, Slow, Split, Start};
    let spoilt = Some(5_350_073_405_588_902_190);
    for (what, shards, inconsistent, steps) in [
        (
            "a first listing leaves a parent out, which is taken for finished",
            1,
            spoilt,
            vec![
                (0, Crash(0)),
                (0, Put(0, 1)),
                (1_067, Roll(0)),
                (228, Start),
                (503, Put(4, 5)),
            ],
        ),
        (
            "an iterator expires before it is used for the first time",
            1,
            None,
            vec![(0, Slow(0, 1_000)), (0, Put(0, 2)), (800, ExpireIterators)],
        ),
        (
            "generations are listed with holes while workers change",
            1,
            spoilt,
            vec![
                (0, Put(1, 3)),
                (700, Split(0)),
                (0, Put(1, 3)),
                (0, Split(0)),
                (0, Put(1, 3)),
                (0, Crash(0)),
                (300, Start),
                (0, Split(0)),
                (0, Put(1, 3)),
            ],
        ),
    ] {
        let case = Case::plain(shards, inconsistent, steps);
        if let Err(problem) = run_alone(&case) {
            panic!("{what}: {problem}");
        }
    }
}
