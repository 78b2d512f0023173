//! The guarantee of a pipeline that ends in Kafka.

use std::fmt;
use std::time::Duration;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::settings::units::format_duration;
use crate::settings::{ConfigError, SettingsPlace, fields, units};

/// Below it transactions cost more than what they hold.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

fn one_second() -> Duration {
    Duration::from_secs(1)
}

/// The guarantee of a pipeline whose output may be in transactions.
///
/// **In the transaction** are the records of the output, the dead letters, and the positions of the source. Consumers have to
/// read what is committed: `isolation.level=read_committed`, which is librdkafka's default and not that of Kafka's Java client.
///
/// **Not in it** is whatever else operators do: a lookup is made again, and a call of another service, when a transaction is aborted
/// or a process is killed.
///
/// **The cost** is time: a record is seen when its transaction is committed, up to the commit interval later, and after
/// a process was killed what it had open is aborted when it comes again under the same name, or after the
/// [`transaction_timeout`](crate::kafka::TransactionSettings::transaction_timeout) and the time between two looks of the brokers, 10 s by default
/// (`transaction.abort.timed.out.transaction.cleanup.interval.ms`).
///
/// In a settings file it is `"at_least_once"`, `"exactly_once"`, or `exactly_once` with a `commit_interval`:
/// see [`SettingsFile::kafka_transactions`](crate::SettingsFile::kafka_transactions).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Guarantee {
    /// Publishes all that is made of the source's records, after a crash of some more than once.
    AtLeastOnce,
    /// Publishes all that is made of the source's records once, whatever crashes, is stopped, or goes to another member of
    /// the group.
    ExactlyOnce {
        /// The time from a transaction's beginning to its cut. Default: 1 s. Valid: 10 ms to a third of the
        /// [`transaction_timeout`](crate::kafka::TransactionSettings::transaction_timeout).
        #[serde(with = "units::duration")]
        commit_interval: Duration,
    },
}

impl Default for Guarantee {
    fn default() -> Self {
        Self::ExactlyOnce {
            commit_interval: one_second(),
        }
    }
}

impl Guarantee {
    /// Checks the interval, for transactions that may be open for so long.
    pub(super) fn check(self, timeout: Duration) -> Result<(), ConfigError> {
        // In whole milliseconds, to be read.
        let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX) / 3;
        let longest = Duration::from_millis(millis);
        match self {
            Self::ExactlyOnce { commit_interval }
                if !(SHORTEST_INTERVAL..=longest).contains(&commit_interval) =>
            {
                Err(ConfigError::OutOfRange {
                    place: SettingsPlace::KafkaTransaction,
                    field: "commit_interval".to_owned(),
                    value: format_duration(commit_interval),
                    allowed: format!(
                        "{} to {}, a third of transaction_timeout",
                        format_duration(SHORTEST_INTERVAL),
                        format_duration(longest)
                    ),
                })
            }
            _ => Ok(()),
        }
    }
}

/// A guarantee by its name alone.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Named {
    AtLeastOnce,
    ExactlyOnce,
}

/// A guarantee with its fields.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Tagged {
    ExactlyOnce {
        #[serde(default = "one_second", with = "units::duration")]
        commit_interval: Duration,
    },
}

struct Form;

impl<'de> Visitor<'de> for Form {
    type Value = Guarantee;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"at_least_once\", \"exactly_once\", or exactly_once with a commit_interval")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Guarantee, E> {
        Ok(match Named::deserialize(StrDeserializer::new(name))? {
            Named::AtLeastOnce => Guarantee::AtLeastOnce,
            Named::ExactlyOnce => Guarantee::default(),
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Guarantee, A::Error> {
        let Tagged::ExactlyOnce { commit_interval } =
            Tagged::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Guarantee::ExactlyOnce { commit_interval })
    }
}

/// Reads also a name alone, with the default interval.
impl<'de> Deserialize<'de> for Guarantee {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Form)
    }
}

/// The field of the section `kafka.transaction` that is not in [`TransactionSettings`](crate::kafka::TransactionSettings).
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct GuaranteeField {
    guarantee: Guarantee,
}

impl GuaranteeField {
    /// Reads it, where it is there.
    pub(crate) fn read(value: Option<Value>) -> Result<Guarantee, ConfigError> {
        let field = value.map(|value| ("guarantee".to_owned(), value));
        let section: Map<String, Value> = field.into_iter().collect();
        let allowed = |path: &str| {
            let shortest = format_duration(SHORTEST_INTERVAL);
            path.ends_with("commit_interval")
                .then(|| format!("{shortest} to a third of transaction_timeout"))
        };
        let read: Self = fields(
            &SettingsPlace::KafkaTransaction,
            Value::Object(section),
            allowed,
        )?;
        Ok(read.guarantee)
    }
}
