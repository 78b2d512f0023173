//! What does a change cost from a table's stream to a Kafka topic, and how soon is its event there? What do transactions cost
//! from topic to topic, and what do groups bring?
//!
//! The fake's change stream in another process, a broker in a third, the pipeline in this one. See `benches/README.md`.

mod bare;
mod broker;
#[path = "../changes/mod.rs"]
mod changes;
mod cpu;
mod event;
mod figures;
mod groups;
mod latency;
#[path = "../report/mod.rs"]
mod report;
#[path = "../rig/mod.rs"]
mod rig;
mod stages;
mod transactions;

use broker::Broker;
use changes::server;
use report::Report;
use rig::Failure;
use rig::arguments::{Arguments, Value};

const NAME: &str = "pipeline";
const OPTIONS: [Value; 1] = [Value {
    name: "scenario",
    of: "NAME,…",
    does: "only these: cpu, latency, rate, commits, recovery, groups",
}];

/// The scenarios, in the order in which they run.
const SCENARIOS: [(&str, Scenario); 6] = [
    ("cpu", cpu::run),
    ("latency", latency::run),
    ("rate", transactions::rate::run),
    ("commits", transactions::latency::run),
    ("recovery", transactions::recovery::run),
    ("groups", groups::run),
];

/// Adds its rows and bars; `true` where it is to be quick.
type Scenario = fn(&mut Report, &Broker, bool) -> Result<(), Failure>;

fn main() -> Result<(), Failure> {
    let asked = [
        server::serve_if_asked,
        broker::serve_if_asked,
        transactions::recovery::work_if_asked,
    ];
    if let Some(done) = asked.into_iter().find_map(|ask| ask()) {
        return done;
    }
    let arguments = Arguments::read(NAME, &OPTIONS);
    let chosen = arguments.chosen("scenario", &SCENARIOS, |(name, _)| name);
    transactions::commits::record()?;
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
    let measured = chosen
        .into_iter()
        .try_for_each(|(_, scenario)| scenario(&mut report, &broker, arguments.quick));
    // Also where measuring failed: nothing is to be left behind at a broker that others use.
    let cleared = broker.clear();
    measured?;
    report.print();
    cleared
}
