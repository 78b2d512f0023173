//! Dead letters, and records that cannot be read.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_offered_until_it_is_taken() {
    let fake = table(1);
    put(&fake, "bad", 0).await;
    put(&fake, "good", 0).await;
    let (log, calls) = (Log::default(), Arc::default());
    let offered = Arc::new(AtomicUsize::new(0));
    let taking = Arc::clone(&offered);
    let source = nth(&fake, 1)
        .settings(settings().retry(attempts(1)))
        .dead_letters(move |_| {
            let turn = taking.fetch_add(1, Ordering::Relaxed);
            async move {
                assert!(turn != 2, "the dead-letter handler's bug");
                if turn < 4 {
                    Err(Problem("the queue is down"))
                } else {
                    Ok(())
                }
            }
        });
    let worker = Worker::handle(source, fails_on(&log, &calls, "bad")).await;
    log.until(1).await;
    tokio::time::sleep(30 * SECOND).await;
    worker.stop().await;
    assert_eq!(offered.load(Ordering::Relaxed), 5);
    assert_eq!(log.versions("good"), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_is_not_taken_comes_again_after_a_restart() {
    let fake = table(1);
    put(&fake, "bad", 0).await;
    put(&fake, "good", 0).await;
    let (log, calls) = (Log::default(), Arc::default());
    let source = nth(&fake, 1)
        .settings(settings().retry(attempts(1)).batch_records(1))
        .dead_letters(|_| async { Err(Problem("the queue is down")) });
    let worker = Worker::handle(source, fails_on(&log, &calls, "bad")).await;
    tokio::time::sleep(30 * SECOND).await;
    worker.stop().await;
    assert_eq!(log.len(), 0, "nothing overtakes it");
    let again = Log::default();
    let worker = Worker::start(nth(&fake, 2), &again).await;
    again.until(2).await;
    worker.stop().await;
    assert_eq!(
        (again.versions("bad"), again.versions("good")),
        (vec![0], vec![0])
    );
}

/// An item whose version is no number: no [`Item`].
async fn put_unreadable(fake: &FaultyDynamoDb, id: &str) {
    let request = fake.client().put_item().table_name(TABLE);
    let request = request.item("id", AttributeValue::S(id.to_owned())).item(
        "version",
        AttributeValue::S("the secret of the item".to_owned()),
    );
    request.send().await.expect("it is written");
}

const UNKNOWN: &str = r#"{"eventID": "x", "eventName": "TRUNCATE", "eventVersion": "1.1",
    "dynamodb": {"Keys": {"id": {"S": "a secret key"}}, "ApproximateCreationDateTime": 1700000000}}"#;

#[tokio::test(start_paused = true)]
async fn an_image_that_cannot_be_read_is_dead_lettered_and_the_rest_handled() {
    let fake = table(1);
    let shard = open_shards(&fake).remove(0);
    put(&fake, "a", 0).await;
    put_unreadable(&fake, "u").await;
    put(&fake, "a", 1).await;
    fake.inject_stream_record(TABLE, &shard, UNKNOWN)
        .expect("it is in the stream");
    put(&fake, "a", 2).await;
    fake.inject_stream_record(TABLE, &shard, r#"{"eventName": "INSERT"}"#);
    put(&fake, "a", 3).await;
    let (log, letters) = (Log::default(), Letters::default());
    let worker = Worker::start(letters.take(nth(&fake, 1)), &log).await;
    log.until(4).await;
    worker.stop().await;
    assert_eq!(log.versions("a"), [0, 1, 2, 3]);
    let letters = letters.all();
    assert_eq!(letters.len(), 3);
    assert!(matches!(letters[0].reason, DeadReason::Undecodable(_)));
    assert!(letters[0].record.is_ok(), "its keys can be read");
    assert!(matches!(letters[1].reason, DeadReason::Malformed));
    assert!(
        letters[1]
            .record
            .as_ref()
            .is_err_and(|r| r.sequence_number().is_some())
    );
    assert!(matches!(letters[2].reason, DeadReason::Malformed));
    let shown = format!("{letters:?}");
    assert!(!shown.contains("secret"), "{shown}");

    let line = letters[0].to_json_line();
    assert!(line.contains(r#""reason":{"kind":"invalid""#), "{line}");
    let again = RawChange::from_dead_letter(&line).expect("a change");
    let record = letters[0].record.as_ref().expect("its keys can be read");
    assert_eq!(again.record().keys_json(), record.keys_json());
    assert_eq!(again.record().new_image_json(), record.new_image_json());
    assert_eq!(again.record().sequence_number(), record.sequence_number());
    let line = letters[1].to_json_line();
    assert!(line.contains(r#""record":{"malformed":{"#) && !line.contains('\n'), "{line}");
    RawChange::from_dead_letter(&line).expect_err("no change that can be read");
    let others = line.replace("dynamodb-streams", "kafka");
    RawChange::from_dead_letter(&others).expect_err("another's letter");

    let rest = Log::default();
    let worker = Worker::start(nth(&fake, 2), &rest).await;
    tokio::time::sleep(20 * SECOND).await;
    worker.stop().await;
    assert_eq!(rest.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_and_that_nobody_takes_ends_the_source() {
    for unknown in [false, true] {
        let fake = table(1);
        put(&fake, "a", 0).await;
        if unknown {
            let shard = open_shards(&fake).remove(0);
            fake.inject_stream_record(TABLE, &shard, UNKNOWN);
        } else {
            put_unreadable(&fake, "u").await;
        }
        put(&fake, "a", 1).await;
        let log = Log::default();
        let error = Worker::start(nth(&fake, 1), &log).await.error().await;
        assert_eq!(error.kind(), ErrorKind::Invalid);
        match &error {
            StreamsError::Undecodable { .. } => assert!(!unknown),
            StreamsError::Malformed { .. } => assert!(unknown),
            other => panic!("{other}"),
        }
        let said = format!("{error} {error:?}");
        assert!(!said.contains("secret"), "{said}");
        assert_eq!(log.versions("a"), [0]);
    }
}

#[tokio::test(start_paused = true)]
async fn as_a_stream_a_record_of_an_unknown_kind_goes_to_the_dead_letters_or_ends_it() {
    let fake = table(1);
    let shard = open_shards(&fake).remove(0);
    put(&fake, "a", 0).await;
    fake.inject_stream_record(TABLE, &shard, UNKNOWN);
    put(&fake, "a", 1).await;
    let mut stream = nth(&fake, 1).open().await.expect("it opens").into_stream();
    let mut ended = None;
    while ended.is_none() {
        match stream.next().await.expect("more") {
            Ok(delivery) => delivery.ack.done(),
            Err(error) => ended = Some(error),
        }
    }
    assert!(
        matches!(ended, Some(StreamsError::Malformed { .. })),
        "{ended:?}"
    );
    assert!(stream.next().await.is_none(), "an error is the last");

    let letters = Letters::default();
    let source = letters.take(nth(&fake, 2).lease_table("another"));
    let mut stream = source.open().await.expect("it opens").into_stream();
    for _ in 0..2 {
        stream
            .next()
            .await
            .expect("more")
            .expect("a record")
            .ack
            .done();
    }
    tokio::time::timeout(5 * SECOND, stream.next())
        .await
        .expect_err("no more");
    assert_eq!(letters.all().len(), 1);
    stream.close().await.expect("it closes");
}
