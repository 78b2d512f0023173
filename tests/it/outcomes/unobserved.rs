//! Failures whose receipt was dropped.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_failure_of_a_dropped_receipt_is_reported_by_the_next_flush_once() {
    let fake = fake();
    fake.inject(Fault::poison(is_pk("bad")));
    let table = open(&fake).await;
    drop(table.put(&row("bad", 1)).await.unwrap());
    drop(table.put(&row("good", 1)).await.unwrap());
    let error = table.flush().await.unwrap_err();
    let DrainError::Unobserved { outcomes, .. } = &error else {
        panic!("{error:?}");
    };
    let [Outcome::Rejected { record, .. }] = &outcomes[..] else {
        panic!("{outcomes:?}");
    };
    let held = record.item().unwrap();
    assert_eq!(
        held.deserialize::<crate::setup::Row>().unwrap(),
        row("bad", 1)
    );
    table.flush().await.expect("reported once");
    // The table goes on; close reports too, and closes all the same.
    drop(table.put(&row("bad", 2)).await.unwrap());
    let error = table.close().await.unwrap_err();
    assert_eq!(error.outcomes().len(), 1);
    assert!(matches!(
        table.put(&row("good", 2)).await,
        Err(SubmitError::Closed)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_nobody_hears_does_not_swallow_failures() {
    let fake = fake();
    fake.inject(Fault::poison(is_pk("bad")).delayed(Duration::from_secs(2)));
    let table = open(&fake).await;
    drop(table.put(&row("bad", 1)).await.unwrap());
    let gave_up = tokio::time::timeout(Duration::from_secs(1), table.flush()).await;
    assert!(gave_up.is_err());
    tokio::time::sleep(Duration::from_secs(60)).await;
    let error = table.flush().await.unwrap_err();
    assert_eq!(error.outcomes().len(), 1, "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_flush_of_all_tables_reports_the_failures_of_all() {
    let fake = fake();
    fake.create_table(TableSpec::new("others"));
    fake.inject(Fault::poison(is_pk("bad")));
    let sink = DynamoDbSink::builder(&fake.client())
        .table(TABLE, TableSettings::default())
        .table("others", TableSettings::default())
        .open();
    let sink = sink.await.unwrap();
    for close in [false, true] {
        for table in sink.tables() {
            drop(table.put(&row("bad", 1)).await.unwrap());
        }
        let result = if close {
            sink.close().await
        } else {
            sink.flush().await
        };
        let error = result.unwrap_err();
        let mut tables: Vec<&str> = error
            .outcomes()
            .iter()
            .map(|outcome| match outcome {
                Outcome::Rejected { record, .. } => record.table(),
                other => panic!("{other:?}"),
            })
            .collect();
        tables.sort_unstable();
        assert_eq!(tables, [TABLE, "others"]);
    }
}

#[tokio::test(start_paused = true)]
async fn failures_that_nobody_looks_at_stop_the_table() {
    let fake = fake();
    fake.inject(Fault::poison(|_| true));
    let table = open(&fake).await;
    let mut accepted = 0;
    let error = loop {
        match table.put(&row(format!("k{accepted}"), 1)).await {
            Ok(receipt) => drop(receipt),
            Err(error) => break error,
        }
        accepted += 1;
        if accepted % 25 == 0 {
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        assert!(accepted < 20_000);
    };
    let SubmitError::Stopped(StopReason::Unobserved(count)) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*count, 1_000);
    assert!((1_000..1_100).contains(&accepted), "{accepted}");
    let error = table.close().await.unwrap_err();
    assert!(
        matches!(error, DrainError::Stopped { .. }),
        "a stop is told: {error}"
    );
    assert_eq!(error.outcomes().len(), accepted);
    assert_no_room_taken(&table);
}

#[tokio::test(start_paused = true)]
async fn a_failed_condition_is_no_failure_to_report() {
    let fake = fake();
    let table = open(&fake).await;
    for n in 0..2 {
        drop(table.put(&row("a", n)).condition(NEW).await.unwrap());
    }
    table.flush().await.unwrap();
    assert_eq!(table.stats().condition_failed, 1);
    table.close().await.unwrap();
}
