//! Flushing, closing, aborting, and snapshots, of one table and of all.

use std::time::Duration;

use dynamodb_connector::TableSpec;
use dynamodb_connector::sink::{
    DrainError, DynamoDbSink, Outcome, Receipt, Snapshot, SubmitError, TableSettings,
};
use dynamodb_connector::test_util::{Fault, FaultyDynamoDb, Operation};

use super::{MANNERS, Scene, WORLDS, at_every_point, soon};
use crate::setup::{
    TABLE, assert_no_room_taken, fake, is_pk, one_by_one, open, open_with, row, settle, stored,
};

/// How many failures a drain reported.
fn failures(result: Result<(), DrainError>) -> usize {
    match result {
        Ok(()) => 0,
        Err(DrainError::Unobserved { outcomes, .. }) => {
            let rejected = |outcome: &Outcome| matches!(outcome, Outcome::Rejected { .. });
            assert!(outcomes.iter().all(rejected), "{outcomes:?}");
            outcomes.len()
        }
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_is_dropped_leaves_its_failures_to_the_next() {
    for world in WORLDS {
        for manner in MANNERS {
            at_every_point(manner, async |cut| {
                let mut scene = Scene::new(world).await;
                scene.poison("bad");
                scene.put("bad", 1).await;
                let flushed = cut.of(scene.table.flush()).await;
                let completed = flushed.is_some();
                let told = flushed.map_or(0, failures);
                let rest = failures(soon(scene.table.flush()).await);
                assert_eq!(
                    (told, rest),
                    if completed { (1, 0) } else { (0, 1) },
                    "{world:?} {cut:?}"
                );
                assert_eq!(scene.goes_on().await, 0);
                completed
            })
            .await;
        }
    }
}

/// Two tables, of which the second answers late.
async fn two_tables(settings: TableSettings) -> (FaultyDynamoDb, DynamoDbSink) {
    let fake = fake();
    fake.create_table(TableSpec::new("late"));
    fake.inject(
        Fault::delay_before(Duration::from_secs(5))
            .table("late")
            .on(Operation::BatchWriteItem)
            .always(),
    );
    fake.inject(Fault::poison(is_pk("bad")));
    let sink = DynamoDbSink::builder(&fake.client())
        .table(TABLE, settings.clone())
        .table("late", settings)
        .seed(7)
        .open();
    (fake, sink.await.expect("opened"))
}

async fn put_to_both(sink: &DynamoDbSink, pk: &str) -> Vec<Receipt> {
    let mut receipts = Vec::new();
    for table in [TABLE, "late"] {
        let table = sink.table(table).expect("opened");
        receipts.push(table.put(&row(pk, 1)).await.expect("accepted"));
    }
    receipts
}

#[tokio::test(start_paused = true)]
async fn a_flush_of_all_tables_that_is_dropped_leaves_its_failures_to_the_next() {
    for manner in MANNERS {
        let polls = at_every_point(manner, async |cut| {
            let (_fake, sink) = two_tables(TableSettings::default()).await;
            // The first table fails at once, and is done long before the second.
            let first = sink.table(TABLE).expect("opened");
            drop(first.put(&row("bad", 1)).await.expect("accepted"));
            drop(put_to_both(&sink, "good").await);
            let flushed = cut.of(sink.flush()).await;
            let completed = flushed.is_some();
            let told = flushed.map_or(0, failures);
            let rest = failures(soon(sink.close()).await);
            assert_eq!(
                (told, rest),
                if completed { (1, 0) } else { (0, 1) },
                "{cut:?}"
            );
            completed
        });
        // Whichever table is asked first, the second answers late.
        assert!(polls.await > 1, "it did not have to wait");
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_that_is_dropped_closes_once_it_was_polled() {
    for world in WORLDS {
        for manner in MANNERS {
            let polls = at_every_point(manner, async |cut| {
                let mut scene = Scene::alone(world).await;
                let waiting = scene.table.clone();
                let waiting =
                    tokio::spawn(async move { waiting.put(&row("a", 7)).confirm().await });
                settle().await;
                let closed = cut.of(scene.table.close()).await;
                if cut.polls == 0 {
                    assert!(
                        soon(waiting)
                            .await
                            .expect("no panic")
                            .expect("accepted")
                            .is_written()
                    );
                    assert_eq!(scene.goes_on().await, 1);
                    return false;
                }
                // Accepted before the close or not, it hears.
                match soon(waiting).await.expect("no panic") {
                    Ok(outcome) => {
                        assert!(outcome.is_written(), "{outcome:?}");
                        scene.accepted += 1;
                    }
                    Err(error) => assert!(matches!(error, SubmitError::Closed), "{error:?}"),
                }
                tokio::time::sleep(Duration::from_secs(600)).await;
                assert_eq!(scene.ended(), 0);
                assert!(stored(&scene.fake, "a").is_some());
                assert!(matches!(
                    soon(scene.table.close()).await,
                    Err(DrainError::Closed)
                ));
                closed.is_some_and(|closed| {
                    closed.expect("nothing failed");
                    true
                })
            });
            assert!(polls.await > 1, "it did not have to wait");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_that_is_dropped_aborts_once_it_was_polled() {
    for world in WORLDS {
        for manner in MANNERS {
            at_every_point(manner, async |cut| {
                let mut scene = Scene::alone(world).await;
                let kept = scene.table.put(&row("a", 7));
                let kept = kept.await.expect("accepted");
                scene.accepted += 1;
                let aborted = cut.of(scene.table.abort()).await;
                if cut.polls == 0 {
                    assert!(kept.await.is_written());
                    assert_eq!(scene.goes_on().await, 0);
                    return false;
                }
                let outcome = soon(kept).await;
                assert!(
                    matches!(
                        outcome,
                        Outcome::Unwritten {
                            record: Some(_),
                            ..
                        }
                    ),
                    "{outcome:?}"
                );
                settle().await;
                assert_eq!(scene.ended(), 0);
                aborted.is_some_and(|handed_back| {
                    assert!(!handed_back.is_empty());
                    true
                })
            })
            .await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_is_dropped_changes_nothing() {
    for world in WORLDS {
        for manner in MANNERS {
            at_every_point(manner, async |cut| {
                let scene = Scene::new(world).await;
                let snapshot = cut.of(scene.table.snapshot()).await;
                assert_eq!(scene.goes_on().await, 0);
                snapshot.is_some_and(|snapshot| {
                    assert!(!snapshot.expect("a snapshot").is_empty());
                    true
                })
            })
            .await;
        }
    }
}

/// A snapshot of four writes.
async fn four_writes() -> Snapshot {
    let source = fake();
    source.inject(Fault::never_answer().always());
    let table = open_with(&source, one_by_one()).await;
    for n in 0..4 {
        drop(table.put(&row(format!("k{n}"), n)).await.expect("accepted"));
    }
    table.snapshot().await.expect("a snapshot")
}

#[tokio::test(start_paused = true)]
async fn a_restore_that_is_dropped_has_submitted_the_first_of_its_writes() {
    let snapshot = four_writes().await;
    assert_eq!(snapshot.len(), 4);
    for world in WORLDS {
        for manner in MANNERS {
            at_every_point(manner, async |cut| {
                let scene = Scene::new(world).await;
                let fake = scene.fake.clone();
                let restored = cut.of(scene.table.restore(&snapshot)).await;
                let restored = restored.transpose().expect("restored");
                let completed = restored.is_some();
                let submitted = scene.goes_on().await;
                if completed {
                    assert_eq!(submitted, 4);
                }
                for n in 0..4 {
                    let there = stored(&fake, &format!("k{n}")).is_some();
                    assert_eq!(there, n < submitted, "k{n} of {submitted}");
                }
                // It can be done again, by a new sink.
                let fresh = open(&fake).await;
                drop(fresh.restore(&snapshot).await.expect("restored"));
                fresh.close().await.expect("written");
                assert!((0..4).all(|n| stored(&fake, &format!("k{n}")).is_some()));
                completed
            })
            .await;
        }
    }
}

/// What is called of all tables.
#[derive(Clone, Copy, Debug, PartialEq)]
enum OfAll {
    Close,
    Abort,
    Snapshot,
    Restore,
}

/// A snapshot of both tables, three writes each.
async fn of_both() -> Snapshot {
    let (fake, sink) = two_tables(one_by_one()).await;
    fake.inject(Fault::never_answer().always());
    for pk in ["x", "y", "z"] {
        drop(put_to_both(&sink, pk).await);
    }
    sink.snapshot().await.expect("a snapshot")
}

#[tokio::test(start_paused = true)]
async fn a_call_of_all_tables_that_is_dropped_holds_none_up() {
    let kept = of_both().await;
    assert_eq!(kept.len(), 6);
    for call in [OfAll::Close, OfAll::Abort, OfAll::Snapshot, OfAll::Restore] {
        for manner in MANNERS {
            at_every_point(manner, async |cut| {
                let (fake, sink) = two_tables(one_by_one().buffer_records(1)).await;
                let receipts = put_to_both(&sink, "good").await;
                let completed = match call {
                    OfAll::Close => cut.of(sink.close()).await.map(|all| all.expect("written")),
                    OfAll::Abort => {
                        let aborted = cut.of(sink.abort()).await;
                        aborted.map(|back| assert_eq!(back.len(), 2))
                    }
                    OfAll::Snapshot => {
                        let snapshot = cut.of(sink.snapshot()).await;
                        snapshot.map(|all| assert_eq!(all.expect("a snapshot").len(), 2))
                    }
                    OfAll::Restore => {
                        let restored = cut.of(sink.restore(&kept)).await;
                        restored.map(|all| assert_eq!(all.expect("room").receipts.len(), 6))
                    }
                };
                let aborts = call == OfAll::Abort && cut.polls > 0;
                for receipt in receipts {
                    match soon(receipt).await {
                        Outcome::Written if !aborts => {}
                        Outcome::Unwritten {
                            record: Some(_), ..
                        } if aborts => {}
                        other => panic!("{call:?} {cut:?}: {other:?}"),
                    }
                }
                if cut.polls == 0 || !matches!(call, OfAll::Close | OfAll::Abort) {
                    for receipt in put_to_both(&sink, "more").await {
                        assert!(soon(receipt).await.is_written());
                    }
                    soon(sink.close()).await.expect("nothing failed");
                }
                settle().await;
                assert_eq!(fake.in_flight(), 0);
                for table in sink.tables() {
                    assert_no_room_taken(table);
                    let late = table.put(&row("late", 1)).await;
                    assert!(matches!(late, Err(SubmitError::Closed)), "{late:?}");
                }
                completed.is_some()
            })
            .await;
        }
    }
}
