//! The sink at its defaults, and a call for each record.

use std::time::Duration;

use dynamodb_connector::sink::TableSink;
use tokio::runtime::Runtime;

use crate::arrivals::{Latencies, Schedule};
use crate::rig::records::{BATCH, NOTE_BYTES, TABLE, decision};
use crate::rig::server::NullServer;
use crate::rig::{Failure, clock, sdk};

/// What the sink reaches with writes to spare, in writes a second, once it has found its
/// concurrency. All outcomes are awaited, as they are where latency is measured.
pub(crate) fn full_load(
    runtime: &Runtime,
    server: &NullServer,
    lasting: Duration,
) -> Result<f64, Failure> {
    const WARM_UP: Duration = Duration::from_secs(1);
    runtime.block_on(async {
        let table = TableSink::open(&sdk::client(server.endpoint()), TABLE).await?;
        let began = clock::instant();
        let mut from = None;
        let mut number = 0;
        loop {
            let mut receipts = Vec::with_capacity(BATCH);
            for _ in 0..BATCH {
                receipts.push(table.put(&decision(number, NOTE_BYTES)).await?);
                number += 1;
            }
            tokio::spawn(async move {
                for receipt in receipts {
                    std::hint::black_box(receipt.await);
                }
            });
            let now = clock::instant();
            if now - began < WARM_UP {
                continue;
            }
            let written = table.stats().written;
            let (since, before) = *from.get_or_insert((now, written));
            if now - since >= lasting {
                table.close().await?;
                return Ok((written - before) as f64 / (now - since).as_secs_f64());
            }
        }
    })
}

/// A sink opened for this, with default settings.
pub(crate) fn sink(
    runtime: &Runtime,
    server: &NullServer,
    schedule: Schedule,
) -> Result<Latencies, Failure> {
    runtime.block_on(async {
        let table = TableSink::open(&sdk::client(server.endpoint()), TABLE).await?;
        let latencies = schedule
            .run(async |number| {
                let receipt = table.put(&decision(number, NOTE_BYTES)).await?;
                Ok(async move { Ok(receipt.await.into_result()?) })
            })
            .await?;
        table.close().await?;
        Ok(latencies)
    })
}

/// `put_item` for each record, all at the same time.
pub(crate) fn single_calls(
    runtime: &Runtime,
    server: &NullServer,
    schedule: Schedule,
) -> Result<Latencies, Failure> {
    let client = sdk::client(server.endpoint());
    runtime.block_on(schedule.run(async |number| {
        let item = sdk::attributes(decision(number, NOTE_BYTES));
        let call = client
            .put_item()
            .table_name(TABLE)
            .set_item(Some(item))
            .send();
        let call = tokio::spawn(call);
        Ok(async move {
            call.await??;
            Ok(())
        })
    }))
}
