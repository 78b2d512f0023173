//! Kafka's transactions, as a pipeline uses them.

use std::fmt;
use std::sync::Arc;

use super::driver::Driver;
use super::gate_keeper::GateKeeper;
use super::guarantee::Guarantee;
use super::kafka_source::name;
use super::map_item::MapItem;
use super::position::Position;
use super::source::Source;
use super::transact::Transact;
use super::transactional_sink::{Producer, Way};
use super::transactions::{Positions, Transactions, Trouble};
use crate::kafka::{
    KafkaError, KafkaSettings, KafkaSource, KafkaSourceControl, NotTaken, ProducerRecord,
    TransactionSettings, TransactionalProducer, Verdict,
};
use crate::settings::{ConfigError, SettingsPlace};

/// The cluster, the name and the guarantee of a pipeline that ends in transactions. Taken by
/// [`Pipeline::to_transactional`](super::Pipeline::to_transactional).
#[derive(Clone, PartialEq, Eq)]
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

    /// Checks the settings and the guarantee. A run does so too.
    ///
    /// # Errors
    ///
    /// The first field that is wrong, with its value and what is allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.settings.validate()?;
        self.guarantee.check(self.settings.timeout())
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
        let transactions = self.transaction(source);
        // Before the first record: what it commits by itself is in no transaction.
        transactions.source.commit_by_transaction();
        Some(Box::new(Transact::new(
            transactions,
            Arc::clone(gate),
            commit_interval,
            self.settings.timeout(),
        )))
    }

    fn transaction<S: TransactionalSource>(&self, source: &S) -> KafkaTransaction {
        KafkaTransaction {
            kafka: self.kafka.clone(),
            settings: self.settings.clone(),
            guarantee: self.guarantee,
            group: 0,
            source: source.group().0,
            producer: None,
            refused: Vec::new(),
            is_short: false,
        }
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

/// A transactional producer, opened by the run, and the source's member.
struct KafkaTransaction {
    kafka: KafkaSettings,
    settings: TransactionSettings,
    guarantee: Guarantee,
    group: u32,
    source: KafkaSourceControl,
    producer: Option<TransactionalProducer>,
    /// Records that the producer did not take.
    refused: Vec<KafkaError>,
    /// A record came when there was no transaction any more: this one lacks it.
    is_short: bool,
}

impl KafkaTransaction {
    fn check(&self) -> Result<(), ConfigError> {
        self.guarantee.check(self.settings.timeout())?;
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
        self.is_short = false;
        Ok(self.producer()?.begin().await?)
    }

    async fn produce(&mut self, record: ProducerRecord) {
        loop {
            let taken = match &mut self.producer {
                Some(producer) => producer.produce(&record),
                None => Err(NotTaken::Ended),
            };
            match taken {
                Ok(()) => return,
                Err(NotTaken::Ended) => {
                    self.is_short = true;
                    return;
                }
                Err(NotTaken::Full) => {
                    if let Some(producer) = &mut self.producer {
                        producer.room().await;
                    }
                }
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
        let mut failures = producer.failures();
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
        // The calls before say how the transaction has failed, and would come here only if it had not.
        if self.is_short {
            return Err(Trouble {
                verdict: Verdict::Abort,
                error: KafkaError::NotCommitted {
                    reason: "a record was not taken into its transaction".into(),
                },
            });
        }
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
        !self.source.positions().is_empty()
    }

    fn positions(&self) -> Positions {
        let positions = self.source.positions().into_iter().map(|open| {
            let partition = name(&open.topic, open.partition);
            let offset = u64::try_from(open.offset).unwrap_or_default();
            (Arc::clone(&partition), Position::number(partition, offset))
        });
        positions.collect()
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

#[cfg(all(test, feature = "embedded"))]
mod tests {
    use super::*;
    use crate::embedded::EmbeddedKafka;

    #[tokio::test]
    async fn a_transaction_that_lacks_a_record_is_not_committed() {
        let kafka = EmbeddedKafka::start(&[("events", 1)]).expect("a mock");
        let settings = KafkaSettings::new(kafka.bootstrap_servers());
        let source = KafkaSource::open(&settings, "group", ["events"]).await;
        let source = source.expect("a source");
        let transactions = KafkaTransactions::new(&settings, TransactionSettings::new("a"));
        // As if there were none any more.
        let mut transaction = transactions.transaction(&source);
        let verdict = |ended: Result<(), Trouble>| ended.expect_err("it fails").verdict;
        assert_eq!(verdict(transaction.commit().await), Verdict::Stop);
        transaction.produce(ProducerRecord::new("out", "x")).await;
        assert_eq!(verdict(transaction.commit().await), Verdict::Abort);
        assert_eq!(verdict(transaction.begin().await), Verdict::Stop);
        assert_eq!(verdict(transaction.commit().await), Verdict::Stop, "anew");
    }
}
