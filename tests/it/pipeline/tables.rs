//! A table as a pipeline's sink.

use std::time::Duration;

use dynamodb_connector::pipeline::{Pipeline, TableOutput};
use dynamodb_connector::sink::TableSettings;
use dynamodb_connector::test_util::Fault;
use dynamodb_connector::test_util::{CollectSink, IterSource};

use crate::setup::{fake, large, on_writes, open, open_with, row, settle, stored_n};

#[tokio::test(start_paused = true)]
async fn records_are_acknowledged_once_the_table_has_them() {
    let fake = fake();
    fake.inject(Fault::delay_before(Duration::from_secs(1)).always());
    let table = open(&fake).await;
    let source = IterSource::new(0..30_u64);
    let acks = source.acks();
    let job = Pipeline::from(source)
        .map(|n| row(format!("k{}", n % 10), n))
        .to(TableOutput::puts(&table));
    let running = tokio::spawn(job.run());
    settle().await;
    assert_eq!(acks.done(), []);
    assert_eq!(running.await.unwrap().unwrap().acknowledged, 30);
    assert_eq!(stored_n(&fake, "k7"), Some(27));
    assert_eq!(acks.done().len(), 30);
    table.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_written_goes_to_the_dead_letters() {
    let fake = fake();
    let table = open(&fake).await;
    let dead = CollectSink::new();
    let sizes = [10, 500_000, 20];
    let job = Pipeline::from(IterSource::new(sizes))
        .map(|bytes| large(format!("k{bytes}"), bytes))
        .dead_letter(dead.clone())
        .to_named("table", TableOutput::puts(&table));
    let report = job.run().await.unwrap();
    assert_eq!(report.acknowledged, 3);
    let letters = dead.take();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].record, 500_000);
    let told = letters[0].to_string();
    assert!(
        told.starts_with("table: records@1: ") && told.contains("decisions"),
        "{told}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_service_refuses_goes_to_the_dead_letters_or_stops() {
    let fake = fake();
    fake.inject(on_writes(Fault::never_answer()).always());
    let settings = TableSettings::default().deadline(Duration::from_secs(5));
    let table = open_with(&fake, settings).await;
    let dead = CollectSink::new();
    let job = Pipeline::from(IterSource::new([1_u64, 2]))
        .map(|n| row("k", n))
        .dead_letter(dead.clone())
        .to(TableOutput::puts(&table));
    assert_eq!(job.run().await.unwrap().acknowledged, 2);
    assert_eq!(dead.len(), 2);
    let source = IterSource::new([1_u64]);
    let acks = source.acks();
    let job = Pipeline::from(source)
        .map(|n| row("k", n))
        .to(TableOutput::puts(&table));
    let error = job.run().await.unwrap_err();
    assert!(error.to_string().contains("deadline passed"), "{error}");
    assert_eq!((acks.done().len(), acks.dropped().len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_aborted_ends_the_pipeline_with_its_own_words() {
    let fake = fake();
    fake.inject(on_writes(Fault::never_answer()).always());
    let table = open(&fake).await;
    let source = IterSource::new([1_u64, 2]);
    let acks = source.acks();
    let job = Pipeline::from(source)
        .map(|n| row(format!("k{n}"), n))
        .to(TableOutput::puts(&table));
    let running = tokio::spawn(job.run());
    settle().await;
    table.abort().await;
    let error = running.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("handed back"), "{error}");
    assert!(error.is_retryable());
    assert_eq!((acks.done().len(), acks.dropped().len()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_condition_that_does_not_hold_is_an_answer() {
    let fake = fake();
    let table = open(&fake).await;
    table
        .put(&row("k", 5))
        .await
        .unwrap()
        .await
        .into_result()
        .unwrap();
    let job = Pipeline::from(IterSource::new([3_u64, 9]))
        .map(|n| row("k", n))
        .to(TableOutput::new(&table, |table, row| {
            table.put(row).newer_by("n")
        }));
    assert_eq!(job.run().await.unwrap().acknowledged, 2);
    assert_eq!(stored_n(&fake, "k"), Some(9));
}
