//! The way of each record: its topic, its partition and the thread that serves them.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::admission::Admission;
use super::connection::Connection;
use super::error::KafkaError;
use super::limits::{asking, topic_limits};
use super::look_ups::{Claim, LookUps};
use super::partitioner::Partitioner;
use super::producer::{Core, Partition, ProducerThread, ProducerThreads, TopicLimits, TopicRules};
use super::record::ProducerRecord;
use super::settings::{KafkaSettings, not_taken};
use super::sink_settings::KafkaSinkSettings;
use super::stats::SinkMeter;
use super::topics::{Topic, Topics, Waits, check_name, look_up};
use crate::clock::Clock;

/// The time of one question, after which the reasons are looked at for which another is in vain.
#[cfg(feature = "pipeline")]
const QUESTION: Duration = Duration::from_millis(500);

pub(super) struct Destinations {
    producers: ProducerThreads,
    topics: Topics,
    waits: Waits,
    partitioner: Partitioner,
    /// The time for which records without a key stay with a partition.
    stick: Duration,
    chance: RandomState,
    asks_limits: bool,
    compresses: bool,
    look_ups: LookUps,
}

impl Destinations {
    pub(super) fn open(
        settings: &KafkaSettings,
        sink_settings: &KafkaSinkSettings,
    ) -> Result<Self, KafkaError> {
        let config = sink_settings.client(settings)?;
        let native = config.create_native_config().map_err(not_taken)?;
        let text = |property| {
            let text = native.get(property).unwrap_or_default();
            text.trim_end_matches('\0').to_owned()
        };
        let number = |property| text(property).parse::<usize>().ok();
        let compresses = text("compression.codec") != "none";
        let max_bytes = number("message.max.bytes");
        let batch_bytes = number("batch.size").into_iter().chain(max_bytes).min();
        let stick = number("sticky.partitioning.linger.ms").unwrap_or_default();
        let core = Arc::new(Core {
            admission: Admission::new(sink_settings.limits()),
            meter: SinkMeter::new(settings.client_id()),
            connection: Connection::new("kafka producer"),
            clock: Clock::start(),
            delivery_timeout: sink_settings.waits().unreachable,
            max_bytes,
        });
        let producers = ProducerThreads::start(core, config, batch_bytes.unwrap_or_default())?;
        Ok(Self {
            producers,
            topics: Topics::default(),
            waits: sink_settings.waits(),
            partitioner: sink_settings.named_partitioner()?,
            stick: Duration::from_millis(u64::try_from(stick).unwrap_or(u64::MAX)),
            chance: RandomState::new(),
            asks_limits: sink_settings.asks_topic_limits(),
            compresses,
            look_ups: LookUps::default(),
        })
    }

    pub(super) fn core(&self) -> &Core {
        self.producers.core()
    }

    /// Returns a topic that was looked up before.
    pub(super) fn known(&self, topic: &str) -> Option<Arc<Topic>> {
        self.topics.get(topic)
    }

    /// Returns the partition of a record.
    pub(super) fn partition(
        &self,
        topic: &Topic,
        record: &ProducerRecord,
    ) -> Result<Arc<Partition>, KafkaError> {
        let now = self.core().clock.now();
        let random = || {
            let number = self.chance.hash_one(now);
            u32::try_from(number & u64::from(u32::MAX)).unwrap_or_default()
        };
        if let Some(partition) = record.partition {
            let topic_name = || record.topic.clone();
            return topic
                .partition(partition)
                .ok_or_else(|| KafkaError::UnknownPartition {
                    topic: topic_name(),
                    partition,
                });
        }
        let key = record.key.as_deref();
        loop {
            let (count, stick) = (topic.count().max(1), self.stick);
            let place = self
                .partitioner
                .partition(key, count, &topic.sticky, random, now, stick);
            // There may be fewer of them than a moment ago.
            if let Some(partition) = topic.partition(place.cast_signed()) {
                return Ok(partition);
            }
        }
    }

    /// Adds a topic with one partition, as if it had been looked up before.
    #[cfg(all(test, feature = "embedded"))]
    pub(super) fn insert(&self, name: &Arc<str>) -> Arc<Topic> {
        let thread = self.producers.first().clone();
        let topic = Topic::new(thread, TopicRules::new(TopicLimits::default()));
        topic.has_partitions(name, 1, self.core().clock.now());
        self.topics.insert(name.clone(), topic)
    }

    /// Looks a topic up, on its first use.
    pub(super) async fn find(&self, name: &Arc<str>) -> Result<Arc<Topic>, KafkaError> {
        check_name(name)?;
        let (now, known) = (|| self.core().clock.now(), || self.topics.get(name));
        let search = self.find_anew(name);
        self.look_ups.share(name, now, known, search).await
    }

    /// Returns the right to look a topic up in the background; `None` while another has it.
    pub(super) fn claim(&self, name: &Arc<str>) -> Option<Claim> {
        self.look_ups.claim(name, self.core().clock.now())
    }

