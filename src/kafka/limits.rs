//! The settings of a topic that bear on its batches, asked of the brokers.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::{ClientConfig, ClientContext};

use super::producer::TopicLimits;

/// The longest that a topic's first record waits for it. Without an answer the sink finds out by refusals.
const LONGEST: Duration = Duration::from_secs(2);
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
    let options = AdminOptions::new().request_timeout(Some(LONGEST));
    let topic = ResourceSpecifier::Topic(topic);
    let asked = client.describe_configs([&topic], &options);
    let answer = tokio::time::timeout(LONGEST, asked).await;
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
