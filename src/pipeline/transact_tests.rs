//! Transactions on a cluster whose every call may fail, and whose commits may have an outcome that is not known.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::*;
use crate::admission::Limits;
use crate::kafka::ProducerRecord;
use crate::pipeline::driver::Driver as _;
use crate::pipeline::in_flight::InFlight;
use crate::pipeline::partition::Partitions;
use crate::pipeline::transactions::Positions;
use crate::pipeline::turns::Turn;
use crate::progress::{Ack, Acknowledge};

const PARTITIONS: usize = 3;
const RECORDS: u64 = 40;

/// The brokers and the source, as the two share their fate.
struct Cluster {
    rng: Mutex<fastrand::Rng>,
    state: Mutex<State>,
    /// Of each partition, the times that it went: what was read before is not current.
    epochs: [AtomicU64; PARTITIONS],
    /// The chance in 100 that a call fails.
    fails: u8,
}

#[derive(Default)]
struct State {
    committed: HashMap<Arc<str>, u64>,
    visible: Vec<ProducerRecord>,
    /// Of the open transaction.
    offsets: Positions,
    written: Vec<ProducerRecord>,
    is_open: bool,
    /// The producer is to be made again.
    is_lost: bool,
}

struct Fake(Arc<Cluster>);

impl Cluster {
    fn chance(&self, of_100: u8) -> bool {
        self.rng.lock().u8(0..100) < of_100
    }

    fn failure(&self, may_abort: bool) -> Result<(), Trouble> {
        if !self.chance(self.fails) {
            return Ok(());
        }
        let verdicts = [
            Verdict::Again,
            Verdict::Renew,
            Verdict::Renew,
            Verdict::Abort,
        ];
        let most = if may_abort { 4 } else { 3 };
        let verdict = verdicts[self.rng.lock().usize(0..most)];
        if verdict == Verdict::Renew {
            self.state.lock().is_lost = true;
        }
        Err(Trouble {
            verdict,
            error: KafkaError::Closed,
        })
    }
}

impl State {
    fn apply(&mut self) {
        assert!(self.is_open);
        self.is_open = false;
        for (partition, position) in std::mem::take(&mut self.offsets) {
            let next = position.as_number().expect("a number") + 1;
            let before = self.committed.insert(partition, next);
            assert!(before.unwrap_or(0) <= next, "never back");
        }
        let written = std::mem::take(&mut self.written);
        self.visible.extend(written);
    }

    fn discard(&mut self) {
        self.is_open = false;
        self.offsets.clear();
        self.written.clear();
    }
}

fn is_poison(record: &ProducerRecord) -> bool {
    record.value_for_tests() == Some(b"poison")
}

impl Transactions for Fake {
    async fn open(&mut self) -> Result<(), KafkaError> {
        Ok(())
    }

    async fn begin(&mut self) -> Result<(), Trouble> {
        self.0.failure(false)?;
        let mut state = self.0.state.lock();
        assert!(!state.is_open && !state.is_lost);
        state.is_open = true;
        Ok(())
    }

    async fn produce(&mut self, record: ProducerRecord) {
        let mut state = self.0.state.lock();
        assert!(state.is_open);
        state.written.push(record);
    }

    async fn delivered(&mut self) -> Result<Vec<KafkaError>, Trouble> {
        let lost = self.0.chance(self.0.fails / 2);
        let state = self.0.state.lock();
        let failed = state
            .written
            .iter()
            .filter_map(|record| match (is_poison(record), lost) {
                (true, _) => Some(KafkaError::TooLarge {
                    topic: "out".into(),
                    size: 9,
                    limit: None,
                }),
                (_, true) => Some(KafkaError::Closed),
                _ => None,
            });
        Ok(failed.collect())
    }

