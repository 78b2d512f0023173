//! Putting partitions in order after a refusal, an outage or a record that is overdue.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;

use super::super::error::KafkaError;
use super::super::topic_partition::TopicPartition;
use super::super::topics::{QUERY_TIMEOUT, is_unknown};
use super::alone::AloneClient;
use super::client::Client;
use super::partition::Partition;
use super::thread::Route;
use crate::settings::units::format_duration;

/// Between two looks at whether the clients have given everything back.
const RECOVERY_STEP: Duration = Duration::from_millis(10);
/// The time for which requests under way are waited for once a record is overdue: partitions that are well have their answer by then.
const GRACE: Duration = Duration::from_secs(1);
/// The shortest time between two log lines on refused batches.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// No batch is bounded below it: a topic whose limit is less takes single records.
pub(super) const MIN_BATCH_BYTES: usize = 1 << 10;

impl Route {
    /// Calls back what the clients have, settles what has failed, and goes on with new clients.
    pub(super) fn recover(self: &Arc<Self>) {
        self.clients.write().open = false;
        if !self.call_back() {
            return;
        }
        self.needs_recovery.store(false, Ordering::Release);
        let limit = self.age_limit();
        self.note_refusals();
        self.shrink_batches();
        self.fail_topics();
        let (mut failed, mut reason) = (0, None);
        for partition in self.partitions.lock().clone() {
            let (records, error) = self.resolve(&partition, limit);
            failed += records;
            reason = reason.or(error);
        }
        if let Some(reason) = reason {
            tracing::warn!(records = failed, %reason, "records were not delivered");
        }
        if self.renew() {
            self.go_on();
        }
    }

    /// Waits until no client has a record; `false` where the sink has failed for good meanwhile.
    fn call_back(&self) -> bool {
        let clock = self.core.clock;
        let mut overdue_since = None;
        while self.out.load(Ordering::Acquire) > 0 {
            if self
                .core
                .admission
                .refusal()
                .is_some_and(|error| error.is_fatal())
            {
                return false;
            }
            if overdue_since.is_none() && self.has_overdue() {
                overdue_since = Some(clock.now());
            }
            let in_vain = overdue_since.is_some_and(|since| clock.now() >= since + GRACE);
            self.give_back(in_vain);
            self.poll(RECOVERY_STEP);
            self.core.meter.level(self.core.admission.occupancy());
        }
        true
    }

    /// Learns from batches refused for their size: that of the next client is half of theirs.
    fn shrink_batches(&self) {
        let partitions = self.partitions.lock().clone();
        let refused = partitions
            .iter()
            .map(|partition| partition.flow.lock().too_large());
        let Some(bytes) = refused
            .filter(|(records, _)| *records > 1)
            .map(|(_, bytes)| bytes)
            .min()
        else {
            return;
        };
        let mut config = self.config.lock();
        let now = batch_bytes(&config);
        let next = (now.unwrap_or(bytes).min(bytes) / 2).max(MIN_BATCH_BYTES);
        if now.is_none_or(|now| next < now) {
            tracing::info!(
                bytes = next,
                "batches refused for their size are made smaller"
            );
            config.set("batch.size", next.to_string());
        }
    }

    /// Fails what goes to topics that cannot be used.
    fn fail_topics(&self) {
        let partitions = self.partitions.lock().clone();
        let mut errors = self.deleted_topics(&partitions);
        for partition in &partitions {
            if let Some(error) = partition.flow.lock().topic_error() {
                errors.entry(partition.topic.clone()).or_insert(error);
            }
        }
        for partition in partitions {
            let Some(error) = errors.get(&partition.topic) else {
                continue;
            };
            let records = partition.flow.lock().take_all();
            for pending in records {
                self.settle(pending, None, Err(error.clone()));
            }
        }
    }

    /// Returns the errors of topics that are gone: librdkafka says only that their partitions are. Asks no more after one
    /// question without an answer.
    fn deleted_topics(&self, partitions: &[Arc<Partition>]) -> HashMap<Arc<str>, KafkaError> {
        let missing = partitions
            .iter()
            .filter(|partition| partition.is_missing() && partition.flow.lock().has_failed());
        let missing: HashSet<&Arc<str>> = missing.map(|partition| &partition.topic).collect();
        let Some(client) = self.clients.read().batches.clone() else {
            return HashMap::new();
        };
        let answers = missing
            .into_iter()
            .map_while(|topic| Some((topic, client.metadata(topic, QUERY_TIMEOUT).ok()?)));
        let unknown = answers.filter(|(topic, metadata)| is_unknown(metadata, topic));
        let error = |topic: &Arc<str>| KafkaError::UnknownTopic {
            topic: topic.clone(),
            waited: None,
        };
        unknown
            .map(|(topic, _)| (topic.clone(), error(topic)))
            .collect()
    }

    /// Returns how old a record may be. Where one is overdue, others that have waited for long may have been in a request
    /// whose answer was lost; only the client that is given up could have sent them again without a duplicate.
    fn age_limit(&self) -> Duration {
        let timeout = self.core.delivery_timeout;
        if self.has_overdue() {
            timeout / 2
        } else {
            timeout
        }
    }

