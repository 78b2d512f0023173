//! A commit that comes late, behind its own repetition.

use std::time::Duration;

use tokio::task::block_in_place;

use super::super::proxy::{END_TXN, Hold, PRODUCE};
use super::{Member, Rig, exactly_once, finish};

const CLIENT: &str = "torn";
/// The answer to a producer whose epoch another has raised.
const INVALID_PRODUCER_EPOCH: i16 = 47;

/// The first request for a commit is held on its way, and its connection is lost. librdkafka sends it again, which ends the
/// transaction, and the first comes in the middle of the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_comes_late_ends_no_other_transaction() {
    let Some(rig) = Rig::shared("exactly_once::torn") else {
        return;
    };
    let mut task = rig.task(exactly_once(5_000)).await;
    task.transaction_timeout = Duration::from_secs(20);
    let (mut numbers, mut view) = (rig.numbers(&task).await, rig.view(&task));
    let late = rig.proxy.hold(CLIENT, END_TXN, Hold::NextRequestAndCut);
    let member = Member::start(&task, CLIENT).await;
    numbers.write(200).await;
    block_in_place(|| {
        late.caught();
        rig.proxy.until_answers(CLIENT, END_TXN, 1);
    });
    let produced = rig.proxy.answers(CLIENT, PRODUCE);
    numbers.write(200).await;
    let error = block_in_place(|| {
        rig.proxy.until_answers(CLIENT, PRODUCE, produced + 1);
        late.release();
        late.error()
    });
    assert_eq!(rig.proxy.answers(CLIENT, END_TXN), 2, "in time");
    // The same transaction is open.
    numbers.write(200).await;
    finish(&numbers, &mut view, vec![member]).await;
    assert_eq!(error, INVALID_PRODUCER_EPOCH);
}
