//! The thread that serves a sink's clients for topics of one size limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;

use super::super::error::KafkaError;
use super::alone::{AloneClient, AloneRecords};
use super::client::Client;
use super::partition::{ClientKind, Partition};
use super::{Core, Pending};

/// The time between two looks at gauges, time-outs and a wish to end.
const TICK: Duration = Duration::from_millis(100);
/// The least of it, where records time out soon.
const SHORTEST_TICK: Duration = Duration::from_millis(1);
/// The time for which the client of single records is kept unused: bad records seldom come by themselves.
const ALONE_LASTS: Duration = Duration::from_secs(60);

/// A thread with its clients, until the last handle is gone and all is settled.
pub(in super::super) struct ProducerThread {
    route: Arc<Route>,
}

/// The state that a thread, its clients and its handles share.
pub(in super::super) struct Route {
    pub(super) core: Arc<Core>,
    /// Of the client that fills batches.
    pub(super) config: Mutex<ClientConfig>,
    pub(super) clients: RwLock<Clients>,
    /// All partitions that records go to by this thread.
    pub(super) partitions: Mutex<Vec<Arc<Partition>>>,
    /// Records that a client has.
    pub(super) out: AtomicUsize,
    pub(super) alone: AloneRecords,
    /// Records that are not settled.
    pub(super) pending: AtomicUsize,
    /// Partitions must be put in order before anything goes on.
    pub(super) needs_recovery: AtomicBool,
    /// The time at which a refused batch was logged last.
    pub(super) refusal_logged: Mutex<Option<Duration>>,
    stop: AtomicBool,
}

/// The clients of a generation.
pub(super) struct Clients {
    pub(super) generation: u64,
    /// Records may be handed over.
    pub(super) open: bool,
    pub(super) batches: Option<Arc<Client>>,
    /// Made when it is needed, and dropped when it was not for a while.
    pub(super) alone: Option<AloneClient>,
}

