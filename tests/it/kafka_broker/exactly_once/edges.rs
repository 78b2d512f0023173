//! A process crashes before each step of a transaction, and the next one takes over.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use tokio::task::block_in_place;

use super::fleet::Fleet;
use super::{Rig, exactly_once};

/// The steps of a transaction, as the driver names them, and at which time of each the process crashes. `Pass` is the edge after
/// the begin, `Deliver` that after records were produced, and so on; `Wait` the one after what was committed was acknowledged.
const EDGES: [(&str, u32); 10] = [
    ("Begin", 2),
    ("Pass", 2),
    ("Deliver", 2),
    ("SendOffsets", 2),
    ("Commit", 2),
    ("Settle", 2),
    ("Wait", 3),
    // These come of a record that is too large, again and again.
    ("Abort", 1),
    ("Renew", 1),
    ("Rewind", 1),
];
/// The signal of a process that crashes by itself: SIGABRT.
const ABORTED: i32 = 6;
/// The longest that a process may take to its crash.
const LONGEST: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_is_published_once_wherever_a_transaction_breaks_off() {
    let Some(rig) = Rig::shared("exactly_once::edges") else {
        return;
    };
    let task = rig.task(exactly_once(200)).await;
    let task = task.set_source("group.protocol", "consumer");
    let mut numbers = rig.numbers(&task).await;
    let mut fleet = Fleet::new(task, 1, 3);
    for (step, nth) in EDGES {
        if step == "Abort" {
            fleet.task.too_large.push(numbers.written + 10);
        }
        fleet.task.crash = Some((step.to_owned(), nth));
        println!("a crash before {step}");
        fleet.start(0);
        let crashed = tokio::select! {
            crashed = fleet.ended(0, LONGEST) => crashed,
            () = numbers.write_on() => unreachable!("it ends with the crash"),
        };
        assert_eq!(crashed.signal(), Some(ABORTED), "{step}: {crashed}");
    }
    fleet.task.crash = None;
    fleet.start(0);
    let mut view = rig.view(&fleet.task);
    block_in_place(|| view.committed());
    fleet.leave_all().await;
    assert_eq!(fleet.failed, []);
    block_in_place(|| view.read_to_end());
    view.check(numbers.written).assert_exact();
}
