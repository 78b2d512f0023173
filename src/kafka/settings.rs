//! The brokers of a client, with librdkafka's own settings passed through.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::settings::{ConfigError, Section, SettingsPlace, one_line, settings_type};

/// The brokers, and librdkafka's properties, for [`KafkaSink`](super::KafkaSink) and [`KafkaSource`](super::KafkaSource).
///
/// Any [property of librdkafka](https://github.com/confluentinc/librdkafka/blob/v2.12.1/CONFIGURATION.md) can be set. A name that it
/// does not know is an error when settings are read or a client is opened, and so is one that would break a promise of this crate (`acks=1`,
/// `enable.auto.commit`) or has a setting of its own here (`linger.ms` is
/// [`KafkaSinkSettings::linger`](super::KafkaSinkSettings::linger)). `Debug` hides the values of passwords, secrets, keys and tokens;
/// for their sake these settings, unlike all others, are read by serde and not written.
///
/// ```
/// use dynamodb_connector::kafka::KafkaSettings;
///
/// let settings = KafkaSettings::from_toml(r#"
///     bootstrap_servers = "broker-1:9092,broker-2:9092"
///     [properties]
///     "compression.type" = "lz4"
///     socket.keepalive.enable = true      # dots may be left unquoted
/// "#)?;
/// let same = KafkaSettings::new("broker-1:9092,broker-2:9092")
///     .set("compression.type", "lz4")
///     .set("socket.keepalive.enable", "true");
/// assert_eq!(settings, same);
/// # Ok::<(), dynamodb_connector::ConfigError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSettings {
    #[serde(default)]
    bootstrap_servers: String,
    #[serde(default, deserialize_with = "properties")]
    properties: BTreeMap<String, String>,
}

impl KafkaSettings {
    /// Returns settings for the cluster that these brokers belong to: `host:port`, several separated by commas.
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            properties: BTreeMap::new(),
        }
    }

    /// Sets a property of librdkafka. It is checked when a client is opened.
    #[must_use]
    pub fn set(mut self, property: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.insert(property.into(), value.into());
        self
    }

    /// Returns the brokers.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Returns the value of a property that was set.
    pub(super) fn get(&self, property: &str) -> Option<&str> {
        self.properties.get(property).map(String::as_str)
    }

    /// The client's name in metrics, and in the brokers' logs and quotas: `client.id`.
    pub(super) fn client_id(&self) -> &str {
        self.get("client.id").unwrap_or("rdkafka")
    }

    /// Refuses SASL without a mechanism: librdkafka's default is Kerberos, which few mean and few builds have.
    fn check_sasl(&self) -> Result<(), ConfigError> {
        let protocol = self.get("security.protocol").unwrap_or_default();
        let named = self
            .get("sasl.mechanism")
            .or_else(|| self.get("sasl.mechanisms"));
        if protocol.to_ascii_lowercase().starts_with("sasl") && named.is_none() {
            return Err(refuse(
                "sasl.mechanism",
                "is not set: security.protocol asks for SASL; set it to PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or, with rdkafka's feature gssapi, GSSAPI",
            ));
        }
        Ok(())
    }

    /// librdkafka's configuration: what was set, checked, and `own` over it. `refused` holds properties that may not be set, each with
    /// what to use in its place or why not.
    pub(super) fn client(
        &self,
        overrides: &[(&str, String)],
        refused: &[(&str, &str)],
    ) -> Result<ClientConfig, ConfigError> {
        let mut config = ClientConfig::new();
        for (property, value) in &self.properties {
            let lower = value.to_ascii_lowercase();
            if let Some((_, why)) = ALWAYS_REFUSED
                .iter()
                .chain(refused)
                .find(|(name, _)| name == property)
            {
                return Err(refuse(property, why));
            }
            if !cfg!(feature = "kafka-tls") && needs_tls(property, &lower) {
                return Err(refuse(
                    property,
                    "needs TLS: build with the feature `kafka-tls`",
                ));
            }
            if !cfg!(feature = "kafka-zstd") && is_compression(property) && lower == "zstd" {
                return Err(refuse(
                    property,
                    "needs zstd: build with the feature `kafka-zstd`",
                ));
            }
            config.set(property, value);
        }
        config.set("bootstrap.servers", &self.bootstrap_servers);
        for (property, value) in overrides {
            config.set(*property, value);
        }
        self.check_sasl()?;
        if self.bootstrap_servers.trim().is_empty() {
            return Err(ConfigError::Missing {
                place: SettingsPlace::Kafka,
                field: "bootstrap_servers",
            });
        }
        Ok(config)
    }
}

settings_type!(KafkaSettings);

/// Checks what a producer and a consumer have in common.
impl Section for KafkaSettings {
    const PLACE: SettingsPlace = SettingsPlace::Kafka;

    fn check(&self) -> Result<(), ConfigError> {
        let config = self.client(&[], &[])?;
        config.create_native_config().map(drop).map_err(not_taken)
    }

    fn allowed(_: &str) -> Option<String> {
        None
    }
}

const ALWAYS_REFUSED: [(&str, &str); 4] = [
    ("bootstrap.servers", "use the setting bootstrap_servers"),
    ("metadata.broker.list", "use the setting bootstrap_servers"),
    ("log.queue", "is used by this crate"),
    (
        "plugin.library.paths",
        "would load code into the process, which this crate does not allow",
    ),
];

