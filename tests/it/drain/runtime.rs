//! A runtime that is gone.

use super::*;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
}

/// Waits on another runtime than the sink's.
fn elsewhere<F: Future>(future: F) -> F::Output {
    runtime().block_on(future)
}

#[test]
fn receipts_and_drains_hear_of_a_runtime_that_is_gone() {
    let runtime = runtime();
    let fake = fake();
    fake.inject(Fault::never_answer().always());
    let (table, receipt, closed) = runtime.block_on(async {
        let table = open(&fake).await;
        let receipt = table.put(&row("a", 1)).await.unwrap();
        settle().await;
        let closed = open(&fake).await;
        closed.close().await.unwrap();
        (table, receipt, closed)
    });
    drop(runtime);
    let outcome = elsewhere(receipt);
    assert!(
        matches!(
            outcome,
            Outcome::Unwritten {
                may_have_applied: true,
                record: None,
                ..
            }
        ),
        "{outcome:?}"
    );
    elsewhere(async {
        let refused = table.put(&row("b", 1)).await.unwrap_err();
        assert!(matches!(refused, SubmitError::Gone), "{refused:?}");
        let refused = table.put(&row("b", 1)).try_submit().unwrap_err();
        assert!(matches!(refused, SubmitError::Gone), "{refused:?}");
        for error in [
            table.flush().await.unwrap_err(),
            table.snapshot().await.unwrap_err(),
            table.close().await.unwrap_err(),
        ] {
            assert!(matches!(error, DrainError::Gone), "{error:?}");
            assert!(error.may_have_applied());
        }
        assert!(table.abort().await.is_empty());
        // One that was closed before stays closed.
        assert!(matches!(closed.flush().await, Err(DrainError::Closed)));
    });
}

#[test]
fn a_close_under_way_hears_of_a_runtime_that_goes() {
    let runtime = runtime();
    let fake = fake();
    fake.inject(Fault::never_answer().always());
    let table: TableSink = runtime.block_on(async {
        let table = open(&fake).await;
        drop(table.put(&row("a", 1)).await.unwrap());
        settle().await;
        table
    });
    let mut close = Box::pin(table.close());
    assert!(close.as_mut().now_or_never().is_none());
    drop(runtime);
    let closed = elsewhere(close);
    assert!(matches!(closed, Err(DrainError::Gone)), "{closed:?}");
}
