//! Failures of a share of the requests.

use super::*;

#[tokio::test(start_paused = true)]
async fn where_a_share_of_the_requests_fails_all_is_written() {
    for fault in [
        unknown(),
        Fault::internal_error(),
        Fault::access_denied(),
        Fault::resource_not_found(),
        Fault::unrecognized_client(),
    ] {
        for fails in [5, 9] {
            let told = format!("{fails} of 10: {fault:?}");
            let (fake, table) = opened().await;
            refuse_share(&fake, &fault, fails, 10);
            let mut waves = Vec::new();
            for _ in 0..60 {
                waves.push(puts(&table, 50));
                tokio::time::sleep(secs(1)).await;
                let health = table.health();
                assert!(!matches!(health, Health::Ended { .. }), "{told}: {health}");
            }
            fake.heal();
            for wave in waves {
                assert_written(&wave.await.unwrap(), &told);
            }
            assert_eq!(fake.item_count(TABLE), 50, "{told}");
            tokio::time::sleep(secs(1)).await;
            assert!(table.health().is_healthy(), "{told}");
            table.close().await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_single_record_that_waits_through_a_share_of_failures_is_written() {
    for fault in [unknown(), Fault::access_denied(), Fault::internal_error()] {
        let told = format!("{fault:?}");
        let (fake, table) = opened().await;
        // Its own attempts fail for a minute, and nine in ten of the others.
        fake.inject(fault.clone().on_key(is_pk("single")).always());
        refuse_share(&fake, &fault, 9, 10);
        let single = table.put(&row("single", 1)).await.unwrap();
        let mut waves = Vec::new();
        for _ in 0..60 {
            waves.push(puts(&table, 10));
            tokio::time::sleep(secs(1)).await;
        }
        fake.heal();
        assert!(single.await.is_written(), "{told}");
        for wave in waves {
            assert_written(&wave.await.unwrap(), &told);
        }
        table.close().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn blips_far_apart_never_add_up() {
    for fault in [
        unknown(),
        Fault::access_denied(),
        Fault::resource_not_found(),
        Fault::unrecognized_client(),
        Fault::invalid_signature(),
        Fault::expired_token(),
        Fault::answer(403, ""),
        Fault::answer(404, ""),
    ] {
        let told = format!("{fault:?}");
        for minutes in [1, 20] {
            let (fake, table) = opened().await;
            for blip in 0..10 {
                fake.inject(on_writes(fault.clone()).times(3));
                let put = table.put(&row("a", blip)).confirm();
                let update = table.update(&id("b"), "SET n = :n").value(":n", &blip);
                let (put, update) = tokio::join!(put, update.confirm());
                assert_written(&[put.unwrap(), update.unwrap()], &told);
                fake.heal();
                assert!(table.health().is_healthy(), "{told}: {}", table.health());
                tokio::time::sleep(secs(60 * minutes)).await;
            }
            table.close().await.unwrap();
        }
    }
}
