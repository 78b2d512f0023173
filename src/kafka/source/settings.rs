//! Settings of a source.

use std::time::Duration;

use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};

use super::super::settings::KafkaSettings;
use super::revocation::LAST_COMMIT;
use crate::gap::GapPolicy;
use crate::settings::units::format_duration;
use crate::settings::{
    Bound, Bytes, ConfigError, Section, SettingsPlace, allowed_at, settings_type, units,
};

const MAX_GROUP_BYTES: usize = 255;
const TOPICS: Bound<usize> = Bound::new("topics", 1, 10_000);
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
const DRAIN: Bound<Duration> =
    Bound::new("drain_timeout", Duration::ZERO, Duration::from_secs(5 * 60));
const TOPIC: Bound<Duration> =
    Bound::new("topic_timeout", Duration::ZERO, Duration::from_secs(5 * 60));

/// The start of a partition that its group has no committed offset of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OffsetReset {
    /// At the committed offset, else at the oldest record.
    #[default]
    Earliest,
    /// At the committed offset, else behind the newest record. A partition that the topic was given
    /// after the group had begun to read it is read from its oldest record on.
    Latest,
    /// At the committed offset; a partition without one is an error.
    Committed,
}

/// Settings of a [`KafkaSource`](super::KafkaSource); a field that a file does not name has its default, but for the group and the topics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct KafkaSourceSettings {
    #[serde(default)]
    pub(super) group: String,
    #[serde(default)]
    pub(super) topics: Vec<String>,
    #[serde(default)]
    pub(super) start: OffsetReset,
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
    #[serde(
        default,
        with = "units::duration_or_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) drain_timeout: Option<Duration>,
    #[serde(default)]
    pub(super) on_gap: GapPolicy,
    #[serde(default)]
    pub(super) generation: u64,
}

