//! How long until a write is acknowledged, at rates that an application has?
//!
//! Writes arrive on a fixed schedule whether or not the sink keeps up, and the time counts from
//! the moment a write was to arrive. See `benches/README.md`.

mod arrivals;
mod contenders;
#[path = "../report/mod.rs"]
mod report;
#[path = "../rig/mod.rs"]
mod rig;

use std::time::Duration;

use arrivals::{Latencies, Schedule};
use report::{Bound, Cell, Report};
use rig::arguments::Arguments;
use rig::rounds::{median, most};
use rig::server::{NullServer, Serving, Took};
use rig::{Failure, cores, server};
use tokio::runtime::Runtime;

/// What the server takes for an answer, before its own and the machine's overhead.
const DELAY: Duration = Duration::from_millis(5);
const RATES: [f64; 3] = [100.0, 1_000.0, 10_000.0];
/// The bar for the sink's p99 beyond that of `put_item`, in milliseconds, at these rates.
const BEYOND: f64 = 1.0;
/// The same at half load, where the client's core is busy.
const BEYOND_AT_HALF_LOAD: f64 = 3.0;
/// A call for each record takes too much of one core to be asked for more: above, the sink is compared
/// to calls at this rate.
const MOST_OF_SINGLE_CALLS: f64 = 1_000.0;
/// The number of turns that the sink and the calls have at each rate.
const ROUNDS: usize = 5;

fn main() -> Result<(), Failure> {
    if let Some(served) = server::serve_if_asked() {
        return served;
    }
    let quick = Arguments::read("latency", &[]).quick;
    let server = NullServer::start(Serving {
        core: Some(cores::SERVER),
        delay: DELAY,
        ..Serving::default()
    })?;
    cores::leave(cores::SERVER);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;

    let full = contenders::full_load(&runtime, &server, seconds(if quick { 1 } else { 4 }))?;
    println!(
        "From a write's arrival to its outcome, in ms; items of 1 KB. \
         At full load the sink reaches {full:.0} writes/s against this server."
    );
    let mut table = Table::new();
    let half_load = [("half load".to_owned(), full / 2.0, BEYOND_AT_HALF_LOAD)];
    let rates = RATES.map(|rate| (format!("{rate}/s"), rate, BEYOND));
    for (name, rate, bar) in rates.into_iter().chain(half_load) {
        // The rarer the arrivals, the longer it takes to have a 99th percentile.
        let lasting = seconds(match (quick, rate) {
            (true, _) => 2,
            (false, rate) if rate < 1_000.0 => 6,
            (false, _) => 3,
        });
        let rounds = if quick { 1 } else { ROUNDS };
        let call_rate = rate.min(MOST_OF_SINGLE_CALLS);
        let (mut sink, mut calls) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let schedule = |rate| Schedule::new(rate, seconds(2), lasting);
            sink.push(Measured::of(
                contenders::sink,
                &runtime,
                &server,
                schedule(rate),
            )?);
            let contender = contenders::single_calls;
            calls.push(Measured::of(
                contender,
                &runtime,
                &server,
                schedule(call_rate),
            )?);
        }
        table.row(format!("the sink at {name}"), &sink);
        table.row(format!("put_item by the SDK at {call_rate}/s"), &calls);
        table.bar(&name, &sink, &calls, bar);
    }
    table.report.print();
    Ok(())
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The figures of a contender at a rate, in one round.
struct Measured {
    latencies: Latencies,
    server: Took,
    /// Writes in a request.
    batch: f64,
}

impl Measured {
    fn of(
        contender: fn(&Runtime, &NullServer, Schedule) -> Result<Latencies, Failure>,
        runtime: &Runtime,
        server: &NullServer,
        schedule: Schedule,
    ) -> Result<Self, Failure> {
        server.forget()?;
        let before = server.arrived()?.requests;
        let latencies = contender(runtime, server, schedule)?;
        let requests = server.arrived()?.requests - before;
        let server = server.took()?;
        Ok(Self {
            latencies,
            server,
            batch: f64::from(schedule.writes()) / f64::from(requests),
        })
    }

    fn p99(&self) -> f64 {
        self.latencies.from_arrival.at(0.99)
    }
}

struct Table {
    report: Report,
}

impl Table {
    fn new() -> Self {
        let report = Report::new(
            "latency",
            &[
                "contender",
                "writes_per_second",
                "p50",
                "p99",
                "p99.9",
                "most",
                "p99_from_call",
                "server_p50",
                "server_p99",
                "batch",
                "writes",
            ],
        );
        Self { report }
    }

    /// Adds the medians of these rounds, and the longest time of all.
    fn row(&mut self, name: String, rounds: &[Measured]) {
        let all = |figure: fn(&Measured) -> f64| rounds.iter().map(figure);
        let median = |figure| median(all(figure));
        let writes = rounds
            .iter()
            .map(|round| round.latencies.from_arrival.count());
        self.report.row([
            Cell::text(name),
            Cell::Number(median(|round| round.latencies.rate), 0),
            Cell::Number(median(|round| round.latencies.from_arrival.at(0.5)), 2),
            Cell::Number(median(Measured::p99), 2),
            Cell::Number(median(|round| round.latencies.from_arrival.at(0.999)), 2),
            Cell::Number(most(all(|round| round.latencies.from_arrival.most())), 2),
            Cell::Number(median(|round| round.latencies.from_call.at(0.99)), 2),
            Cell::Number(median(|round| round.server.median), 2),
            Cell::Number(median(|round| round.server.p99), 2),
            Cell::Number(median(|round| round.batch), 1),
            Cell::Number(writes.sum::<u64>() as f64, 0),
        ]);
    }

    /// The machine may be slower in one round than in another: the difference is taken within a round.
    fn bar(&mut self, rate: &str, sink: &[Measured], calls: &[Measured], limit: f64) {
        let pairs = sink.iter().zip(calls);
        let beyond = median(pairs.map(|(sink, calls)| sink.p99() - calls.p99()));
        let name = format!("p99 at {rate}, the sink - put_item");
        self.report.bar(name, beyond, Bound::AtMost(limit));
    }
}
