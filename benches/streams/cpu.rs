//! CPU for a record: read, decoded to a type, handled.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::changes::reading::Reading;
use crate::changes::sdk_loop;
use crate::changes::server::{ChangeServer, Contents};
use crate::changes::{Clients, beside_server, unique};
use crate::rig::rounds::median;
use crate::rig::{Failure, clock};
use crate::table::{Row, Table};

const SHARDS: usize = 4;
/// What a record may cost, as a part of what `GetRecords` of the SDK costs in the same run: machines
/// differ by more than a factor of two in microseconds.
const BAR: f64 = 0.45;

/// One pass over all changes.
struct Round {
    cpu_us: f64,
    rate: f64,
}

pub(crate) fn run(table: &mut Table, quick: bool) -> Result<(), Failure> {
    const WARM_UP: usize = 1;
    let (rounds, changes) = if quick { (2, 20_000) } else { (9, 100_000) };
    let server = ChangeServer::start(Contents {
        shards: SHARDS,
        changes,
    })?;
    let (mut ours, mut by_hand) = (Vec::new(), Vec::new());
    beside_server(|| {
        for round in 0..WARM_UP + rounds {
            let (first, second) = if round.is_multiple_of(2) {
                let first = pass(changes, handled(&server.clients(), changes))?;
                (
                    first,
                    pass(changes, sdk_loop::read(&server.clients(), changes))?,
                )
            } else {
                let second = pass(changes, sdk_loop::read(&server.clients(), changes))?;
                (pass(changes, handled(&server.clients(), changes))?, second)
            };
            if round >= WARM_UP {
                ours.push(first);
                by_hand.push(second);
            }
        }
        Ok(())
    })?;
    let of_all = |rounds: &[Round], figure: fn(&Round) -> f64| -> Vec<f64> {
        rounds.iter().map(figure).collect()
    };
    let cpu = |rounds: &[Round]| of_all(rounds, |round| round.cpu_us);
    let row = Row {
        what: "CPU of a record by run(handler): read, decoded, handled",
        unit: "us",
        kcl: "55-70",
        reads: None,
    };
    table.rounds(&row, &cpu(&ours));
    let row = Row {
        what: "CPU of a record by GetRecords of the SDK: read, not decoded",
        unit: "us",
        kcl: "",
        reads: None,
    };
    table.rounds(&row, &cpu(&by_hand));
    let row = Row {
        what: "records a second by run(handler), from 4 shards",
        unit: "1/s",
        kcl: "933 a shard",
        reads: None,
    };
    table.rounds(&row, &of_all(&ours, |round| round.rate));
    table.bar(
        "CPU of a record read, decoded and handled, by that of the SDK's GetRecords alone",
        median(cpu(&ours)) / median(cpu(&by_hand)),
        BAR,
    );
    Ok(())
}

/// In a single-threaded runtime, as in `cpu_per_batch`.
fn pass(
    changes: usize,
    reading: impl Future<Output = Result<(), Failure>>,
) -> Result<Round, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (began, before) = (clock::instant(), clock::cpu_time());
    runtime.block_on(reading)?;
    let used: Duration = clock::cpu_time() - before;
    Ok(Round {
        cpu_us: used.as_secs_f64() * 1e6 / changes as f64,
        rate: changes as f64 / began.elapsed().as_secs_f64(),
    })
}

/// Opened, read to the last change, and closed, by an application that has no leases yet.
async fn handled(clients: &Clients, changes: usize) -> Result<(), Failure> {
    let source = clients.source(&unique("cpu")).open().await?;
    let (left, all) = (AtomicUsize::new(changes), Arc::new(Notify::new()));
    let done = Arc::clone(&all);
    let mut reading = Reading::begin(source, move |batch| {
        let handled = black_box(&batch.changes).len();
        if left.fetch_sub(handled, Ordering::Relaxed) == handled {
            done.notify_one();
        }
    });
    let reached = async {
        all.notified().await;
        Ok::<_, Failure>(())
    };
    reading.during(reached).await?;
    reading.end().await
}