/// librdkafka's configurations of a source's two clients.
#[derive(Debug)]
pub(super) struct ClientConfigs {
    pub(super) member: ClientConfig,
    pub(super) reader: ClientConfig,
    pub(super) drain_timeout: Duration,
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
    /// Returns settings for a member of this group (of 1 to 255 bytes), which shares these topics (1 to 10,000, no patterns) among its members.
    pub fn new(
        group: impl Into<String>,
        topics: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            group: group.into(),
            topics: topics.into_iter().map(Into::into).collect(),
            start: OffsetReset::default(),
            commit_interval: one_second(),
            max_outstanding_records: default_records(),
            max_outstanding_bytes: default_bytes(),
            redelivery_delay: one_second(),
            topic_timeout: ten_seconds(),
            drain_timeout: None,
            on_gap: GapPolicy::default(),
            generation: 0,
        }
    }

    /// Sets where a partition begins without a committed offset. Default: [`Earliest`](OffsetReset::Earliest).
    #[must_use]
    pub fn start(mut self, start: OffsetReset) -> Self {
        self.start = start;
        self
    }

    /// Sets how often offsets are committed. Default: 1 s. Valid: 1 ms to 1 h. They are also committed when a partition goes to
    /// another member, and on close; after a crash, what was done since the last commit comes again.
    #[must_use]
    pub fn commit_interval(mut self, interval: Duration) -> Self {
        self.commit_interval = interval;
        self
    }

    /// Sets how many records may be handed out, or ready to be, and not acknowledged. Default: 10,000. Valid: 1 to 100,000,000.
    ///
    /// The partitions that this member has share it equally, so that a slow one holds back no other: of
    /// eight, each may have 1,250 out. Each may have one in any case.
    #[must_use]
    pub fn max_outstanding_records(mut self, records: usize) -> Self {
        self.max_outstanding_records = records;
        self
    }

    /// Sets how many bytes those may have, shared as the records are. Default: 64 MiB. Valid: 1 B to 64 GiB. One record more than fits may be out of each
    /// partition. Beside them librdkafka holds up to about 2 MiB of each partition that it has fetched ahead, by `queued.max.messages.kbytes`.
    #[must_use]
    pub fn max_outstanding_bytes(mut self, bytes: usize) -> Self {
        self.max_outstanding_bytes = bytes;
        self
    }

    /// Sets how long a partition rests before it goes back to a record whose acknowledgement was dropped. Default: 1 s. Valid: 0 to 1 h.
    #[must_use]
    pub fn redelivery_delay(mut self, delay: Duration) -> Self {
        self.redelivery_delay = delay;
        self
    }

    /// Sets for how long a topic is looked for on opening, also while no broker answers. Default: 10 s. Valid: 0 to 5 min.
    #[must_use]
    pub fn topic_timeout(mut self, timeout: Duration) -> Self {
        self.topic_timeout = timeout;
        self
    }

    /// Sets for how long a partition that is to go to another member is kept while its records are
    /// finished. What is not done by then comes again, at the next member. Default: 10 s, or half of
    /// `session.timeout.ms` where that is less. Valid: 0 to 5 min; it must be less than `session.timeout.ms`
    /// and `max.poll.interval.ms` by more than two seconds, which the last commit may take: a member that
    /// answers later is out of its group.
    #[must_use]
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = Some(timeout);
        self
    }

    /// Sets the reaction to records that were lost before they were read: trimmed by the topic's
    /// retention, or gone with a topic that was deleted and made again. Default:
    /// [`GapPolicy::Fail`]. [`GapPolicy::Report`] needs a handler, see
    /// [`KafkaSourceBuilder::on_gap`](super::KafkaSourceBuilder::on_gap); [`GapPolicy::Rescan`] is
    /// refused, since a topic has no table to scan.
    #[must_use]
    pub fn on_gap(mut self, policy: GapPolicy) -> Self {
        self.on_gap = policy;
        self
    }

    /// Sets the generation of the topics. Default: 0.
    ///
    /// It is stored with the committed offsets. After a topic was deleted and made again under the same
    /// name, raise it: offsets of another generation are a gap. It is needed where the brokers give
    /// topics no ids (Kafka before 2.8, some other servers). With neither, such a topic is noticed only
    /// if its log is shorter than the committed offset.
    #[must_use]
    pub fn generation(mut self, generation: u64) -> Self {
        self.generation = generation;
        self
    }
}

settings_type!(KafkaSourceSettings);

impl Section for KafkaSourceSettings {
    const PLACE: SettingsPlace = SettingsPlace::KafkaSource;

    fn check(&self) -> Result<(), ConfigError> {
        let place = Self::PLACE;
        for (field, is_missing) in [
            ("group", self.group.is_empty()),
            ("topics", self.topics.is_empty()),
        ] {
            if is_missing {
                return Err(ConfigError::Missing { place, field });
            }
        }
        if self.group.len() > MAX_GROUP_BYTES {
            let value = format!("a name of {} bytes", self.group.len());
            let allowed = format!("1 to {MAX_GROUP_BYTES} bytes");
            return Err(out_of_range("group", value, allowed));
        }
        TOPICS.check(&place, self.topics.len())?;
        if let Some(topic) = self.topics.iter().find(|topic| topic.starts_with('^')) {
            let allowed = "the name of each topic, and no pattern";
            return Err(out_of_range("topics", format!("{topic:?}"), allowed));
        }
        COMMIT.check(&place, self.commit_interval)?;
        RECORDS.check(&place, self.max_outstanding_records)?;
        BYTES.check(&place, Bytes(self.max_outstanding_bytes))?;
        DELAY.check(&place, self.redelivery_delay)?;
        TOPIC.check(&place, self.topic_timeout)?;
        if let Some(drain) = self.drain_timeout {
            DRAIN.check(&place, drain)?;
        }
        if self.on_gap == GapPolicy::Rescan {
            let allowed = "fail or report: a topic has no table to scan";
            return Err(out_of_range("on_gap", "rescan", allowed));
        }
        Ok(())
    }

