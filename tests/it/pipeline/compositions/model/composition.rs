//! A composition as it is drawn, as a pipeline, and what is to become of each record.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::Ack;
use dynamodb_connector::pipeline::{
    BoxPipeline, BoxSource, Chain, DeadLetters, EndpointError, Job, NextEvent, Pipeline,
    PipelineError, PipelineReport, PipelineSettings, Position, Sink, Source, SourceEvent,
    SourceRecord,
};
use tokio::time::sleep;

use super::ledger::{Ledger, Writer, letters};

/// A value, with where its record comes from. `part` tells values of one record apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Value {
    pub(super) source: usize,
    pub(super) partition: u32,
    pub(super) n: u32,
    pub(super) part: u32,
}

impl Value {
    /// A number that has no order.
    fn mixed(self) -> u32 {
        self.n * 7 + self.part * 5 + self.partition * 3
    }

    pub(super) fn is_one_of(self, every: Option<u32>) -> bool {
        every.is_some_and(|every| self.mixed().is_multiple_of(every))
    }

    /// A delay of less than `max` ms.
    pub(super) fn delay(self, max: u64) -> Duration {
        Duration::from_millis(u64::from(self.mixed() * 31) % max)
    }

    fn goes_first(&self) -> bool {
        self.mixed().is_multiple_of(2)
    }
}

#[derive(Clone, Debug)]
pub(super) struct SourceDraw {
    pub(super) partitions: u32,
    pub(super) records: u32,
    pub(super) batch: usize,
    pub(super) wait: u64,
    pub(super) fails_at: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Map,
    Wait(u64, usize),
    Twice,
    Refuse(u32),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Plain,
    Tee,
    Split,
    Nested,
}

#[derive(Clone, Debug)]
pub(super) struct BranchDraw {
    pub(super) delay: u64,
    pub(super) at_once: usize,
    pub(super) filters: Option<u32>,
    pub(super) refuses: Option<u32>,
    pub(super) rejects: Option<u32>,
    pub(super) settles: u64,
    pub(super) fails_at: Option<usize>,
}

#[derive(Clone, Debug)]
pub(super) struct Draw {
    pub(super) sources: Vec<SourceDraw>,
    pub(super) ops: Vec<Op>,
    pub(super) shape: Shape,
    pub(super) branches: [BranchDraw; 3],
    pub(super) in_flight: usize,
}

/// The end of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Written by the sink of a branch.
    Written(usize, Value),
    /// Taken by the sink of a branch, and rejected.
    Rejected(usize, Value),
    /// Refused by an operator.
    Refused,
    Filtered,
}

impl Draw {
    /// All records of all sources, as their sources have them.
    pub(super) fn records(&self) -> Vec<Value> {
        let all = self.sources.iter().enumerate().flat_map(|(source, draw)| {
            (0..draw.records).map(move |n| Value {
                source,
                partition: n * 5 % 7 % draw.partitions,
                n,
                part: 1,
            })
        });
        all.collect()
    }

    /// The fate of a record.
    pub(super) fn fates(&self, record: Value) -> Vec<Fate> {
        let (mut values, mut fates) = (vec![record], Vec::new());
        for op in &self.ops {
            match *op {
                Op::Map | Op::Wait(..) => {}
                Op::Twice => values = values.into_iter().flat_map(twice).collect(),
                Op::Refuse(every) => values.retain(|value| {
                    let is_refused = value.is_one_of(Some(every));
                    fates.extend(is_refused.then_some(Fate::Refused));
                    !is_refused
                }),
            }
        }
        for value in values {
            let branches: &[usize] = match (self.shape, value.goes_first()) {
                (Shape::Plain, _) | (Shape::Split, true) => &[0],
                (Shape::Split, false) => &[1],
                (Shape::Tee, _) | (Shape::Nested, true) => &[0, 1],
                (Shape::Nested, false) => &[0, 2],
            };
            fates.extend(branches.iter().map(|branch| self.fate(*branch, value)));
        }
        fates
    }

    fn fate(&self, branch: usize, value: Value) -> Fate {
        let draw = &self.branches[branch];
        if value.is_one_of(draw.refuses) {
            Fate::Refused
        } else if value.is_one_of(draw.filters) {
            Fate::Filtered
        } else if value.is_one_of(draw.rejects) {
            Fate::Rejected(branch, value)
        } else {
            Fate::Written(branch, value)
        }
    }

    /// Returns whether a run may end by an error of this name.
    pub(super) fn may_fail(&self, name: &str) -> bool {
        let sink = |branch: &usize| name == format!("sink of {branch}");
        let of_sink = (0..3)
            .find(sink)
            .is_some_and(|branch| self.branches[branch].fails_at.is_some());
        of_sink || name == "source" && self.sources.iter().any(|source| source.fails_at.is_some())
    }

