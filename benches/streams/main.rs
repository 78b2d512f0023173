//! How soon, and for how much CPU, does a handler have a table's changes?
//!
//! A source at its defaults against the fake's change stream, which another process serves by HTTP. See `benches/README.md`.

#[path = "../changes/mod.rs"]
mod changes;
mod cpu;
mod idle;
mod latency;
mod local;
mod owner;
#[path = "../report/mod.rs"]
mod report;
#[path = "../rig/mod.rs"]
mod rig;
mod split;
mod start;
mod table;

use changes::server;
use rig::Failure;
use rig::arguments::{Arguments, Value};
use table::Table;

const NAME: &str = "streams";
const OPTIONS: [Value; 1] = [Value {
    name: "scenario",
    of: "NAME,…",
    does: "only these: latency, cpu, owner, start, idle, split",
}];

/// The scenarios, in the order in which they run.
const SCENARIOS: [(&str, Scenario); 6] = [
    ("latency", latency::run),
    ("cpu", cpu::run),
    ("owner", owner::run),
    ("start", start::run),
    ("idle", idle::run),
    ("split", split::run),
];

/// Adds its rows and bars; `true` where it is to be quick.
type Scenario = fn(&mut Table, bool) -> Result<(), Failure>;

fn main() -> Result<(), Failure> {
    let asked = [
        server::serve_if_asked,
        owner::work_if_asked,
        idle::idle_if_asked,
    ];
    if let Some(done) = asked.into_iter().find_map(|ask| ask()) {
        return done;
    }
    let arguments = Arguments::read(NAME, &OPTIONS);
    let scenarios = arguments.chosen("scenario", &SCENARIOS, |(name, _)| name);
    println!(
        "Changes of 1 KB, ten attributes; the fake's streams by HTTP from another process. \
         The KCL's figures are its reference's: 3.1.1 with its adapter, on a machine of this kind"
    );
    let mut table = Table::new();
    for (_, scenario) in scenarios {
        scenario(&mut table, arguments.quick)?;
    }
    table.print();
    Ok(())
}
