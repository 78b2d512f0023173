//! The settings of a topic that bear on its batches, asked of the brokers.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::{ClientConfig, ClientContext};

use super::producer::TopicLimits;

/// The longest that a topic's first record waits for it. Without an answer the sink finds out by refusals.
const MAX_LIMIT_WAIT: Duration = Duration::from_secs(2);
/// The least of them counts: a batch may not be larger than a segment.
const LIMITS: [&str; 2] = ["max.message.bytes", "segment.bytes"];

/// Logs an administrating client's lines as the producer's.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        super::producer::log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        tracing::debug!(%error, reason, "a topic's limit is being asked for");
    }
}

/// Returns a topic's limits; none where the brokers do not say, as to a client without the right to describe the topic's
/// settings.
///
/// # Cancel safety
/// Dropped, nothing is left behind.
pub(super) async fn topic_limits(config: &ClientConfig, topic: &str) -> TopicLimits {
    let described = describe(config, topic).await;
    described
        .map(|described| limits(&described))
        .unwrap_or_default()
}

async fn describe(config: &ClientConfig, topic: &str) -> Option<ConfigResource> {
    let config = config.clone();
    let made = tokio::task::spawn_blocking(move || config.create_with_context(Quiet));
    let client: AdminClient<Quiet> = made.await.ok()?.ok()?;
    let options = AdminOptions::new().request_timeout(Some(MAX_LIMIT_WAIT));
    let topic = ResourceSpecifier::Topic(topic);
    let asked = client.describe_configs([&topic], &options);
    let answer = tokio::time::timeout(MAX_LIMIT_WAIT, asked).await;
    // Its end blocks.
    drop(tokio::task::spawn_blocking(move || drop(client)));
    let resources = answer.ok()?.ok()?;
    resources.into_iter().next()?.ok()
}

fn limits(described: &ConfigResource) -> TopicLimits {
    let value = |name| described.get(name)?.value.as_deref();
    let limit = |name| value(name)?.parse().ok();
    TopicLimits {
        batch_bytes: LIMITS.into_iter().filter_map(limit).min(),
        is_compacted: value("cleanup.policy").is_some_and(|policy| policy.contains("compact")),
        ..TopicLimits::default()
    }
}

/// The settings of a client that only asks.
pub(super) fn asking(config: &ClientConfig) -> ClientConfig {
    let mut asking = ClientConfig::new();
    let kept = |property: &str| {
        [
            "bootstrap.",
            "security.",
            "sasl.",
            "ssl.",
            "socket.",
            "client.",
            "broker.",
            "reconnect.",
        ]
        .iter()
        .any(|part| property.starts_with(part))
            || property == "enable.ssl.certificate.verification"
    };
    for (property, value) in config.config_map() {
        if kept(property) {
            asking.set(property, value);
        }
    }
    asking
}

#[cfg(test)]
mod tests {
    use rdkafka::admin::{ConfigEntry, ConfigSource, OwnedResourceSpecifier};

    use super::*;

    fn described(settings: &[(&str, &str)]) -> ConfigResource {
        let entries = settings.iter().map(|(name, value)| ConfigEntry {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
            source: ConfigSource::DynamicTopic,
            is_read_only: false,
            is_default: false,
            is_sensitive: false,
        });
        ConfigResource {
            specifier: OwnedResourceSpecifier::Topic("events".to_owned()),
            entries: entries.collect(),
        }
    }

    #[test]
    fn a_batch_is_bounded_by_the_lesser_of_a_message_and_a_segment() {
        let bytes = |settings: &[(&str, &str)]| limits(&described(settings)).batch_bytes;
        let (message, segment) = ("max.message.bytes", "segment.bytes");
        assert_eq!(bytes(&[(message, "1000"), (segment, "700")]), Some(700));
        assert_eq!(bytes(&[(segment, "1000"), (message, "700")]), Some(700));
        assert_eq!(bytes(&[(segment, "1000")]), Some(1_000));
        assert_eq!(bytes(&[(message, "many"), (segment, "9")]), Some(9));
        assert_eq!(bytes(&[("retention.ms", "1")]), None);
    }

    #[test]
    fn a_topic_that_is_compacted_is_known_also_where_it_deletes_as_well() {
        let is_compacted = |policy| limits(&described(&[("cleanup.policy", policy)])).is_compacted;
        assert!(is_compacted("compact"));
        assert!(is_compacted("compact,delete"));
        assert!(!is_compacted("delete"));
        assert!(!limits(&described(&[])).is_compacted);
    }
}
