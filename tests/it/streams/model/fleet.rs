//! Workers that come, go, and are cut off.

use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dynamodb_connector::streams::{StartPosition, StreamsControl, StreamsError, StreamsSource};
use dynamodb_connector::test_util::{FaultyDynamoDb, ShardInfo};
use tokio::task::JoinHandle;

use super::super::rig::TABLE;
use super::case::{Case, KEYS};
use super::gate::{Gate, Passage};
use super::handlers::{burying, handler, take};
use super::ledger::Ledger;
use super::{LEASES, name_of};

pub(super) const MOST_WORKERS: usize = 3;

pub(super) struct Worker {
    pub(super) number: usize,
    gate: Gate,
    control: Arc<OnceLock<StreamsControl>>,
    pub(super) task: JoinHandle<Result<(), StreamsError>>,
}

pub(super) struct Fleet {
    pub(super) fake: FaultyDynamoDb,
    /// The client of those who write to the table.
    pub(super) client: aws_sdk_dynamodb::Client,
    pub(super) ledger: Arc<Ledger>,
    pub(super) case: Case,
    pub(super) workers: Vec<Worker>,
    /// Asked to stop.
    pub(super) leaving: Vec<Worker>,
    started: usize,
    rng: Arc<Mutex<fastrand::Rng>>,
}

impl Fleet {
    pub(super) fn new(fake: &FaultyDynamoDb, ledger: &Arc<Ledger>, case: &Case) -> Self {
        Self {
            fake: fake.clone(),
            client: fake.client(),
            ledger: Arc::clone(ledger),
            case: case.clone(),
            workers: Vec::new(),
            leaving: Vec::new(),
            started: 0,
            rng: Arc::new(Mutex::new(fastrand::Rng::with_seed(case.seed))),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.workers.len()
    }

    pub(super) fn is_like_local(&self) -> bool {
        self.case.like_local
    }

    pub(super) fn names(&self) -> Vec<String> {
        let names = self.workers.iter().map(|worker| name_of(worker.number));
        names.collect()
    }

    /// Whoever was not asked to end must not.
    pub(super) fn look_after(&self) {
        for worker in &self.workers {
            if worker.task.is_finished() {
                self.ledger
                    .wrong(format!("w{} ended by itself", worker.number));
            }
        }
    }

    pub(super) fn at(&self, at: u8) -> Option<usize> {
        usize::from(at).checked_rem(self.workers.len())
    }

    pub(super) fn open_shards(&self) -> Vec<ShardInfo> {
        let mut shards = self.fake.shards(TABLE);
        shards.retain(ShardInfo::is_open);
        shards
    }

    pub(super) fn skew(&self, seconds: i32) {
        let by = Duration::from_secs(seconds.unsigned_abs().into());
        if seconds < 0 {
            self.fake.set_clock_behind(by);
        } else {
            self.fake.set_clock_ahead(by);
        }
    }

    /// Begins with a worker at LATEST, behind changes that it does not want.
    pub(super) async fn start_at_latest(&mut self) {
        for key in 0..KEYS {
            self.write(key, false).await;
        }
        self.ledger.begins();
        self.start();
        while self
            .workers
            .iter()
            .any(|worker| worker.control.get().is_none())
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(super) fn close_gate(&self, at: u8, passage: Passage, time: u64) {
        let Some(at) = self.at(at) else { return };
        let gate = self.workers[at].gate.clone();
        self.ledger.note(format!(
            "w{}: {passage:?} for {time} ms",
            self.workers[at].number
        ));
        gate.set(passage);
        let ledger = Arc::clone(&self.ledger);
        let number = self.workers[at].number;
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(time)).await;
            ledger.note(format!("w{number}: open"));
            gate.set(Passage::Open);
        });
    }

    pub(super) fn start(&mut self) {
        let number = self.started;
        self.started += 1;
        self.ledger.note(format!("w{number} starts"));
        let gate = Gate::new(&self.fake, &self.ledger, number);
        let control = Arc::<OnceLock<StreamsControl>>::default();
        let (fake, ledger, case) = (
            self.fake.clone(),
            Arc::clone(&self.ledger),
            self.case.clone(),
        );
        let (way, given) = (gate.clone(), Arc::clone(&control));
        let rng = Arc::clone(&self.rng);
        let task = tokio::spawn(async move {
            let source = loop {
                let (dynamodb, streams) = (way.client(&fake), way.streams_client(&fake));
                let gaps = Arc::clone(&ledger);
                let seed = case.seed.wrapping_add(number as u64);
                let start = if case.latest.is_some() {
                    StartPosition::Latest
                } else {
                    StartPosition::TrimHorizon
                };
                let opening = StreamsSource::builder(&dynamodb, &streams, TABLE)
                    .lease_table(LEASES)
                    .worker(name_of(number))
                    .start(start)
                    .settings(case.settings.of_source())
                    .seed(seed)
                    .on_gap(move |gap| gaps.gap(number, gap))
                    .dead_letters(burying(number, &ledger, &rng))
                    .open();
                match opening.await {
                    Ok(source) => break source,
                    Err(error) => {
                        ledger.note(format!("w{number} could not open: {error:?}"));
                        tokio::time::sleep(Duration::from_millis(300)).await;
                    }
                }
            };
            let _ = given.set(source.control());
            let ended = if case.as_stream {
                take(number, source.into_stream(), &ledger, &case, &rng).await
            } else {
                let handler = handler(number, &ledger, &case.manners, &rng);
                source.run(handler).await
            };
            ledger.note(format!("w{number} ended: {ended:?}"));
            ended
        });
        self.workers.push(Worker {
            number,
            gate,
            control,
            task,
        });
    }

    /// Nothing goes wrong any more.
    pub(super) fn heal(&self) {
        self.ledger.note("healed".to_owned());
        self.fake.heal();
        self.fake.inconsistent_pages(TABLE, None);
        self.fake.list_children_late(TABLE, Duration::ZERO);
        self.fake.list_nothing(TABLE, Duration::ZERO);
        self.fake.misname_parent(TABLE, "", &[], 0);
        self.fake.stream_lag(TABLE, Duration::ZERO);
        for shard in self.fake.shards(TABLE) {
            self.fake.slow_shard(TABLE, shard.id(), Duration::ZERO);
            self.fake.list_shard_late(TABLE, shard.id(), Duration::ZERO);
        }
        for worker in self.workers.iter().chain(&self.leaving) {
            worker.gate.set(Passage::Open);
        }
        self.ledger.healed.send_replace(true);
    }

    /// Stops everyone and waits until they are gone.
    pub(super) async fn stop(&mut self) {
        self.look_after();
        for worker in self.workers.drain(..) {
            worker.stop();
            self.leaving.push(worker);
        }
        for worker in self.leaving.drain(..) {
            let ended = tokio::time::timeout(Duration::from_secs(60), worker.task).await;
            match ended {
                Ok(Ok(Ok(()))) => {}
                Ok(Err(error)) if error.is_cancelled() => {}
                ended => self
                    .ledger
                    .wrong(format!("w{} did not end well: {ended:?}", worker.number)),
            }
        }
    }
}

impl Worker {
    pub(super) fn stop(&self) {
        match self.control.get() {
            Some(control) => control.stop(),
            // It is still being opened.
            None => self.task.abort(),
        }
    }
}

pub(super) fn pick(shards: &[ShardInfo], at: u8) -> Option<&ShardInfo> {
    shards.get(usize::from(at).checked_rem(shards.len())?)
}
