//! The `futures::Sink` of a table: its calls dropped, and dropped itself.

use dynamodb_connector::sink::{RecordSink, RecordSinkError, TableSink};
use futures::future::poll_fn;
use futures::{SinkExt, StreamExt, stream};

use super::{MANNERS, Scene, WORLDS, at_every_point, soon};
use crate::setup::{Row, row, stored};

/// Both ways to make one.
const MAKERS: [fn(&TableSink) -> RecordSink<Row>; 2] =
    [TableSink::records, |table| table.writes(TableSink::put)];

fn key(n: u64) -> String {
    format!("k{n}")
}

#[tokio::test(start_paused = true)]
async fn a_record_is_taken_if_its_feed_completes_and_not_otherwise() {
    for world in WORLDS {
        for manner in MANNERS {
            for maker in MAKERS {
                at_every_point(manner, async |cut| {
                    let scene = Scene::new(world).await;
                    let fake = scene.fake.clone();
                    let mut sink = maker(&scene.table);
                    let mut taken = Vec::new();
                    for n in 0..3 {
                        let fed = cut.of(sink.feed(row(key(n), n))).await;
                        taken.push(fed.is_some());
                        fed.transpose().expect("no failure");
                    }
                    soon(sink.close()).await.expect("no failure");
                    drop(sink);
                    let count = taken.iter().filter(|taken| **taken).count();
                    assert_eq!(scene.goes_on().await, count as u64, "{world:?} {cut:?}");
                    for (n, taken) in (0..).zip(&taken) {
                        assert_eq!(
                            stored(&fake, &key(n)).is_some(),
                            *taken,
                            "{world:?} {cut:?}"
                        );
                    }
                    count == 3
                })
                .await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_send_or_a_ready_that_is_dropped_loses_nothing_that_was_taken() {
    for world in WORLDS {
        for manner in MANNERS {
            at_every_point(manner, async |cut| {
                let scene = Scene::new(world).await;
                let fake = scene.fake.clone();
                let mut sink = scene.table.records();
                let sent = cut.of(sink.send(row(key(0), 0))).await;
                // Ready, in its own right: what is parked is brought in, whoever asks.
                drop(cut.of(poll_fn(|cx| sink.poll_ready_unpin(cx))).await);
                if let Some(sent) = &sent {
                    sent.as_ref().expect("no failure");
                    assert!(stored(&fake, &key(0)).is_some(), "sent is written");
                }
                soon(sink.send(row(key(1), 1))).await.expect("no failure");
                soon(sink.close()).await.expect("no failure");
                let more = scene.goes_on().await;
                assert!(stored(&fake, &key(1)).is_some());
                assert_eq!(stored(&fake, &key(0)).is_some(), more == 2, "{more}");
                sent.is_some()
            })
            .await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_or_close_that_is_dropped_leaves_its_failures_to_the_next() {
    for world in WORLDS {
        for manner in MANNERS {
            for close in [false, true] {
                at_every_point(manner, async |cut| {
                    let mut scene = Scene::new(world).await;
                    scene.poison("bad");
                    // One failure is the adapter's, the other the table's.
                    scene.put("bad", 1).await;
                    let mut sink = scene.table.records();
                    soon(sink.feed(row("bad", 2))).await.expect("no failure");
                    scene.accepted += 1;
                    let drained = if close {
                        cut.of(sink.close()).await
                    } else {
                        cut.of(sink.flush()).await
                    };
                    let completed = drained.is_some();
                    let told = drained.map_or(0, failures);
                    if !completed {
                        // The next record begins the flush anew.
                        let next = sink.start_send_unpin(row("next", 1));
                        scene.accepted += u64::from(next.is_ok());
                    }
                    let rest = failures(soon(sink.flush()).await);
                    assert_eq!(
                        (told, rest),
                        if completed { (2, 0) } else { (0, 2) },
                        "{world:?} {cut:?}"
                    );
                    drop(sink);
                    assert_eq!(scene.goes_on().await, 0);
                    completed
                })
                .await;
            }
        }
    }
}

fn failures(result: Result<(), RecordSinkError>) -> usize {
    match result {
        Ok(()) => 0,
        Err(RecordSinkError::NotWritten { outcomes, .. }) => outcomes.len(),
        Err(RecordSinkError::Drain(error)) => error.outcomes().len(),
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_cut_has_written_the_first_of_its_records() {
    for world in WORLDS {
        for manner in MANNERS {
            at_every_point(manner, async |cut| {
                let scene = Scene::new(world).await;
                let fake = scene.fake.clone();
                let records = stream::iter((0..6).map(|n| Ok(row(key(n), n))));
                let forwarded = cut.of(records.forward(scene.table.records())).await;
                let forwarded = forwarded.transpose().expect("no failure");
                let written = scene.goes_on().await;
                for n in 0..6 {
                    let there = stored(&fake, &key(n)).is_some();
                    assert_eq!(there, n < written, "k{n} of {written}");
                }
                if forwarded.is_some() {
                    assert_eq!(written, 6);
                }
                forwarded.is_some()
            })
            .await;
        }
    }
}
