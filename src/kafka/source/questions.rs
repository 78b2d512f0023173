//! The questions to the brokers about partitions, which block, and their answers.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use rdkafka::error::{KafkaError as ClientError, KafkaResult, RDKafkaErrorCode};

use super::clients::Clients;
use super::message::Key;
use super::start::{Found, Log, Search, topic_id};
use super::tracker::PartitionTracker;

/// The questions for starts that are asked at the same time.
const SIDE_BY_SIDE: usize = 8;

/// The answer to a question whose thread panicked.
const FAILED: ClientError = ClientError::MetadataFetch(RDKafkaErrorCode::Fail);

/// The answer to a question about partitions.
pub(super) enum Answer {
    /// The starts of these.
    Starts(Vec<(Arc<PartitionTracker>, KafkaResult<Found>)>),
    /// The log of one whose next offset is not there.
    Log(Arc<PartitionTracker>, KafkaResult<Log>),
    /// The logs of those that have been silent.
    Silent(Vec<(Arc<PartitionTracker>, Log)>),
    /// The ids of topics.
    Topics(Vec<(Arc<str>, Option<String>)>),
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
    pub(super) fn starts(&self, trackers: &[Arc<PartitionTracker>], delay: Duration) {
        // Side by side, so that a few without an answer hold back few others.
        let each = trackers.len().div_ceil(SIDE_BY_SIDE).max(1);
        for trackers in trackers.chunks(each) {
            self.starts_of(trackers.to_vec(), delay);
        }
    }

    /// Asks once more where partitions begin that were asked for together, after a delay.
    pub(super) fn starts_again(&self, trackers: Vec<Arc<PartitionTracker>>, delay: Duration) {
        if !trackers.is_empty() {
            self.starts_of(trackers, delay);
        }
    }

    fn starts_of(&self, trackers: Vec<Arc<PartitionTracker>>, delay: Duration) {
        let (clients, search) = (Arc::clone(&self.clients), Arc::clone(&self.search));
        let keys: Vec<Key> = trackers.iter().map(|tracker| tracker.key()).collect();
        self.pending.push(Box::pin(async move {
            tokio::time::sleep(delay).await;
            let asked = tokio::task::spawn_blocking(move || search.find(&clients, &keys));
            // One that panicked is asked again.
            let found = asked.await.unwrap_or_default().into_iter().map(Some);
            let found = found.chain(std::iter::repeat_with(|| None));
            let answers = trackers.into_iter().zip(found);
            let answers = answers.map(|(tracker, found)| (tracker, found.unwrap_or(Err(FAILED))));
            Answer::Starts(answers.collect())
        }));
    }

    /// Asks for the log of a partition whose next offset is not there, after a delay.
    pub(super) fn log(&self, tracker: Arc<PartitionTracker>, delay: Duration) {
        let clients = Arc::clone(&self.clients);
        self.pending.push(Box::pin(async move {
            tokio::time::sleep(delay).await;
            let key = tracker.key();
            let asked = tokio::task::spawn_blocking(move || Log::ask(&clients, &key));
            Answer::Log(tracker, asked.await.unwrap_or(Err(FAILED)))
        }));
    }

    /// Asks for the logs of partitions of which nothing comes.
    pub(super) fn silence(&self, trackers: Vec<Arc<PartitionTracker>>) {
        if trackers.is_empty() {
            return;
        }
        let clients = Arc::clone(&self.clients);
        self.pending.push(Box::pin(async move {
            let ask = move || {
                // That no broker answers is reported by the connection.
                let logs = trackers.into_iter().filter_map(|tracker| {
                    let is_leaving = clients.is_leaving();
                    let log = (!is_leaving).then(|| Log::ask(&clients, &tracker.key()));
                    Some((tracker, log?.ok()?))
                });
                logs.collect()
            };
            let asked = tokio::task::spawn_blocking(ask);
            Answer::Silent(asked.await.unwrap_or_default())
        }));
    }

    /// Asks for the ids of topics.
    pub(super) fn topics(&self, topics: Vec<Arc<str>>) {
        let clients = Arc::clone(&self.clients);
        self.pending.push(Box::pin(async move {
            let ask = move || {
                // One that is on its way out has none now; it is asked for again.
                let ids = topics.into_iter().filter_map(|topic| {
                    let is_leaving = clients.is_leaving();
                    let id = (!is_leaving).then(|| topic_id(&clients, &topic))?.ok()?;
                    Some((topic, id))
                });
                ids.collect::<Vec<_>>()
            };
            let asked = tokio::task::spawn_blocking(ask);
            Answer::Topics(asked.await.unwrap_or_default())
        }));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
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
