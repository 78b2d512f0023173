//! What is done with changes, well and badly.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::streams::{
    Batch, BatchError, Change, FailedChange, RecordStream, StreamsError,
};
use futures::StreamExt as _;
use futures::future::BoxFuture;

use super::super::rig::Item;
use super::calls::Work;
use super::case::{Case, Manners};
use super::ledger::{Ledger, which};

/// Takes dead letters, or not.
pub(super) fn burying(
    worker: usize,
    ledger: &Arc<Ledger>,
    rng: &Arc<Mutex<fastrand::Rng>>,
) -> impl Fn(FailedChange) -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static {
    let (ledger, rng) = (Arc::clone(ledger), Arc::clone(rng));
    move |letter| {
        let ledger = Arc::clone(&ledger);
        let refused = !*ledger.healed.borrow() && rng.lock().u8(..3) == 0;
        Box::pin(async move {
            if refused {
                return Err("not now".to_owned());
            }
            let record = letter.record.expect("every record can be read");
            let (new, old) = (record.new_image::<Item>(), record.old_image::<Item>());
            let (new, old) = (new.expect("an item"), old.expect("an item"));
            let which = which(record.kind(), new.as_ref(), old.as_ref());
            ledger.note(format!("dead letter {which:?}"));
            ledger.done(worker, &[which]);
            Ok(())
        })
    }
}

enum Manner {
    Fine,
    Fail,
    Partly(usize),
    Refuse(usize),
    Panic,
    Hang,
}

/// Handles changes, in one manner or another.
pub(super) fn handler(
    worker: usize,
    ledger: &Arc<Ledger>,
    manners: &Manners,
    rng: &Arc<Mutex<fastrand::Rng>>,
) -> impl Fn(Batch<Item>) -> BoxFuture<'static, Result<(), BatchError>> + Send + Sync + 'static {
    let (ledger, manners, rng) = (Arc::clone(ledger), manners.clone(), Arc::clone(rng));
    move |batch| {
        let call = ledger.begin(worker, &batch.shard, &batch.changes, Work::Call);
        let count = batch.changes.len();
        let mut healed = ledger.healed.subscribe();
        let (manner, slow) = if *healed.borrow() {
            (Manner::Fine, Duration::ZERO)
        } else {
            draw(&manners, count, &mut rng.lock())
        };
        Box::pin(async move {
            if !slow.is_zero() {
                tokio::time::sleep(slow).await;
            }
            match manner {
                Manner::Fine => {
                    call.done(count);
                    Ok(())
                }
                Manner::Fail => Err(BatchError::retry_from(0, "it fails")),
                Manner::Partly(done) => {
                    call.done(done);
                    Err(BatchError::retry_from(done, "the rest fails"))
                }
                Manner::Refuse(at) => {
                    call.done(at);
                    Err(BatchError::refuse(at, "it can't be handled"))
                }
                // Without the hook, which would print a backtrace each time.
                Manner::Panic => std::panic::resume_unwind(Box::new("a handler that panics")),
                Manner::Hang => {
                    let _ = healed.wait_for(|healed| *healed).await;
                    Err(BatchError::retry_from(0, "it hung"))
                }
            }
        })
    }
}

fn draw(manners: &Manners, count: usize, rng: &mut fastrand::Rng) -> (Manner, Duration) {
    let mut left = rng.u32(..100);
    let mut falls = |share: u32| {
        let falls = left < share;
        left = left.checked_sub(share).unwrap_or(u32::MAX);
        falls
    };
    let at = rng.usize(..count);
    let manner = if falls(manners.fail) {
        Manner::Fail
    } else if falls(manners.partly) {
        Manner::Partly(at)
    } else if falls(manners.refuse) {
        Manner::Refuse(at)
    } else if falls(manners.panic) {
        Manner::Panic
    } else if falls(manners.hang) {
        Manner::Hang
    } else {
        Manner::Fine
    };
    let slow = if rng.u32(..100) < manners.slow.0 {
        rng.u64(0..=manners.slow.1)
    } else {
        0
    };
    (manner, Duration::from_millis(slow))
}

/// Takes records one after the other, as a pipeline does, some of them late. The work on a record has steps, and before each it is asked
/// whether the record is current.
pub(super) async fn take(
    worker: usize,
    mut records: RecordStream,
    ledger: &Arc<Ledger>,
    case: &Case,
    rng: &Arc<Mutex<fastrand::Rng>>,
) -> Result<(), StreamsError> {
    while let Some(delivery) = records.next().await {
        let delivery = delivery?;
        let (manner, slow, pauses) = if *ledger.healed.borrow() {
            (Manner::Fine, Duration::ZERO, Vec::new())
        } else {
            let mut rng = rng.lock();
            let (manner, slow) = draw(&case.manners, 1, &mut rng);
            (manner, slow, draw_pauses(&case.manners, &mut rng))
        };
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
        let may_go_on = || !case.asks || delivery.is_current();
        if !may_go_on() {
            continue;
        }
        let change = Change::read(delivery.record.clone()).expect("an item");
        let shard = delivery.record.shard_id();
        let call = ledger.begin(worker, shard, &[change], Work::Steps);
        let mut is_whole = true;
        for pause in pauses {
            tokio::time::sleep(pause).await;
            is_whole = may_go_on();
            if !is_whole {
                break;
            }
            call.step();
        }
        // Dropped, it is given again.
        if is_whole && matches!(manner, Manner::Fine) {
            call.done(1);
            drop(call);
            delivery.ack.done();
        }
    }
    Ok(())
}

/// The times before the further steps of the work on a record.
fn draw_pauses(manners: &Manners, rng: &mut fastrand::Rng) -> Vec<Duration> {
    let (steps, longest) = manners.steps;
    let count = rng.usize(0..=steps);
    let pauses = std::iter::repeat_with(|| Duration::from_millis(rng.u64(0..=longest)));
    pauses.take(count).collect()
}
