//! The settings of a sink.

use std::time::Duration;

use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};

use super::partitioner::Partitioner;
use super::settings::{KafkaSettings, refuse};
use crate::admission::Limits;
use crate::settings::{
    Bound, Bytes, ConfigError, Section, SettingsPlace, allowed_at, settings_type, units,
};

const RECORDS: Bound<usize> = Bound::new("buffer_records", 1, 10_000_000);
const BYTES: Bound<Bytes> = Bound::new("buffer_bytes", Bytes(1 << 10), Bytes(64 << 30));
const LINGER: Bound<Duration> = Bound::new("linger", Duration::ZERO, Duration::from_secs(15 * 60));
const DELIVERY: Bound<Duration> = Bound::new(
    "delivery_timeout",
    Duration::from_millis(1),
    Duration::from_secs(24 * 60 * 60),
);
const TOPIC: Bound<Duration> =
    Bound::new("topic_timeout", Duration::ZERO, Duration::from_secs(5 * 60));

/// Settings of a [`KafkaSink`](super::KafkaSink); a field that a file does not name has its default.
///
/// Setters never fail: values out of range are found when the sink is opened, or by
/// [`validate`](Self::validate). Through serde each field has its setter's name; durations and sizes
/// are text with a unit (`"20ms"`, `"64MiB"`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct KafkaSinkSettings {
    buffer_records: usize,
    #[serde(with = "units::size")]
    buffer_bytes: usize,
    #[serde(with = "units::duration")]
    linger: Duration,
    #[serde(with = "units::duration")]
    delivery_timeout: Duration,
    #[serde(with = "units::duration")]
    topic_timeout: Duration,
    create_topics: bool,
    ask_topic_limits: bool,
    partitioner: String,
}

impl Default for KafkaSinkSettings {
    fn default() -> Self {
        Self {
            buffer_records: 100_000,
            buffer_bytes: 64 << 20,
            linger: Duration::from_millis(5),
            delivery_timeout: Duration::from_secs(5 * 60),
            topic_timeout: Duration::from_secs(10),
            create_topics: false,
            ask_topic_limits: true,
            partitioner: "murmur2_random".to_owned(),
        }
    }
}

impl KafkaSinkSettings {
    /// Sets how many records may be under way: accepted, and neither delivered nor failed. Default: 100,000. Valid: 1 to 10,000,000.
    #[must_use]
    pub fn buffer_records(mut self, records: usize) -> Self {
        self.buffer_records = records;
        self
    }

