//! How much of a table's capacity is used, and how much is wasted on what the table refuses?
//!
//! Scenarios in real time against the fake that enforces capacity, in this process: the sink,
//! Flink's strategy, and a loop by the SDK. See `benches/README.md`.

mod case;
mod contender;
mod driver;
mod flink;
mod kind;
mod load;
mod measure;
mod ours;
mod plot;
mod record;
#[path = "../report/mod.rs"]
mod report;
mod requests;
#[path = "../rig/mod.rs"]
mod rig;
mod scenario;
mod scenarios;
mod sdk_loop;

use case::{Case, Runs};
use kind::Kind;
use measure::Run;
use report::{Cell, Report};
use rig::Failure;
use rig::arguments::{Arguments, Value};
use scenarios::Entry;

const QUICK_SECONDS: f64 = 10.0;
/// Whose runs the plot shows.
const PLOTTED: &str = "by-second";

const BENCH: &str = "throttling";
const OPTIONS: [Value; 4] = [
    Value {
        name: "scenario",
        of: "NAME,…",
        does: "only these scenarios, or groups of them: random-known",
    },
    Value {
        name: "contender",
        of: "NAME,…",
        does: "only these: ours, flink, sdk-loop",
    },
    Value {
        name: "seconds",
        of: "N",
        does: "that each scenario lasts",
    },
    Value {
        name: "plot",
        of: "FILE",
        does: "draws the first scenario as an SVG",
    },
];

fn main() -> Result<(), Failure> {
    let arguments = Arguments::read(BENCH, &OPTIONS);
    let kinds = arguments.chosen("contender", &Kind::ALL, |kind| kind.name());
    let kinds = match arguments.value("contender") {
        None if arguments.quick => vec![Kind::Ours],
        _ => kinds,
    };
    let entries = arguments.chosen("scenario", &scenarios::all(), Entry::name);
    let seconds = arguments.value("seconds").map(|given| {
        let seconds = given.parse().ok().filter(|seconds| *seconds >= 2.0);
        seconds.unwrap_or_else(|| arguments.refuse("--seconds must be 2 or more"))
    });
    let seconds = seconds.or(arguments.quick.then_some(QUICK_SECONDS));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;

    let mut report = Report::new(
        BENCH,
        &[
            "scenario",
            "contender",
            "used_percent",
            "throttled_percent",
            "in_vain_percent",
            "recovery_seconds",
            "p99_ms",
            "p99_from_due_ms",
            "units_per_second",
            "own",
        ],
    );
    for entry in entries {
        let case = entry.case(seconds);
        let scenario = &case.scenario;
        let mut runs = Runs(Vec::new());
        for kind in kinds.iter().filter(|kind| entry.contenders.contains(kind)) {
            eprintln!("{}, {} …", scenario.name, kind.name());
            let run = runtime.block_on(Run::of(*kind, scenario))?;
            row(&mut report, &case, &run);
            runs.0.push(run);
        }
        (case.bars)(scenario, &runs, &mut report);
        if let Some(file) = arguments.value("plot")
            && scenario.name == PLOTTED
        {
            std::fs::write(file, plot::capacity_used(scenario, &runs))?;
        }
    }
    report.print();
    Ok(())
}

fn row(report: &mut Report, case: &Case, run: &Run) {
    let scenario = &case.scenario;
    let span = run.window(scenario, 0);
    report.row([
        Cell::text(scenario.name),
        Cell::text(run.kind.name()),
        Cell::Number(run.used(scenario) * 100.0, 1),
        Cell::Number(span.throttled_share() * 100.0, 2),
        Cell::Number(span.in_vain_share() * 100.0, 2),
        Cell::Number(run.recovery(scenario, scenario.disturbed), 1),
        Cell::Number(run.p99(scenario, |one| Some(one.from_accepted)), 1),
        Cell::Number(
            run.p99(scenario, |one| {
                Some(one.from_due).filter(|time| !time.is_nan())
            }),
            1,
        ),
        Cell::Number(span.consumed / (span.until - span.from), 0),
        Cell::text((case.own)(scenario, run)),
    ]);
}
