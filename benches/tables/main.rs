//! What does a record cost when it goes to one of many tables of a sink?
//!
//! Each variant runs in a process of its own, with a server of its own. See `benches/README.md`.

mod many;
#[path = "../report/mod.rs"]
mod report;
#[path = "../rig/mod.rs"]
mod rig;

use many::{Figures, Task};
use report::{Bound, Cell, Report};
use rig::arguments::Arguments;
use rig::records::NOTE_BYTES;
use rig::rounds::{median, most};
use rig::{Failure, resident, server, variant};

const TABLES: [usize; 4] = [1, 10, 100, 1_000];
const RECORDS: usize = 200_000;
const WARM_UP: usize = 50_000;

/// The defaults of the sink.
const MAX_REQUESTS: f64 = 256.0;
const BUFFER: f64 = 256.0;

/// The memory of the process beside the buffers, in MiB: the bar, as of one table.
const BESIDE: f64 = 64.0;
/// The cost of a record among the most tables, as a multiple of its cost in one: the bar.
const RATIO: f64 = 1.2;
/// Connections beside those of requests in flight, and requests beside writes: descriptions of tables,
/// and the question for their number.
const SPARE: f64 = 8.0;

/// Against a server that is slower than the writer, on the most tables.
struct Slow {
    name: &'static str,
    records: usize,
    quick: usize,
    note_bytes: usize,
    requests_per_second: f64,
}

/// Four to five times what the buffers hold. Of 64 KB, a table has room for four: so many are a request.
const SLOW: [Slow; 2] = [
    Slow {
        name: "1 KB",
        records: 600_000,
        quick: 200_000,
        note_bytes: NOTE_BYTES,
        requests_per_second: 1_600.0,
    },
    Slow {
        name: "64 KB",
        records: 20_000,
        quick: 8_000,
        note_bytes: 64 << 10,
        requests_per_second: 500.0,
    },
];

fn main() -> Result<(), Failure> {
    if let Some(served) = server::serve_if_asked() {
        return served;
    }
    if let Some(ran) = variant::run_if_asked(|task: Task| task.run()) {
        return ran;
    }
    let quick = Arguments::read("tables", &[]).quick;
    if resident::now().is_none() {
        println!("tables: this system has no /proc/self/status; nothing is measured");
        return Ok(());
    }
    println!("Records of 1 KB to each table in turn, default settings; memory in MiB");
    let mut table = Table::new();
    let rounds = if quick { 1 } else { 5 };
    let mut of_one = Vec::new();
    let fast = measure_fast(rounds)?;
    for (tables, figures) in TABLES.into_iter().zip(&fast) {
        if tables == 1 {
            of_one.clone_from(figures);
        }
        table.fast(tables, figures, &of_one);
    }
    for slow in &SLOW {
        table.slow(slow, &slow.measure(quick)?);
    }
    table.0.print();
    Ok(())
}

/// Returns the rounds of each number of tables, which take turns.
fn measure_fast(rounds: usize) -> Result<Vec<Vec<Figures>>, Failure> {
    let mut fast = vec![Vec::new(); TABLES.len()];
    for _ in 0..rounds {
        for (tables, of_tables) in TABLES.into_iter().zip(&mut fast) {
            let task = Task {
                tables,
                run: 1,
                warm_up: WARM_UP,
                records: RECORDS,
                note_bytes: NOTE_BYTES,
                requests_per_second: None,
            };
            of_tables.push(variant::run(&task, &[])?);
        }
    }
    Ok(fast)
}

impl Slow {
    fn measure(&self, quick: bool) -> Result<Figures, Failure> {
        let task = Task {
            tables: TABLES[TABLES.len() - 1],
            run: 1,
            warm_up: 0,
            records: if quick { self.quick } else { self.records },
            note_bytes: self.note_bytes,
            requests_per_second: Some(self.requests_per_second),
        };
        variant::run(&task, &[])
    }
}

struct Table(Report);

impl Table {
    fn new() -> Self {
        Self(Report::new(
            "tables",
            &[
                "tables",
                "records_per_second",
                "us_per_record",
                "to_one_table",
                "batch",
                "connections_opening",
                "connections",
                "at_once",
                "at_start",
                "opened",
                "peak",
            ],
        ))
    }

    fn fast(&mut self, tables: usize, rounds: &[Figures], of_one: &[Figures]) {
        let all = |figure: fn(&Figures) -> f64| rounds.iter().map(figure);
        let pairs = rounds.iter().zip(of_one);
        let to_one = median(pairs.map(|(own, one)| own.cpu_us / one.cpu_us));
        let figures = Figures {
            rate: median(all(|round| round.rate)),
            cpu_us: median(all(|round| round.cpu_us)),
            batch: median(all(|round| round.batch)),
            opening: most(all(|round| round.opening)),
            connections: most(all(|round| round.connections)),
            at_once: most(all(|round| round.at_once)),
            at_start: median(all(|round| round.at_start)),
            opened: median(all(|round| round.opened)),
            peak: most(all(|round| round.peak)),
        };
        self.row(format!("{tables}"), &figures, to_one);
        if tables == TABLES[TABLES.len() - 1] {
            let bar = format!("{tables} tables, CPU of a record to that of one table");
            self.0.bar(bar, to_one, Bound::AtMost(RATIO));
        }
        self.connections(&format!("{tables} tables"), &figures);
    }

    fn slow(&mut self, slow: &Slow, figures: &Figures) {
        let tables = TABLES[TABLES.len() - 1];
        let name = format!("{tables}, slow server, {}", slow.name);
        self.row(name.clone(), figures, f64::NAN);
        self.connections(&name, figures);
        let beyond = figures.peak - figures.at_start;
        let bar = format!("{name}, peak - at_start");
        self.0.bar(bar, beyond, Bound::AtMost(BUFFER + BESIDE));
    }

    fn connections(&mut self, name: &str, figures: &Figures) {
        let most = Bound::AtMost(MAX_REQUESTS + SPARE);
        let bar = format!("{name}, connections opening");
        self.0.bar(bar, figures.opening, most);
        self.0
            .bar(format!("{name}, connections"), figures.connections, most);
        self.0
            .bar(format!("{name}, requests at once"), figures.at_once, most);
    }

    fn row(&mut self, name: String, figures: &Figures, to_one: f64) {
        self.0.row([
            Cell::text(name),
            Cell::Number(figures.rate, 0),
            Cell::Number(figures.cpu_us, 2),
            Cell::Number(to_one, 2),
            Cell::Number(figures.batch, 1),
            Cell::Number(figures.opening, 0),
            Cell::Number(figures.connections, 0),
            Cell::Number(figures.at_once, 0),
            Cell::Number(figures.at_start, 1),
            Cell::Number(figures.opened, 1),
            Cell::Number(figures.peak, 1),
        ]);
    }
}