    fn allowed(path: &str) -> Option<String> {
        allowed_at(path, &[TOPICS, RECORDS])
            .or_else(|| allowed_at(path, &[BYTES]))
            .or_else(|| allowed_at(path, &[COMMIT, DELAY, DRAIN, TOPIC]))
    }
}

impl KafkaSourceSettings {
    /// Returns the time for which partitions that go are kept, within the bounds of the group.
    fn checked_drain_timeout(&self, settings: &KafkaSettings) -> Result<Duration, ConfigError> {
        let millis = |property: &str, default: u64| {
            let set = settings
                .get(property)
                .and_then(|text| text.trim().parse().ok());
            Duration::from_millis(set.unwrap_or(default))
        };
        let session = millis("session.timeout.ms", 45_000);
        let poll = millis("max.poll.interval.ms", 300_000);
        let Some(drain) = self.drain_timeout else {
            return Ok(ten_seconds().min(session / 2).min(poll / 2));
        };
        for (limit, property) in [
            (session, "session.timeout.ms"),
            (poll, "max.poll.interval.ms"),
        ] {
            if drain + LAST_COMMIT >= limit {
                let allowed = format!(
                    "less than {property}, {}, by more than {}: lower the one or raise the other",
                    format_duration(limit),
                    format_duration(LAST_COMMIT)
                );
                let drain = format_duration(drain);
                return Err(out_of_range(DRAIN.field(), drain, allowed));
            }
        }
        Ok(drain)
    }

    /// Returns librdkafka's configurations of the two clients.
    pub(super) fn clients(&self, settings: &KafkaSettings) -> Result<ClientConfigs, ConfigError> {
        self.validate()?;
        let mut overrides = vec![
            ("group.id", self.group.clone()),
            // An offset that is not there is never passed over in silence.
            ("auto.offset.reset", "error".to_owned()),
            ("enable.auto.commit", "false".to_owned()),
            ("enable.auto.offset.store", "false".to_owned()),
            ("enable.partition.eof", "true".to_owned()),
            ("allow.auto.create.topics", "false".to_owned()),
        ];
        // Of each partition: its records have a queue of their own. librdkafka's 64 MiB for each would
        // be without bound for hundreds, and its second between two looks at a full queue slow.
        for (property, value) in [
            ("queued.max.messages.kbytes", "1024"),
            ("fetch.queue.backoff.ms", "10"),
        ] {
            if settings.get(property).is_none() {
                overrides.push((property, value.to_owned()));
            }
        }
        let assigned_by_broker = settings
            .get("group.protocol")
            .is_some_and(|protocol| protocol.eq_ignore_ascii_case("consumer"));
        if !assigned_by_broker && settings.get("partition.assignment.strategy").is_none() {
            overrides.push((
                "partition.assignment.strategy",
                "cooperative-sticky".to_owned(),
            ));
        }
        let mut member = settings.client(&overrides, &REFUSED)?;
        let mut reader = member.clone();
        for property in OF_MEMBERS {
            reader.remove(property);
        }
        // It fetches nothing; the ends of partitions that it is asked for are those of their logs.
        member.set("isolation.level", "read_uncommitted");
        Ok(ClientConfigs {
            member,
            reader,
            drain_timeout: self.checked_drain_timeout(settings)?,
        })
    }
}

fn out_of_range(field: &str, value: impl Into<String>, allowed: impl Into<String>) -> ConfigError {
    ConfigError::OutOfRange {
        place: KafkaSourceSettings::PLACE,
        field: field.to_owned(),
        value: value.into(),
        allowed: allowed.into(),
    }
}

/// The properties of a client that joins a group.
const OF_MEMBERS: [&str; 4] = [
    "group.protocol",
    "group.remote.assignor",
    "group.instance.id",
    "partition.assignment.strategy",
];

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
            .start(OffsetReset::Latest)
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
        let client = KafkaSourceSettings::new("g", ["a"]).clients(&settings);
        assert!(
            client
                .expect_err("refused")
                .to_string()
                .contains("acknowledged")
        );
    }
}
