//! Does the sink bring as much to a real server as a loop written by hand, at the same number of
//! requests in flight?
//!
//! Against DynamoDB Local, or any DynamoDB that is named. See `benches/README.md`.

mod contenders;
mod local;
mod place;
#[path = "../report/mod.rs"]
mod report;
#[path = "../rig/mod.rs"]
mod rig;
mod rounds;
mod table;

use contenders::{SdkLoop, Stream};
use place::Place;
use report::{Bound, Cell, Report};
use rig::Failure;
use rig::arguments::{Arguments, Value};
use rig::records::BATCH;
use rig::rounds::percentile;
use rig::times::Times;
use rounds::{Contender, Round, Volume};
use table::Table;

const NAME: &str = "dynamodb_local";
const OPTIONS: [Value; 3] = [
    Value {
        name: "concurrency",
        of: "N,N",
        does: "requests in flight, 1 to 1000 each; 1,4,16,64 unless told",
    },
    Value {
        name: "endpoint",
        of: "URL",
        does: "a DynamoDB that runs already, on this machine or at AWS",
    },
    Value {
        name: "table",
        of: "NAME",
        does: "a table that exists; only what is written is deleted again",
    },
];

fn main() -> Result<(), Failure> {
    let arguments = Arguments::read(NAME, &OPTIONS);
    let asked = arguments.value("concurrency").unwrap_or("1,4,16,64");
    let Some(concurrencies) = concurrencies(asked) else {
        arguments.refuse(&format!("--concurrency {asked}: not numbers of 1 to 1000"));
    };
    let Some(place) = Place::find(arguments.value("endpoint"))? else {
        println!(
            "{NAME}: no DynamoDB to write to: give --endpoint URL, or run `bash tests/run`, \
             which downloads DynamoDB Local into .cache (needs Java 17 and Maven)"
        );
        return Ok(());
    };
    let volume = Volume::new(arguments.quick);
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let client = place.client().await?;
            let table = Table::open(client, arguments.value("table")).await?;
            println!(
                "{} rounds each of {} items of 1 KB, {}; latency of an item in ms",
                volume.rounds,
                volume.batches * BATCH,
                place.name(),
            );
            let measuring = measure(&table, &concurrencies, volume);
            let measured = match place {
                // Dropping the place ends its server; there is nothing to clear.
                Place::Started(_) => tokio::select! {
                    measured = measuring => measured,
                    _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
                },
                Place::Given(_) => {
                    tokio::spawn(rounds::heed_interrupts());
                    measuring.await
                }
            };
            // Also where measuring failed: nothing is to be left behind where others write.
            let cleared = match place {
                Place::Started(_) => Ok(()),
                Place::Given(_) => table.clear(volume.batches * BATCH).await,
            };
            measured?.print();
            cleared
        })
}

fn concurrencies(asked: &str) -> Option<Vec<usize>> {
    asked
        .split(',')
        .map(|number| number.parse().ok().filter(|n| (1..=1_000).contains(n)))
        .collect()
}

async fn measure(
    table: &Table,
    concurrencies: &[usize],
    volume: Volume,
) -> Result<Report, Failure> {
    let mut report = Report::new(
        NAME,
        &[
            "contender",
            "concurrency",
            "items_per_second",
            "p10",
            "p90",
            "to_loop",
            "latency_p50",
            "latency_p99",
        ],
    );
    for &concurrency in concurrencies {
        let sink = Stream::open(table, concurrency).await?;
        let by_hand = SdkLoop {
            table: table.clone(),
            lanes: concurrency,
        };
        let contenders: [&dyn Contender; 2] = [&sink, &by_hand];
        let rounds = rounds::rotate(&contenders, volume).await?;
        sink.close().await?;

        let rate = |rounds: &[Round], percent| percentile(rounds.iter().map(|r| r.rate), percent);
        let to_loop = |own: &[Round]| rate(own, 50) / rate(&rounds[1], 50);
        for (contender, own) in contenders.iter().zip(&rounds) {
            let latencies: Times = own.iter().map(|round| &round.latencies).sum();
            report.row([
                Cell::text(contender.name()),
                Cell::Number(concurrency as f64, 0),
                Cell::Number(rate(own, 50), 0),
                Cell::Number(rate(own, 10), 0),
                Cell::Number(rate(own, 90), 0),
                Cell::Number(to_loop(own), 2),
                Cell::Number(latencies.at(0.5), 1),
                Cell::Number(latencies.at(0.99), 1),
            ]);
        }
        report.bar(
            format!("the sink/loop at {concurrency}"),
            to_loop(&rounds[0]),
            Bound::AtLeast(1.0),
        );
    }
    Ok(report)
}
