//! What is measured of a contender in a scenario: the fake's own totals, sampled ten times a
//! second, and each record's acknowledgement.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::test_util::CapacityUsage;

use crate::driver::Driver;
use crate::kind::Kind;
use crate::record::{Log, Written};
use crate::rig::Failure;
use crate::rig::times::Times;
use crate::scenario::{Possible, Scenario};

const SAMPLE: Duration = Duration::from_millis(100);
/// Capacity counts as used and requests as taken from these shares on, over a second.
const RECOVERED: (f64, f64) = (0.95, 0.05);
/// The step in which a rate is summed up, in seconds.
const GRAIN: f64 = 0.01;

/// A contender's run through a scenario.
pub(crate) struct Run {
    pub(crate) kind: Kind,
    /// When it ended, in seconds.
    pub(crate) ended: f64,
    /// When all of a job was written, in seconds; not a number where it wasn't.
    pub(crate) done: f64,
    samples: Vec<Sample>,
    /// By client, then by class.
    logs: Vec<Vec<Arc<Log>>>,
}

struct Sample {
    at: f64,
    tables: Vec<CapacityUsage>,
}

/// A table's totals between two samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) from: f64,
    pub(crate) until: f64,
    pub(crate) granted: f64,
    pub(crate) consumed: f64,
    pub(crate) requests: f64,
    pub(crate) throttled: f64,
    sent: f64,
    in_vain: f64,
}

impl Run {
    pub(crate) async fn of(kind: Kind, scenario: &Scenario) -> Result<Self, Failure> {
        let mut driver = Driver::start(kind, scenario, SAMPLE).await?;
        let mut run = Self {
            kind,
            ended: 0.0,
            done: f64::NAN,
            samples: Vec::new(),
            logs: Vec::new(),
        };
        loop {
            let at = driver.next_sample().await?;
            let tables = driver.usage()?;
            run.samples.push(Sample { at, tables });
            run.ended = at;
            if driver.job_is_done() {
                run.done = at;
                break;
            }
            if at >= scenario.seconds {
                break;
            }
        }
        run.logs = driver.stop().await;
        Ok(run)
    }

    /// Of the table at this place, from the first sample at or after `from` to the last before
    /// or at `until`.
    pub(crate) fn span(&self, table: usize, from: f64, until: f64) -> Span {
        let (first, last) = self.ends(from, until);
        let (old, new) = (&first.tables[table], &last.tables[table]);
        let count = |old: u64, new: u64| (new - old) as f64;
        Span {
            from: first.at,
            until: last.at,
            granted: new.granted_units - old.granted_units,
            consumed: new.consumed_units - old.consumed_units,
            requests: count(old.write_requests, new.write_requests),
            throttled: count(old.throttled_requests, new.throttled_requests),
            sent: count(old.items_sent, new.items_sent),
            in_vain: count(old.items_throttled, new.items_throttled),
        }
    }

    /// Over the scenario's window.
    pub(crate) fn window(&self, scenario: &Scenario, table: usize) -> Span {
        self.span(table, scenario.from, self.ended)
    }

    /// Of the first table's index, over a time: what was granted and what consumed.
    pub(crate) fn index(&self, index: &str, from: f64, until: f64) -> (f64, f64) {
        let (first, last) = self.ends(from, until);
        let totals = |sample: &Sample| {
            let usage = sample.tables[0].indexes.get(index);
            usage.map_or((f64::NAN, f64::NAN), |usage| {
                (usage.granted_units, usage.consumed_units)
            })
        };
        let (old, new) = (totals(first), totals(last));
        (new.0 - old.0, new.1 - old.1)
    }

    fn ends(&self, from: f64, until: f64) -> (&Sample, &Sample) {
        let first = self.samples.partition_point(|sample| sample.at < from);
        let end = self.samples.partition_point(|sample| sample.at <= until);
        let last = end.saturating_sub(1);
        (&self.samples[first.min(last)], &self.samples[last])
    }

    /// The share of what was possible in the window that was used, of the first table.
    pub(crate) fn used(&self, scenario: &Scenario) -> f64 {
        let span = self.window(scenario, 0);
        span.consumed / scenario.possible.over(span)
    }

    /// The seconds from a disturbance until a second begins in which the first table is used
    /// and little is throttled; not a number where there is none.
    pub(crate) fn recovery(&self, scenario: &Scenario, disturbed: f64) -> f64 {
        let (used, throttled) = RECOVERED;
        self.settled(disturbed..f64::INFINITY, 1.0, |span| {
            let possible = scenario.possible.over(*span);
            possible > 0.0 && span.consumed >= used * possible && span.throttled_share() < throttled
        })
    }

