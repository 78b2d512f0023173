//! The questions to the brokers about partitions, which block, and their answers.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use rdkafka::error::KafkaResult;

use super::clients::Clients;
use super::shared::Key;
use super::start::{Found, Log, Search, topic_id};
use super::tracker::PartitionTracker;

/// The answer to a question about partitions.
pub(super) enum Answer {
    /// Where these begin.
    Starts(Vec<Arc<PartitionTracker>>, KafkaResult<Vec<Found>>),
    /// The log of one whose next offset is not there.
    Log(Arc<PartitionTracker>, KafkaResult<Log>),
    /// The log of one that has been silent.
    Silent(Arc<PartitionTracker>, KafkaResult<Log>),
    /// The ids of topics.
    Topics(KafkaResult<Vec<(Arc<str>, Option<String>)>>),
}

/// The questions that are not answered yet.
pub(super) struct Questions {
    clients: Arc<Clients>,
    search: Arc<Search>,
    pending: FuturesUnordered<BoxFuture<'static, Answer>>,
}

impl Questions {
    pub(super) fn new(clients: &Arc<Clients>, search: Search) -> Self {
        Self {
            clients: Arc::clone(clients),
            search: Arc::new(search),
            pending: FuturesUnordered::new(),
        }
    }

    /// Asks where partitions begin, after a delay.
    pub(super) fn starts(&self, trackers: Vec<Arc<PartitionTracker>>, delay: Duration) {
        if trackers.is_empty() {
            return;
        }
        let (clients, search) = (Arc::clone(&self.clients), Arc::clone(&self.search));
        let keys: Vec<Key> = trackers.iter().map(|tracker| tracker.key()).collect();
        self.pending.push(Box::pin(async move {
            tokio::time::sleep(delay).await;
            let asked = tokio::task::spawn_blocking(move || search.find(&clients, &keys));
            let found = asked.await.unwrap_or_else(|_| Ok(Vec::new()));
            Answer::Starts(trackers, found)
        }));
    }

    /// Asks for the log of a partition whose next offset is not there, after a delay.
    pub(super) fn log(&self, tracker: Arc<PartitionTracker>, delay: Duration) {
        let clients = Arc::clone(&self.clients);
        self.pending.push(Box::pin(async move {
            tokio::time::sleep(delay).await;
            let key = tracker.key();
            let asked = tokio::task::spawn_blocking(move || Log::ask(&clients, &key));
            match asked.await {
                Ok(log) => Answer::Log(tracker, log),
                Err(_) => Answer::Starts(vec![tracker], Ok(Vec::new())),
            }
        }));
    }

    /// Asks for the log of a partition of which nothing comes.
    pub(super) fn silence(&self, tracker: Arc<PartitionTracker>) {
        let (clients, key) = (Arc::clone(&self.clients), tracker.key());
        self.pending.push(Box::pin(async move {
            let asked = tokio::task::spawn_blocking(move || Log::ask(&clients, &key));
            match asked.await {
                Ok(log) => Answer::Silent(tracker, log),
                Err(_) => Answer::Starts(vec![tracker], Ok(Vec::new())),
            }
        }));
    }

    /// Asks for the ids of topics.
    pub(super) fn topics(&self, topics: Vec<Arc<str>>) {
        let clients = Arc::clone(&self.clients);
        self.pending.push(Box::pin(async move {
            let ask = move || {
                let ids = topics.into_iter().map(|topic| {
                    let id = topic_id(&clients, &topic)?;
                    Ok((topic, id))
                });
                ids.collect()
            };
            let asked = tokio::task::spawn_blocking(ask);
            Answer::Topics(asked.await.unwrap_or_else(|_| Ok(Vec::new())))
        }));
    }

    /// Resolves to the next answer.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn answer(&mut self) -> Answer {
        match self.pending.next().await {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}
