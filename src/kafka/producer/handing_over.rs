//! The handing over of records to the clients, and what their reports make of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::error::{Failure, KafkaError};
use super::super::receipt::RecordMetadata;
use super::Pending;
use super::client::NotTaken;
use super::partition::{Flow, Partition, Verdict, Way};
use super::thread::{Clients, Route};

impl Route {
    /// Hands over all that may be; gives what the client refuses.
    pub(super) fn hand_over(
        &self,
        clients: &Clients,
        partition: &Arc<Partition>,
        flow: &mut Flow<Pending>,
    ) -> Vec<(u64, Pending, KafkaError)> {
        let mut refused = Vec::new();
        if !clients.open {
            return refused;
        }
        flow.enter_generation(clients.generation);
        let all_alone = partition.rules.all_alone(|| self.core.clock.now());
        while let Some((way, number, pending)) = flow.next(all_alone) {
            let client = match way {
                Way::Batches => &clients.batches,
                Way::Alone => &clients.alone,
            };
            let Some(client) = client else {
                self.wants_alone
                    .fetch_or(way == Way::Alone, Ordering::AcqRel);
                break;
            };
            self.count_out(way);
            let sent = client.send(&pending.record, partition, number, way, self.core.max_bytes);
            let Err(error) = sent else {
                flow.handed_over(way);
                continue;
            };
            self.count_in(way);
            match error {
                // The thread looks again at its next turn.
                NotTaken::NotNow => break,
                NotTaken::Outage(error) => {
                    flow.fail_next(Failure::Outage(error));
                    self.trouble.store(true, Ordering::Release);
                    break;
                }
                NotTaken::Refused(error) => {
                    if error.is_fatal() {
                        self.core.admission.refuse(&error);
                    }
                    refused.extend(flow.take_next().map(|pending| (number, pending, error)));
                }
            }
        }
        refused
    }

    /// Takes a client's report of a record.
    pub(super) fn reported(
        &self,
        partition: &Arc<Partition>,
        number: u64,
        way: Way,
        result: Result<RecordMetadata, Failure>,
    ) {
        self.count_in(way);
        let (delivered, outcome) = match result {
            Ok(delivered) => (Some(delivered), Ok(())),
            Err(failure) => (None, Err(failure)),
        };
        let clients = self.clients();
        let mut flow = partition.flow();
        let accepted = flow.oldest();
        let verdict = flow.report(number, outcome);
        let refused = self.hand_over(&clients, partition, &mut flow);
        if matches!(verdict, Some(Verdict::Settled(_, Err(_))))
            && clients
                .batches
                .as_ref()
                .is_some_and(|client| client.fatal_error().is_some())
        {
            // It stopped at this refusal: a new one goes on.
            self.trouble.store(true, Ordering::Release);
            partition.rules.refused(self.core.clock.now());
        }
        drop((flow, clients));
        match verdict {
            Some(Verdict::Settled(pending, outcome)) => {
                let result = match (outcome, delivered) {
                    (Ok(()), Some(delivered)) => Ok(delivered),
                    (Err(Failure::Batch(error) | Failure::Record(error)), _) => Err(error),
                    _ => Err(KafkaError::Closed),
                };
                self.settle(pending, accepted, result);
            }
            Some(Verdict::Undecided) => self.trouble.store(true, Ordering::Release),
            None => debug_assert!(false, "a report of a record that is not known"),
        }
        for (_, pending, error) in refused {
            self.settle(pending, None, Err(error));
        }
    }

    pub(super) fn settle(
        &self,
        pending: Pending,
        accepted: Option<Duration>,
        result: Result<RecordMetadata, KafkaError>,
    ) {
        self.core.settle(pending, accepted, result);
        self.pending.fetch_sub(1, Ordering::AcqRel);
    }

    /// Hands over what may be, with the client of single records where one is wanted.
    pub(super) fn go_on(self: &Arc<Self>) {
        self.hand_over_all();
        if self.wants_alone.swap(false, Ordering::AcqRel) && self.make_alone() {
            self.hand_over_all();
        }
    }

    /// Hands over what a client did not take before, or has waited for a client.
    fn hand_over_all(&self) {
        for partition in self.partitions().clone() {
            let clients = self.clients();
            let mut flow = partition.flow();
            let refused = self.hand_over(&clients, &partition, &mut flow);
            drop((flow, clients));
            for (_, pending, error) in refused {
                self.settle(pending, None, Err(error));
            }
        }
    }

    fn count_out(&self, way: Way) {
        self.out.fetch_add(1, Ordering::AcqRel);
        if way == Way::Alone {
            self.out_alone.fetch_add(1, Ordering::AcqRel);
            self.used_alone.store(true, Ordering::Release);
        }
    }

    fn count_in(&self, way: Way) {
        self.out.fetch_sub(1, Ordering::AcqRel);
        if way == Way::Alone {
            self.out_alone.fetch_sub(1, Ordering::AcqRel);
        }
    }
}