    /// Returns the seconds from the beginning of a time until so many seconds begin in it over
    /// which the first table's totals are good; not a number where there are none.
    pub(crate) fn settled(
        &self,
        within: Range<f64>,
        seconds: f64,
        good: impl Fn(&Span) -> bool,
    ) -> f64 {
        self.samples
            .iter()
            .filter(|sample| within.contains(&sample.at))
            .map(|sample| {
                self.span(
                    0,
                    sample.at,
                    sample.at + seconds + SAMPLE.as_secs_f64() / 2.0,
                )
            })
            .find(|span| span.until - span.from > seconds - SAMPLE.as_secs_f64() && good(span))
            .map_or(f64::NAN, |span| span.from - within.start)
    }

    /// The 99th percentile of what the first table's records took that were acknowledged in the
    /// window, in milliseconds.
    pub(crate) fn p99(&self, scenario: &Scenario, took: impl Fn(&Written) -> Option<f32>) -> f64 {
        let mut times = Times::default();
        for logs in &self.logs {
            for (log, class) in logs.iter().zip(&scenario.classes) {
                let within =
                    |one: &&Written| class.table == 0 && f64::from(one.at) >= scenario.from;
                let written = log.written();
                let counted = written.iter().filter(within).filter_map(&took);
                times.extend(counted.map(Duration::from_secs_f32));
            }
        }
        times.at(0.99)
    }

    /// Records of a class that one client, or all of them, wrote in a time.
    pub(crate) fn written(
        &self,
        client: Option<usize>,
        class: usize,
        from: f64,
        until: f64,
    ) -> f64 {
        let logs = self.logs.iter().enumerate();
        let logs = logs.filter(|(place, _)| client.is_none_or(|client| client == *place));
        let count: usize = logs
            .map(|(_, logs)| {
                let written = logs[class].written();
                let within = |one: &&Written| (from..until).contains(&f64::from(one.at));
                written.iter().filter(within).count()
            })
            .sum();
        count as f64
    }

    /// Returns the share of each client in what all wrote of the first class from a time on.
    pub(crate) fn shares(&self, from: f64) -> Vec<f64> {
        let clients = 0..self.logs.len();
        let written: Vec<f64> = clients
            .map(|client| self.written(Some(client), 0, from, self.ended))
            .collect();
        let all: f64 = written.iter().sum();
        written.into_iter().map(|one| one / all.max(1.0)).collect()
    }

    /// Records of the first client's first class, by size: those written, and those that would
    /// have been, had as many been written in the order of acceptance.
    pub(crate) fn written_by_size<const N: usize>(&self) -> [(f64, f64); N] {
        let mut sizes = [(0.0, 0.0); N];
        let Some(log) = self.logs.first().and_then(|logs| logs.first()) else {
            return sizes;
        };
        let written = log.written();
        for one in written.iter() {
            sizes[usize::from(one.size)].0 += 1.0;
        }
        for size in log.accepted().iter().take(written.len()) {
            sizes[usize::from(*size)].1 += 1.0;
        }
        sizes
    }

    /// The first table from beginning to end, in buckets of so many seconds.
    pub(crate) fn buckets(&self, seconds: f64) -> Vec<Span> {
        let mut spans = Vec::new();
        let mut from = 0.0;
        while from + seconds <= self.ended {
            spans.push(self.span(0, from, from + seconds + SAMPLE.as_secs_f64() / 2.0));
            from += seconds;
        }
        spans
    }
}

impl Span {
    pub(crate) fn throttled_share(&self) -> f64 {
        share(self.throttled, self.requests)
    }

    pub(crate) fn in_vain_share(&self) -> f64 {
        share(self.in_vain, self.sent)
    }
}

/// Not a number where there is nothing to have a share of.
fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { f64::NAN }
}

impl Possible {
    /// Units in a time.
    pub(crate) fn over(&self, span: Span) -> f64 {
        match self {
            Self::Granted => span.granted,
            Self::Units(rate) => {
                let mut units = 0.0;
                let mut at = span.from;
                while at < span.until {
                    let step = GRAIN.min(span.until - at);
                    units += rate(at) * step;
                    at += step;
                }
                units
            }
        }
    }
}