    async fn send_offsets(
        &mut self,
        passed: &Positions,
        is_current: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), Trouble> {
        self.0.failure(true)?;
        if !is_current() {
            return Err(Trouble {
                verdict: Verdict::Abort,
                error: KafkaError::Closed,
            });
        }
        let mut state = self.0.state.lock();
        assert!(state.is_open);
        state.offsets.clone_from(passed);
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), Trouble> {
        let failed = self.0.failure(true);
        let is_worn = self.0.chance(self.0.fails / 2);
        let mut state = self.0.state.lock();
        match &failed {
            Ok(()) => {
                state.apply();
                state.is_lost = is_worn;
            }
            // Its answer was lost, at times after it was carried out.
            Err(trouble) if trouble.verdict == Verdict::Renew && self.0.chance(50) => state.apply(),
            Err(_) => {}
        }
        failed
    }

    async fn abort(&mut self) -> Result<(), Trouble> {
        self.0.failure(false)?;
        self.0.state.lock().discard();
        Ok(())
    }

    async fn renew(&mut self) -> Result<(), Trouble> {
        self.0.failure(false)?;
        let mut state = self.0.state.lock();
        state.discard();
        state.is_lost = false;
        Ok(())
    }

    async fn rewind(&mut self) -> Result<(), Trouble> {
        for epoch in &self.0.epochs {
            epoch.fetch_add(1, SeqCst);
        }
        Ok(())
    }

    fn has_partitions(&self) -> bool {
        true
    }

    fn positions(&self) -> Positions {
        let committed = self.0.state.lock().committed.clone();
        let position = |(name, next): (Arc<str>, u64)| (name.clone(), Position::number(name, next));
        committed.into_iter().map(position).collect()
    }

    fn is_worn(&self) -> bool {
        self.0.state.lock().is_lost
    }

    async fn close(&mut self) {}

    fn set_group(&mut self, _: u32) {}

    fn id(&self) -> String {
        "app/instance/0".to_owned()
    }
}

/// The acknowledgements of what was read since a rewind.
struct Reader {
    cluster: Arc<Cluster>,
    partition: usize,
    epoch: u64,
}

impl Acknowledge for Reader {
    // Of what went after its offsets were sent it is ignored, as by a source.
    fn done(&self, _: u64) {}

    fn dropped(&self, _: u64) {}

    fn is_current(&self, _: u64) -> bool {
        self.cluster.epochs[self.partition].load(SeqCst) == self.epoch
    }
}

/// A record in operators.
struct Pending {
    turn: Turn,
    position: Position,
    held: Held,
}

