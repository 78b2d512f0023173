//! What a source can be told.

use std::time::Duration;

use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};

use super::super::error::KafkaError;
use super::super::settings::{KafkaSettings, refuse};
use crate::settings::{Bound, Bytes, ConfigError, SettingsPlace, units};

const COMMIT: Bound<Duration> = Bound::new(
    "commit_interval",
    Duration::from_millis(1),
    Duration::from_secs(60 * 60),
);
const RECORDS: Bound<usize> = Bound::new("max_outstanding_records", 1, 100_000_000);
const BYTES: Bound<Bytes> = Bound::new("max_outstanding_bytes", Bytes(1), Bytes(64 << 30));
const DELAY: Bound<Duration> = Bound::new(
    "redelivery_delay",
    Duration::ZERO,
    Duration::from_secs(60 * 60),
);
const TOPIC: Bound<Duration> =
    Bound::new("topic_timeout", Duration::ZERO, Duration::from_secs(5 * 60));

/// Where a partition begins that its group has no committed offset for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum StartPosition {
    /// At the committed offset, else at the oldest record.
    #[default]
    Earliest,
    /// At the committed offset, else behind the newest record.
    Latest,
    /// At the committed offset; a partition without one is an error.
    Committed,
}

/// Settings of a [`KafkaSource`](super::KafkaSource); a field that a file does not name has its default, but for the group and the topics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct KafkaSourceSettings {
    pub(super) group: String,
    pub(super) topics: Vec<String>,
    #[serde(default)]
    pub(super) start: StartPosition,
    #[serde(default = "one_second", with = "units::duration")]
    pub(super) commit_interval: Duration,
    #[serde(default = "default_records")]
    pub(super) max_outstanding_records: usize,
    #[serde(default = "default_bytes", with = "units::size")]
    pub(super) max_outstanding_bytes: usize,
    #[serde(default = "one_second", with = "units::duration")]
    pub(super) redelivery_delay: Duration,
    #[serde(default = "ten_seconds", with = "units::duration")]
    pub(super) topic_timeout: Duration,
}

