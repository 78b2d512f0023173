//! A client of any kind, behind one way to submit.

use dynamodb_connector::test_util::FaultyDynamoDb;

use crate::flink::FlinkStrategy;
use crate::kind::{Kind, Sight};
use crate::ours::Ours;
use crate::record::{Record, Ticket};
use crate::rig::Failure;
use crate::sdk_loop::SdkLoop;

/// A client of some tables, as one process would have it.
pub(crate) enum Client {
    Ours(Ours),
    Flink(Vec<FlinkStrategy>),
    SdkLoop(Vec<SdkLoop>),
}

impl Client {
    pub(crate) async fn open(
        kind: Kind,
        fake: &FaultyDynamoDb,
        tables: &[&str],
        sight: Sight,
    ) -> Result<Self, Failure> {
        Ok(match kind {
            Kind::Ours => Self::Ours(Ours::open(fake, tables, sight).await?),
            // The others describe nothing anyway. Flink's sink knows one table.
            Kind::Flink => Self::Flink(
                tables
                    .iter()
                    .map(|table| FlinkStrategy::start(fake, table))
                    .collect(),
            ),
            Kind::SdkLoop => Self::SdkLoop(
                tables
                    .iter()
                    .map(|table| SdkLoop::start(fake, table))
                    .collect(),
            ),
        })
    }

    /// Waits until the client has taken the record.
    pub(crate) async fn submit(
        &self,
        table: usize,
        record: Record,
        ticket: Ticket,
    ) -> Result<(), Failure> {
        match self {
            Self::Ours(sink) => sink.submit(table, &record, ticket).await,
            Self::Flink(writers) => writers[table].submit(record, ticket).await,
            Self::SdkLoop(loops) => loops[table].submit(record, ticket).await,
        }
    }

    /// Leaves what is not written yet, and ends.
    pub(crate) async fn stop(&self) {
        match self {
            Self::Ours(sink) => sink.stop().await,
            Self::Flink(writers) => writers.iter().for_each(FlinkStrategy::stop),
            Self::SdkLoop(loops) => loops.iter().for_each(SdkLoop::stop),
        }
    }
}
