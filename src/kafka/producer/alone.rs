//! The client whose batches have one record, with a thread of its own: it is polled for as long as it has records, and
//! neither client's reports wait for the other's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;

use super::super::error::KafkaError;
use super::client::Client;
use super::thread::Route;

/// The time after which a thread looks whether its client is needed still.
const LOOK: Duration = Duration::from_millis(100);
/// The refusals after which the clients are renewed. With each one librdkafka raises the producer's epoch by one, and brokers
/// refuse it for good once its 15 bits are used up (KIP-360).
const MAX_REFUSALS: usize = 10_000;

/// The client, until it is dropped. Its end blocks, and is its thread's.
pub(super) struct AloneClient {
    client: Arc<Client>,
    ended: Arc<AtomicBool>,
}

/// The records that go alone, for looks without a lock on the clients.
#[derive(Default)]
pub(super) struct AloneRecords {
    /// Those that the client has.
    out: AtomicUsize,
    /// One waits for the client, which is not there.
    wanted: AtomicBool,
    /// The client was used since the last look.
    used: AtomicBool,
    /// Those that brokers refused of this client.
    refused: AtomicUsize,
}

impl AloneClient {
    pub(super) fn start(config: &ClientConfig, route: Arc<Route>) -> Result<Self, KafkaError> {
        let client = Arc::new(Client::new(&singles(config), route)?);
        let ended = Arc::new(AtomicBool::new(false));
        let (polled, until) = (client.clone(), ended.clone());
        let started = thread::Builder::new()
            .name("kafka-sink-alone".to_owned())
            .spawn(move || {
                while !until.load(Ordering::Acquire) {
                    polled.poll(LOOK);
                }
            });
        match started {
            Ok(_) => Ok(Self { client, ended }),
            Err(error) => Err(KafkaError::no_thread(&error)),
        }
    }

    pub(super) fn client(&self) -> &Arc<Client> {
        &self.client
    }
}

impl Drop for AloneClient {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
    }
}

impl AloneRecords {
    pub(super) fn goes_out(&self) {
        self.out.fetch_add(1, Ordering::AcqRel);
        self.used.store(true, Ordering::Release);
    }

    pub(super) fn is_back(&self) {
        self.out.fetch_sub(1, Ordering::AcqRel);
    }

    /// Counts a refusal; returns whether the clients are to be renewed.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.fetch_add(1, Ordering::AcqRel) + 1 >= MAX_REFUSALS
    }

    pub(super) fn any_out(&self) -> bool {
        self.out.load(Ordering::Acquire) > 0
    }

    /// Notes that a record waits for the client. Under the lock on the clients, as [`has_client`](Self::has_client).
    pub(super) fn request_client(&self) {
        self.wanted.store(true, Ordering::Release);
    }

    pub(super) fn is_client_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    /// Notes that there is a client, a new one.
    pub(super) fn has_client(&self) {
        self.wanted.store(false, Ordering::Release);
        self.refused.store(0, Ordering::Release);
    }

    /// Returns whether the client was used since the last call.
    pub(super) fn take_used(&self) -> bool {
        self.used.swap(false, Ordering::AcqRel) || self.any_out()
    }
}

/// The settings of a client whose batches have one record.
fn singles(config: &ClientConfig) -> ClientConfig {
    let mut config = config.clone();
    config.set("batch.num.messages", "1");
    config.set("linger.ms", "0");
    // A refusal is a record's own here, and those behind it go on.
    config.set("enable.gapless.guarantee", "false");
    config
}
