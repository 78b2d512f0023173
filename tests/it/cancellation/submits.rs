//! Submitting, confirming, and receipts.

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use dynamodb_connector::sink::{Outcome, Submit, SubmitError, TableSink};
use futures::FutureExt;
use futures::future::LocalBoxFuture;

use super::{MANNERS, Manner, Scene, WORLDS, World, at_every_point};
use crate::setup::{id, row, stored_n};

/// A write of each kind. Applied, it leaves 7 in the item "a", which held 1, or no such item.
#[derive(Clone, Copy, Debug)]
enum Call {
    Put,
    WriteRequest,
    Delete,
    Conditional,
    Update,
    ExactlyOnce,
    Transaction,
}

const CALLS: [Call; 7] = [
    Call::Put,
    Call::WriteRequest,
    Call::Delete,
    Call::Conditional,
    Call::Update,
    Call::ExactlyOnce,
    Call::Transaction,
];

/// One of the two ways to send a write off.
macro_rules! sent {
    ($call:expr, $table:expr, $write:ident => $sent:expr) => {
        match $call {
            Call::Put => {
                let $write = $table.put(&row("a", 7));
                $sent
            }
            Call::WriteRequest => {
                let $write = $table.write_request(&request());
                $sent
            }
            Call::Delete => {
                let $write = $table.delete(&id("a"));
                $sent
            }
            Call::Conditional => {
                let $write = $table.put(&row("a", 7)).condition("attribute_exists(pk)");
                $sent
            }
            Call::Update => {
                let $write = $table.update(&id("a"), "SET n = :n").value(":n", &7);
                $sent
            }
            Call::ExactlyOnce => {
                let add = $table.update(&id("a"), "ADD n :n").value(":n", &6);
                let $write = add.exactly_once();
                $sent
            }
            Call::Transaction => {
                // It waits for room under its first key.
                let put = $table.transaction().add($table.put(&row("a", 7)));
                let none = $table.check(&id("none"), "attribute_not_exists(pk)");
                let $write = put.add(none);
                $sent
            }
        }
    };
}

fn request() -> WriteRequest {
    let put = PutRequest::builder()
        .item("pk", AttributeValue::S("a".into()))
        .item("n", AttributeValue::N("7".into()));
    let put = put.build().expect("an item");
    WriteRequest::builder().put_request(put).build()
}

impl Call {
    fn submit(self, table: &TableSink) -> Submit {
        sent!(self, table, write => write.into_future())
    }

    fn confirm(self, table: &TableSink) -> LocalBoxFuture<'_, Result<Outcome, SubmitError>> {
        sent!(self, table, write => write.confirm().boxed_local())
    }
}

/// Ends the scene and looks whether the call's write was accepted, and if so, applied.
async fn accepted(call: Call, scene: Scene) -> bool {
    let (world, fake) = (scene.world, scene.fake.clone());
    let more = scene.goes_on().await;
    assert!(more <= 1, "{more}");
    let wanted = match call {
        _ if more == 0 => Some(1),
        Call::Delete => None,
        _ => Some(7),
    };
    assert_eq!(stored_n(&fake, "a"), wanted, "{call:?} {world:?}");
    more == 1
}

#[tokio::test(start_paused = true)]
async fn a_submit_that_is_dropped_is_either_not_submitted_or_carried_out() {
    for world in [World::Full, World::HotKey] {
        for manner in MANNERS {
            for call in CALLS {
                let polls = at_every_point(manner, async |cut| {
                    let scene = Scene::new(world).await;
                    let receipt = cut.of(call.submit(&scene.table)).await;
                    let completed = receipt.is_some();
                    drop(receipt.transpose().expect("accepted"));
                    let accepted = accepted(call, scene).await;
                    assert_eq!(accepted, completed, "{call:?} {world:?} {cut:?}");
                    completed
                });
                assert!(polls.await > 1, "it did not have to wait");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_confirm_that_is_dropped_is_either_not_submitted_or_carried_out() {
    for world in WORLDS {
        for manner in MANNERS {
            for call in CALLS {
                if manner == Manner::Eagerly && !matches!(call, Call::Put | Call::Transaction) {
                    continue;
                }
                let polls = at_every_point(manner, async |cut| {
                    let scene = Scene::new(world).await;
                    let outcome = cut.of(call.confirm(&scene.table)).await;
                    let accepted = accepted(call, scene).await;
                    let Some(outcome) = outcome else {
                        return false;
                    };
                    let outcome = outcome.expect("accepted");
                    assert!(accepted && outcome.is_written(), "{outcome:?}");
                    true
                });
                assert!(polls.await > 1, "it did not have to wait");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_receipt_that_is_polled_and_dropped_does_not_take_its_write_back() {
    for world in WORLDS {
        for manner in MANNERS {
            let call = Call::Put;
            let polls = at_every_point(manner, async |cut| {
                let scene = Scene::new(world).await;
                let receipt = call.submit(&scene.table).await.expect("accepted");
                let outcome = cut.of(receipt).await;
                assert!(accepted(call, scene).await);
                outcome.is_some_and(|outcome| {
                    assert!(outcome.is_written());
                    true
                })
            });
            assert!(polls.await > 1, "it did not have to wait");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_receipt_that_was_polled_in_vain_still_tells() {
    for world in WORLDS {
        let scene = Scene::new(world).await;
        let mut receipt = Call::Put.submit(&scene.table).await.expect("accepted");
        // Futures around it are dropped; the receipt itself stays.
        while tokio::time::timeout(std::time::Duration::from_millis(100), &mut receipt)
            .await
            .is_err()
        {}
        assert!(receipt.await.is_written());
        assert!(accepted(Call::Put, scene).await);
    }
}
