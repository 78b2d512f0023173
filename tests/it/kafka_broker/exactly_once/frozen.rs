//! Coordinators that answer nothing for longer than a transaction may last.

use std::time::Duration;

use tokio::task::block_in_place;

use super::super::proxy::{ADD_OFFSETS_TO_TXN, END_TXN, Hold, INIT_PRODUCER_ID, TXN_OFFSET_COMMIT};
use super::{Member, Rig, exactly_once, finish};

/// Each call of a transaction's end has a client whose answers to it are held, for longer than the producer waits. A new
/// producer takes its place, although nothing says what became of the call. Then the broker itself is stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_freezes_costs_a_producer_and_no_event() {
    let Some(rig) = Rig::start("exactly_once::frozen") else {
        return;
    };
    let calls = [
        ("offsets-added", ADD_OFFSETS_TO_TXN),
        ("offsets-sent", TXN_OFFSET_COMMIT),
        ("ended", END_TXN),
    ];
    let mut rows = Vec::new();
    for (client, call) in calls {
        let mut task = rig
            .task(exactly_once(300))
            .await
            .set("socket.timeout.ms", "1000");
        task.transaction_timeout = Duration::from_secs(3);
        let member = Member::start(&task, client).await;
        let mut numbers = rig.numbers(&task).await;
        numbers.write(100).await;
        let view = rig.view(&task);
        rows.push((client, call, numbers, view, member));
    }
    let mut held = Vec::new();
    for (client, call, numbers, view, _) in &mut rows {
        block_in_place(|| view.begun());
        let producers = rig.proxy.requests(client, INIT_PRODUCER_ID);
        held.push((producers, rig.proxy.hold(client, *call, Hold::Answers)));
        numbers.write(100).await;
    }
    for ((client, _, numbers, ..), (producers, held)) in rows.iter_mut().zip(&held) {
        block_in_place(|| {
            held.caught();
            rig.proxy
                .until_requests(client, INIT_PRODUCER_ID, producers + 1);
        });
        numbers.write(100).await;
    }
    drop(held);
    for (_, _, numbers, view, _) in &mut rows {
        block_in_place(|| view.committed());
        numbers.write(100).await;
    }
    // Longer than the time of a transaction, and of the watchdog.
    rig.server.suspend();
    tokio::time::sleep(Duration::from_secs(6)).await;
    rig.server.resume();
    for (_, _, mut numbers, mut view, member) in rows {
        numbers.write(100).await;
        finish(&numbers, &mut view, vec![member]).await;
    }
}