    /// Sets how many bytes those may have: keys, values and headers. Default: 64 MiB. Valid: 1 KiB to 64 GiB. A record larger than
    /// that goes when nothing else is under way. librdkafka has a copy of each record that it was given, so the process may use
    /// twice as much.
    #[must_use]
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.buffer_bytes = bytes;
        self
    }

    /// Sets how long librdkafka waits for a batch to fill before it is sent. Default: 5 ms. Valid: 0 to 15 min.
    ///
    /// Longer costs latency and saves CPU at middling rates; at high rates batches fill before. Records of 1 KB to six partitions of one
    /// broker cost the process, librdkafka included, at 20,000/s 10 µs of CPU each without linger, 7 µs with 5 ms and 4 µs with 20 ms;
    /// as fast as they go, at 200,000/s, 3 µs with any.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// Sets how long a record may be under way, retries included. Default: 5 min. Valid: 1 ms, or `linger` if that is more, to 24 h.
    ///
    /// Within it brokers may be down and come back, and nothing is lost. The default outlasts a rolling restart and the election of a
    /// new controller by far, and is an end: a cluster that is gone becomes an error, not silence.
    ///
    /// At the end of a record's time its clients are replaced. Other partitions have another second for
    /// the answers to what was sent. Then a partition whose oldest record has been under way for more
    /// than half of this time fails as well, since that record's answer may have been lost. Younger
    /// records are sent again; one whose answer was lost with a connection may then be in its topic
    /// twice.
    #[must_use]
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.delivery_timeout = timeout;
        self
    }

    /// Sets for how long the brokers are asked for a topic that they do not know, on its first use, before it counts as missing.
    /// Default: 10 s. Valid: 0 to 5 min. A topic that was just created is not known to all brokers at once.
    #[must_use]
    pub fn topic_timeout(mut self, timeout: Duration) -> Self {
        self.topic_timeout = timeout;
        self
    }

    /// Sets whether a missing topic may be created by its first use; the brokers must allow it too
    /// (`auto.create.topics.enable`). Default: `false`, so that a misspelt name is an error, not a new topic.
    #[must_use]
    pub fn create_topics(mut self, create: bool) -> Self {
        self.create_topics = create;
        self
    }

    /// Sets librdkafka's partitioner, for records without a partition of their own. Default: `murmur2_random`, which is the Java
    /// client's: the same key goes to the same partition from either.
    #[must_use]
    pub fn partitioner(mut self, partitioner: impl Into<String>) -> Self {
        self.partitioner = partitioner.into();
        self
    }

    /// Sets whether the brokers are asked for a topic's `max.message.bytes` and `cleanup.policy` on its first use, so that no
    /// batch is larger, and a record that the topic refuses takes no batch along. Default: `true`. Without it, or without the
    /// right to describe the topic, batches that are refused are sent again record by record; after one refused for its
    /// size, later ones are smaller, those for other topics too.
    #[must_use]
    pub fn ask_topic_limits(mut self, ask: bool) -> Self {
        self.ask_topic_limits = ask;
        self
    }

    pub(super) fn asks_topic_limits(&self) -> bool {
        self.ask_topic_limits
    }

    pub(super) fn named_partitioner(&self) -> Result<Partitioner, ConfigError> {
        Partitioner::named(&self.partitioner).ok_or_else(|| ConfigError::OutOfRange {
            place: Self::PLACE,
            field: "partitioner".to_owned(),
            value: format!("{:?}", self.partitioner),
            allowed: format!("one of {}", Partitioner::NAMES.join(", ")),
        })
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            records: self.buffer_records,
            bytes: self.buffer_bytes,
        }
    }

    pub(super) fn waits(&self) -> super::topics::Waits {
        super::topics::Waits {
            unknown: self.topic_timeout,
            unreachable: self.delivery_timeout,
        }
    }
}

settings_type!(KafkaSinkSettings);

impl Section for KafkaSinkSettings {
    const PLACE: SettingsPlace = SettingsPlace::KafkaSink;

    fn check(&self) -> Result<(), ConfigError> {
        let place = Self::PLACE;
        RECORDS.check(&place, self.buffer_records)?;
        BYTES.check(&place, Bytes(self.buffer_bytes))?;
        LINGER.check(&place, self.linger)?;
        DELIVERY.check_from(&place, self.delivery_timeout, self.linger, LINGER.field())?;
        TOPIC.check(&place, self.topic_timeout)?;
        self.named_partitioner().map(drop)
    }

    fn allowed(path: &str) -> Option<String> {
        allowed_at(path, &[RECORDS])
            .or_else(|| allowed_at(path, &[BYTES]))
            .or_else(|| allowed_at(path, &[LINGER, DELIVERY, TOPIC]))
    }
}

impl KafkaSinkSettings {
    /// librdkafka's configuration for a producer.
    pub(super) fn client(&self, settings: &KafkaSettings) -> Result<ClientConfig, ConfigError> {
        self.validate()?;
        for property in ["acks", "request.required.acks"] {
            if settings
                .get(property)
                .is_some_and(|acks| !matches!(acks, "all" | "-1"))
            {
                return Err(refuse(
                    property,
                    "must be \"all\": with less, a confirmed record can be lost with its broker",
                ));
            }
        }
        if settings
            .get("enable.idempotence")
            .is_some_and(|on| !on.eq_ignore_ascii_case("true"))
        {
            return Err(refuse(
                "enable.idempotence",
                "must be \"true\": without it, retries duplicate and reorder records",
            ));
        }
        // librdkafka counts a record until its report is given back, which is after the room here is free, at most one full buffer
        // later: twice the bounds is what it can never reach.
        let kib = self.buffer_bytes.div_ceil(1 << 10).saturating_mul(2) + (16 << 10);
        let max = usize::try_from(i32::MAX).unwrap_or(usize::MAX);
        settings.client(
            &[
                ("enable.idempotence", "true".to_owned()),
                ("acks", "all".to_owned()),
                ("linger.ms", millis(self.linger)),
                // The sink keeps the time: librdkafka would go on with what is behind a record that timed out.
                ("delivery.timeout.ms", "0".to_owned()),
                // A client stops at a refusal: what is behind it waits until the refused records went one by one.
                ("enable.gapless.guarantee", "true".to_owned()),
                ("partitioner", self.partitioner.clone()),
                ("allow.auto.create.topics", self.create_topics.to_string()),
                (
                    "queue.buffering.max.messages",
                    self.buffer_records.saturating_mul(2).min(max).to_string(),
                ),
                ("queue.buffering.max.kbytes", kib.min(max).to_string()),
            ],
            &REFUSED,
        )
    }
}

