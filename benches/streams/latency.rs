//! From a put to the handler, at rates at which no page is full.

use std::time::Duration;

use dynamodb_connector::streams::{StartPosition, StreamsSettings};

use crate::changes::board::Board;
use crate::changes::reading::Reading;
use crate::changes::server::{ChangeServer, Contents};
use crate::changes::{Clients, beside_server, unique, writing};
use crate::local::Local;
use crate::rig::times::Times;
use crate::rig::{Failure, clock};
use crate::table::{Row, Table};

const SHARDS: usize = 4;

/// What the service takes of a shard from all its readers, and bills: reads a second.
const READS: f64 = 5.0;

/// How the source is set, and how it is written to.
#[derive(Clone, Copy)]
struct Load {
    name: &'static str,
    /// None for the default.
    poll: Option<Duration>,
    rate: f64,
    seconds: f64,
    kcl: &'static str,
    /// What p50 and p99 may be beyond the server's own time, in milliseconds.
    bars: (f64, f64),
}

const TUNED: Option<Duration> = Some(Duration::from_millis(10));
const KCL: &str = "531-585, p99 1600-3000";
const KCL_TUNED: &str = "61, p99 112 (tuned)";

const LOADS: [Load; 4] = [
    Load {
        name: "put to handler, 10/s",
        poll: None,
        rate: 10.0,
        seconds: 60.0,
        kcl: KCL,
        bars: (110.0, 250.0),
    },
    Load {
        name: "put to handler, 200/s",
        poll: None,
        rate: 200.0,
        seconds: 30.0,
        kcl: KCL,
        bars: (110.0, 250.0),
    },
    Load {
        name: "put to handler, 10/s, poll 10ms",
        poll: TUNED,
        rate: 10.0,
        seconds: 60.0,
        kcl: KCL_TUNED,
        bars: (15.0, 50.0),
    },
    Load {
        name: "put to handler, 200/s, poll 10ms",
        poll: TUNED,
        rate: 200.0,
        seconds: 30.0,
        kcl: KCL_TUNED,
        bars: (15.0, 50.0),
    },
];

struct Measured {
    to_handler: Times,
    /// From the call of a put to its acknowledgement. The fake shows a change when it has it: this is all that it adds.
    own: Times,
    /// Of the shard that was read most, in a second.
    reads: Option<f64>,
}

pub(crate) fn run(table: &mut Table, quick: bool) -> Result<(), Failure> {
    for load in LOADS {
        let load = load.lasting(quick);
        let mut server = ChangeServer::start(Contents {
            shards: SHARDS,
            changes: 0,
        })?;
        let clients = server.clients();
        let measured = beside_server(|| load.measure(&clients, Some(&mut server)))?;
        load.rows(table, load.name, &measured);
        let Measured {
            to_handler,
            own,
            reads,
        } = &measured;
        let (p50, p99) = load.bars;
        let beyond = |share| to_handler.at(share) - own.at(0.5);
        table.bar(
            format!("{}, p50 beyond the server, ms", load.name),
            beyond(0.5),
            p50,
        );
        table.bar(
            format!("{}, p99 beyond the server, ms", load.name),
            beyond(0.99),
            p99,
        );
        if let (None, Some(reads)) = (load.poll, reads) {
            table.bar(format!("{}, reads/s of a shard", load.name), *reads, READS);
        }
    }
    let Some(local) = Local::find()? else {
        return Ok(());
    };
    for load in LOADS {
        let load = load.lasting(quick);
        let clients = local.table()?;
        let measured = load.measure(&clients, None);
        local.clear(&clients)?;
        let name = format!("{}, DynamoDB Local", load.name);
        load.rows(table, &name, &measured?);
    }
    Ok(())
}

impl Load {
    fn lasting(self, quick: bool) -> Self {
        let seconds = if quick { 5.0 } else { self.seconds };
        Self { seconds, ..self }
    }

    fn rows(&self, table: &mut Table, name: &str, measured: &Measured) {
        let row = Row {
            what: name,
            unit: "ms",
            kcl: self.kcl,
            reads: measured.reads,
        };
        table.times(&row, &measured.to_handler);
        let row = Row {
            what: "  of it the put itself",
            unit: "ms",
            kcl: "",
            reads: None,
        };
        table.times(&row, &measured.own);
    }

    fn measure(
        self,
        clients: &Clients,
        server: Option<&mut ChangeServer>,
    ) -> Result<Measured, Failure> {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?
            .block_on(self.read(clients, server))
    }

    async fn read(
        self,
        clients: &Clients,
        mut server: Option<&mut ChangeServer>,
    ) -> Result<Measured, Failure> {
        const WARM_UP: f64 = 3.0;
        let warm_up = count(WARM_UP * self.rate);
        let counted = warm_up..warm_up + count(self.seconds * self.rate);
        let board = Board::new(counted.end);
        let mut settings = StreamsSettings::default();
        if let Some(poll) = self.poll {
            settings = settings.poll(poll);
        }
        let source = clients
            .source(&unique("latency"))
            .start(StartPosition::Latest)
            .settings(settings)
            .open()
            .await?;
        let seen = board.clone();
        let mut reading = Reading::begin(source, move |batch| {
            for new in batch.changes.iter().filter_map(|c| c.new.as_ref()) {
                seen.seen(new.number);
            }
        });
        let writing = async {
            writing::put(clients, &board, 0..warm_up, self.rate).await?;
            board.all_seen(0..warm_up).await?;
            let mut reads = || server.as_mut().map(|server| server.reads()).transpose();
            let (began, before) = (clock::instant(), reads()?);
            writing::put(clients, &board, counted.clone(), self.rate).await?;
            let (lasted, after) = (began.elapsed(), reads()?);
            board.all_seen(counted.clone()).await?;
            Ok::<_, Failure>(before.zip(after).map(|(b, a)| most_reads(&b, &a, lasted)))
        };
        let reads = reading.during(writing).await?;
        reading.end().await?;
        Ok(Measured {
            to_handler: board.call_to_seen(counted.clone()),
            own: board.to_acknowledge(counted),
            reads,
        })
    }
}

/// Reads have a distance from one another: of so many in a time, one is not counted, for it begins it.
fn most_reads(before: &[u32], after: &[u32], lasted: Duration) -> f64 {
    let reads = before
        .iter()
        .zip(after)
        .map(|(before, after)| after - before);
    f64::from(reads.max().unwrap_or(0).saturating_sub(1)) / lasted.as_secs_f64()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive, and far below the largest"
)]
fn count(writes: f64) -> usize {
    writes as usize
}
