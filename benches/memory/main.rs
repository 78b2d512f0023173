//! What memory does the sink take when the table is slower than the writer?
//!
//! Each variant runs in a process of its own, with a heap that nothing else has grown. See
//! `benches/README.md`.

mod held_back;
#[path = "../report/mod.rs"]
mod report;
#[path = "../rig/mod.rs"]
mod rig;

use std::time::Duration;

use held_back::{BUFFER_BYTES, Figures, Task};
use report::{Bound, Cell, Report};
use rig::arguments::Arguments;
use rig::records::{BATCH, NOTE_BYTES};
use rig::resident::mebibytes;
use rig::server::{NullServer, Serving};
use rig::{Failure, resident, server, variant};

/// What the process may take beside the buffer, in MiB: its code, its threads' stacks, the SDK,
/// connections, what the allocator holds.
const BESIDE: f64 = 64.0;
/// How far it may grow between its second tenth and its last, in MiB.
const GROWTH: f64 = 4.0;
/// Below this share of the time with a full buffer, it was not the server that held back.
const HELD_BACK: f64 = 0.95;

struct Variant {
    name: &'static str,
    records: usize,
    quick: usize,
    note_bytes: usize,
    awaited: bool,
    /// What the server takes in a second.
    records_per_second: u32,
    allocator: Allocator,
}

/// The way of the C library's allocator with large blocks that are freed, such as bodies of batches.
#[derive(Clone, Copy, PartialEq)]
enum Allocator {
    /// As it does by default: glibc keeps what is free in the middle of its arenas.
    Default,
    /// One arena, and large blocks return to the system at once: growth is the sink's and not the
    /// allocator's.
    Returning,
}

/// 1 KB: the bound of 10,000 records binds. 64 KB: that of 64 MiB does.
const VARIANTS: [Variant; 6] = [
    Variant {
        name: "1 KB, receipts dropped",
        records: 5_000_000,
        quick: 200_000,
        note_bytes: NOTE_BYTES,
        awaited: false,
        records_per_second: 60_000,
        allocator: Allocator::Default,
    },
    Variant {
        name: "1 KB, receipts awaited",
        records: 2_000_000,
        quick: 200_000,
        note_bytes: NOTE_BYTES,
        awaited: true,
        records_per_second: 60_000,
        allocator: Allocator::Default,
    },
    Variant {
        name: "64 KB, receipts dropped",
        records: 80_000,
        quick: 10_000,
        note_bytes: 64 << 10,
        awaited: false,
        records_per_second: 2_500,
        allocator: Allocator::Default,
    },
    Variant {
        name: "64 KB, receipts awaited",
        records: 80_000,
        quick: 10_000,
        note_bytes: 64 << 10,
        awaited: true,
        records_per_second: 2_500,
        allocator: Allocator::Default,
    },
    Variant {
        name: "64 KB, receipts dropped, freed is returned",
        records: 80_000,
        quick: 10_000,
        note_bytes: 64 << 10,
        awaited: false,
        records_per_second: 2_500,
        allocator: Allocator::Returning,
    },
    Variant {
        name: "64 KB, receipts awaited, freed is returned",
        records: 80_000,
        quick: 10_000,
        note_bytes: 64 << 10,
        awaited: true,
        records_per_second: 2_500,
        allocator: Allocator::Returning,
    },
];

fn main() -> Result<(), Failure> {
    if let Some(served) = server::serve_if_asked() {
        return served;
    }
    if let Some(ran) = variant::run_if_asked(|task: Task| task.run()) {
        return ran;
    }
    let quick = Arguments::read("memory", &[]).quick;
    if resident::now().is_none() {
        println!("memory: this system has no /proc/self/status; nothing is measured");
        return Ok(());
    }

    println!("Resident memory in MiB, default settings, a server slower than the writer");
    let mut report = Report::new(
        "memory",
        &[
            "variant",
            "records",
            "records_per_second",
            "full",
            "buffered",
            "at_start",
            "2nd_tenth",
            "last_tenth",
            "peak",
        ],
    );
    for variant in &VARIANTS {
        let (figures, records) = variant.run(quick)?;
        let Variant { name, .. } = variant;
        report.row([
            Cell::text(*name),
            Cell::Number(records as f64, 0),
            Cell::Number(figures.rate, 0),
            Cell::Number(figures.full, 3),
            Cell::Number(figures.buffered, 1),
            Cell::Number(figures.at_start, 1),
            Cell::Number(figures.second_tenth, 1),
            Cell::Number(figures.last_tenth, 1),
            Cell::Number(figures.peak, 1),
        ]);
        let growth = figures.last_tenth - figures.second_tenth;
        report.bar(
            format!("{name}, peak"),
            figures.peak,
            Bound::AtMost(mebibytes(BUFFER_BYTES) + BESIDE),
        );
        if variant.measures_growth() {
            report.bar(format!("{name}, growth"), growth, Bound::AtMost(GROWTH));
        }
        if figures.full < HELD_BACK {
            println!(
                "{name}: the writer was not held back all the time; this machine is too slow or too busy"
            );
        }
    }
    report.print();
    Ok(())
}

impl Variant {
    /// Bodies of 1 KB records fit into the buffers that the sink keeps. Those of 64 KB are freed after
    /// each request.
    fn measures_growth(&self) -> bool {
        self.note_bytes == NOTE_BYTES || self.allocator == Allocator::Returning
    }

    fn run(&self, quick: bool) -> Result<(Figures, usize), Failure> {
        let batches_per_second = f64::from(self.records_per_second) / BATCH as f64;
        let server = NullServer::start(Serving {
            interval: Duration::from_secs_f64(1.0 / batches_per_second),
            ..Serving::default()
        })?;
        let records = if quick { self.quick } else { self.records };
        let task = Task {
            endpoint: server.endpoint(),
            records,
            note_bytes: self.note_bytes,
            awaited: self.awaited,
        };
        Ok((variant::run(&task, self.allocator.environment())?, records))
    }
}

impl Allocator {
    fn environment(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Default => &[],
            // Records are freed by other threads than made them, which leaves holes in each arena.
            // The threshold, once set, is not raised to the largest block that was freed.
            Self::Returning => &[
                ("MALLOC_ARENA_MAX", "1"),
                ("MALLOC_MMAP_THRESHOLD_", "131072"),
            ],
        }
    }
}
