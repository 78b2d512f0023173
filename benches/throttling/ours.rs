//! The sink at its defaults, on tables that it may describe or may not.

use dynamodb_connector::item::{KeyKind, KeySchema};
use dynamodb_connector::sink::{DynamoDbSink, Outcome, TableSettings, TableSink};
use dynamodb_connector::test_util::FaultyDynamoDb;

use crate::kind::Sight;
use crate::record::{Record, Ticket};
use crate::rig::Failure;

/// The keys of every table here.
fn keys() -> KeySchema {
    KeySchema::new("pk", KeyKind::String).with_sort("sk", KeyKind::Number)
}

pub(crate) struct Ours {
    sink: DynamoDbSink,
    tables: Vec<TableSink>,
}

impl Ours {
    pub(crate) async fn open(
        fake: &FaultyDynamoDb,
        tables: &[&str],
        sight: Sight,
    ) -> Result<Self, Failure> {
        let client = fake.client();
        let builder = tables
            .iter()
            .fold(DynamoDbSink::builder(&client), |builder, table| {
                let builder = builder.table(*table, TableSettings::default());
                match sight {
                    Sight::Known => builder,
                    Sight::Blind => builder.keys(*table, keys()),
                }
            });
        let sink = builder.open().await?;
        let tables: Result<_, _> = tables.iter().map(|table| sink.table(table)).collect();
        Ok(Self {
            tables: tables?,
            sink,
        })
    }

    pub(crate) async fn submit(
        &self,
        table: usize,
        record: &Record,
        ticket: Ticket,
    ) -> Result<(), Failure> {
        let receipt = self.tables[table].put(record).await?;
        let ticket = ticket.accepted();
        tokio::spawn(async move {
            match receipt.await {
                Outcome::Written => ticket.written(),
                // Left when the scenario ended.
                Outcome::Unwritten { .. } => {}
                other => ticket.failed(other.to_string().into()),
            }
        });
        Ok(())
    }

    pub(crate) async fn stop(&self) {
        drop(self.sink.abort().await);
    }
}
