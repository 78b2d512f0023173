//! The settings of a transactional producer.

use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};

use super::super::settings::{KafkaSettings, refuse};
use super::super::sink_settings::millis;
use super::wear::MIN_BACKOFF;
use crate::random::entropy;
use crate::settings::{
    Bound, ConfigError, Section, SettingsPlace, allowed_at, settings_type, units,
};

const TIMEOUT: Bound<Duration> = Bound::new(
    "transaction_timeout",
    Duration::from_secs(1),
    Duration::from_secs(15 * 60),
);
/// The most bytes of a `transactional.id`: brokers take more, their tools print them badly.
const MAX_ID_BYTES: usize = 200;
/// The digits of an instance's name that is drawn.
const DRAWN_BYTES: usize = 16;
/// The digits of the largest group's number.
const GROUP_BYTES: usize = 10;
/// librdkafka's delays of a second try, of which the first is cut to the second.
const BACKOFFS: [&str; 2] = ["retry.backoff.ms", "retry.backoff.max.ms"];
/// The delay where none is set. Chosen: so long that a commit of usual time does not look like one that was sent twice.
const BACKOFF: Duration = Duration::from_millis(250);
/// The tries of a request that a transaction must have room for.
const TRIES: u32 = 3;

/// Settings of the transactions of a pipeline's output to Kafka; a field that a file does not name has its default, but for the
/// application.
///
/// A producer's `transactional.id` is `application/instance/group`, of which the group is a number within the
/// process. A producer that is opened ends the transaction of the one before it with the same id, and fences it. So
/// no two processes may share application and instance; and the right to use the id (`Write` and `Describe` on the
/// transactional ids that begin with `application/`) is granted by prefix.
///
/// ```
/// use std::time::Duration;
///
/// use dynamodb_connector::kafka::TransactionSettings;
///
/// let settings = TransactionSettings::from_toml(r#"
///     application = "decisions"
///     instance = "decisions-0"
///     transaction_timeout = "20s"
/// "#)?;
/// let same = TransactionSettings::new("decisions")
///     .instance("decisions-0")
///     .transaction_timeout(Duration::from_secs(20));
/// assert_eq!(settings, same);
/// # Ok::<(), dynamodb_connector::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TransactionSettings {
    #[serde(default)]
    application: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    #[serde(default = "ten_seconds", with = "units::duration")]
    transaction_timeout: Duration,
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

impl TransactionSettings {
    /// Returns settings for the transactions of this application: a name that its processes have in common, and no other
    /// application has. Valid: any without `/` and control characters, with the instance at most 188 bytes.
    pub fn new(application: impl Into<String>) -> Self {
        Self {
            application: application.into(),
            instance: None,
            transaction_timeout: ten_seconds(),
        }
    }

    /// Sets the name of this process among those of the application, such as the host name of a pod of a `StatefulSet`. Default:
    /// drawn at random. With a stable name a process that is started again ends at once what the one before it left
    /// open; with one that is drawn, readers wait for [`transaction_timeout`](Self::transaction_timeout).
    #[must_use]
    pub fn instance(mut self, instance: impl Into<String>) -> Self {
        self.instance = Some(instance.into());
        self
    }

    /// Sets for how long a transaction may be open before the brokers abort it. Default: 10 s. Valid: 1 s to 15 min, and no more
    /// than the brokers' `transaction.max.timeout.ms`. After a crash, readers may wait for as long. A request is tried
    /// again after a third of it, 1 s to 3 s, unless `socket.timeout.ms` is set: below 3 s of it one lost answer may use it up.
    #[must_use]
    pub fn transaction_timeout(mut self, timeout: Duration) -> Self {
        self.transaction_timeout = timeout;
        self
    }
}

settings_type!(TransactionSettings);

impl Section for TransactionSettings {
    const PLACE: SettingsPlace = SettingsPlace::KafkaTransaction;

    fn check(&self) -> Result<(), ConfigError> {
        let place = Self::PLACE;
        if self.application.is_empty() {
            return Err(ConfigError::Missing {
                place,
                field: "application",
            });
        }
        check_name("application", &self.application)?;
        let instance = self.instance.as_deref();
        if let Some(instance) = instance {
            check_name("instance", instance)?;
        }
        let names = self.application.len() + instance.map_or(DRAWN_BYTES, str::len);
        let max = MAX_ID_BYTES - GROUP_BYTES - "//".len();
        if names > max {
            let value = format!("with the instance a name of {names} bytes");
            return Err(out_of_range(
                "application",
                value,
                format!("1 to {max} bytes"),
            ));
        }
        TIMEOUT.check(&place, self.transaction_timeout)
    }

    fn allowed(path: &str) -> Option<String> {
        allowed_at(path, &[TIMEOUT])
    }
}

