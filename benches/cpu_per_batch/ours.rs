//! The sink, as a user writes it: `put` each record, await each receipt.

use std::sync::Arc;

use dynamodb_connector::TransportKind;
use dynamodb_connector::sink::{DynamoDbSink, Rate, TableSettings, TableSink};
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
        let table = open(server, TransportKind::Direct, TABLE, Rate::Adaptive).await?;
        Ok(Self {
            name: "the sink, direct",
            bar: Some(1.3),
            table,
        })
    }

    /// Through the SDK's orchestrator.
    pub(crate) async fn sdk(server: &NullServer) -> Result<Self, Failure> {
        let table = open(server, TransportKind::Sdk, TABLE, Rate::Adaptive).await?;
        Ok(Self {
            name: "the sink, by the SDK",
            bar: None,
            table,
        })
    }

    /// Without a rate: what the capacity layer costs is the difference to the next.
    pub(crate) async fn unlimited(server: &NullServer) -> Result<Self, Failure> {
        let table = open(server, TransportKind::Direct, TABLE, Rate::Unlimited).await?;
        Ok(Self {
            name: "the sink, no rate",
            bar: None,
            table,
        })
    }

    /// On a provisioned table: every write is budgeted, and the service says what it consumed.
    pub(crate) async fn budgeted(server: &NullServer) -> Result<Self, Failure> {
        let table = open(server, TransportKind::Direct, "budgeted", Rate::Adaptive).await?;
        Ok(Self {
            name: "the sink, budgeted",
            bar: None,
            table,
        })
    }
}

async fn open(
    server: &NullServer,
    transport: TransportKind,
    table: &str,
    rate: Rate,
) -> Result<TableSink, Failure> {
    let sink = DynamoDbSink::builder(&sdk::client(server.endpoint()))
        .transport(transport)
        .table(
            table,
            TableSettings::default().concurrency(LANES).rate(rate),
        )
        .open()
        .await?;
    Ok(sink.table(table)?)
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
