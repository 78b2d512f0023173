//! The sink, as a user writes it: `put` each record, await each receipt.

use std::sync::Arc;

use dynamodb_connector::sink::{Sink, TableSettings, TableSink, TransportKind};
use futures::future::BoxFuture;

use crate::contender::Contender;
use crate::measure::LANES;
use crate::rig::Failure;
use crate::rig::records::{self, TABLE};
use crate::rig::sdk;
use crate::rig::server::NullServer;

pub(crate) struct Ours {
    name: &'static str,
    bar: Option<f64>,
    table: TableSink,
}

impl Ours {
    /// By the default transport; this is what the bar is for.
    pub(crate) async fn direct(server: &NullServer) -> Result<Self, Failure> {
        let table = open(server, TransportKind::Direct).await?;
        Ok(Self {
            name: "the sink, direct",
            bar: Some(1.3),
            table,
        })
    }

    /// Through the SDK's orchestrator.
    pub(crate) async fn sdk(server: &NullServer) -> Result<Self, Failure> {
        let table = open(server, TransportKind::Sdk).await?;
        Ok(Self {
            name: "the sink, by the SDK",
            bar: None,
            table,
        })
    }
}

async fn open(server: &NullServer, transport: TransportKind) -> Result<TableSink, Failure> {
    let sink = Sink::builder(&sdk::client(server.endpoint()))
        .transport(transport)
        .table(TABLE, TableSettings::default().concurrency(LANES))
        .open()
        .await?;
    Ok(sink.table(TABLE)?)
}

impl Contender for Ours {
    fn name(&self) -> &'static str {
        self.name
    }

    fn bar(&self) -> Option<f64> {
        self.bar
    }

    fn lane(
        self: Arc<Self>,
        lane: usize,
        batches: usize,
    ) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(async move {
            let mut receipts = Vec::with_capacity(records::BATCH);
            for batch in 0..batches {
                for record in &records::batch(lane, batch) {
                    receipts.push(self.table.put(record).await?);
                }
                for receipt in receipts.drain(..) {
                    receipt.await.into_result()?;
                }
            }
            Ok(())
        })
    }
}
