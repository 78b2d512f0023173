//! Outages of all that is sent.

use super::*;

#[tokio::test(start_paused = true)]
async fn after_an_outage_all_is_written_within_a_backoff_and_five_seconds() {
    for (fault, lasting, healthy) in [
        (unknown(), 5, false),
        (unknown(), 60, false),
        (Fault::internal_error(), 60, false),
        (Fault::throttled(Throttle::Throttling), 5, true),
        (Fault::access_denied(), 20, false),
        (Fault::unrecognized_client(), 20, false),
    ] {
        let told = format!("{fault:?} for {lasting} s");
        let (fake, table) = opened().await;
        fake.inject(on_writes(fault).always());
        let outcomes = puts(&table, 10_000);
        let mut sent = Vec::new();
        for _ in 0..lasting {
            let before = writes_sent(&fake);
            tokio::time::sleep(secs(1)).await;
            sent.push(writes_sent(&fake) - before);
        }
        let health = table.health();
        assert_eq!(health.is_healthy(), healthy, "{told}: {health}");
        fake.heal();
        let healed = Instant::now();
        assert_written(&outcomes.await.unwrap(), &told);
        let took = healed.elapsed();
        assert!(took <= secs(15), "{told}: {took:?}");
        // All of the buffer once, and the burst of the retry budget; then what it earns.
        assert!(sent[0] <= 520, "{told}: {sent:?}");
        assert!(sent[1..].iter().all(|&sent| sent <= 11), "{told}: {sent:?}");
        tokio::time::sleep(secs(1)).await;
        assert!(table.health().is_healthy(), "{told}");
        table.close().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_refuses_whatever_is_sent_condemns_no_record() {
    for (fault, code, count) in [
        (
            Fault::validation("something new is required"),
            "ValidationException",
            1_000,
        ),
        (Fault::answer(413, ""), "http 413", 1_000),
        (Fault::answer(413, ""), "http 413", 1),
    ] {
        let (log, guard) = Log::subscribe("dynamodb_connector=info");
        let (fake, table) = opened().await;
        fake.inject(fault.clone().on(Operation::DescribeTable).always());
        fake.inject(fault.on(Operation::BatchWriteItem).always());
        let outcomes = puts(&table, count);
        tokio::time::sleep(secs(300)).await;
        let (health, limited) = (table.health().to_string(), table.stats().limited_by);
        assert!(health.contains("DescribeTable"), "{health}");
        let retries = matches!(limited, LimitedBy::Retries { .. });
        assert!(limited == LimitedBy::Description || retries, "{limited}");
        let warnings = log.lines("WARN");
        assert!((1..=5).contains(&warnings.len()), "{warnings:?}");
        assert!(warnings[0].contains(code), "{warnings:?}");
        fake.heal();
        let healed = Instant::now();
        assert_written(&outcomes.await.unwrap(), code);
        let took = healed.elapsed();
        assert!(took <= secs(15), "{code}: {took:?}");
        tokio::time::sleep(secs(1)).await;
        assert!(table.health().is_healthy(), "{}", table.health());
        table.close().await.unwrap();
        drop(guard);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_of_updates_that_may_not_be_used_says_so_and_comes_back_by_itself() {
    let (log, _subscriber) = Log::subscribe("dynamodb_connector=info");
    let (fake, table) = opened().await;
    let update = |n: u64| {
        let update = table.update(&id(format!("k{n}")), "SET n = :n");
        update.value(":n", &n)
    };
    let updates = || {
        let requests = fake.requests();
        let updates = requests
            .iter()
            .filter(|request| request.operation() == Some(Operation::UpdateItem));
        updates.count()
    };
    let denied = |outcome: &Outcome| {
        matches!(outcome, Outcome::Unwritten { may_have_applied: false, record: Some(_), cause: Some(cause), .. }
            if cause.code() == "AccessDeniedException")
    };
    fake.inject(Fault::access_denied().on(Operation::UpdateItem).always());
    let begun = Instant::now();
    let mut receipts = Vec::new();
    for n in 0..500 {
        receipts.push(update(n).await.unwrap());
    }
    for outcome in futures::future::join_all(receipts).await {
        assert!(denied(&outcome), "{outcome:?}");
    }
    assert!((secs(30)..secs(45)).contains(&begun.elapsed()));
    assert_eq!(log.lines("ERROR").len(), 1);
    let errors = log.lines("ERROR");
    assert!(errors[0].contains("UpdateItem") && errors[0].contains("AccessDeniedException"));

    // From now on each is answered at once, and one is tried each 30 s.
    let before = updates();
    for n in 0..600 {
        let begun = Instant::now();
        let outcome = update(n).confirm().await.unwrap();
        assert!(denied(&outcome), "{outcome:?}");
        assert!(begun.elapsed() < secs(1));
        let health = table.health();
        assert!(
            matches!(
                health,
                Health::Failing {
                    operation: "UpdateItem",
                    ..
                }
            ),
            "{health}"
        );
        tokio::time::sleep(secs(1)).await;
    }
    assert!(
        (15..=25).contains(&(updates() - before)),
        "{}",
        updates() - before
    );
    // Nor is it forgotten where nothing is submitted.
    tokio::time::sleep(secs(3_600)).await;
    assert!(!table.health().is_healthy());
    assert_eq!(log.lines("ERROR").len(), 1, "once");

    // The right is granted: no restart.
    fake.heal();
    assert!(update(0).confirm().await.unwrap().is_written());
    assert!(table.health().is_healthy());
    tokio::time::sleep(secs(30)).await;
    assert_eq!(log.lines("succeeds again").len(), 1);
    table.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sink_of_puts_that_may_not_be_used_ends() {
    let (fake, table) = opened().await;
    fake.inject(
        Fault::access_denied()
            .on(Operation::BatchWriteItem)
            .always(),
    );
    let begun = Instant::now();
    let outcomes = puts(&table, 500).await.unwrap();
    assert!((secs(30)..secs(45)).contains(&begun.elapsed()));
    let unwritten =
        |outcome: &Outcome| matches!(outcome, Outcome::Unwritten { cause: Some(_), .. });
    assert!(outcomes.iter().all(unwritten));
    let refused = table.put(&row("a", 1)).await.unwrap_err();
    assert!(matches!(refused, SubmitError::Failed { .. }), "{refused:?}");
    assert!(matches!(table.health(), Health::Ended { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_table_that_fails_while_it_closes_gives_each_record_one_outcome() {
    for (fault, dead_letters) in [
        (Fault::access_denied(), false),
        (Fault::unrecognized_client(), true),
        (Fault::expired_token(), true),
        (Fault::resource_not_found(), false),
    ] {
        let told = format!("{fault:?}");
        let fake = fake();
        let mut builder = builder(&fake, TableSettings::default());
        if dead_letters {
            builder = builder.dead_letters(|_| async { Ok(()) });
        }
        let sink = builder.open().await.unwrap();
        let table = sink.table(TABLE).unwrap();
        fake.inject(fault.always());
        let mut kept = Vec::new();
        for n in 0..300 {
            let receipt = table.put(&row(format!("k{n}"), n)).await.unwrap();
            // Of each second one nobody asks: the close reports it.
            if n % 2 == 0 {
                kept.push(receipt);
            }
        }
        let closing = [table.clone(), table.clone()]
            .map(|table| tokio::spawn(async move { table.close().await }));
        let kept = futures::future::join_all(kept).await;
        let unwritten = |outcome: &&Outcome| {
            matches!(
                outcome,
                Outcome::Unwritten {
                    cause: Some(_),
                    record: Some(_),
                    ..
                }
            )
        };
        assert_eq!(kept.iter().filter(unwritten).count(), 150, "{told}");
        let mut reported = 0;
        for closed in closing {
            let error = closed.await.unwrap().unwrap_err();
            if let DrainError::Failed { outcomes, .. } = &error {
                assert!(outcomes.iter().all(|outcome| unwritten(&outcome)));
                reported += outcomes.len();
            }
        }
        assert_eq!(reported, 150, "{told}");
        assert!(matches!(table.health(), Health::Ended { .. }), "{told}");
        let stats = table.stats();
        assert_eq!((stats.unwritten, stats.written), (300, 0), "{told}");
        assert!(table.abort().await.is_empty(), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn deadlines_are_kept_during_an_outage() {
    for fault in [
        unknown(),
        Fault::internal_error(),
        Fault::close_before(),
        Fault::bad_gateway(),
        Fault::throttled(Throttle::Throttling),
        Fault::unprocessed_all(),
        Fault::access_denied(),
        Fault::resource_not_found(),
        Fault::unrecognized_client(),
        Fault::expired_token(),
        Fault::validation("odd"),
    ] {
        for coalesce in [false, true] {
            let told = format!("coalesce {coalesce}: {fault:?}");
            let fake = fake();
            let settings = TableSettings::default()
                .coalesce(coalesce)
                .deadline(secs(10));
            let table = open_with(&fake, settings).await;
            // The description, too: nothing is decided.
            fake.inject(fault.clone().always());
            fake.inject(
                Fault::internal_error()
                    .on(Operation::DescribeTable)
                    .always(),
            );
            let mut waiting = Vec::new();
            for n in 0..300_u64 {
                let put = table.put(&row(format!("k{}", n % 50), n));
                let receipt = put.await.unwrap();
                let submitted = Instant::now();
                waiting.push(async move { (receipt.await, submitted.elapsed()) });
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            for (outcome, took) in futures::future::join_all(waiting).await {
                let late = matches!(
                    outcome,
                    Outcome::Rejected {
                        reason: RejectReason::DeadlineExceeded { .. },
                        ..
                    }
                );
                assert!(late, "{told}: {outcome:?}");
                assert!((secs(10)..=secs(11)).contains(&took), "{told}: {took:?}");
            }
            table.close().await.unwrap();
        }
    }
}