    /// Notes which topics refused a batch, and logs it now and then: bad records may come one after the other.
    fn note_refusals(&self) {
        let partitions = self.partitions.lock().clone();
        let (now, generation) = (self.core.clock.now(), self.clients.read().generation);
        let mut refused = None;
        for partition in &partitions {
            let (error, of_topic) = {
                let flow = partition.flow.lock();
                (flow.refusal(), flow.topic_error().is_some())
            };
            if error.is_some() || of_topic {
                partition.rules.refused(now, generation);
            }
            refused = error.map(|error| (partition, error)).or(refused);
        }
        let Some((partition, error)) = refused else {
            return;
        };
        let mut logged = self.refusal_logged.lock();
        if logged.is_some_and(|before| now.saturating_sub(before) < LOG_EVERY) {
            return;
        }
        *logged = Some(now);
        let reason = match &error {
            KafkaError::Refused { reason, .. } => reason,
            _ => "larger than the topic takes",
        };
        tracing::warn!(
            topic = &*partition.topic,
            partition = partition.id,
            reason,
            "a batch was refused; its records go one by one"
        );
    }

    /// Settles what failed on a partition; returns how many records, and why the first of them did.
    fn resolve(&self, partition: &Arc<Partition>, limit: Duration) -> (usize, Option<KafkaError>) {
        let overdue = self
            .is_older(partition, limit)
            .then(|| self.overdue_error(partition));
        let mut flow = partition.flow.lock();
        let failed = flow.resolve(overdue.as_ref());
        let mut cause = None;
        let failed: Vec<_> = failed
            .into_iter()
            .map(|(mut pending, own)| {
                let error = own.unwrap_or_else(|| behind(partition, cause.as_ref()));
                cause.get_or_insert_with(|| error.clone());
                // Under the lock of the partition, so that its next record finds it.
                pending.outage = Some(pending.scope.halt(&error));
                (pending, error)
            })
            .collect();
        drop(flow);
        let records = failed.len();
        for (pending, error) in failed {
            self.settle(pending, None, Err(error));
        }
        (records, cause)
    }

    fn overdue_error(&self, partition: &Partition) -> KafkaError {
        let timeout = self.core.delivery_timeout;
        let waited = format_duration(timeout);
        if !self.is_older(partition, timeout) {
            let reason = format!(
                "another partition's record timed out, and more than half of delivery_timeout, \
                 {waited}, was over for this one, whose answer may have been lost"
            );
            return not_delivered(partition, reason.into());
        }
        let last = self.core.connection.last_error();
        let reason = last.map_or_else(String::new, |reason| format!(": {reason}"));
        not_delivered(
            partition,
            format!("timed out, delivery_timeout is {waited}{reason}").into(),
        )
    }

    /// Makes a new client. The old one ends apart, since that takes a while.
    fn renew(self: &Arc<Self>) -> bool {
        let config = self.config.lock().clone();
        let batches = match Client::new(&config, self.clone()) {
            Ok(client) => Arc::new(client),
            Err(error) => {
                self.cannot_go_on(&error);
                return false;
            }
        };
        let mut clients = self.clients.write();
        let old = (clients.batches.replace(batches), clients.alone.take());
        clients.generation += 1;
        clients.open = true;
        drop(clients);
        let (batches, alone) = old;
        drop(alone);
        end_apart(batches);
        true
    }

    /// Makes the client of single records, where there is none.
    pub(super) fn make_alone(self: &Arc<Self>) -> bool {
        let config = self.config.lock().clone();
        let alone = match AloneClient::start(&config, self.clone()) {
            Ok(alone) => alone,
            Err(error) => {
                self.cannot_go_on(&error);
                return false;
            }
        };
        let mut clients = self.clients.write();
        self.alone.has_client();
        let before = clients.alone.replace(alone);
        drop(clients);
        debug_assert!(before.is_none(), "it is made where there is none");
        true
    }

    /// Ends a sink that can have no client, as where no thread can be started.
    fn cannot_go_on(&self, error: &KafkaError) {
        if error.is_fatal() {
            return self.core.admission.refuse(error);
        }
        let (kind, reason) = (error.kind(), error.to_string().into());
        self.core
            .admission
            .refuse(&KafkaError::Fatal { kind, reason });
    }

    /// Ends the client of single records, unless it has one.
    pub(super) fn end_alone(&self) {
        if self.clients.read().alone.is_none() {
            return;
        }
        let mut clients = self.clients.write();
        if !self.alone.any_out() {
            let alone = clients.alone.take();
            drop(clients);
            drop(alone);
        }
    }
}

/// Drops a client on a thread of its own, for it blocks; here, where there is none to be had.
fn end_apart(client: Option<Arc<Client>>) {
    let ended = thread::Builder::new().name("kafka-end".to_owned());
    // Refused, the closure is dropped here, and the client with it.
    let _ = ended.spawn(move || drop(client));
}

fn batch_bytes(config: &ClientConfig) -> Option<usize> {
    let native = config.create_native_config().ok()?;
    let size = |property| {
        native
            .get(property)
            .ok()?
            .trim_end_matches('\0')
            .parse()
            .ok()
    };
    let (batch, message): (Option<usize>, Option<usize>) =
        (size("batch.size"), size("message.max.bytes"));
    batch.into_iter().chain(message).min()
}

fn behind(partition: &Partition, cause: Option<&KafkaError>) -> KafkaError {
    let cause = match cause {
        Some(KafkaError::NotDelivered { reason, .. }) => format!(": {reason}"),
        _ => String::new(),
    };
    let reason = format!("a record before it on its partition was not{cause}");
    not_delivered(partition, reason.into())
}

fn not_delivered(partition: &Partition, reason: Arc<str>) -> KafkaError {
    KafkaError::NotDelivered {
        topic_partition: TopicPartition::new(partition.topic.clone(), Some(partition.id)),
        reason,
    }
}