/// Refuses what would make one id of two pairs of names, and what no log shows.
fn check_name(field: &str, name: &str) -> Result<(), ConfigError> {
    if name.is_empty() || name.contains(|c: char| c == '/' || c.is_control()) {
        let allowed = "a name without \"/\" and control characters";
        return Err(out_of_range(field, format!("{name:?}"), allowed));
    }
    Ok(())
}

fn out_of_range(field: &str, value: String, allowed: impl Into<String>) -> ConfigError {
    ConfigError::OutOfRange {
        place: TransactionSettings::PLACE,
        field: field.to_owned(),
        value,
        allowed: allowed.into(),
    }
}

impl TransactionSettings {
    /// Draws the instance's name where none is set. Once for each process, so that a group that is opened again has
    /// its id again: each new one is kept by the brokers for days.
    pub(crate) fn with_instance(mut self) -> Self {
        static DRAWN: OnceLock<u64> = OnceLock::new();
        let drawn = || format!("{:016x}", DRAWN.get_or_init(entropy));
        self.instance.get_or_insert_with(drawn);
        self
    }

    /// Returns the time for which a transaction may be open.
    pub(crate) fn timeout(&self) -> Duration {
        self.transaction_timeout
    }

    /// Returns the `transactional.id` of a group; the instance is drawn where it has no name.
    pub(super) fn id(&self, group: u32) -> String {
        let named = self.clone().with_instance();
        let (application, instance) = (named.application, named.instance.unwrap_or_default());
        format!("{application}/{instance}/{group}")
    }

    /// Returns librdkafka's configuration of a producer with this id.
    pub(super) fn client(
        &self,
        settings: &KafkaSettings,
        id: &str,
    ) -> Result<ClientConfig, ConfigError> {
        self.validate()?;
        let timeout = self.transaction_timeout;
        // In whole milliseconds, as librdkafka takes them.
        let longest = Duration::from_millis(
            u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX) / u64::from(TRIES),
        );
        let mut overrides = vec![
            ("transactional.id", id.to_owned()),
            ("transaction.timeout.ms", millis(timeout)),
            ("enable.idempotence", "true".to_owned()),
            ("acks", "all".to_owned()),
            ("allow.auto.create.topics", "false".to_owned()),
        ];
        match settings.get("socket.timeout.ms") {
            None => {
                let socket = longest.clamp(Duration::from_secs(1), Duration::from_secs(3));
                overrides.push(("socket.timeout.ms", millis(socket)));
            }
            // What is no number is refused by librdkafka.
            Some(set) => {
                let set = set.trim().parse().ok().map(Duration::from_millis);
                if set.is_some_and(|set| set > longest) {
                    return Err(refuse(
                        "socket.timeout.ms",
                        &format!(
                            "must be at most {}, so that a transaction has time for {TRIES} tries of a request: lower it, or raise \
                             transaction_timeout",
                            units::format_duration(longest)
                        ),
                    ));
                }
            }
        }
        for property in BACKOFFS {
            let set = settings
                .get(property)
                .and_then(|set| set.trim().parse().ok());
            if set.is_some_and(|set| Duration::from_millis(set) < MIN_BACKOFF) {
                let least = units::format_duration(MIN_BACKOFF);
                let problem = format!(
                    "must be at least {least}: by less a commit that was sent twice is not known"
                );
                return Err(refuse(property, &problem));
            }
        }
        if BACKOFFS
            .iter()
            .all(|property| settings.get(property).is_none())
        {
            overrides.push(("retry.backoff.ms", millis(BACKOFF)));
        }
        // As the sink's, which is the Java client's.
        if settings.get("partitioner").is_none() {
            overrides.push(("partitioner", "murmur2_random".to_owned()));
        }
        settings.client(&overrides, &REFUSED)
    }
}

const REFUSED: [(&str, &str); 11] = [
    (
        "transactional.id",
        "is made of the settings application and instance, and a group's number",
    ),
    (
        "transaction.timeout.ms",
        "use the setting transaction_timeout",
    ),
    ("enable.idempotence", "is a part of transactions"),
    ("acks", "is \"all\" with transactions"),
    ("request.required.acks", "is \"all\" with transactions"),
    (
        "delivery.timeout.ms",
        "a record is tried for as long as its transaction is open",
    ),
    (
        "message.timeout.ms",
        "a record is tried for as long as its transaction is open",
    ),
    (
        "enable.gapless.guarantee",
        "a refused record aborts its transaction",
    ),
    (
        "queue.buffering.max.messages",
        "a transaction's records wait for room by themselves",
    ),
    (
        "queue.buffering.max.kbytes",
        "a transaction's records wait for room by themselves",
    ),
    (
        "delivery.report.only.error",
        "every record's delivery is reported",
    ),
];

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