    async fn find_anew(&self, name: &Arc<str>) -> Result<Arc<Topic>, KafkaError> {
        if let Some(refusal) = self.core().admission.refusal() {
            return Err(refusal);
        }
        let producers = &self.producers;
        let partitions = self.ask(name, producers.first()).await?;
        let mut limits = if self.asks_limits {
            topic_limits(&asking(producers.config()), name).await
        } else {
            TopicLimits::default()
        };
        limits.is_exact = !self.compresses;
        let thread = producers.for_limit(limits.batch_bytes)?;
        let topic = Topic::new(thread, TopicRules::new(limits));
        topic.has_partitions(name, partitions, self.core().clock.now());
        Ok(self.topics.insert(name.clone(), topic))
    }

    /// Returns how many partitions a topic has.
    async fn ask(&self, name: &Arc<str>, thread: &ProducerThread) -> Result<usize, KafkaError> {
        let Some(client) = thread.client() else {
            return Err(KafkaError::Closed);
        };
        let core = self.producers.core();
        let asked = core.clone();
        let ask = move |topic: &str, longest| {
            let answer = client.metadata(topic, longest);
            // A sink that delivers nothing yet has no other sign that a broker is reached.
            answer.inspect(|_| asked.connection.succeeded())
        };
        let in_vain = || {
            core.admission
                .refusal()
                .or_else(|| core.connection.in_vain())
        };
        let found = look_up(name, self.waits, ask, in_vain).await;
        found.map_err(|error| match (error, core.connection.last_error()) {
            // The question's own error says only that there was no answer.
            (KafkaError::Unreachable { waited, .. }, Some(reason)) => KafkaError::Unreachable {
                waited,
                reason: reason.into(),
            },
            (error, _) => error,
        })
    }

    /// Waits until a broker answers, for so long at most.
    #[cfg(feature = "pipeline")]
    pub(super) async fn reach(&self, longest: Duration) -> Result<(), KafkaError> {
        let (core, clock) = (self.core(), Clock::start());
        loop {
            let client = self.producers.first().client();
            let client = client.ok_or(KafkaError::Closed)?;
            let asked = tokio::task::spawn_blocking(move || client.is_reached(QUESTION));
            if asked.await.map_err(|_| KafkaError::Closed)? {
                core.connection.succeeded();
                return Ok(());
            }
            if let Some(error) = core.connection.in_vain() {
                return Err(error);
            }
            if clock.now() >= longest {
                let last = core.connection.last_error();
                return Err(KafkaError::Unreachable {
                    waited: longest,
                    reason: last.unwrap_or_else(|| "no answer".to_owned()).into(),
                });
            }
        }
    }

    /// Counts a topic's partitions again.
    pub(super) async fn count_partitions(
        &self,
        name: &Arc<str>,
        topic: &Topic,
    ) -> Result<(), KafkaError> {
        let partitions = self.ask(name, &topic.thread).await?;
        topic.has_partitions(name, partitions, self.core().clock.now());
        Ok(())
    }

    /// Counts a topic's partitions again in the background, now and then.
    pub(super) fn refresh_if_stale(self: &Arc<Self>, name: &Arc<str>, topic: &Arc<Topic>) {
        if topic.is_stale(self.core().clock.now()) {
            // The next one is in a few minutes.
            self.recount_partitions(name, topic, |_| ());
        }
    }

    /// Counts a topic's partitions again in the background, unless that is under way. `failed` is called with the failure.
    pub(super) fn recount_partitions(
        self: &Arc<Self>,
        name: &Arc<str>,
        topic: &Arc<Topic>,
        failed: impl FnOnce(KafkaError) + Send + 'static,
    ) {
        if let (Ok(runtime), Some(claim)) = (Handle::try_current(), self.claim(name)) {
            let (destinations, name, topic) = (self.clone(), name.clone(), topic.clone());
            runtime.spawn(async move {
                if let Err(error) = destinations.count_partitions(&name, &topic).await {
                    tracing::debug!(topic = &*name, %error, "its partitions are not counted again");
                    failed(error);
                }
                drop(claim);
            });
        }
    }
}

#[cfg(all(test, feature = "embedded"))]
mod tests {
    use super::*;
    use crate::embedded::EmbeddedKafka;

    #[tokio::test]
    async fn a_partition_that_is_there_again_is_missing_no_more() {
        let kafka = EmbeddedKafka::start(&[("events", 2)]).expect("a mock");
        let settings = KafkaSettings::new(kafka.bootstrap_servers());
        let destinations = Destinations::open(&settings, &KafkaSinkSettings::default());
        let destinations = destinations.expect("a producer");
        let name = Arc::from("events");
        let topic = destinations.find(&name).await.expect("it exists");
        let partition = topic.partition(1).expect("there are two");
        partition.set_missing(true);
        let counted = destinations.count_partitions(&name, &topic).await;
        counted.expect("the broker answers");
        // Otherwise each record of it would ask the brokers first.
        assert!(!partition.is_missing());
    }
}
