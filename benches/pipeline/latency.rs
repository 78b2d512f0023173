//! From a put's acknowledgement until a consumer of the topic has the event.

use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::kafka::{
    KafkaSettings, KafkaSink, KafkaSource, KafkaSourceSettings, ProducerRecord,
};
use dynamodb_connector::pipeline::KafkaOutput;
use dynamodb_connector::streams::{StartPosition, StreamsSettings};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::broker::{Broker, Topic};
use crate::changes::board::Board;
use crate::changes::server::{ChangeServer, Contents};
use crate::changes::{Clients, beside_server, unique, writing};
use crate::event::{self, KeyAndJson, Number};
use crate::figures::times;
use crate::report::{Bound, Report};
use crate::rig::Failure;
use crate::rig::times::Times;

const SHARDS: usize = 4;
const RATE: usize = 1_000;
/// What a change's event may take beyond the poll interval, in milliseconds.
const BEYOND: f64 = 20.0;

/// The default, and a tuned one, in milliseconds.
const POLLS: [(u64, &str, Topic); 2] = [
    (200, "put acknowledged to event consumed", Topic::Default),
    (
        10,
        "put acknowledged to event consumed, poll 10ms",
        Topic::Tuned,
    ),
];

pub(crate) fn run(report: &mut Report, broker: &Broker, quick: bool) -> Result<(), Failure> {
    let seconds = if quick { 5 } else { 30 };
    for (poll, name, topic) in POLLS {
        let topic = broker.topic(topic)?;
        let server = ChangeServer::start(Contents {
            shards: SHARDS,
            changes: 0,
        })?;
        let flow = Flow {
            clients: server.clients(),
            kafka: KafkaSettings::new(broker.bootstrap()),
            topic,
            poll: Duration::from_millis(poll),
        };
        let latencies = beside_server(|| {
            tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?
                .block_on(flow.measure(seconds * RATE))
        })?;
        times(report, format!("{name}, {RATE}/s"), &latencies);
        let most = flow.poll.as_secs_f64() * 1e3 + BEYOND;
        if !broker.is_mock() {
            report.bar(
                format!("{name}, p99, ms"),
                latencies.at(0.99),
                Bound::AtMost(most),
            );
        }
    }
    Ok(())
}

struct Flow {
    clients: Clients,
    kafka: KafkaSettings,
    topic: String,
    poll: Duration,
}

impl Flow {
    async fn measure(&self, counted: usize) -> Result<Times, Failure> {
        /// While these come, the consumer joins its group; all of them are awaited before the others begin.
        const WARM_UP: usize = 3 * RATE;
        let rate = f64::from(u32::try_from(RATE)?);
        let board = Board::new(WARM_UP + counted);
        let consumer = consume(&self.kafka, &self.topic, Arc::clone(&board)).await?;
        let (stop, stopped) = oneshot::channel::<()>();
        let sink = KafkaSink::open(&self.kafka).await?;
        let source = self
            .clients
            .source(&unique("latency"))
            .start(StartPosition::Latest)
            .settings(StreamsSettings::default().poll(self.poll))
            .open()
            .await?;
        let topic: Arc<str> = self.topic.as_str().into();
        let output = KafkaOutput::new(&sink, move |(key, json): &KeyAndJson| {
            let record = ProducerRecord::new(Arc::clone(&topic), json.clone());
            Ok::<_, String>(Some(record.key(key.clone())))
        });
        let job = event::serialised(source.into_stream()).to(output);
        let pipeline = tokio::spawn(job.run_until(async move {
            // Sent, or gone with whoever would have sent it.
            let _ = stopped.await;
        }));
        let writing = async {
            writing::put(&self.clients, &board, 0..WARM_UP, rate).await?;
            board.all_seen(0..WARM_UP).await?;
            writing::put(&self.clients, &board, WARM_UP..WARM_UP + counted, rate).await?;
            board.all_seen(WARM_UP..WARM_UP + counted).await
        };
        let written: Result<(), Failure> = writing.await;
        let _ = stop.send(());
        // What the pipeline says of it comes first: it is why nothing came out.
        pipeline.await??;
        consumer.abort();
        written?;
        Ok(board.acknowledged_to_seen(WARM_UP..WARM_UP + counted))
    }
}

/// A consumer of what is committed on a topic, which notes each event.
pub(crate) async fn consume(
    kafka: &KafkaSettings,
    topic: &str,
    board: Arc<Board>,
) -> Result<JoinHandle<Result<(), Failure>>, Failure> {
    let settings = KafkaSourceSettings::new(unique("group"), [topic]);
    let mut source = KafkaSource::builder(kafka)
        .settings(settings)
        .open()
        .await?;
    Ok(tokio::spawn(async move {
        while let Some(messages) = source.next_batch(1_000).await {
            for message in messages? {
                let json = message.payload.as_deref().unwrap_or_default();
                let Number { number } = serde_json::from_slice(json)?;
                board.seen(number);
                message.ack.done();
            }
        }
        Ok(())
    }))
}
