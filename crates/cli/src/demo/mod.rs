//! From a table's changes to a Kafka topic, in order for each decision: DynamoDB and Kafka run within this process.
//!
//! The 1,000 credit decisions of `data/german_credit.csv` are written through the sink, each as it comes about: received, then with its
//! credit check, then with its fraud check, then decided. A pipeline turns the table's change stream into events and sends them to the topic
//! `decisions`. A consumer reads the topic back and checks that no event is missing and that those of each decision are in order.
//!
//! Ctrl-C ends the pipeline in good order: what it has read is delivered and its position stored.

mod check;
mod decision;
mod events;
mod table;

use std::error::Error;

use dynamodb_connector::embedded::{EmbeddedDynamoDb, EmbeddedKafka};
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::kafka::{KafkaSettings, KafkaSink};
use dynamodb_connector::sink::TableSink;
use dynamodb_connector::streams::StreamsSource;
use dynamodb_connector::{StreamView, TableSpec};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::Ending;

const TABLE: &str = "decisions";
const TOPIC: &str = "decisions";

/// Runs until every event was seen in the topic, or until Ctrl-C.
pub(crate) async fn run() -> Result<Ending, Box<dyn Error>> {
    let database = EmbeddedDynamoDb::start().await?;
    let broker = EmbeddedKafka::start(&[(TOPIC, 3)])?;
    let kafka = KafkaSettings::new(broker.bootstrap_servers());
    println!(
        "DynamoDB at {}, Kafka at {}",
        database.endpoint_url(),
        broker.bootstrap_servers()
    );

    let spec = TableSpec::new(TABLE)
        .partition("id", KeyKind::String)
        .stream(StreamView::NewAndOldImages);
    database.create_table(spec).await?;
    let client = database.client();
    let sink = TableSink::open(&client, TABLE).await?;
    let topic = KafkaSink::open(&kafka).await?;
    let changes = StreamsSource::builder(&client, &database.streams_client(), TABLE)
        .open()
        .await?;

    let decisions = decision::load()?;
    let expected = decisions.len() * decision::Stage::ALL.len();
    let bars = MultiProgress::new();
    let written = bars.add(bar("written", expected)?);
    let delivered = bars.add(bar("events", expected)?);

    let stop = changes.control();
    let pipeline = tokio::spawn(events::pipeline(changes, topic.clone()));
    let loading = tokio::spawn(table::load(sink, decisions, written.clone()));
    let checked = tokio::select! {
        checked = check::read(&kafka, TOPIC, expected, &delivered) => checked?,
        // Ended before everything arrived: by Ctrl-C, or with an error.
        report = pipeline => {
            bars.clear()?;
            println!("the pipeline ended early\n{}", report??);
            return Ok(Ending::Interrupted);
        }
    };
    let took = loading.await?.map_err(|error| error.to_string())?;
    stop.stop();
    topic.close().await?;
    written.finish_and_clear();
    delivered.finish_and_clear();
    println!(
        "written:   {expected} changes in {:.2} s",
        took.as_secs_f64()
    );
    println!("{checked}");
    Ok(if checked.is_complete() {
        Ending::Done
    } else {
        Ending::Failed
    })
}

fn bar(name: &'static str, length: usize) -> Result<ProgressBar, Box<dyn Error>> {
    let style = ProgressStyle::with_template("{prefix:8} {wide_bar} {pos}/{len} {per_sec}")?;
    Ok(ProgressBar::new(u64::try_from(length)?)
        .with_style(style)
        .with_prefix(name))
}
