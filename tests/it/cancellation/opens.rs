//! Opening, and dead-letter handlers while they run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dynamodb_connector::TableSpec;
use dynamodb_connector::sink::{DynamoDbSink, Outcome, TableSettings, TableSink};
use dynamodb_connector::test_util::{Fault, FaultyDynamoDb};

use super::{MANNERS, at_every_point, soon};
use crate::setup::{TABLE, assert_no_room_taken, builder, fake, is_pk, row, settle, stored_n};

/// Descriptions that are late, and one that fails.
fn reluctant() -> FaultyDynamoDb {
    let fake = fake();
    fake.create_table(TableSpec::new("others"));
    fake.inject(Fault::internal_error().delayed(Duration::from_secs(1)));
    fake.inject(Fault::close_before());
    fake.inject(Fault::delay_before(Duration::from_secs(1)).times(2));
    fake
}

/// Nothing is under way, and nobody is left to send.
async fn assert_at_rest(fake: &FaultyDynamoDb) {
    settle().await;
    assert_eq!(fake.in_flight(), 0);
    let sent = fake.requests().len();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(fake.requests().len(), sent, "nobody is left to send");
}

#[tokio::test(start_paused = true)]
async fn an_open_that_is_dropped_starts_nothing() {
    for manner in MANNERS {
        let polls = at_every_point(manner, async |cut| {
            let fake = reluctant();
            let client = fake.client();
            let opened = cut.of(TableSink::open(&client, TABLE)).await;
            assert_at_rest(&fake).await;
            let Some(opened) = opened else {
                return false;
            };
            let table = opened.expect("opened");
            let put = table.put(&row("a", 1)).confirm().await;
            assert!(put.expect("accepted").is_written());
            true
        });
        assert!(polls.await > 3, "it did not have to wait");
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_of_several_tables_that_is_dropped_starts_none() {
    for manner in MANNERS {
        let polls = at_every_point(manner, async |cut| {
            let fake = reluctant();
            let both = DynamoDbSink::builder(&fake.client())
                .table(TABLE, TableSettings::default())
                .table("others", TableSettings::default());
            let opened = cut.of(both.open()).await;
            assert_at_rest(&fake).await;
            let Some(opened) = opened else {
                return false;
            };
            for table in opened.expect("opened").tables() {
                let put = table.put(&row("a", 1)).confirm().await;
                assert!(put.expect("accepted").is_written());
            }
            true
        });
        assert!(polls.await > 3, "it did not have to wait");
    }
}

/// How many handlers were begun, and how many came to their end.
#[derive(Clone, Default)]
struct Handlers {
    begun: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

impl Handlers {
    fn count(&self) -> (usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        (count(&self.begun), count(&self.ended))
    }
}

/// A table whose handler takes three seconds for the letter "bad", in three steps.
async fn with_slow_handler(fake: &FaultyDynamoDb) -> (TableSink, Handlers) {
    let handlers = Handlers::default();
    let counted = handlers.clone();
    let sink = builder(fake, TableSettings::default()).dead_letters(move |_| {
        let handlers = counted.clone();
        async move {
            handlers.begun.fetch_add(1, Ordering::Relaxed);
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            handlers.ended.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    });
    fake.inject(Fault::poison(is_pk("bad")));
    let table = sink.open().await.expect("opened").table(TABLE);
    (table.expect("opened"), handlers)
}

/// What waits for a handler, and is dropped.
#[derive(Clone, Copy, Debug)]
enum Waits {
    Confirm,
    Flush,
    Close,
    NextOfItsKey,
}

#[tokio::test(start_paused = true)]
async fn a_handler_comes_to_its_end_whoever_is_dropped_meanwhile() {
    for waits in [
        Waits::Confirm,
        Waits::Flush,
        Waits::Close,
        Waits::NextOfItsKey,
    ] {
        for manner in MANNERS {
            let polls = at_every_point(manner, async |cut| {
                let fake = fake();
                let (table, handlers) = with_slow_handler(&fake).await;
                let letters = if matches!(waits, Waits::Confirm) {
                    0
                } else {
                    drop(table.put(&row("bad", 1)).await.expect("accepted"));
                    1
                };
                let completed = match waits {
                    Waits::Confirm => {
                        cut.of(table.put(&row("bad", 1)).confirm())
                            .await
                            .map(|told| {
                                let told = told.expect("accepted");
                                assert!(matches!(told, Outcome::Rejected { .. }), "{told:?}");
                            })
                    }
                    Waits::Flush => cut
                        .of(table.flush())
                        .await
                        .map(|told| told.expect("handled")),
                    Waits::Close => cut
                        .of(table.close())
                        .await
                        .map(|told| told.expect("handled")),
                    Waits::NextOfItsKey => {
                        let good = table.update(&crate::setup::id("bad"), "SET n = :n");
                        cut.of(good.value(":n", &2).confirm()).await.map(drop)
                    }
                };
                if !(matches!(waits, Waits::Close) && cut.polls > 0) {
                    let good = table.put(&row("good", 1)).confirm();
                    assert!(soon(good).await.expect("accepted").is_written());
                    soon(table.close()).await.expect("the handler has them");
                }
                tokio::time::sleep(Duration::from_secs(60)).await;
                let (begun, ended) = handlers.count();
                assert_eq!(begun, ended);
                let submitted = usize::try_from(table.stats().rejected).expect("few");
                assert_eq!(begun, submitted, "each letter once");
                assert!(submitted >= letters && submitted <= letters + 1);
                assert_no_room_taken(&table);
                completed.is_some()
            });
            assert!(polls.await > 1, "it did not have to wait");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_drops_a_handler_at_any_step_and_hands_the_write_back() {
    for step in 0..8 {
        let fake = fake();
        let (table, handlers) = with_slow_handler(&fake).await;
        // The first of all may be refused for what else they ask.
        for _ in 0..2 {
            let before = table.put(&row("before", 1)).confirm().await;
            assert!(before.expect("accepted").is_written());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let bad = table.put(&row("bad", 1)).await.expect("accepted");
        let behind = table.put(&row("bad", 2)).await.expect("accepted");
        tokio::time::sleep(Duration::from_millis(100 + 500 * step)).await;
        let ended = handlers.count().1;
        let handed_back = table.abort().await;
        assert!(matches!(bad.await, Outcome::Rejected { .. }));
        // The second was sent once the first was handled.
        let behind = behind.await;
        assert!(
            matches!(behind, Outcome::Unwritten { .. } | Outcome::Rejected { .. }),
            "{behind:?}"
        );
        assert_eq!(handed_back.len(), 2 - ended, "step {step}");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(handlers.count().1, ended, "it goes no further");
        assert_no_room_taken(&table);
        assert_eq!(stored_n(&fake, "bad"), None);
    }
}