pub(super) fn refuse(property: &str, problem: &str) -> ConfigError {
    ConfigError::Property {
        place: SettingsPlace::Kafka,
        property: Some(property.to_owned()),
        problem: problem.to_owned(),
    }
}

/// Returns the error of settings that librdkafka does not take. `rdkafka` puts the value into some of its messages: it stays out.
pub(super) fn not_taken(error: rdkafka::error::KafkaError) -> ConfigError {
    use rdkafka::error::KafkaError as ClientError;
    let (property, problem) = match error {
        ClientError::ClientConfig(_, problem, property, _) => (Some(property), problem),
        ClientError::ClientCreation(problem) => (None, problem),
        other => (None, other.to_string()),
    };
    ConfigError::Property {
        place: SettingsPlace::Kafka,
        problem: explain(property.as_deref().unwrap_or_default(), &problem),
        property,
    }
}

fn is_compression(property: &str) -> bool {
    matches!(property, "compression.type" | "compression.codec")
}

fn needs_tls(property: &str, value: &str) -> bool {
    match property {
        "security.protocol" => value.ends_with("ssl"),
        "sasl.mechanism" | "sasl.mechanisms" => {
            value.starts_with("scram") || value == "oauthbearer"
        }
        _ => property.starts_with("ssl.") || property == "enable.ssl.certificate.verification",
    }
}

/// Returns whether a property's value must not be shown.
fn is_secret(property: &str) -> bool {
    let property = property.to_ascii_lowercase();
    [
        "password",
        "secret",
        "key",
        "token",
        "pem",
        "credential",
        "oauthbearer.config",
        "jaas",
    ]
    .iter()
    .any(|word| property.contains(word))
}

/// Returns librdkafka's words on a property, with no secret in them.
fn explain(property: &str, problem: &str) -> String {
    if is_secret(property) {
        // Its words hold the value.
        return "unknown, or not a value it can have".to_owned();
    }
    one_line(problem.trim_matches(|c: char| c == '\0' || c.is_whitespace()))
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: BTreeMap<&str, &str> = self
            .properties
            .iter()
            .map(|(property, value)| {
                let value = if is_secret(property) { "***" } else { value };
                (property.as_str(), value)
            })
            .collect();
        f.debug_struct("KafkaSettings")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("properties", &shown)
            .finish()
    }
}

/// Texts, numbers and truth values; tables within tables are names with dots, as TOML makes them of unquoted ones.
fn properties<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    let mut flat = BTreeMap::new();
    // serde's own message would show a text that stands here, which may hold a secret.
    let Value::Object(table) = Value::deserialize(from)? else {
        return Err(serde::de::Error::custom("expected a table of properties"));
    };
    flatten(None, table, &mut flat).map_err(serde::de::Error::custom)?;
    Ok(flat)
}

fn flatten(
    under: Option<&str>,
    table: serde_json::Map<String, Value>,
    flat: &mut BTreeMap<String, String>,
) -> Result<(), String> {
    for (name, value) in table {
        let name = under.map_or_else(|| name.clone(), |under| format!("{under}.{name}"));
        let text = match value {
            Value::Object(table) => {
                flatten(Some(&name), table, flat)?;
                continue;
            }
            Value::String(text) => text,
            Value::Bool(truth) => truth.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Array(_) => {
                return Err(format!(
                    "{name}: expected a text, a number or a truth value"
                ));
            }
        };
        flat.insert(name, text);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let settings = KafkaSettings::new("b:1")
            .set("sasl.password", "hunter2")
            .set("ssl.key.pem", "hunter2")
            .set("sasl.oauthbearer.client.secret", "hunter2")
            .set("client.id", "me");
        let shown = format!("{settings:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("me"), "{shown}");
        assert!(!explain("sasl.password", "invalid value hunter2").contains("hunter2"));
    }

    #[test]
    fn sasl_without_a_mechanism_is_refused_with_the_remedy() {
        let settings = KafkaSettings::new("b:1").set("security.protocol", "SASL_PLAINTEXT");
        let error = settings
            .client(&[], &[])
            .expect_err("no mechanism")
            .to_string();
        assert!(
            error.starts_with("kafka property \"sasl.mechanism\": is not set"),
            "{error}"
        );
        let plain = settings.set("sasl.mechanisms", "PLAIN");
        plain.client(&[], &[]).expect("named");
        let nowhere = KafkaSettings::new(" ").client(&[], &[]);
        assert_eq!(
            nowhere.expect_err("no broker").to_string(),
            "kafka: bootstrap_servers is not set"
        );
    }

    #[test]
    fn what_is_neither_text_nor_number_is_refused_by_name() {
        let error = serde_json::from_str::<KafkaSettings>(
            r#"{"bootstrap_servers": "b:1", "properties": {"a": {"b": [1]}}}"#,
        )
        .expect_err("a list");
        assert!(error.to_string().starts_with("a.b: expected"), "{error}");
    }

    #[cfg(not(feature = "kafka-tls"))]
    #[test]
    fn tls_without_its_feature_names_the_feature() {
        for (property, value) in [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("ssl.ca.location", "/ca.pem"),
        ] {
            let settings = KafkaSettings::new("b:1").set(property, value);
            let error = settings.client(&[], &[]).expect_err("no TLS");
            assert_eq!(
                error.to_string(),
                format!(
                    "kafka property {property:?}: needs TLS: build with the feature `kafka-tls`"
                )
            );
        }
    }
}
