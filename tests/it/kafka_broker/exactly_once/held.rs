//! Partitions that go to another member between the sending of offsets and the commit.

use std::time::Duration;

use rustix::process::Signal;
use tokio::task::block_in_place;

use super::super::proxy::{END_TXN, Hold, OFFSET_FETCH, SYNC_GROUP, TXN_OFFSET_COMMIT};
use super::fleet::Fleet;
use super::{Member, Rig, exactly_once, finish};

/// The commit is on its way for so long that the partitions are the other member's, who asks where they begin before it comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_is_slower_than_a_rebalance_is_waited_for() {
    let Some(rig) = Rig::shared("exactly_once::held") else {
        return;
    };
    let task = rig.task(exactly_once(1_000)).await;
    let mut task = task.set_source("session.timeout.ms", "5000");
    task.transaction_timeout = Duration::from_secs(30);
    let (mut numbers, mut view) = (rig.numbers(&task).await, rig.view(&task));
    let first = Member::start(&task, "first").await;
    numbers.write(200).await;
    block_in_place(|| view.begun());
    let commit = rig.proxy.hold("first", END_TXN, Hold::Requests);
    numbers.write(200).await;
    block_in_place(|| commit.caught());
    let second = Member::start(&task, "second").await;
    // At first it is given none, and then those that the first member has given up.
    block_in_place(|| asks_where_to_begin(&rig, "second", 2));
    numbers.write(200).await;
    commit.release();
    finish(&numbers, &mut view, vec![first, second]).await;
}

/// A process is stopped with its offsets sent. Another takes its place; it goes on, and commits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_slept_before_its_commit_commits_before_the_next_begins() {
    let Some(rig) = Rig::shared("exactly_once::held") else {
        return;
    };
    let task = rig.task(exactly_once(1_000)).await;
    let mut task = task.set_source("session.timeout.ms", "3000");
    task.transaction_timeout = Duration::from_secs(30);
    let (mut numbers, mut view) = (rig.numbers(&task).await, rig.view(&task));
    let sleeper = task.clone().set("client.id", "sleeper");
    let mut fleet = Fleet::new(sleeper, 1, 0);
    fleet.start_all();
    numbers.write(200).await;
    block_in_place(|| view.begun());
    let sent = rig.proxy.hold("sleeper", TXN_OFFSET_COMMIT, Hold::Answers);
    numbers.write(200).await;
    block_in_place(|| sent.caught());
    fleet.signal(0, Signal::STOP);
    sent.release();
    let commits = rig.proxy.requests("sleeper", END_TXN);
    let next = Member::start(&task, "next").await;
    block_in_place(|| asks_where_to_begin(&rig, "next", 1));
    numbers.write(200).await;
    fleet.signal(0, Signal::CONT);
    block_in_place(|| rig.proxy.until_answers("sleeper", END_TXN, commits + 1));
    block_in_place(|| view.committed());
    fleet.leave_all().await;
    assert_eq!(fleet.failed, []);
    finish(&numbers, &mut view, vec![next]).await;
}

/// Blocks until a member was given partitions, in so many rounds, and asks where they begin: it asks again while they
/// are in an open transaction.
fn asks_where_to_begin(rig: &Rig, client: &str, rounds: usize) {
    rig.proxy.until_answers(client, SYNC_GROUP, rounds);
    let before = rig.proxy.requests(client, OFFSET_FETCH);
    rig.proxy.until_requests(client, OFFSET_FETCH, before + 1);
}
