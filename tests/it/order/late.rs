//! The one gap in the order, and what closes it: a request that its sender gave up may be applied by the service
//! afterwards, over a newer write. No client can prevent that; a version in the item does, since the service
//! itself then refuses the older one.

use std::time::Duration;

use dynamodb_connector::test_util::FaultPlan;

use super::{ONCE, Run, WRITES, ms};

/// Requests that are given up after 2 s and applied up to 30 s later.
fn late() -> FaultPlan {
    FaultPlan::seeded(8)
        .apply_late(0.04, ms(1)..=ms(30_000))
        .delay(0.3, ms(1)..=ms(80))
}

/// Waits until all that was given up has been applied.
async fn all_is_applied(run: &mut Run) {
    tokio::time::sleep(Duration::from_secs(60)).await;
    run.watch.look(&run.fake);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_given_up_may_land_over_a_newer_plain_write() {
    let mut run = Run::new(late(), 32).await;
    run.submit(5_000, false).await;
    run.close().await;
    all_is_applied(&mut run).await;
    // If this were 0, the test below would prove nothing.
    assert!(run.watch.stepped_back > 0);
}

#[tokio::test(start_paused = true)]
async fn no_guarded_write_lands_over_a_newer_one_even_if_it_was_given_up() {
    let mut run = Run::new(late(), 32).await;
    run.submit(WRITES, true).await;
    run.close().await;
    run.assert_newest();
    all_is_applied(&mut run).await;
    assert_eq!(run.watch.stepped_back, 0, "a key was stepped back");
    run.assert_newest();
    // Those that were sent again were refused by the service the second time: each was applied once.
    assert_eq!(run.watch.applied, ONCE);
    assert_eq!(run.watch.max_in_flight(), 32);
}