/// Reads, and ends records in an order of its own, until all are committed.
async fn flow(cluster: &Arc<Cluster>, gate: &Arc<GateKeeper>, in_flight: &InFlight, poison: u64) {
    let names: Vec<Arc<str>> = (0..PARTITIONS).map(|at| format!("p-{at}").into()).collect();
    let mut partitions = Partitions::default();
    let mut epochs = [u64::MAX; PARTITIONS];
    // Unknown while a transaction that holds an offset of the partition is open.
    let mut next = [None; PARTITIONS];
    let mut pending: Vec<Pending> = Vec::new();
    loop {
        if cluster.chance(1) {
            // A partition is lost, and comes back.
            let lost = cluster.rng.lock().usize(0..PARTITIONS);
            cluster.epochs[lost].fetch_add(1, SeqCst);
        }
        for (at, name) in names.iter().enumerate() {
            let now = cluster.epochs[at].load(SeqCst);
            if now == epochs[at] {
                continue;
            }
            epochs[at] = now;
            let gone = pending.extract_if(.., |pending| pending.position.partition() == name);
            for gone in gone {
                gate.give_up(&gone.turn);
                drop(gone.held);
            }
            next[at] = None;
        }
        for (next, name) in next.iter_mut().zip(&names) {
            let state = cluster.state.lock();
            if next.is_none() && !state.offsets.contains_key(name) {
                *next = Some(state.committed.get(name).copied().unwrap_or(0));
            }
        }
        let is_over = {
            let state = cluster.state.lock();
            names
                .iter()
                .all(|name| state.committed.get(name) == Some(&RECORDS))
        };
        if is_over {
            return;
        }
        let (read, end) = {
            let mut rng = cluster.rng.lock();
            (rng.usize(0..PARTITIONS), rng.usize(0..8))
        };
        if let Some(number) = next[read].filter(|number| *number < RECORDS) {
            let position = Position::number(Arc::clone(&names[read]), number);
            next[read] = Some(number + 1);
            let partition = Arc::clone(partitions.get(&names[read]));
            partition.enter(1);
            in_flight.enter(1);
            let reader = Arc::new(Reader {
                cluster: Arc::clone(cluster),
                partition: read,
                epoch: epochs[read],
            });
            let turn = gate.enter(&position);
            let held = Held::new(Ack::new(reader, 0), 1, partition);
            pending.push(Pending {
                turn,
                position,
                held,
            });
        }
        if end < pending.len() {
            let Pending {
                turn,
                position,
                held,
            } = pending.swap_remove(end);
            let number = position.as_number().expect("a number");
            let is_bad = position.partition() == &names[0] && number == poison;
            let text = match gate.refusal(|| Some(position.clone())) {
                Some(_) => format!("letter {position}"),
                None if is_bad => "poison".to_owned(),
                None => position.to_string(),
            };
            // One in five is skipped.
            if number % 5 != 0 || is_bad {
                gate.add(&turn, [ProducerRecord::new("out", text)]);
            }
            gate.end(&turn, held);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn run(seed: u64, fails: u8, poison: u64) -> Arc<Cluster> {
    let cluster = Arc::new(Cluster {
        rng: Mutex::new(fastrand::Rng::with_seed(seed)),
        state: Mutex::default(),
        epochs: Default::default(),
        fails,
    });
    let gate = GateKeeper::new();
    let fake = Fake(Arc::clone(&cluster));
    let interval = Duration::from_millis(20);
    let mut transact = Transact::new(fake, Arc::clone(&gate), interval, interval * 250);
    let in_flight = InFlight::new(Limits {
        records: 1_000,
        bytes: 1_000,
    });
    let [source, sink] = ["source", "sink"].map(|name| Operator::new(name, name));
    let wake = Notify::new();
    let room = Room {
        in_flight: &in_flight,
        flow: &wake,
        source: &source,
        sink: &sink,
    };
    let flowing = async {
        flow(&cluster, &gate, &in_flight, poison).await;
        gate.finish();
    };
    let running = async { tokio::join!(flowing, transact.run(room)) };
    let (_, result) = tokio::time::timeout(Duration::from_secs(3_600), running)
        .await
        .unwrap_or_else(|_| panic!("seed {seed} does not end"));
    assert!(result.is_ok(), "seed {seed}: {result:?}");
    cluster
}

/// Returns what a partition's records are to become, in order.
fn expected(partition: usize, poison: u64) -> Vec<String> {
    let texts = (0..RECORDS).filter_map(|number| {
        let position = format!("p-{partition}@{number}");
        match number {
            number if partition == 0 && number == poison => Some(format!("letter {position}")),
            number if number % 5 == 0 => None,
            _ => Some(position),
        }
    });
    texts.collect()
}

fn assert_exactly_once(seed: u64, cluster: &Cluster, poison: u64) {
    let state = cluster.state.lock();
    for partition in 0..PARTITIONS {
        let of_partition = format!("p-{partition}@");
        let texts = state.visible.iter().filter_map(|record| {
            let text = String::from_utf8(record.value_for_tests()?.to_vec()).ok()?;
            text.contains(&of_partition).then_some(text)
        });
        let texts: Vec<String> = texts.collect();
        assert_eq!(texts, expected(partition, poison), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_record_is_published_once_in_order_whatever_fails() {
    for seed in 0..150 {
        let fails = u8::try_from(seed % 5).expect("small") * 8;
        let cluster = run(seed, fails, u64::MAX).await;
        assert_exactly_once(seed, &cluster, u64::MAX);
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_always_refused_is_a_letter_and_its_neighbors_are_none() {
    for seed in 0..50 {
        let fails = u8::try_from(seed % 3).expect("small") * 8;
        let cluster = run(seed, fails, 7).await;
        assert_exactly_once(seed, &cluster, 7);
    }
}
