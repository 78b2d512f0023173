//! How much CPU does a batch of 25 records cost, from serde struct to acknowledgement?
//!
//! Each contender keeps 16 requests in flight on one core; the server runs on another. See
//! `benches/README.md`.

mod contender;
mod floor;
mod measure;
mod ours;
#[path = "../report/mod.rs"]
mod report;
#[path = "../rig/mod.rs"]
mod rig;
mod sdk_loop;
mod wire;

use std::sync::Arc;

use contender::Contender;
use floor::Floor;
use measure::{LANES, Round};
use ours::Ours;
use report::{Bound, Cell, Report};
use rig::arguments::Arguments;
use rig::rounds::{median, percentile};
use rig::server::{NullServer, Serving};
use rig::{Failure, cores, records, sdk, server};
use sdk_loop::SdkLoop;

fn main() -> Result<(), Failure> {
    if let Some(served) = server::serve_if_asked() {
        return served;
    }
    let quick = Arguments::read("cpu_per_batch", &[]).quick;
    let (rotations, batches) = if quick { (7, 64) } else { (25, 256) };
    let server = NullServer::start(Serving {
        core: Some(cores::SERVER),
        ..Serving::default()
    })?;
    cores::pin(0);
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(run(&server, rotations, batches))
}

async fn run(server: &NullServer, rotations: usize, batches: usize) -> Result<(), Failure> {
    // The floor comes first: ratios are to it.
    let contenders: Vec<Arc<dyn Contender>> = vec![
        Arc::new(Floor::open(server.address(), LANES).await?),
        Arc::new(SdkLoop(sdk::client(server.endpoint()))),
        Arc::new(Ours::direct(server).await?),
        Arc::new(Ours::sdk(server).await?),
        Arc::new(Ours::unlimited(server).await?),
        Arc::new(Ours::budgeted(server).await?),
        Arc::new(contender::RecordsOnly),
    ];
    let rounds = measure::rotate(&contenders, server, rotations, batches).await?;

    println!(
        "CPU of a batch of {} records: {LANES} in flight, {rotations} rounds of {} batches",
        records::BATCH,
        LANES * batches,
    );
    let mut report = Report::new(
        "cpu_per_batch",
        &[
            "contender",
            "us_per_batch",
            "to_floor",
            "p10",
            "p90",
            "busy",
            "requests",
            "kilobytes",
        ],
    );
    for (contender, of_contender) in contenders.iter().zip(&rounds) {
        let of_rounds = |figure: fn(&Round) -> f64| median(of_contender.iter().map(figure));
        let cpu = |percent| percentile(of_contender.iter().map(|round| round.cpu_us), percent);
        let pairs = of_contender.iter().zip(&rounds[0]);
        let to_floor = median(pairs.map(|(own, floor)| own.cpu_us / floor.cpu_us));
        report.row([
            Cell::text(contender.name()),
            Cell::Number(cpu(50), 1),
            Cell::Number(to_floor, 2),
            Cell::Number(cpu(10), 1),
            Cell::Number(cpu(90), 1),
            Cell::Number(of_rounds(|round| round.busy), 2),
            Cell::Number(of_rounds(|round| round.requests), 2),
            Cell::Number(of_rounds(|round| round.kilobytes), 1),
        ]);
        if let Some(bar) = contender.bar() {
            report.bar(
                format!("{}/floor", contender.name()),
                to_floor,
                Bound::AtMost(bar),
            );
        }
    }
    let of = |name: &str| {
        let mut named = contenders.iter().zip(&rounds);
        let found = named.find(|(contender, _)| contender.name() == name);
        found
            .map(|(_, rounds)| rounds)
            .ok_or("a contender is missing")
    };
    let pairs = of("the sink, budgeted")?
        .iter()
        .zip(of("the sink, no rate")?);
    let capacity = median(pairs.map(|(with, without)| with.cpu_us - without.cpu_us));
    report.bar(
        "what budgets cost, us a batch",
        capacity,
        Bound::AtMost(3.0),
    );
    report.print();
    Ok(())
}