fn one_second() -> Duration {
    Duration::from_secs(1)
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

fn default_records() -> usize {
    10_000
}

fn default_bytes() -> usize {
    64 << 20
}

impl KafkaSourceSettings {
    /// Settings for a member of this group, which shares the partitions of these topics among its members.
    pub fn new(
        group: impl Into<String>,
        topics: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            group: group.into(),
            topics: topics.into_iter().map(Into::into).collect(),
            start: StartPosition::default(),
            commit_interval: one_second(),
            max_outstanding_records: default_records(),
            max_outstanding_bytes: default_bytes(),
            redelivery_delay: one_second(),
            topic_timeout: ten_seconds(),
        }
    }

    /// Sets where a partition begins without a committed offset. Default [`Earliest`](StartPosition::Earliest).
    #[must_use]
    pub fn start(mut self, start: StartPosition) -> Self {
        self.start = start;
        self
    }

    /// Sets how often offsets are committed. Default 1 s, from 1 ms to 1 h. They are also committed when a partition goes to
    /// another member, and on close; after a crash, what was done since the last commit comes again.
    #[must_use]
    pub fn commit_interval(mut self, interval: Duration) -> Self {
        self.commit_interval = interval;
        self
    }

    /// Sets how many records may be handed out, or ready to be, and not acknowledged. Default 10,000, from 1 to 100,000,000.
    #[must_use]
    pub fn max_outstanding_records(mut self, records: usize) -> Self {
        self.max_outstanding_records = records;
        self
    }

    /// Sets how many bytes those may have. Default 64 MiB, from 1 B to 64 GiB. One record more than fits may be out.
    #[must_use]
    pub fn max_outstanding_bytes(mut self, bytes: usize) -> Self {
        self.max_outstanding_bytes = bytes;
        self
    }

    /// Sets how long a partition rests before it goes back to a record whose acknowledgement was dropped. Default 1 s, up to 1 h.
    #[must_use]
    pub fn redelivery_delay(mut self, delay: Duration) -> Self {
        self.redelivery_delay = delay;
        self
    }

    /// Sets for how long a topic is looked for on opening, also while no broker answers. Default 10 s, up to 5 min.
    #[must_use]
    pub fn topic_timeout(mut self, timeout: Duration) -> Self {
        self.topic_timeout = timeout;
        self
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] for the first field that is out of range, with its value and the range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let place = SettingsPlace::Whole;
        Bound::new("topics", 1, 10_000).check(&place, self.topics.len())?;
        Bound::new("group length", 1, 255).check(&place, self.group.len())?;
        COMMIT.check(&place, self.commit_interval)?;
        RECORDS.check(&place, self.max_outstanding_records)?;
        BYTES.check(&place, Bytes(self.max_outstanding_bytes))?;
        DELAY.check(&place, self.redelivery_delay)?;
        TOPIC.check(&place, self.topic_timeout)
    }

    /// librdkafka's configuration for a consumer.
    pub(super) fn client(&self, settings: &KafkaSettings) -> Result<ClientConfig, KafkaError> {
        self.validate()?;
        let reset = match self.start {
            StartPosition::Earliest => "earliest",
            StartPosition::Latest => "latest",
            StartPosition::Committed => "error",
        };
        let mut own = vec![
            ("group.id", self.group.clone()),
            ("auto.offset.reset", reset.to_owned()),
            ("enable.auto.commit", "false".to_owned()),
            ("enable.auto.offset.store", "false".to_owned()),
            ("enable.partition.eof", "false".to_owned()),
            ("allow.auto.create.topics", "false".to_owned()),
        ];
        let assigned_by_broker = settings
            .get("group.protocol")
            .is_some_and(|protocol| protocol.eq_ignore_ascii_case("consumer"));
        if !assigned_by_broker && settings.get("partition.assignment.strategy").is_none() {
            own.push((
                "partition.assignment.strategy",
                "cooperative-sticky".to_owned(),
            ));
        }
        if let Some(topic) = self.topics.iter().find(|topic| topic.starts_with('^')) {
            return Err(refuse(
                "topics",
                &format!("{topic:?} is a pattern; name each topic"),
            ));
        }
        settings.client(&own, &REFUSED)
    }
}

const REFUSED: [(&str, &str); 7] = [
    ("group.id", "use the source's setting group"),
    ("auto.offset.reset", "use the source's setting start"),
    (
        "enable.auto.commit",
        "offsets are committed once their records are acknowledged",
    ),
    (
        "auto.commit.interval.ms",
        "use the source's setting commit_interval",
    ),
    (
        "enable.auto.offset.store",
        "offsets are committed once their records are acknowledged",
    ),
    ("enable.partition.eof", "a source has no end"),
    (
        "allow.auto.create.topics",
        "a source does not create topics",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_they_are_written() {
        let settings = KafkaSourceSettings::new("g", ["a", "b"])
            .start(StartPosition::Latest)
            .max_outstanding_bytes(1 << 20);
        let text = toml::to_string(&settings).expect("written");
        assert_eq!(toml::from_str::<KafkaSourceSettings>(&text), Ok(settings));
        let short: KafkaSourceSettings =
            toml::from_str("group = \"g\"\ntopics = [\"a\"]").expect("the rest has defaults");
        assert_eq!(short, KafkaSourceSettings::new("g", ["a"]));
    }

    #[test]
    fn what_would_commit_too_early_is_refused() {
        let settings = KafkaSettings::new("b:1").set("enable.auto.commit", "true");
        let client = KafkaSourceSettings::new("g", ["a"]).client(&settings);
        assert!(
            client
                .expect_err("refused")
                .to_string()
                .contains("acknowledged")
        );
    }
}
