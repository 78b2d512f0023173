//! From the death of a shard's owner until another worker reads on: kill -9 of one process, while another stands by.

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::changes::board::Board;
use crate::changes::reading::Reading;
use crate::changes::server::{ChangeServer, Contents};
use crate::changes::{Clients, beside_server, unique, writing};
use crate::rig::child::{self, Child};
use crate::rig::records::TABLE;
use crate::rig::{Failure, clock, rounds};
use crate::table::{Row, Table};

/// The role of the process that reads at first.
const ROLE: &str = "worker";

/// The default of [`failover`](dynamodb_connector::streams::StreamsSettings::failover), in seconds, and what may be added.
const FAILOVER: f64 = 10.0;
const BEYOND: f64 = 3.0;

#[derive(Debug, Deserialize, Serialize)]
struct Task {
    endpoint: String,
    lease_table: String,
}

/// When something happened first.
#[derive(Clone, Default)]
struct First(Arc<(Mutex<Option<Instant>>, Notify)>);

pub(crate) fn run(table: &mut Table, quick: bool) -> Result<(), Failure> {
    let turns = if quick { 1 } else { 6 };
    let mut figures = Vec::new();
    for round in 0..turns {
        let server = ChangeServer::start(Contents {
            shards: 1,
            changes: 0,
        })?;
        let clients = server.clients();
        let taken = beside_server(|| {
            tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?
                .block_on(take_over(&clients, round))
        })?;
        figures.push(taken.as_secs_f64());
    }
    let row = Row {
        what: "owner killed to its shard read again, failover 10 s",
        unit: "s",
        kcl: "33-43",
        reads: None,
    };
    table.rounds(&row, &figures);
    table.bar(
        "owner killed to read again, the longest, s",
        rounds::most(figures),
        FAILOVER + BEYOND,
    );
    Ok(())
}

async fn take_over(clients: &Clients, round: u64) -> Result<Duration, Failure> {
    const WRITES_PER_SECOND: f64 = 20.0;
    /// Longer than any of this takes.
    const WRITES: usize = 20 * 120;
    let lease_table = unique("owner");
    let task = Task {
        endpoint: clients.endpoint.clone(),
        lease_table: lease_table.clone(),
    };
    let mut owner = Child::start(ROLE, &task)?;
    let writer = {
        let (clients, board) = (clients.clone(), Board::new(0));
        tokio::spawn(
            async move { writing::put(&clients, &board, 0..WRITES, WRITES_PER_SECOND).await },
        )
    };
    // Its line says that it has a record.
    let mut owner = tokio::task::spawn_blocking(move || owner.line().map(|_| owner)).await??;

    let first = First::default();
    let seen = first.clone();
    let source = clients.source(&lease_table).open().await?;
    let mut standby = Reading::begin(source, move |_| seen.happens());
    // At another point of the owner's renewals each time.
    let mut rng = fastrand::Rng::with_seed(round);
    let settled = Duration::from_secs_f64(5.0 + rng.f64() * FAILOVER / 3.0);
    let taking = async {
        tokio::time::sleep(settled).await;
        if first.has_happened() {
            return Err("the lease moved before its owner was killed".into());
        }
        let died = owner.kill()?;
        Ok::<_, Failure>(first.happened().await - died)
    };
    let taken = standby.during(taking).await?;
    writer.abort();
    standby.end().await?;
    Ok(taken)
}

impl First {
    fn happens(&self) {
        let mut at = self.0.0.lock();
        at.get_or_insert_with(clock::instant);
        self.0.1.notify_one();
    }

    fn has_happened(&self) -> bool {
        let at = self.0.0.lock();
        at.is_some()
    }

    async fn happened(&self) -> Instant {
        loop {
            if let Some(at) = *self.0.0.lock() {
                return at;
            }
            self.0.1.notified().await;
        }
    }
}

/// Reads until killed, or until the parent is gone, where this process was started for that.
pub(crate) fn work_if_asked() -> Option<Result<(), Failure>> {
    child::run_if_asked(ROLE, |task| work(&task))
}

fn work(task: &Task) -> Result<(), Failure> {
    child::end_with_parent();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let clients = Clients::new(&task.endpoint, TABLE);
            let source = clients.source(&task.lease_table).open().await?;
            let said = AtomicBool::new(false);
            let mut reading = Reading::begin(source, move |_| {
                if !said.swap(true, Ordering::Relaxed) {
                    println!("reads");
                }
            });
            reading.during(std::future::pending()).await
        })
}
