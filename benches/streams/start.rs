//! From opening a source to its first record, by an application that has no leases yet.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::changes::reading::Reading;
use crate::changes::server::{ChangeServer, Contents};
use crate::changes::{Clients, beside_server, unique};
use crate::rig::{Failure, clock, rounds};
use crate::table::{Row, Table};

/// In seconds.
const BAR: f64 = 3.0;

pub(crate) fn run(table: &mut Table, quick: bool) -> Result<(), Failure> {
    let turns = if quick { 3 } else { 20 };
    let server = ChangeServer::start(Contents {
        shards: 4,
        changes: 1_000,
    })?;
    let clients = server.clients();
    let figures = beside_server(|| {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?
            .block_on(async {
                let mut figures = Vec::new();
                for _ in 0..turns {
                    figures.push(start(&clients).await?);
                }
                Ok::<_, Failure>(figures)
            })
    })?;
    let row = Row {
        what: "start: open to the first record, no leases yet",
        unit: "s",
        kcl: "30-120",
        reads: None,
    };
    table.rounds(&row, &figures);
    table.bar("start, the longest, s", rounds::most(figures), BAR);
    Ok(())
}

async fn start(clients: &Clients) -> Result<f64, Failure> {
    let began = clock::instant();
    let source = clients.source(&unique("start")).open().await?;
    let first = Arc::new(Notify::new());
    let seen = Arc::clone(&first);
    let mut reading = Reading::begin(source, move |_| seen.notify_one());
    let waiting = async {
        first.notified().await;
        Ok::<_, Failure>(began.elapsed().as_secs_f64())
    };
    let took = reading.during(waiting).await?;
    reading.end().await?;
    Ok(took)
}
