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
use rig::server::{NullServer, Serving, Took};
use rig::{Failure, cores, server};
use tokio::runtime::Runtime;

/// What the server takes for an answer, before its own and the machine's overhead.
const DELAY: Duration = Duration::from_millis(5);
/// What a write may take beyond the server, in milliseconds, up to half load.
const BAR: f64 = 2.0;
const RATES: [u32; 3] = [100, 1_000, 10_000];
/// A call for each record takes too much of one core to be asked for more.
const MOST_OF_SINGLE_CALLS: u32 = 1_000;

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
    let mut table = Table::new(full / 2.0);
    for rate in RATES {
        // The rarer the arrivals, the longer it takes to have a 99.9th percentile.
        let lasting = match (quick, rate) {
            (true, _) => 2,
            (false, 100) => 40,
            (false, _) => 12,
        };
        let schedule = Schedule::new(f64::from(rate), seconds(2), seconds(lasting));
        let measured = Measured::of(contenders::sink, &runtime, &server, schedule)?;
        table.row(format!("the sink at {rate}/s"), rate.into(), &measured);
        if rate <= MOST_OF_SINGLE_CALLS {
            let measured = Measured::of(contenders::single_calls, &runtime, &server, schedule)?;
            table.row_for_comparison(format!("put_item by the SDK at {rate}/s"), &measured);
        }
    }
    let schedule = Schedule::new(full / 2.0, seconds(2), seconds(if quick { 2 } else { 8 }));
    let measured = Measured::of(contenders::sink, &runtime, &server, schedule)?;
    table.row("the sink at half load".to_owned(), full / 2.0, &measured);
    table.report.print();
    Ok(())
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What was measured of a contender at a rate.
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
}

struct Table {
    report: Report,
    half_load: f64,
}

impl Table {
    fn new(half_load: f64) -> Self {
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
        Self { report, half_load }
    }

    fn row(&mut self, name: String, rate: f64, measured: &Measured) {
        // Against the server's median: what its slower answers cost is not taken off.
        let beyond = measured.latencies.from_arrival.at(0.99) - measured.server.median;
        if rate <= self.half_load {
            let bar = format!("{name}, p99 - server_p50");
            self.report.bar(bar, beyond, Bound::AtMost(BAR));
        }
        self.row_for_comparison(name, measured);
    }

    fn row_for_comparison(&mut self, name: String, measured: &Measured) {
        let Measured {
            latencies,
            server,
            batch,
        } = measured;
        let Latencies {
            rate,
            from_arrival,
            from_call,
        } = latencies;
        self.report.row([
            Cell::text(name),
            Cell::Number(*rate, 0),
            Cell::Number(from_arrival.at(0.5), 2),
            Cell::Number(from_arrival.at(0.99), 2),
            Cell::Number(from_arrival.at(0.999), 2),
            Cell::Number(from_arrival.most(), 2),
            Cell::Number(from_call.at(0.99), 2),
            Cell::Number(server.median, 2),
            Cell::Number(server.p99, 2),
            Cell::Number(*batch, 1),
            Cell::Number(from_arrival.count() as f64, 0),
        ]);
    }
}
