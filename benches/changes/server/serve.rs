//! The server's own process.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::ops::Range;

use aws_sdk_dynamodb::Client;
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::test_util::{FaultyDynamoDb, RequestRecord, ShardInfo, TableSpecExt as _};
use dynamodb_connector::{StreamView, TableSpec};
use serde::Serialize;

use super::{Contents, Order};
use crate::changes::decision::item;
use crate::rig::records::{BATCH, TABLE};
use crate::rig::{Failure, cores, sdk};

/// How many items the changes are of: each is changed several times.
const ITEMS: usize = 20_000;

/// Serves until the parent closes this process's input.
pub(super) fn run(contents: Contents) -> Result<(), Failure> {
    cores::pin(cores::SERVER);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let fake = FaultyDynamoDb::new();
    fake.keep_journal(false);
    fake.create_table(
        TableSpec::new(TABLE)
            .partition("customer", KeyKind::String)
            .sort("number", KeyKind::Number)
            .stream(StreamView::NewAndOldImages)
            .stream_shards(contents.shards),
    );
    let server = runtime.block_on(async {
        fill(&fake, contents.changes).await?;
        Ok::<_, Failure>(fake.serve().await?)
    })?;
    say(&server.endpoint_url())?;
    for line in io::stdin().lock().lines() {
        match serde_json::from_str(&line?)? {
            Order::Reads => say(&reads(&fake))?,
            Order::Count => {
                fake.clear_journal();
                fake.keep_journal(true);
                say(&())?;
            }
            Order::Requests => {
                let mut counts = BTreeMap::new();
                for operation in fake.requests().iter().filter_map(RequestRecord::operation) {
                    *counts.entry(operation.name()).or_insert(0) += 1;
                }
                fake.keep_journal(false);
                say(&counts)?;
            }
            Order::Split => {
                let shards = fake.shards(TABLE);
                let open = shards
                    .iter()
                    .find(|shard| shard.is_open())
                    .ok_or("no shard is open")?;
                say(&fake.split_shard(TABLE, open.id()))?;
            }
        }
    }
    Ok(())
}

fn say(what: &impl Serialize) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(what)?)?;
    Ok(out.flush()?)
}

fn reads(fake: &FaultyDynamoDb) -> Vec<u64> {
    let shards = fake.shards(TABLE);
    let shards = shards.iter();
    shards
        .map(|shard| fake.get_records_calls(shard.id()))
        .collect()
}

/// Changes items over and over until there are so many changes. Their first writes, which have no old image, are trimmed.
async fn fill(fake: &FaultyDynamoDb, changes: usize) -> Result<(), Failure> {
    if changes == 0 {
        return Ok(());
    }
    let client = fake.client();
    let items = ITEMS.min(changes);
    write(&client, 0..items, 0).await?;
    fake.trim_stream(TABLE, 0);
    let mut left = changes;
    let mut version = 0;
    while left > 0 {
        version += 1;
        let now = left.min(items);
        write(&client, 0..now, version).await?;
        left -= now;
    }
    let held: usize = fake.shards(TABLE).iter().map(ShardInfo::record_count).sum();
    if held != changes {
        return Err(format!("{held} changes where {changes} were made").into());
    }
    Ok(())
}

async fn write(client: &Client, numbers: Range<usize>, version: u32) -> Result<(), Failure> {
    let numbers: Vec<usize> = numbers.collect();
    for batch in numbers.chunks(BATCH) {
        let items = batch.iter().map(|number| item(*number, version));
        sdk::write_batch(client, TABLE, items).await?;
    }
    Ok(())
}
