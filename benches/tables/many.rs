//! A variant's process: one sink of many tables, and writes that go to each of them in turn.

use std::time::Duration;

use dynamodb_connector::sink::{DynamoDbSink, TableSettings, TableSink};
use serde::{Deserialize, Serialize};

use crate::rig::records::decision;
use crate::rig::resident;
use crate::rig::server::{NullServer, Serving};
use crate::rig::{Failure, clock, cores, sdk};

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Task {
    pub(crate) tables: usize,
    /// Records that follow one another to the same table.
    pub(crate) run: usize,
    /// Records that are written first and left out of the figures, those of memory apart.
    pub(crate) warm_up: usize,
    pub(crate) records: usize,
    pub(crate) note_bytes: usize,
    /// The requests that the server takes in a second. At its fastest it has a core to itself.
    pub(crate) requests_per_second: Option<f64>,
}

/// Memory in MiB.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Figures {
    /// Records a second.
    pub(crate) rate: f64,
    /// CPU of a record, in microseconds.
    pub(crate) cpu_us: f64,
    /// Records in a request.
    pub(crate) batch: f64,
    /// The most connections while the sink was opened.
    pub(crate) opening: f64,
    /// The most connections while it wrote.
    pub(crate) connections: f64,
    /// The most requests that the server had at once.
    pub(crate) at_once: f64,
    /// Before the sink was opened.
    pub(crate) at_start: f64,
    /// Once it was open.
    pub(crate) opened: f64,
    pub(crate) peak: f64,
}

impl Task {
    pub(crate) fn run(&self) -> Result<Figures, Failure> {
        let interval = self.requests_per_second.map(f64::recip);
        let server = NullServer::start(Serving {
            core: interval.is_none().then_some(cores::SERVER),
            interval: Duration::from_secs_f64(interval.unwrap_or_default()),
            ..Serving::default()
        })?;
        if interval.is_none() {
            cores::leave(cores::SERVER);
        }
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?
            .block_on(self.write(&server))
    }

    async fn write(&self, server: &NullServer) -> Result<Figures, Failure> {
        let at_start = resident::read()?.now;
        let names = (0..self.tables).map(|number| format!("bench-{number:04}"));
        let names: Vec<String> = names.collect();
        let mut builder = DynamoDbSink::builder(&sdk::client(server.endpoint()));
        for name in &names {
            builder = builder.table(name, TableSettings::default());
        }
        let sink = builder.open().await?;
        let tables: Result<Vec<TableSink>, _> = names.iter().map(|name| sink.table(name)).collect();
        let tables = tables?;
        let opened = resident::read()?.now;

        let opening = server.connections()?.peak;
        self.put(&tables, 0..self.warm_up).await?;
        sink.flush().await?;
        let arrived = server.arrived()?.requests;
        let (began, cpu) = (clock::instant(), clock::cpu_time());
        self.put(&tables, self.warm_up..self.warm_up + self.records)
            .await?;
        sink.flush().await?;
        let cpu = (clock::cpu_time() - cpu).as_secs_f64();
        let seconds = began.elapsed().as_secs_f64();
        let requests = server.arrived()?.requests - arrived;
        let connections = server.connections()?;
        sink.close().await?;

        let records = self.records as f64;
        Ok(Figures {
            rate: records / seconds,
            cpu_us: cpu * 1e6 / records,
            batch: records / f64::from(requests),
            opening: opening.into(),
            connections: connections.peak.into(),
            at_once: connections.busy_peak.into(),
            at_start,
            opened,
            peak: resident::read()?.peak,
        })
    }

    /// Writes these records, to each table in turn. Their receipts are dropped.
    async fn put(
        &self,
        tables: &[TableSink],
        records: std::ops::Range<usize>,
    ) -> Result<(), Failure> {
        for number in records {
            let table = &tables[number / self.run % tables.len()];
            drop(table.put(&decision(number, self.note_bytes)).await?);
        }
        Ok(())
    }
}
