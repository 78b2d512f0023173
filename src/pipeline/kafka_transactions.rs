//! Kafka's transactions, as a pipeline uses them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::driver::Driver;
use super::gate_keeper::GateKeeper;
use super::kafka_source::name;
use super::map_item::MapItem;
use super::source::Source;
use super::transact::Transact;
use super::transactional_sink::{Producer, Way};
use super::transactions::{Positions, Transactions, Trouble};
use crate::kafka::{
    KafkaError, KafkaSettings, KafkaSource, KafkaSourceControl, NotTaken, ProducerRecord,
    TransactionSettings, TransactionalProducer, Verdict,
};
use crate::settings::units::format_duration;
use crate::settings::{ConfigError, SettingsPlace, units};

/// The guarantee of a pipeline whose output may be in transactions.
///
/// **In the transaction** are the records of the output, the dead letters, and the positions of the source. Consumers have to
/// read what is committed: `isolation.level=read_committed`, which is librdkafka's default and not that of Kafka's Java client.
///
/// **Not in it** is whatever else operators do: a lookup is made again, and a call of another service, when a transaction is aborted
/// or a process is killed.
///
/// **The cost** is time: a record is seen when its transaction is committed, up to the commit interval later, and after
/// a process was killed what it had open is aborted after the
/// [`transaction_timeout`](TransactionSettings::transaction_timeout) at the latest, or when it comes again under the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Guarantee {
    /// Publishes all that is made of the source's records, after a crash of some more than once.
    AtLeastOnce,
    /// Publishes all that is made of the source's records once, whatever crashes, is stopped, or goes to another member of
    /// the group.
    ExactlyOnce {
        /// The time from a transaction's beginning to its cut. Default: 1 s. Valid: 10 ms to a third of the
        /// [`transaction_timeout`](TransactionSettings::transaction_timeout).
        #[serde(with = "units::duration")]
        commit_interval: Duration,
    },
}

impl Default for Guarantee {
    fn default() -> Self {
        Self::ExactlyOnce {
            commit_interval: Duration::from_secs(1),
        }
    }
}

/// The cluster, the name and the guarantee of a pipeline that ends in transactions. Taken by
/// [`Pipeline::to_transactional`](super::Pipeline::to_transactional).
#[derive(Clone)]
pub struct KafkaTransactions {
    kafka: KafkaSettings,
    settings: TransactionSettings,
    guarantee: Guarantee,
}

impl KafkaTransactions {
    /// Returns transactions on this cluster, under the application's name.
    pub fn new(kafka: &KafkaSettings, settings: TransactionSettings) -> Self {
        Self {
            kafka: kafka.clone(),
            // Drawn once, where it is not given: the same for all that this process opens.
            settings: settings.with_instance(),
            guarantee: Guarantee::default(),
        }
    }

    /// Sets the guarantee. Default: exactly once, with a commit each second.
    #[must_use]
    pub fn guarantee(mut self, guarantee: Guarantee) -> Self {
        self.guarantee = guarantee;
        self
    }

    /// Returns the driver of the transactions, where there are any.
    pub(super) fn driver<S: TransactionalSource>(
        &self,
        source: &S,
        gate: &Arc<GateKeeper>,
    ) -> Option<Box<dyn Driver>> {
        let Guarantee::ExactlyOnce { commit_interval } = self.guarantee else {
            return None;
        };
        let transactions = KafkaTransaction {
            kafka: self.kafka.clone(),
            settings: self.settings.clone(),
            commit_interval,
            group: 0,
            source: source.group().0,
            producer: None,
            refused: Vec::new(),
        };
        // Before the first record: what it commits by itself is in no transaction.
        transactions.source.commit_by_transaction();
        Some(Box::new(Transact::new(
            transactions,
            Arc::clone(gate),
            commit_interval,
            self.settings.timeout(),
        )))
    }

    /// Returns the way of records that are published at least once.
    pub(super) fn producer(&self) -> Way {
        Way::Producer(Producer::new(&self.kafka))
    }
}

impl fmt::Debug for KafkaTransactions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaTransactions")
            .field("settings", &self.settings)
            .field("guarantee", &self.guarantee)
            .finish_non_exhaustive()
    }
}

/// A source whose positions can be in a Kafka transaction: a [`KafkaSource`], also with its items mapped. Sealed.
pub trait TransactionalSource: Source {
    #[doc(hidden)]
    fn group(&self) -> Group;
}

/// The group's member that a source is.
#[doc(hidden)]
pub struct Group(KafkaSourceControl);

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").finish_non_exhaustive()
    }
}

impl TransactionalSource for KafkaSource {
    fn group(&self) -> Group {
        Group(self.control())
    }
}

impl<S, U, F> TransactionalSource for MapItem<S, F>
where
    S: TransactionalSource,
    U: Send + 'static,
    F: FnMut(S::Item) -> U + Send + 'static,
{
    fn group(&self) -> Group {
        self.source.group()
    }
}

/// Below it transactions cost more than what they hold.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// A transactional producer, opened by the run, and the source's member.
struct KafkaTransaction {
    kafka: KafkaSettings,
    settings: TransactionSettings,
    commit_interval: Duration,
    group: u32,
    source: KafkaSourceControl,
    producer: Option<TransactionalProducer>,
    /// Records that the producer did not take.
    refused: Vec<KafkaError>,
}

