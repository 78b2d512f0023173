//! The handing over of records to the clients, and what their reports make of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::error::{Failure, KafkaError};
use super::super::receipt::RecordMetadata;
use super::Pending;
use super::client::NotTaken;
use super::partition::{ClientKind, Flow, Partition, Verdict};
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
        let all_alone = self.all_alone(partition, flow);
        while let Some((kind, number, pending)) = flow.next(all_alone) {
            let Some(client) = clients.of(kind) else {
                if kind == ClientKind::Single {
                    self.alone.request_client();
                }
                break;
            };
            self.count_out(kind);
            let sent = client.send(
                &pending.record,
                partition,
                number,
                kind,
                self.core.max_bytes,
            );
            let Err(error) = sent else {
                flow.handed_over(kind);
                continue;
            };
            self.count_in(kind);
            match error {
                // The thread looks again at its next turn.
                NotTaken::NotNow => break,
                NotTaken::Outage(error) => {
                    flow.fail_next(Failure::Outage(error));
                    self.needs_recovery.store(true, Ordering::Release);
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
        kind: ClientKind,
        result: Result<RecordMetadata, Failure>,
    ) {
        let (delivered, outcome) = match result {
            Ok(delivered) => (Some(delivered), Ok(())),
            Err(failure) => (None, Err(failure)),
        };
        let clients = self.clients.read();
        let mut flow = partition.flow.lock();
        let accepted = flow.oldest();
        let verdict = flow.report(number, outcome);
        match &verdict {
            Some(Verdict::Settled(_, Err(Failure::Batch { .. } | Failure::Topic(_)))) => {
                self.refused(&clients, partition, kind);
            }
            Some(Verdict::Undecided) => self.needs_recovery.store(true, Ordering::Release),
            Some(Verdict::Settled(..)) | None => {}
        }
        // Under the lock and behind all that: the thread that sees none out finds what each report said.
        self.count_in(kind);
        let refused = self.hand_over(&clients, partition, &mut flow);
        drop((flow, clients));
        match verdict {
            Some(Verdict::Settled(pending, outcome)) => {
                if kind == ClientKind::Single && outcome.is_ok() {
                    partition.rules.taken(&pending.record);
                }
                let result = match (outcome, delivered) {
                    (Ok(()), Some(delivered)) => Ok(delivered),
                    (
                        Err(
                            Failure::Batch { error, .. }
                            | Failure::Record(error)
                            | Failure::Topic(error),
                        ),
                        _,
                    ) => Err(error),
                    _ => Err(KafkaError::Closed),
                };
                self.settle(pending, accepted, result);
            }
            Some(Verdict::Undecided) => {}
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

    /// Notes that a broker refused a record that was alone in its batch.
    fn refused(&self, clients: &Clients, partition: &Partition, kind: ClientKind) {
        let renew = match kind {
            // It stopped at this refusal: a new one goes on.
            ClientKind::Batching => {
                let now = self.core.clock.now();
                partition.rules.refused(now, clients.generation);
                true
            }
            ClientKind::Single => self.alone.is_refused(),
        };
        self.needs_recovery.fetch_or(renew, Ordering::AcqRel);
    }

    /// Returns whether the partition's records are to go one by one at present: not where they have waited for long, so
    /// that none times out for it.
    fn all_alone(&self, partition: &Partition, flow: &Flow<Pending>) -> bool {
        let now = || self.core.clock.now();
        let max_age = self.core.delivery_timeout / 8;
        partition.rules.all_alone(now)
            && flow
                .oldest()
                .is_some_and(|accepted| now().saturating_sub(accepted) < max_age)
    }

    /// Hands over what may be, with the client of single records where one is wanted.
    pub(super) fn go_on(self: &Arc<Self>) {
        self.hand_over_all();
        if self.alone.is_client_wanted() && self.make_alone() {
            self.hand_over_all();
        }
    }

    /// Hands over what a client did not take before, or has waited for a client.
    fn hand_over_all(&self) {
        for partition in self.partitions.lock().clone() {
            let clients = self.clients.read();
            let mut flow = partition.flow.lock();
            let refused = self.hand_over(&clients, &partition, &mut flow);
            drop((flow, clients));
            for (_, pending, error) in refused {
                self.settle(pending, None, Err(error));
            }
        }
    }

    fn count_out(&self, kind: ClientKind) {
        self.out.fetch_add(1, Ordering::AcqRel);
        if kind == ClientKind::Single {
            self.alone.goes_out();
        }
    }

    fn count_in(&self, kind: ClientKind) {
        self.out.fetch_sub(1, Ordering::AcqRel);
        if kind == ClientKind::Single {
            self.alone.is_back();
        }
    }
}
