//! From the split of a shard to the first record of each of its children.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dynamodb_connector::streams::StartPosition;

use crate::changes::board::Board;
use crate::changes::reading::Reading;
use crate::changes::server::{ChangeServer, Contents};
use crate::changes::{Clients, beside_server, unique, writing};
use crate::rig::times::Times;
use crate::rig::{Failure, clock};
use crate::table::{Row, Table};

/// A second beyond the default poll interval, in milliseconds.
const BAR: f64 = 1_000.0 + 200.0;
/// Enough that a child's first change comes at once, though it has an eighth of the keys in the end.
const WRITES_PER_SECOND: f64 = 400.0;
const WRITES: usize = 400 * 180;

/// When each shard had its first record handled.
type Shards = Arc<Mutex<HashMap<String, Instant>>>;

pub(crate) fn run(table: &mut Table, quick: bool) -> Result<(), Failure> {
    let splits = if quick { 2 } else { 7 };
    let (mut times, repeats) = (Times::default(), if quick { 1 } else { 3 });
    for seed in 0..repeats {
        let mut server = ChangeServer::start(Contents {
            shards: 1,
            changes: 0,
        })?;
        let clients = server.clients();
        times.extend(beside_server(|| {
            tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?
                .block_on(follow(&clients, &mut server, splits, seed))
        })?);
    }
    let row = Row {
        what: "split to the first record of each child",
        unit: "ms",
        kcl: "",
        reads: None,
    };
    table.times(&row, &times);
    table.bar(
        "split to the child's first record, the longest, ms",
        times.most(),
        BAR,
    );
    Ok(())
}

async fn follow(
    clients: &Clients,
    server: &mut ChangeServer,
    splits: usize,
    seed: u64,
) -> Result<Vec<Duration>, Failure> {
    let source = clients
        .source(&unique("split"))
        .start(StartPosition::Latest)
        .open()
        .await?;
    let shards = Shards::default();
    let seen = Arc::clone(&shards);
    let mut reading = Reading::begin(source, move |batch| {
        let mut seen = seen.lock();
        seen.entry(batch.shard.to_string())
            .or_insert_with(clock::instant);
    });
    let writer = {
        let (clients, board) = (clients.clone(), Board::new(0));
        tokio::spawn(
            async move { writing::put(&clients, &board, 0..WRITES, WRITES_PER_SECOND).await },
        )
    };
    let mut rng = fastrand::Rng::with_seed(seed);
    let splitting = async {
        let mut took = Vec::new();
        for _ in 0..splits {
            // At another point of the poll interval each time.
            tokio::time::sleep(Duration::from_secs_f64(2.0 + rng.f64())).await;
            let split = clock::instant();
            for child in server.split()? {
                let first = first_of(&shards, &child).await?;
                took.push(first - split);
            }
        }
        Ok::<_, Failure>(took)
    };
    let took = reading.during(splitting).await?;
    writer.abort();
    reading.end().await?;
    Ok(took)
}

async fn first_of(shards: &Shards, shard: &str) -> Result<Instant, Failure> {
    const PATIENCE: Duration = Duration::from_secs(60);
    let began = clock::instant();
    while began.elapsed() < PATIENCE {
        let first = {
            let seen = shards.lock();
            seen.get(shard).copied()
        };
        if let Some(first) = first {
            return Ok(first);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(format!("nothing came of {shard}").into())
}
