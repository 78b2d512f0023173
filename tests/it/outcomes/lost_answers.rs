//! Writes whose answer was lost.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_conditional_put_whose_answer_was_lost_knows_its_own_item() {
    #[derive(serde::Serialize)]
    struct Priced {
        pk: &'static str,
        price: f64,
        tags: Vec<&'static str>,
    }
    for fault in [
        Fault::close_after(),
        Fault::garbage_body(),
        Fault::truncated_body(),
        Fault::internal_error().after_applying(),
        Fault::never_answer().after_applying(),
    ] {
        let name = format!("{fault:?}");
        let fake = fake();
        let table = open(&fake).await;
        fake.inject(fault);
        let record = Priced {
            pk: "a",
            price: 1.50,
            tags: vec!["x", "y"],
        };
        let put = table.put(&record).condition(NEW);
        let outcome = put.confirm().await.unwrap();
        assert!(outcome.is_written(), "{outcome:?} {name}");
        assert_eq!(fake.applied().len(), 1, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_conditional_put_whose_answer_was_lost_does_not_claim_another_ones_item() {
    let fake = fake();
    let table = open(&fake).await;
    drop(table.put(&row("a", 1)).await.unwrap());
    table.flush().await.unwrap();
    fake.inject(on_writes(Fault::close_before()));
    let put = table.put(&row("a", 2)).condition(NEW);
    let outcome = put.confirm().await.unwrap();
    assert!(
        matches!(
            outcome,
            Outcome::Unknown {
                existing: Some(_),
                ..
            }
        ),
        "never applied, or applied and then changed by somebody else: {outcome:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_conditional_delete_whose_answer_was_lost_is_written() {
    let fake = fake();
    let table = open(&fake).await;
    drop(table.put(&row("a", 1)).await.unwrap());
    table.flush().await.unwrap();
    fake.inject(on_writes(Fault::close_after()));
    let delete = table.delete(&id("a")).condition("attribute_exists(pk)");
    assert!(delete.confirm().await.unwrap().is_written());
    assert_eq!(stored(&fake, "a"), None);
}

#[tokio::test(start_paused = true)]
async fn an_add_whose_answer_was_lost_is_unknown_and_not_sent_again() {
    let fake = fake();
    let table = open(&fake).await;
    fake.inject(on_writes(Fault::close_after()));
    let add = table.update(&id("a"), "ADD n :one").value(":one", &1);
    let outcome = add.confirm().await.unwrap();
    let Outcome::Unknown { record, .. } = &outcome else {
        panic!("{outcome:?}");
    };
    assert!(outcome.may_have_applied());
    assert_eq!(record.kind(), WriteKind::Update);
    assert!(record.parts()[0].expressions().contains("ADD n :one"));
    assert_eq!(stored_n(&fake, "a"), Some(1));
    assert_eq!(writes_sent(&fake), 1);
    // The next one of the key is not held up.
    let add = table.update(&id("a"), "ADD n :one").value(":one", &1);
    assert!(add.confirm().await.unwrap().is_written());
    assert_eq!(stored_n(&fake, "a"), Some(2));
}

#[tokio::test(start_paused = true)]
async fn an_add_that_was_surely_not_applied_is_sent_again() {
    let fake = fake();
    let table = open(&fake).await;
    fake.inject(on_writes(Fault::throttled(Throttle::Throttling).times(3)));
    fake.inject(on_writes(Fault::transaction_conflict().times(2)));
    let add = table.update(&id("a"), "ADD n :one").value(":one", &1);
    assert!(add.confirm().await.unwrap().is_written());
    assert_eq!(stored_n(&fake, "a"), Some(1));
}

#[tokio::test(start_paused = true)]
async fn an_update_that_only_sets_is_sent_again() {
    let fake = fake();
    let table = open(&fake).await;
    fake.inject(on_writes(Fault::close_after()));
    let set = table.update(&id("a"), "SET n = :n").value(":n", &5);
    assert!(set.confirm().await.unwrap().is_written());
    fake.inject(on_writes(Fault::close_after()));
    let said = table.update(&id("b"), "SET n = :n").value(":n", &5);
    let outcome = said.idempotent(false).confirm().await.unwrap();
    assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
    fake.inject(on_writes(Fault::close_after()));
    let said = table.update(&id("c"), "ADD n :n").value(":n", &5);
    let outcome = said.idempotent(true).confirm().await.unwrap();
    assert!(outcome.is_written());
    assert_eq!(stored_n(&fake, "c"), Some(10), "the caller said it may be");
}

#[tokio::test(start_paused = true)]
async fn a_conditional_update_whose_answer_was_lost_is_unknown() {
    let fake = fake();
    let table = open(&fake).await;
    fake.inject(on_writes(Fault::close_after()));
    let update = table.update(&id("a"), "SET n = :n").value(":n", &5);
    let outcome = update.condition(NEW).confirm().await.unwrap();
    assert!(
        matches!(
            outcome,
            Outcome::Unknown {
                existing: Some(_),
                ..
            }
        ),
        "{outcome:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn exactly_once_survives_lost_answers() {
    let fake = fake();
    let table = open(&fake).await;
    fake.inject(on_writes(Fault::close_after()));
    fake.inject(on_writes(Fault::internal_error().after_applying()));
    fake.inject(on_writes(Fault::close_before()));
    fake.inject(on_writes(Fault::transaction_in_progress()));
    let add = table.update(&id("a"), "ADD n :one").value(":one", &1);
    assert!(add.exactly_once().confirm().await.unwrap().is_written());
    assert_eq!(stored_n(&fake, "a"), Some(1));
    assert_eq!(writes_sent(&fake), 5);
}

/// The service remembers a token for ten minutes. Throttled for longer than that after a lost
/// answer, a repetition would be applied a second time.
#[tokio::test(start_paused = true)]
async fn exactly_once_ends_with_the_life_of_its_token() {
    let fake = fake();
    let table = open(&fake).await;
    fake.inject(on_writes(Fault::close_after()));
    fake.inject(Fault::throttled(Throttle::ProvisionedThroughput).always());
    let add = table.update(&id("a"), "ADD n :one").value(":one", &1);
    let receipt = add.exactly_once().await.unwrap();
    tokio::time::sleep(Duration::from_secs(11 * 60)).await;
    fake.heal();
    let outcome = receipt.await;
    assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
    assert_eq!(stored_n(&fake, "a"), Some(1), "applied twice");
    table.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn exactly_once_that_was_never_applied_may_be_throttled_for_long() {
    let fake = fake();
    let table = open(&fake).await;
    fake.inject(Fault::throttled(Throttle::ProvisionedThroughput).always());
    let add = table.update(&id("a"), "ADD n :one").value(":one", &1);
    let receipt = add.exactly_once().await.unwrap();
    tokio::time::sleep(Duration::from_secs(11 * 60)).await;
    fake.heal();
    assert!(receipt.await.is_written());
    assert_eq!(stored_n(&fake, "a"), Some(1));
}
