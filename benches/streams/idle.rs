//! What a thousand shards cost on which nothing happens: reads and renewals of leases, in a process of its own.

use std::time::Duration;

use dynamodb_connector::streams::StreamsSettings;
use serde::{Deserialize, Serialize};

use crate::changes::reading::Reading;
use crate::changes::server::{ChangeServer, Contents};
use crate::changes::{Clients, beside_server, unique};
use crate::rig::child::{self, Child};
use crate::rig::records::TABLE;
use crate::rig::{Failure, clock, resident};
use crate::table::Table;

/// The role of the worker's process.
const ROLE: &str = "idle";

const SHARDS: usize = 1_000;
const POLL: Duration = Duration::from_secs(4);
/// Of one core, in percent.
const CPU: f64 = 5.0;
/// In MiB.
const MEMORY: f64 = 100.0;

#[derive(Debug, Deserialize, Serialize)]
struct Task {
    endpoint: String,
    lease_table: String,
    settle: Duration,
    window: Duration,
}

#[derive(Debug, Deserialize, Serialize)]
struct Figures {
    /// Until all shards were read, in seconds.
    began: f64,
    /// Of one core, in percent.
    cpu: f64,
    reads_per_second: f64,
    /// In MiB; not told by every system.
    resident: Option<f64>,
    peak: Option<f64>,
}

pub(crate) fn run(table: &mut Table, quick: bool) -> Result<(), Failure> {
    let mut server = ChangeServer::start(Contents {
        shards: SHARDS,
        changes: 0,
    })?;
    let (settle, window) = if quick { (5, 12) } else { (30, 120) };
    let task = Task {
        endpoint: server.endpoint().to_owned(),
        lease_table: unique("idle"),
        settle: Duration::from_secs(settle),
        window: Duration::from_secs(window),
    };
    let (figures, writes) = beside_server(|| observe(&mut server, &task))?;
    table.single("1,000 idle shards: CPU of one core", "%", figures.cpu);
    let reads = figures.reads_per_second;
    table.single("  reads of all shards", "1/s", reads);
    table.single("  writes of their leases", "1/s", writes);
    table.single("  from opening until all were read", "s", figures.began);
    table.bar("1,000 idle shards, % of one core", figures.cpu, CPU);
    if let Some((resident, peak)) = figures.resident.zip(figures.peak) {
        table.single("  resident memory", "MiB", resident);
        table.single("  resident memory at its peak", "MiB", peak);
        table.bar("1,000 idle shards, peak MiB", peak, MEMORY);
    }
    Ok(())
}

/// Runs the worker, and counts what it writes to its lease table in a second.
fn observe(server: &mut ChangeServer, task: &Task) -> Result<(Figures, f64), Failure> {
    let mut worker = Child::start(ROLE, task)?;
    // The first line says that the window begins, the second what was measured in it.
    worker.line()?;
    server.count()?;
    let figures = worker.answer()?;
    let requests = server.requests()?;
    let writes = requests.get("UpdateItem").copied().unwrap_or(0);
    Ok((figures, f64::from(writes) / task.window.as_secs_f64()))
}

/// Reads nothing, where this process was started for that, and says what that took.
pub(crate) fn idle_if_asked() -> Option<Result<(), Failure>> {
    child::run_if_asked(ROLE, |task: Task| {
        println!("{}", serde_json::to_string(&idle(&task)?)?);
        Ok(())
    })
}

fn idle(task: &Task) -> Result<Figures, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let began = clock::instant();
            let clients = Clients::new(&task.endpoint, TABLE);
            let source = clients
                .source(&task.lease_table)
                .settings(StreamsSettings::default().poll(POLL).idle_poll(POLL))
                .open()
                .await?;
            let mut reading = Reading::begin(source, |_| ());
            let control = reading.control().clone();
            let measuring = async {
                // A shard that is held is read within the poll interval.
                const PATIENCE: Duration = Duration::from_secs(180);
                while control.stats().lag.len() < SHARDS {
                    if began.elapsed() > PATIENCE {
                        let held = control.stats().lag.len();
                        return Err(format!("{held} of {SHARDS} shards are read").into());
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                let all_read = began.elapsed().as_secs_f64();
                tokio::time::sleep(task.settle).await;
                let (cpu, reads) = (clock::cpu_time(), control.stats().reads);
                let since = clock::instant();
                println!("measuring");
                tokio::time::sleep(task.window).await;
                let lasted = since.elapsed().as_secs_f64();
                let cpu = (clock::cpu_time() - cpu).as_secs_f64();
                let resident = resident::now();
                Ok::<_, Failure>(Figures {
                    began: all_read,
                    cpu: cpu / lasted * 100.0,
                    reads_per_second: (control.stats().reads - reads) as f64 / lasted,
                    resident: resident.map(|memory| memory.now),
                    peak: resident.map(|memory| memory.peak),
                })
            };
            reading.during(measuring).await
        })
}
