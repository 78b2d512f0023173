//! What does a change cost from a table's stream to a Kafka topic, and how soon is its event there?
//!
//! The fake's change stream in another process, a broker in a third, the pipeline in this one. See `benches/README.md`.

mod bare;
mod broker;
#[path = "../changes/mod.rs"]
mod changes;
mod cpu;
mod event;
mod latency;
#[path = "../report/mod.rs"]
mod report;
#[path = "../rig/mod.rs"]
mod rig;
mod stages;

use broker::Broker;
use changes::server;
use report::Report;
use rig::Failure;
use rig::arguments::Arguments;

const NAME: &str = "pipeline";

fn main() -> Result<(), Failure> {
    let asked = [server::serve_if_asked, broker::serve_if_asked];
    if let Some(done) = asked.into_iter().find_map(|ask| ask()) {
        return done;
    }
    let quick = Arguments::read(NAME, &[]).quick;
    let broker = Broker::find()?;
    println!(
        "From the fake's streams, in another process, to {}; changes of 1 KB, ten attributes, both images",
        broker.name()
    );
    let mut report = Report::new(
        NAME,
        &[
            "what", "unit", "p50", "p10", "p90", "p99", "added", "samples",
        ],
    );
    let measured = cpu::run(&mut report, &broker, quick)
        .and_then(|()| latency::run(&mut report, &broker, quick));
    // Also where measuring failed: nothing is to be left behind at a broker that others use.
    let cleared = broker.clear();
    measured?;
    report.print();
    cleared
}