impl Clients {
    pub(super) fn of(&self, kind: ClientKind) -> Option<&Arc<Client>> {
        match kind {
            ClientKind::Batching => self.batches.as_ref(),
            ClientKind::Single => self.alone.as_ref().map(AloneClient::client),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Client>> {
        [ClientKind::Batching, ClientKind::Single]
            .into_iter()
            .filter_map(|kind| self.of(kind))
    }
}

impl ProducerThread {
    pub(in super::super) fn start(
        core: Arc<Core>,
        config: ClientConfig,
    ) -> Result<Self, KafkaError> {
        let route = Arc::new(Route {
            core,
            config: Mutex::new(config),
            clients: RwLock::new(Clients {
                generation: 0,
                open: true,
                batches: None,
                alone: None,
            }),
            partitions: Mutex::default(),
            out: AtomicUsize::new(0),
            alone: AloneRecords::default(),
            pending: AtomicUsize::new(0),
            needs_recovery: AtomicBool::new(false),
            refusal_logged: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let client = Client::new(&route.config.lock().clone(), route.clone())?;
        route.clients.write().batches = Some(Arc::new(client));
        let thread_route = route.clone();
        let started = thread::Builder::new()
            .name("kafka-sink".to_owned())
            .spawn(move || thread_route.serve());
        match started {
            Ok(_) => Ok(Self { route }),
            Err(error) => {
                // The client holds the route: it would hold itself for ever.
                route.clients.write().batches = None;
                Err(KafkaError::no_thread(&error))
            }
        }
    }

    /// Returns the client that fills batches, for its metadata; `None` past the thread's end.
    pub(in super::super) fn client(&self) -> Option<Arc<Client>> {
        self.route.clients.read().batches.clone()
    }

    /// Has the thread serve a partition.
    pub(in super::super) fn serve(&self, partition: Arc<Partition>) {
        self.route.partitions.lock().push(partition);
    }

    /// Appends a record to its partition, and hands over what may be. Never blocks.
    pub(in super::super) fn produce(
        &self,
        partition: &Arc<Partition>,
        mut pending: Pending,
    ) -> Result<(), Box<(KafkaError, Pending)>> {
        let route = &self.route;
        let clients = route.clients.read();
        let mut flow = partition.flow.lock();
        // Under the lock by which an outage halts its scopes: nothing comes between.
        if let Some((error, outage)) = pending.scope.outage() {
            pending.outage = Some(outage);
            return Err(Box::new((error, pending)));
        }
        route.pending.fetch_add(1, Ordering::AcqRel);
        let alone = partition.rules.refuses(&pending.record);
        let number = flow.push(pending, route.core.clock.now(), alone);
        let mut result = Ok(());
        let mut refused = Vec::new();
        for (of, pending, error) in route.hand_over(&clients, partition, &mut flow) {
            route.pending.fetch_sub(1, Ordering::AcqRel);
            if of == number {
                result = Err(Box::new((error, pending)));
            } else {
                refused.push((pending, error));
            }
        }
        drop((flow, clients));
        for (pending, error) in refused {
            route.core.settle(pending, None, Err(error));
        }
        result
    }
}

impl Drop for ProducerThread {
    fn drop(&mut self) {
        self.route.stop.store(true, Ordering::Release);
    }
}

impl Route {
    fn serve(self: &Arc<Self>) {
        let tick = TICK.min(self.core.delivery_timeout / 4).max(SHORTEST_TICK);
        let clock = self.core.clock;
        let mut next = clock.now() + tick;
        let mut alone_used_at = clock.now();
        while self.pending.load(Ordering::Acquire) > 0 || !self.stop.load(Ordering::Acquire) {
            self.poll(next.saturating_sub(clock.now()));
            if clock.now() < next && !self.needs_recovery.load(Ordering::Acquire) {
                continue;
            }
            next = clock.now() + tick;
            self.core.meter.level(self.core.admission.occupancy());
            self.core.connection.advance();
            if self.alone.take_used() {
                alone_used_at = clock.now();
            } else if clock.now() >= alone_used_at + ALONE_LASTS {
                self.end_alone();
            }
            if self.has_ended() {
                self.end();
            } else if self.needs_order() {
                self.recover();
            } else {
                self.go_on();
            }
        }
        let mut clients = self.clients.write();
        let ended = (clients.batches.take(), clients.alone.take());
        clients.open = false;
        drop(clients);
        drop(ended);
        // Once more: a gauge keeps its last value.
        self.core.meter.level(self.core.admission.occupancy());
    }

    /// Serves the reports of the client that fills batches.
    pub(super) fn poll(&self, longest: Duration) {
        let batches = self.clients.read().batches.clone();
        if let Some(batches) = batches {
            batches.poll(longest);
        }
    }

    /// Returns whether the sink has failed for good.
    fn has_ended(&self) -> bool {
        for client in self.clients.read().all() {
            match client.fatal_error() {
                None => {}
                // It stopped at a refusal, as it was asked to.
                Some((RDKafkaErrorCode::GaplessGuarantee, _)) => {
                    self.needs_recovery.store(true, Ordering::Release);
                }
                Some((code, reason)) => {
                    self.core.admission.refuse(&KafkaError::fatal(code, reason));
                }
            }
        }
        let refusal = self.core.admission.refusal();
        refusal.is_some_and(|error| error.is_fatal())
    }

    /// Fails all records of a sink that has failed for good.
    fn end(&self) {
        self.clients.write().open = false;
        self.give_back(true);
        let Some(refusal) = self.core.admission.refusal() else {
            return;
        };
        if self.out.load(Ordering::Acquire) > 0 {
            return;
        }
        for partition in self.partitions.lock().clone() {
            let records = partition.flow.lock().take_all();
            for pending in records {
                self.settle(pending, None, Err(refusal.clone()));
            }
        }
    }

    pub(super) fn give_back(&self, sent: bool) {
        for client in self.clients.read().all() {
            client.give_back(sent);
        }
    }

    fn needs_order(&self) -> bool {
        self.needs_recovery.load(Ordering::Acquire) || self.has_overdue()
    }

    /// Returns whether a record is under way for longer than it may.
    pub(super) fn has_overdue(&self) -> bool {
        let timeout = self.core.delivery_timeout;
        let partitions = self.partitions.lock();
        partitions
            .iter()
            .any(|partition| self.is_older(partition, timeout))
    }

    /// Returns whether the partition's oldest record is older than `limit`.
    pub(super) fn is_older(&self, partition: &Partition, limit: Duration) -> bool {
        let now = self.core.clock.now();
        let oldest = partition.flow.lock().oldest();
        oldest.is_some_and(|accepted| now.saturating_sub(accepted) > limit)
    }
}
