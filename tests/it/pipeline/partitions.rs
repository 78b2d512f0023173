//! Partitions that come and go under a pipeline: nothing of one is written after its guard is dropped, and a guard is
//! dropped as soon as nothing of its partition is left.

use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::pipeline::{
    Delivery, EndpointError, NextEvent, Pipeline, PipelineSettings, Position, Sink, Source,
    SourceEvent, SourceRecord,
};
use dynamodb_connector::{Ack, Acknowledge, PartitionGuard};
use proptest::prelude::*;

/// One life of a partition, from its opening to its end.
#[derive(Default)]
struct Life {
    /// Its records that are out.
    out: usize,
    is_closing: bool,
    is_released: bool,
    is_lost: bool,
}

/// What is known of all lives, and what went wrong.
#[derive(Default)]
struct Ledger {
    lives: Vec<Life>,
    wrong: Vec<String>,
    written: usize,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Ledger>>);

impl Shared {
    fn with<T>(&self, act: impl FnOnce(&mut Ledger) -> T) -> T {
        act(&mut self.0.lock())
    }
}

/// The acknowledgements of one life.
struct Acks(Shared, usize);

impl Acknowledge for Acks {
    fn done(&self, _: u64) {
        self.0.with(|ledger| ledger.lives[self.1].out -= 1);
    }

    fn dropped(&self, _: u64) {
        self.0.with(|ledger| ledger.lives[self.1].out -= 1);
    }

    fn is_current(&self, _: u64) -> bool {
        self.0.with(|ledger| !ledger.lives[self.1].is_lost)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Records(usize, usize),
    Close(usize),
    Lose(usize),
    Wait(u64),
}

/// Gives what the steps say. A partition that has ended is opened anew by its next records.
struct Partitions {
    steps: VecDeque<Step>,
    shared: Shared,
    current: HashMap<usize, usize>,
    ready: VecDeque<SourceEvent<usize>>,
    next: u64,
}

impl Partitions {
    fn name(partition: usize) -> Arc<str> {
        format!("p{partition}").into()
    }

    fn records(&mut self, partition: usize, count: usize) {
        let is_over = |life: &usize| {
            self.shared.with(|ledger| {
                let life = &ledger.lives[*life];
                life.is_closing || life.is_lost
            })
        };
        let current = self.current.get(&partition).copied();
        let life = match current.filter(|life| !is_over(life)) {
            Some(life) => life,
            None => {
                let life = self.shared.with(|ledger| {
                    ledger.lives.push(Life::default());
                    ledger.lives.len() - 1
                });
                self.current.insert(partition, life);
                self.ready
                    .push_back(SourceEvent::Opened(Self::name(partition)));
                life
            }
        };
        let acks = Arc::new(Acks(self.shared.clone(), life));
        let records = (0..count).map(|_| {
            self.next += 1;
            SourceRecord {
                value: life,
                position: Position::number(Self::name(partition), self.next),
                ack: Ack::new(Arc::clone(&acks) as Arc<dyn Acknowledge>, self.next),
                bytes: 0,
            }
        });
        let records: Vec<_> = records.collect();
        self.shared.with(|ledger| ledger.lives[life].out += count);
        self.ready.push_back(SourceEvent::Records(records));
    }

    fn close(&mut self, partition: usize) {
        let Some(life) = self.current.remove(&partition) else {
            return;
        };
        self.shared
            .with(|ledger| ledger.lives[life].is_closing = true);
        let shared = self.shared.clone();
        let guard = PartitionGuard::new(move || {
            shared.with(|ledger| {
                let life = &mut ledger.lives[life];
                life.is_released = true;
                if life.out > 0 && !life.is_lost {
                    let wrong = format!("a guard is dropped with {} records out", life.out);
                    ledger.wrong.push(wrong);
                }
            });
        });
        self.ready
            .push_back(SourceEvent::Closing(Self::name(partition), guard));
    }

    fn lose(&mut self, partition: usize) {
        if let Some(life) = self.current.remove(&partition) {
            self.shared.with(|ledger| ledger.lives[life].is_lost = true);
            self.ready
                .push_back(SourceEvent::Lost(Self::name(partition)));
        }
    }
}

impl Source for Partitions {
    type Item = usize;

    async fn next_event(&mut self) -> NextEvent<usize> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            match self.steps.front()?.clone() {
                Step::Records(partition, count) => self.records(partition, count),
                Step::Close(partition) => self.close(partition),
                Step::Lose(partition) => self.lose(partition),
                // Not taken off before the wait is over: this call may be dropped.
                Step::Wait(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
            }
            self.steps.pop_front();
        }
    }

    fn stop(&mut self) {}

    async fn close(self) -> Result<(), EndpointError> {
        Ok(())
    }
}

/// Writes after a while, and notes what must not be written any more.
struct Writer(Shared, u64);

impl Sink<usize> for Writer {
    async fn write(&mut self, life: usize, delivery: Delivery) -> Result<(), EndpointError> {
        self.0.with(|ledger| {
            let at = &ledger.lives[life];
            if at.is_released || at.is_lost {
                ledger
                    .wrong
                    .push(format!("life {life} is written after its end"));
            }
            ledger.written += 1;
        });
        let (shared, wait) = (self.0.clone(), self.1);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(wait)).await;
            drop(shared);
            delivery.done();
        });
        tokio::time::sleep(Duration::from_millis(wait / 3)).await;
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), EndpointError> {
        while self
            .0
            .with(|ledger| ledger.lives.iter().any(|life| life.out > 0))
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    async fn close(self) -> Result<(), EndpointError> {
        Ok(())
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (0_usize..3, 1_usize..8).prop_map(|(partition, count)| Step::Records(partition, count)),
        3 => (0_usize..3).prop_map(Step::Close),
        1 => (0_usize..3).prop_map(Step::Lose),
        3 => (1_u64..40).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #[test]
    fn nothing_of_a_partition_is_written_after_its_guard_is_dropped(
        steps in steps(),
        looks_up in 0_u64..30,
        writes in 1_u64..30,
        room in 1_usize..10,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let shared = Shared::default();
        let source = Partitions {
            steps: steps.into(),
            shared: shared.clone(),
            current: HashMap::new(),
            ready: VecDeque::new(),
            next: 0,
        };
        let job = Pipeline::from(source)
            .settings(PipelineSettings::default().max_in_flight(room))
            .map_async(move |life: usize| async move {
                tokio::time::sleep(Duration::from_millis(looks_up)).await;
                Ok::<_, String>(life)
            })
            .to(Writer(shared.clone(), writes));
        let report = runtime.block_on(job.run());
        prop_assert!(report.is_ok(), "{report:?}");
        let ledger = shared.0.lock();
        prop_assert!(ledger.wrong.is_empty(), "{:?}", ledger.wrong);
        for life in &ledger.lives {
            prop_assert_eq!(life.out, 0);
            prop_assert!(!life.is_closing || life.is_released, "a guard is held for ever");
        }
    }
}
