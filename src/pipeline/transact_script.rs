//! A cluster whose steps end as a test has them end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::super::Transact;
use crate::admission::Limits;
use crate::kafka::{KafkaError, ProducerRecord, Verdict};
use crate::pipeline::driver::Room;
use crate::pipeline::gate_keeper::GateKeeper;
use crate::pipeline::in_flight::InFlight;
use crate::pipeline::operator::Operator;
use crate::pipeline::partition::Partitions;
use crate::pipeline::position::Position;
use crate::pipeline::transactions::{Positions, Transactions, Trouble};
use crate::pipeline::turns::{Held, Turns as _};
use crate::progress::Ack;

/// The time that a commit takes.
pub(super) const COMMIT: Duration = Duration::from_millis(300);

/// A cluster, and a source of one partition.
pub(super) struct Script {
    pub(super) gate: Arc<GateKeeper>,
    pub(super) in_flight: InFlight,
    pub(super) steps: Mutex<Steps>,
    pub(super) rewound: Notify,
}

/// The outcomes of steps to come; what is not named succeeds.
#[derive(Default)]
pub(super) struct Steps {
    pub(super) failures: VecDeque<Vec<KafkaError>>,
    pub(super) sends: VecDeque<Verdict>,
    pub(super) commits: VecDeque<Verdict>,
    /// A record that comes again after each rewind.
    pub(super) again: Option<u64>,
    /// The position of the source, and the commits that were made.
    pub(super) open: Positions,
    pub(super) committed: usize,
}

impl Script {
    pub(super) fn new(steps: Steps) -> Arc<Self> {
        let limits = Limits {
            records: 100,
            bytes: 100,
        };
        Arc::new(Self {
            gate: GateKeeper::new(),
            in_flight: InFlight::new(limits),
            steps: Mutex::new(steps),
            rewound: Notify::new(),
        })
    }

    pub(super) fn transact(self: &Arc<Self>) -> Transact<Scripted> {
        let (interval, timeout) = (Duration::from_secs(1), Duration::from_secs(10));
        Transact::new(
            Scripted(Arc::clone(self)),
            Arc::clone(&self.gate),
            interval,
            timeout,
        )
    }

    /// Has a record pass.
    pub(super) fn enter(&self, number: u64) {
        self.enter_of(number, false);
    }

    /// Has a record pass, whose partition may be about to go.
    pub(super) fn enter_of(&self, number: u64, is_going: bool) {
        let position = Position::number("p-0".into(), number);
        let mut partitions = Partitions::default();
        let partition = Arc::clone(partitions.get(position.partition()));
        partition.enter(1);
        if is_going {
            partitions.lose(position.partition());
        }
        self.in_flight.enter(1);
        let turn = self.gate.enter(&position);
        self.gate.add(&turn, [ProducerRecord::new("out", "value")]);
        self.gate
            .end(&turn, Held::new(Ack::untracked(), 1, partition));
    }

    /// Has the source go on behind what has no record.
    pub(super) fn advance(&self, to: u64) {
        let position = Position::number("p-0".into(), to);
        self.steps.lock().open.insert("p-0".into(), position);
    }

    pub(super) fn committed(&self) -> usize {
        self.steps.lock().committed
    }
}

pub(super) struct Scripted(Arc<Script>);

fn outcome(verdict: Option<Verdict>) -> Result<(), Trouble> {
    verdict.map_or(Ok(()), |verdict| {
        Err(Trouble {
            verdict,
            error: KafkaError::Closed,
        })
    })
}

impl Transactions for Scripted {
    async fn open(&mut self) -> Result<(), KafkaError> {
        Ok(())
    }

    async fn begin(&mut self) -> Result<(), Trouble> {
        Ok(())
    }

    async fn produce(&mut self, _: ProducerRecord) {}

    async fn delivered(&mut self) -> Result<Vec<KafkaError>, Trouble> {
        let failures = self.0.steps.lock().failures.pop_front();
        Ok(failures.unwrap_or_default())
    }

    async fn send_offsets(
        &mut self,
        _: &Positions,
        _: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), Trouble> {
        outcome(self.0.steps.lock().sends.pop_front())
    }

    async fn commit(&mut self) -> Result<(), Trouble> {
        sleep(COMMIT).await;
        let mut steps = self.0.steps.lock();
        let verdict = steps.commits.pop_front();
        steps.committed += usize::from(verdict.is_none());
        outcome(verdict)
    }

    async fn abort(&mut self) -> Result<(), Trouble> {
        Ok(())
    }

    async fn renew(&mut self) -> Result<(), Trouble> {
        Ok(())
    }

    async fn rewind(&mut self) -> Result<(), Trouble> {
        let again = self.0.steps.lock().again;
        again.into_iter().for_each(|number| self.0.enter(number));
        self.0.rewound.notify_one();
        Ok(())
    }

    fn has_partitions(&self) -> bool {
        !self.0.steps.lock().open.is_empty()
    }

    fn positions(&self) -> Positions {
        self.0.steps.lock().open.clone()
    }

    fn is_worn(&self) -> bool {
        false
    }

    async fn close(&mut self) {}

    fn set_group(&mut self, _: u32) {}

    fn id(&self) -> String {
        "app/instance/0".to_owned()
    }
}

/// The parts that records report to.
pub(super) struct Parts {
    flow: Notify,
    pub(super) source: Operator,
    pub(super) sink: Operator,
}

impl Parts {
    pub(super) fn new() -> Self {
        Self {
            flow: Notify::new(),
            source: Operator::new("source", "source"),
            sink: Operator::new("sink", "topic"),
        }
    }

    pub(super) fn room<'a>(&'a self, script: &'a Script) -> Room<'a> {
        Room {
            in_flight: &script.in_flight,
            flow: &self.flow,
            source: &self.source,
            sink: &self.sink,
        }
    }
}