const REFUSED: [(&str, &str); 11] = [
    (
        "enable.gapless.guarantee",
        "is set by the sink, which orders records after a refusal",
    ),
    ("linger.ms", "use the sink's setting linger"),
    ("queue.buffering.max.ms", "use the sink's setting linger"),
    (
        "delivery.timeout.ms",
        "use the sink's setting delivery_timeout",
    ),
    (
        "message.timeout.ms",
        "use the sink's setting delivery_timeout",
    ),
    ("partitioner", "use the sink's setting partitioner"),
    (
        "allow.auto.create.topics",
        "use the sink's setting create_topics",
    ),
    (
        "queue.buffering.max.messages",
        "use the sink's setting buffer_records",
    ),
    (
        "queue.buffering.max.kbytes",
        "use the sink's setting buffer_bytes",
    ),
    (
        "delivery.report.only.error",
        "every record's delivery is reported",
    ),
    ("transactional.id", "the sink does not write transactions"),
];

/// Whole milliseconds, as librdkafka takes them; part of one counts as one, since 0 often means "for ever".
pub(super) fn millis(duration: Duration) -> String {
    duration.as_nanos().div_ceil(1_000_000).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(settings: &KafkaSettings) -> String {
        let client = KafkaSinkSettings::default().client(settings);
        client.expect_err("refused").to_string()
    }

    #[test]
    fn what_would_lose_or_reorder_records_is_refused_and_says_why() {
        let settings = || KafkaSettings::new("b:1");
        assert_eq!(
            refused(&settings().set("acks", "1")),
            "kafka property \"acks\": must be \"all\": with less, a confirmed record can be lost with its broker"
        );
        assert!(
            refused(&settings().set("enable.idempotence", "false")).contains("must be \"true\"")
        );
        assert!(refused(&settings().set("linger.ms", "1")).contains("the sink's setting linger"));
        KafkaSinkSettings::default()
            .client(
                &settings()
                    .set("acks", "all")
                    .set("enable.idempotence", "true"),
            )
            .expect("nothing weaker");
    }

    #[test]
    fn bounds_are_told_with_the_value() {
        let error = KafkaSinkSettings::default().buffer_records(0);
        assert_eq!(
            error.validate().expect_err("too few").to_string(),
            "kafka.sink: buffer_records is 0, allowed 1 to 10000000"
        );
        let error = KafkaSinkSettings::default().partitioner("murmur");
        let error = error.validate().expect_err("none of them").to_string();
        let expected = "kafka.sink: partitioner is \"murmur\", allowed one of random, ";
        assert!(error.starts_with(expected), "{error}");
        let settings = KafkaSinkSettings::default()
            .linger(Duration::from_secs(2))
            .delivery_timeout(Duration::from_secs(1));
        assert_eq!(
            settings.validate().expect_err("shorter").to_string(),
            "kafka.sink: delivery_timeout is 1s, allowed 2s (linger) to 1day"
        );
    }

    #[test]
    fn every_partitioner_that_a_message_names_is_taken() {
        for name in Partitioner::NAMES {
            let settings = KafkaSinkSettings::default().partitioner(name);
            settings.validate().expect(name);
        }
    }

    #[test]
    fn settings_are_read_as_they_are_written() {
        let settings = KafkaSinkSettings::default()
            .buffer_bytes(8 << 20)
            .linger(Duration::from_millis(20))
            .create_topics(true);
        let text = toml::to_string(&settings).expect("written");
        assert_eq!(toml::from_str::<KafkaSinkSettings>(&text), Ok(settings));
    }
}