impl KafkaTransaction {
    fn check(&self) -> Result<(), ConfigError> {
        let longest = self.settings.timeout() / 3;
        if !(SHORTEST_INTERVAL..=longest).contains(&self.commit_interval) {
            return Err(ConfigError::OutOfRange {
                place: SettingsPlace::KafkaTransaction,
                field: "commit_interval".to_owned(),
                value: format_duration(self.commit_interval),
                allowed: format!(
                    "{} to {}, a third of transaction_timeout",
                    format_duration(SHORTEST_INTERVAL),
                    format_duration(longest)
                ),
            });
        }
        if !self.source.reads_committed() {
            return Err(ConfigError::OutOfRange {
                place: SettingsPlace::Kafka,
                field: "isolation.level".to_owned(),
                value: "read_uncommitted".to_owned(),
                allowed: "read_committed: exactly once can't begin at offsets, nor make something of records, that may be aborted yet"
                    .to_owned(),
            });
        }
        Ok(())
    }

    fn producer(&mut self) -> Result<&mut TransactionalProducer, Trouble> {
        self.producer.as_mut().ok_or(Trouble {
            verdict: Verdict::Stop,
            error: KafkaError::Closed,
        })
    }
}

impl Transactions for KafkaTransaction {
    async fn open(&mut self) -> Result<(), KafkaError> {
        self.check()?;
        let producer = TransactionalProducer::open(&self.kafka, &self.settings, self.group);
        self.producer = Some(producer.await?);
        Ok(())
    }

    async fn begin(&mut self) -> Result<(), Trouble> {
        self.refused.clear();
        Ok(self.producer()?.begin().await?)
    }

    async fn produce(&mut self, record: ProducerRecord) {
        let Ok(producer) = self.producer() else {
            return;
        };
        loop {
            match producer.produce(&record, 0) {
                // The transaction's end says how it has failed.
                Ok(()) | Err(NotTaken::Ended) => return,
                Err(NotTaken::Full) => producer.room().await,
                Err(NotTaken::Refused(error)) => {
                    self.refused.push(error);
                    return;
                }
            }
        }
    }

    async fn delivered(&mut self) -> Result<Vec<KafkaError>, Trouble> {
        let producer = self.producer()?;
        producer.delivered().await;
        let failures = producer.failures().into_iter();
        let mut failures: Vec<_> = failures.map(|(_, error)| error).collect();
        failures.append(&mut self.refused);
        Ok(failures)
    }

    async fn send_offsets(
        &mut self,
        passed: &Positions,
        is_current: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), Trouble> {
        let source = self.source.clone();
        // It waits for the member's own thread.
        let asked = tokio::task::spawn_blocking(move || source.group_offsets()).await;
        let lost = |reason: &str| {
            Err(Trouble {
                verdict: Verdict::Abort,
                error: KafkaError::NotCommitted {
                    reason: reason.into(),
                },
            })
        };
        let Some(mut offsets) = asked.ok().flatten() else {
            return lost("this is no member of the group at present");
        };
        // Asked after the generation: what goes from now on has another one.
        if !is_current() {
            return lost("a partition of the transaction has gone to another member");
        }
        let of_transaction = offsets.positions().iter().filter_map(|open| {
            let last = passed.get(&*name(&open.topic, open.partition))?;
            let next = last.as_number()?.saturating_add(1);
            let topic = Arc::clone(&open.topic);
            Some((topic, open.partition, i64::try_from(next).ok()?))
        });
        let of_transaction: Vec<_> = of_transaction.collect();
        for (topic, partition, next) in &of_transaction {
            offsets.raise(topic, *partition, *next);
        }
        if of_transaction.len() < passed.len() {
            return lost("a partition of the transaction is not this member's any more");
        }
        Ok(self.producer()?.send_offsets(offsets).await?)
    }

    async fn commit(&mut self) -> Result<(), Trouble> {
        Ok(self.producer()?.commit().await?)
    }

    async fn abort(&mut self) -> Result<(), Trouble> {
        Ok(self.producer()?.abort().await?)
    }

    async fn renew(&mut self) -> Result<(), Trouble> {
        Ok(self.producer()?.renew().await?)
    }

    async fn rewind(&mut self) -> Result<(), Trouble> {
        self.source.rewind().await;
        Ok(())
    }

    fn has_partitions(&self) -> bool {
        self.source.has_opened_all()
    }

    fn is_worn(&self) -> bool {
        self.producer
            .as_ref()
            .is_some_and(TransactionalProducer::is_worn)
    }

    async fn close(&mut self) {
        if let Some(producer) = self.producer.take()
            && let Err(error) = producer.close().await
        {
            tracing::warn!(%error, "a transaction is left to its time-out");
        }
    }

    fn set_group(&mut self, group: u32) {
        self.group = group;
    }

    fn id(&self) -> String {
        let producer = self.producer.as_ref();
        producer.map_or_else(String::new, |producer| producer.id().to_owned())
    }
}

impl From<(Verdict, KafkaError)> for Trouble {
    fn from((verdict, error): (Verdict, KafkaError)) -> Self {
        Self { verdict, error }
    }
}
