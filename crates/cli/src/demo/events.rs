//! The pipeline: a table's changes in, events out.

use std::time::Duration;

use dynamodb_connector::kafka::{KafkaSink, ProducerRecord};
use dynamodb_connector::pipeline::{
    DeadLetter, Enrichment, FnSink, KafkaOutput, Keyed, Pipeline, PipelineError, PipelineReport,
};
use dynamodb_connector::streams::{Change, StreamsSource};
use serde::{Deserialize, Serialize};

use super::TOPIC;
use super::decision::{Decision, Stage};

/// An event as consumers of the topic see it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Event {
    pub(crate) decision: String,
    pub(crate) stage: Stage,
    amount_dm: u32,
    /// Looked up by the purpose of the credit.
    category: String,
    risk: Option<String>,
}

/// Runs until Ctrl-C or SIGTERM, or until it fails.
pub(crate) async fn pipeline(
    changes: StreamsSource,
    topic: KafkaSink,
) -> Result<PipelineReport, PipelineError> {
    let categories = Enrichment::new(|purpose: String| async move { category(&purpose).await })
        .timeout(Duration::from_secs(1));
    let invalid = FnSink::new(|letter: DeadLetter<_>| {
        eprintln!("dead letter: {letter}");
        std::future::ready(Ok(()))
    });
    Pipeline::from(changes.into_stream())
        .try_map(Change::<Decision>::read)
        .named("read")
        .filter_map(|change| change.new)
        .validate(|decision| match decision.amount_dm {
            0 => Err("an amount of nothing"),
            _ => Ok(()),
        })
        .named("amounts")
        .enrich(|decision| decision.purpose.clone(), categories, event)
        .key_by(|event| event.decision.clone())
        .dead_letter(invalid)
        .to(KafkaOutput::new(&topic, |event: &Keyed<String, Event>| {
            let json = serde_json::to_vec(event.value()).map_err(|error| error.to_string())?;
            let record = ProducerRecord::new(TOPIC, json).key(event.key().clone());
            Ok::<_, String>(Some(record))
        }))
        .run_until_signal()
        .await
}

fn event(decision: Decision, category: &'static str) -> Event {
    Event {
        decision: decision.id,
        stage: decision.stage,
        amount_dm: decision.amount_dm,
        category: category.to_owned(),
        risk: decision.risk,
    }
}

/// Stands for a lookup in another service: it is asked once for each purpose.
async fn category(purpose: &str) -> Result<Option<&'static str>, std::io::Error> {
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(Some(match purpose {
        "business" | "retraining" | "education" => "work",
        "car (new)" | "car (used)" => "car",
        _ => "household",
    }))
}
