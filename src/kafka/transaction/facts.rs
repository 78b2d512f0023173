//! The properties of a client that the producer goes by.

use std::time::Duration;

use rdkafka::ClientConfig;

use super::super::settings::not_taken;
use super::wear::WearTimes;
use crate::settings::ConfigError;

/// Properties as librdkafka has them, its defaults included.
#[derive(Clone, Debug)]
pub(super) struct ClientFacts {
    /// `message.max.bytes`.
    pub(super) max_bytes: Option<usize>,
    /// The most bytes of a batch.
    pub(super) batch_bytes: usize,
    /// A batch's bytes are not known before it is sent.
    pub(super) compresses: bool,
    pub(super) wear: WearTimes,
}

impl ClientFacts {
    /// Reads them.
    ///
    /// # Errors
    /// Where librdkafka does not take the configuration.
    pub(super) fn of(config: &ClientConfig) -> Result<Self, ConfigError> {
        let native = config.create_native_config().map_err(not_taken)?;
        let text = |property| {
            let text = native.get(property).unwrap_or_default();
            text.trim_end_matches('\0').to_owned()
        };
        let number = |property| text(property).parse::<usize>().ok();
        let millis = |property, default: u64| {
            let set = text(property).parse().ok();
            Duration::from_millis(set.unwrap_or(default))
        };
        let max_bytes = number("message.max.bytes");
        let batch_bytes = number("batch.size").into_iter().chain(max_bytes).min();
        Ok(Self {
            max_bytes,
            batch_bytes: batch_bytes.unwrap_or(usize::MAX),
            compresses: text("compression.codec") != "none",
            wear: WearTimes::new(
                millis("socket.timeout.ms", 1_000),
                // The one is cut to the other.
                millis("retry.backoff.ms", 100).min(millis("retry.backoff.max.ms", 100)),
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_read_as_they_are_set_or_librdkafka_has_them() {
        let mut config = ClientConfig::new();
        let facts = ClientFacts::of(&config).expect("defaults");
        assert_eq!(facts.max_bytes, Some(1_000_000));
        assert!(!facts.compresses);
        config
            .set("batch.size", "5000")
            .set("compression.type", "lz4")
            .set("retry.backoff.ms", "40");
        let facts = ClientFacts::of(&config).expect("known");
        assert_eq!(facts.batch_bytes, 5_000);
        assert!(facts.compresses);
        assert!(facts.wear.is_end_worn(Duration::from_millis(30)));
        config
            .set("retry.backoff.ms", "400")
            .set("retry.backoff.max.ms", "200");
        let facts = ClientFacts::of(&config).expect("known");
        assert!(facts.wear.is_end_worn(Duration::from_millis(150)));
        assert!(!facts.wear.is_end_worn(Duration::from_millis(149)));
        config.set("batch.size", "many");
        assert!(ClientFacts::of(&config).is_err());
    }
}