    /// Runs over what is not acknowledged yet, with or without the failures.
    pub(super) async fn run(
        &self,
        ledger: &Ledger,
        fails: bool,
    ) -> Result<PipelineReport, PipelineError> {
        let sources = self.sources.iter().enumerate().map(|(number, draw)| {
            let rest = ledger.rest(
                self.records()
                    .into_iter()
                    .filter(|record| record.source == number),
            );
            Records {
                draw: draw.clone(),
                fails_at: draw.fails_at.filter(|_| fails),
                rest,
                given: 0,
                ledger: ledger.clone(),
            }
        });
        let merged = sources
            .map(Source::boxed)
            .reduce(|all, next| all.merge(next).boxed());
        let settings = PipelineSettings::default().max_in_flight(self.in_flight);
        let source: BoxSource<Value> = merged.expect("at least one");
        let pipeline = self.ops.iter().fold(
            Pipeline::from(source).settings(settings).boxed(),
            |pipeline, op| apply(pipeline, *op),
        );
        let pipeline = pipeline.dead_letter(letters(ledger));
        let sink = |branch: usize| {
            let draw = &self.branches[branch];
            Writer::new(ledger, branch, draw, fails)
        };
        let job = match self.shape {
            Shape::Plain => self.branch(pipeline, 0, sink(0)).boxed(),
            Shape::Tee => pipeline
                .tee(
                    |every| self.branch(every, 0, sink(0)),
                    |every| self.branch(every, 1, sink(1).boxed()),
                )
                .boxed(),
            Shape::Split => pipeline
                .split_by(
                    Value::goes_first,
                    |every| self.branch(every, 0, sink(0)),
                    |every| self.branch(every, 1, sink(1)),
                )
                .boxed(),
            Shape::Nested => pipeline
                .tee(
                    |every| self.branch(every, 0, sink(0)),
                    |every| {
                        every.split_by(
                            Value::goes_first,
                            |every| self.branch(every, 1, sink(1)),
                            |every| self.branch(every, 2, sink(2)),
                        )
                    },
                )
                .boxed(),
        };
        job.run().await
    }

    /// The operators of a branch, and its sink.
    fn branch<S, C, D, K>(
        &self,
        every: Pipeline<S, C, D>,
        number: usize,
        sink: K,
    ) -> Job<S, impl Chain<In = S::Item, Out = Value> + use<S, C, D, K>, K, D>
    where
        S: Source,
        C: Chain<In = S::Item, Out = Value>,
        D: DeadLetters<S::Item>,
        K: Sink<Value>,
    {
        let BranchDraw {
            delay,
            at_once,
            filters,
            refuses,
            ..
        } = self.branches[number];
        every
            .map_async(move |value: Value| async move {
                sleep(value.delay(delay)).await;
                Ok::<_, String>(value)
            })
            .concurrency(at_once)
            .validate(move |value| {
                if value.is_one_of(refuses) {
                    Err("refused")
                } else {
                    Ok(())
                }
            })
            .filter(move |value| !value.is_one_of(filters))
            .to_named(format!("sink of {number}"), sink)
    }
}

fn twice(value: Value) -> [Value; 2] {
    [0, 1].map(|bit| Value {
        part: value.part * 2 + bit,
        ..value
    })
}

fn apply(pipeline: BoxPipeline<Value, Value>, op: Op) -> BoxPipeline<Value, Value> {
    match op {
        Op::Map => pipeline.map(|value| value).boxed(),
        Op::Wait(delay, at_once) => pipeline
            .map_async(move |value: Value| async move {
                sleep(value.delay(delay)).await;
                Ok::<_, String>(value)
            })
            .concurrency(at_once)
            .boxed(),
        Op::Twice => pipeline.flat_map(twice).boxed(),
        Op::Refuse(every) => pipeline
            .validate(move |value| {
                if value.is_one_of(Some(every)) {
                    Err("refused")
                } else {
                    Ok(())
                }
            })
            .boxed(),
    }
}

/// Gives what is left of a source's records.
struct Records {
    draw: SourceDraw,
    fails_at: Option<usize>,
    rest: VecDeque<Value>,
    given: usize,
    ledger: Ledger,
}

impl Source for Records {
    type Item = Value;

    async fn next_event(&mut self) -> NextEvent<Value> {
        sleep(Duration::from_millis(self.draw.wait)).await;
        if self.fails_at.is_some_and(|at| self.given >= at) {
            return Some(Err("the source is broken".into()));
        }
        let batch = self.draw.batch.min(self.rest.len());
        self.given += batch;
        let records = self.rest.drain(..batch).map(|value| SourceRecord {
            value,
            position: Position::number(
                format!("{}-{}", value.source, value.partition).into(),
                u64::from(value.n),
            ),
            ack: Ack::new(Arc::new(self.ledger.acks(value)), u64::from(value.n)),
            bytes: 1,
        });
        let records: Vec<_> = records.collect();
        (!records.is_empty()).then_some(Ok(SourceEvent::Records(records)))
    }

    fn stop(&mut self) {}

    async fn close(self) -> Result<(), EndpointError> {
        Ok(())
    }
}
