//! What does a snapshot of a full buffer cost, and whom does it hold up?
//!
//! Stretches with a snapshot in their middle take turns with stretches without, while a writer
//! keeps the buffer full. See `benches/README.md`.

#[path = "../report/mod.rs"]
mod report;
#[path = "../rig/mod.rs"]
mod rig;
mod stretches;
mod writing;

use std::time::Duration;

use report::{Bound, Cell, Report};
use rig::arguments::Arguments;
use rig::records::{BATCH, NOTE_BYTES};
use rig::rounds::median;
use rig::server::{NullServer, Serving};
use rig::times::Times;
use rig::{Failure, server};
use stretches::{Act, Costs, Stretches};
use writing::Writing;

/// The longest that `snapshot()` may take, in milliseconds.
const CALL: f64 = 50.0;
/// The longest that it may keep a write waiting, in milliseconds.
const DELAY: f64 = 5.0;

struct Buffer {
    name: &'static str,
    note_bytes: usize,
    /// What the server takes in a second.
    records_per_second: u32,
}

/// Both hold 10,000 records, which is the default bound; of the second kind they fill 64 MiB too,
/// the other default bound, but for a little.
const BUFFERS: [Buffer; 2] = [
    Buffer {
        name: "10,000 x 1 KB",
        note_bytes: NOTE_BYTES,
        records_per_second: 25_000,
    },
    Buffer {
        name: "10,000 x 6 KB",
        note_bytes: 5_650,
        records_per_second: 15_000,
    },
];

fn main() -> Result<(), Failure> {
    if let Some(served) = server::serve_if_asked() {
        return served;
    }
    let quick = Arguments::read("snapshot", &[]).quick;
    let rounds = if quick { 5 } else { 25 };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;

    println!(
        "A snapshot of a full buffer while writing; {rounds} stretches of each kind; times in ms"
    );
    let mut report = Report::new(
        "snapshot",
        &[
            "buffer, stretch",
            "writes_held",
            "mib",
            "snapshot_p50",
            "snapshot_most",
            "to_bytes_p50",
            "outcome_gap_p99.9",
            "longest_p50",
            "longest_most",
            "put_gap_p99.9",
            "longest_put_p50",
            "longest_put_most",
        ],
    );
    for buffer in &BUFFERS {
        let stretches = runtime.block_on(buffer.measure(rounds))?;
        buffer.report(&stretches, &mut report);
    }
    report.print();
    Ok(())
}

impl Buffer {
    async fn measure(&self, rounds: usize) -> Result<Stretches, Failure> {
        let batches_per_second = f64::from(self.records_per_second) / BATCH as f64;
        let server = NullServer::start(Serving {
            interval: Duration::from_secs_f64(1.0 / batches_per_second),
            ..Serving::default()
        })?;
        let writing = Writing::start(&server, self.note_bytes).await?;
        writing.fill().await;
        let mut stretches = Stretches::default();
        for _ in 0..rounds {
            for act in Act::ALL {
                stretches.add(act, &writing).await?;
            }
        }
        let instants = writing.stop().await?;
        stretches.assign(&instants);
        Ok(stretches)
    }

    fn report(&self, stretches: &Stretches, report: &mut Report) {
        let undisturbed = stretches.of(Act::Nothing);
        for act in Act::ALL {
            let Costs {
                held,
                bytes,
                snapshot,
                to_bytes,
                outcomes,
                puts,
            } = stretches.of(act);
            let name = format!("{}, {}", self.name, act.name());
            let time = |of: &Times, share| Cell::Number(of.at(share), 2);
            report.row([
                Cell::text(name.clone()),
                Cell::Number(median(held), 0),
                Cell::Number(median(bytes) / f64::from(1 << 20), 1),
                time(&snapshot, 0.5),
                time(&snapshot, 1.0),
                time(&to_bytes, 0.5),
                time(&outcomes.all, 0.999),
                time(&outcomes.longest, 0.5),
                time(&outcomes.longest, 1.0),
                time(&puts.all, 0.999),
                time(&puts.longest, 0.5),
                time(&puts.longest, 1.0),
            ]);
            if act == Act::Nothing {
                continue;
            }
            report.bar(
                format!("{name}, snapshot_most"),
                snapshot.most(),
                Bound::AtMost(CALL),
            );
            // What it adds: without one there are gaps too, by the server and by the machine.
            for (which, share) in [("median", 0.5), ("most", 1.0)] {
                let outcomes = outcomes.beyond(&undisturbed.outcomes, share);
                let puts = puts.beyond(&undisturbed.puts, share);
                report.bar(
                    format!("{name}, delay of a write, {which}"),
                    outcomes.max(puts),
                    Bound::AtMost(DELAY),
                );
            }
        }
    }
}
