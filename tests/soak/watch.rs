//! A soak from its beginning to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dynamodb_connector::item::{KeyKind, KeySchema};
use dynamodb_connector::retry::{RetryBudgetSettings, RetryPolicy};
use dynamodb_connector::sink::{DynamoDbSink, TableSettings};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::LONGEST;
use crate::ending::{Ending, end};
use crate::faults;
use crate::ledger::Ledger;
use crate::memory::Memory;
use crate::report::{self, Summary, Tally};
use crate::rounds;
use crate::server::Server;
use crate::tables::{Table, ids_in};
use crate::writer::{Rest, Writer};

const WRITERS: u32 = 6;
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Retries come soon and are not short of budget, so that there are many of them.
pub(crate) fn settings() -> TableSettings {
    let budget = RetryBudgetSettings::default();
    let retry = RetryPolicy::default()
        .initial_backoff(Duration::from_millis(20))
        .max_backoff(Duration::from_millis(500))
        .budget(budget.ratio(10.0).min_per_second(1_000).burst(10_000));
    TableSettings::default()
        .retry(retry)
        .buffer_records(1_000)
        .buffer_bytes(8 << 20)
        .request_timeout(Duration::from_secs(3))
}

pub(crate) fn keys(table: Table) -> KeySchema {
    let keys = KeySchema::new("pk", KeyKind::String);
    if table.has_sort_key() {
        keys.with_sort("sk", KeyKind::Number)
    } else {
        keys
    }
}

/// Opens the lasting tables. Their keys are given, so that nothing is known of the index whose key some records
/// get wrong.
pub(crate) async fn open(server: &Server, ledger: &Arc<Ledger>) -> DynamoDbSink {
    let mut builder = DynamoDbSink::builder(&server.client);
    for table in Table::LASTING {
        let settings = match table {
            Table::Plain => settings().concurrency(8..=32),
            Table::Guarded => settings().concurrency(4..=32),
            Table::Coalesced => settings().coalesce(true),
            Table::Hot => settings().buffer_records(100).max_key_share(0.2),
            _ => settings(),
        };
        builder = builder
            .table(table.name(), settings)
            .keys(table.name(), keys(table));
    }
    let ledger = Arc::clone(ledger);
    builder
        .dead_letters(move |letter| {
            let id = letter.record.parts().iter().find_map(|part| {
                let item = String::from_utf8_lossy(part.item().as_json()).into_owned();
                ids_in(&item).chain(ids_in(&part.expressions())).next()
            });
            // Deletes and additions to counters carry none.
            if let Some(id) = id {
                ledger.letter(id);
            }
            async {
                tokio::time::sleep(Duration::from_millis(2)).await;
                Ok(())
            }
        })
        .open()
        .await
        .expect("opened")
}

pub(crate) async fn run(server: Server, length: Duration) {
    let ledger = Arc::new(Ledger::default());
    let sink = open(&server, &ledger).await;
    let (stop, stopped) = watch::channel(false);
    let mut strikes = None;
    if let Some(faulty) = &server.faulty {
        faults::plan(faulty);
        let task = faults::strike(faulty.fake.clone(), faulty.seed, stopped.clone());
        strikes = Some(tokio::spawn(task));
    }
    let writers: Vec<JoinHandle<Rest>> = (0..WRITERS)
        .map(|number| {
            let writer = Writer::new(number, &sink, &ledger, stopped.clone());
            tokio::spawn(writer.run())
        })
        .collect();
    let done = Arc::new(AtomicU64::new(0));
    let rounds = tokio::spawn(rounds::run(
        server.client.clone(),
        server.honest.clone(),
        Arc::clone(&done),
        stopped,
    ));

    let fake = server.faulty.as_ref().map(|faulty| &faulty.fake);
    let mut tally = Tally::default();
    let mut memory = Memory::default();
    let began = Instant::now();
    let mut line_at = LINE_EVERY;
    while began.elapsed() < length {
        tokio::time::sleep(Duration::from_millis(200)).await;
        ledger.sweep(fake, false, &mut tally);
        ledger.check();
        ledger.check_none_is_stuck();
        memory.sample(began.elapsed().as_secs_f64() / length.as_secs_f64());
        if began.elapsed() >= line_at {
            report::line(
                began.elapsed(),
                &ledger,
                &sink,
                done.load(Ordering::Relaxed),
            );
            line_at += LINE_EVERY;
        }
        // A task ends before it is told only by a panic, which is shown where it is joined.
        if rounds.is_finished() || writers.iter().any(JoinHandle::is_finished) {
            break;
        }
    }
    memory.check(tally.transactions);
    // In the midst of it all, what was accepted so far comes to its end. Not where a task has failed already.
    if began.elapsed() >= length {
        let flushed = tokio::time::timeout(LONGEST, sink.flush()).await;
        flushed.expect("a flush hangs").expect("it is flushed");
    }
    if let Some(strikes) = strikes {
        strikes.abort();
    }
    let ending = end(
        Ending {
            server: &server,
            ledger: &ledger,
            sink,
            stop,
            writers,
            rounds,
        },
        &mut tally,
    )
    .await;
    let mut rest = ending;
    rest.push(("rounds", done.load(Ordering::Relaxed).to_string()));
    rest.push(("memory", memory.to_string()));
    let summary = Summary {
        length: began.elapsed(),
        tally: &tally,
        rest,
    };
    report::table(&ledger, &summary);
    server.delete_tables().await;
}
