//! Dead letters and their handler.

use super::*;

type Letters = Arc<Mutex<Vec<FailedWrite>>>;

async fn with_letters(fake: &FaultyDynamoDb) -> (TableSink, Letters) {
    let letters = Letters::default();
    let kept = Arc::clone(&letters);
    let sink = builder(fake, TableSettings::default()).dead_letters(move |letter| {
        kept.lock().push(letter);
        async { Ok(()) }
    });
    let table = sink.open().await.unwrap().table(TABLE).unwrap();
    (table, letters)
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_has_the_record_and_the_reason() {
    let fake = fake();
    let (table, letters) = with_letters(&fake).await;
    fake.inject(Fault::poison(is_pk("bad")));
    drop(table.put(&row("bad", 1)).await.unwrap());
    drop(table.put(&row("good", 1)).await.unwrap());
    fake.inject(Fault::close_after().on(Operation::UpdateItem));
    let add = table.update(&id("n"), "ADD n :one").value(":one", &1);
    let lost = add.await.unwrap();
    table.flush().await.expect("the handler has them");
    assert!(matches!(lost.await, Outcome::Unknown { .. }));
    let letters = letters.lock();
    let bad = letters.iter().find(|l| l.reason.is_some()).unwrap();
    let item = bad.record.item().unwrap();
    assert_eq!(item.deserialize::<Row>().unwrap(), row("bad", 1));
    let reason = bad.reason.as_ref().unwrap();
    assert_eq!(
        reason.service_error().unwrap().code(),
        "ValidationException"
    );
    assert!(!bad.may_have_applied);
    let lost = letters.iter().find(|l| l.reason.is_none()).unwrap();
    assert!(lost.may_have_applied);
    assert_eq!(letters.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_flush_and_the_key_wait_for_a_slow_handler() {
    let fake = fake();
    let done = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&done);
    let sink = builder(&fake, TableSettings::default()).dead_letters(move |_| {
        let count = Arc::clone(&count);
        async move {
            tokio::time::sleep(Duration::from_secs(30)).await;
            count.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    });
    let table = sink.open().await.unwrap().table(TABLE).unwrap();
    // The first refusals of all may be for the sake of what else a request asks for.
    for _ in 0..2 {
        let before = table.put(&row("a", 0)).confirm().await.unwrap();
        assert!(before.is_written());
        settle().await;
    }
    fake.inject(
        Fault::validation("no")
            .on(Operation::BatchWriteItem)
            .times(2),
    );
    drop(table.put(&row("a", 1)).await.unwrap());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut next = table.put(&row("a", 2)).await.unwrap();
    let other = table.put(&row("b", 2)).await.unwrap();
    assert!(other.await.is_written(), "other keys go on");
    assert!(next.try_outcome().is_none());
    assert_eq!(table.snapshot().await.unwrap().len(), 2);
    let before = tokio::time::timeout(Duration::from_secs(10), table.flush()).await;
    assert!(before.is_err(), "the handler is not done");
    table.flush().await.unwrap();
    assert_eq!(done.load(Ordering::Relaxed), 1);
    assert!(next.await.is_written());
    table.close().await.unwrap();
    assert_no_room_taken(&table);
}

#[derive(Clone, Copy, Debug)]
enum Failing {
    Error,
    Panic,
    PanicAtOnce,
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_fails_stops_the_table_and_the_record_is_reported() {
    for how in [Failing::Error, Failing::Panic, Failing::PanicAtOnce] {
        let fake = fake();
        let sink = builder(&fake, TableSettings::default()).dead_letters(move |_| {
            assert!(!matches!(how, Failing::PanicAtOnce), "on purpose");
            async move {
                assert!(!matches!(how, Failing::Panic), "on purpose");
                Err("the queue is full".into())
            }
        });
        let table = sink.open().await.unwrap().table(TABLE).unwrap();
        fake.inject(Fault::poison(is_pk("bad")));
        drop(table.put(&row("bad", 1)).await.unwrap());
        let good = table.put(&row("good", 1)).await.unwrap();
        let error = table.flush().await.unwrap_err();
        let DrainError::Stopped {
            reason: StopReason::DeadLetter(_),
            outcomes,
            ..
        } = &error
        else {
            panic!("{how:?} {error:?}");
        };
        assert_eq!(outcomes.len(), 1, "{how:?}: the handler has not taken it");
        assert_eq!(key_of(&outcomes[0]), "bad");
        assert!(good.await.is_written(), "what was accepted is carried out");
        let refused = table.put(&row("later", 1)).await.unwrap_err();
        assert!(matches!(refused, SubmitError::Stopped(_)), "{refused:?}");
        let closed = table.close().await.unwrap_err();
        assert!(matches!(closed, DrainError::Stopped { .. }));
        assert!(closed.outcomes().is_empty());
        assert_no_room_taken(&table);
    }
}
