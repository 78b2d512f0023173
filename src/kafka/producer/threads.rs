//! The threads of a sink: one for most topics, and one for each lower limit that topics have.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rdkafka::ClientConfig;

use super::super::error::KafkaError;
use super::Core;
use super::recovery::MIN_BATCH_BYTES;
use super::thread::ProducerThread;

/// `batch.size` belongs to a client, the limit to a topic: a topic whose limit is lower needs another client.
pub(in super::super) struct ProducerThreads {
    core: Arc<Core>,
    config: ClientConfig,
    /// The most bytes of the first thread's batches.
    batch_bytes: usize,
    first: Arc<ProducerThread>,
    limited: Mutex<BTreeMap<usize, Arc<ProducerThread>>>,
}

impl ProducerThreads {
    pub(in super::super) fn start(
        core: Arc<Core>,
        config: ClientConfig,
        batch_bytes: usize,
    ) -> Result<Self, KafkaError> {
        Ok(Self {
            first: Arc::new(ProducerThread::start(core.clone(), config.clone())?),
            core,
            config,
            batch_bytes,
            limited: Mutex::default(),
        })
    }

    pub(in super::super) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(in super::super) fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// Returns the thread of topics whose limit is not known, or not below the clients' own.
    pub(in super::super) fn first(&self) -> &Arc<ProducerThread> {
        &self.first
    }

    /// Returns the thread for a topic that takes batches of so many bytes.
    pub(in super::super) fn for_limit(
        &self,
        limit: Option<usize>,
    ) -> Result<Arc<ProducerThread>, KafkaError> {
        let Some(limit) = limit.filter(|limit| *limit < self.batch_bytes) else {
            return Ok(self.first.clone());
        };
        // Powers of two, so that there are few clients however many limits there are.
        let bytes = (1 << limit.max(1).ilog2()).max(MIN_BATCH_BYTES);
        let mut limited = self.limited.lock();
        if let Some(thread) = limited.get(&bytes) {
            return Ok(thread.clone());
        }
        let mut config = self.config.clone();
        config.set("batch.size", bytes.to_string());
        let thread = Arc::new(ProducerThread::start(self.core.clone(), config)?);
        limited.insert(bytes, thread.clone());
        Ok(thread)
    }
}
