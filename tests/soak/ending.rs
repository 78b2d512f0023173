//! The end: silence, a snapshot, an abort, a second sink, and the tables compared with what they should hold.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dynamodb_connector::sink::{DynamoDbSink, Outcome, Snapshot, TableSink};
use dynamodb_connector::test_util::{FaultyDynamoDb, RequestOutcome};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::LONGEST;
use crate::faults;
use crate::ledger::{Expected, Kind, Ledger};
use crate::report::Tally;
use crate::server::Server;
use crate::tables::{Spot, Table, ids_in, number};
use crate::watch::open;
use crate::writer::Rest;

/// What is under way when the end comes.
pub(crate) struct Ending<'a> {
    pub(crate) server: &'a Server,
    pub(crate) ledger: &'a Arc<Ledger>,
    pub(crate) sink: DynamoDbSink,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) writers: Vec<JoinHandle<Rest>>,
    pub(crate) rounds: JoinHandle<()>,
}

type Rows = Vec<(&'static str, String)>;

pub(crate) async fn end(ending: Ending<'_>, tally: &mut Tally) -> Rows {
    let Ending {
        server,
        ledger,
        sink,
        stop,
        writers,
        rounds,
    } = ending;
    let fake = server.faulty.as_ref().map(|faulty| &faulty.fake);
    if let Some(fake) = fake {
        faults::silence(fake);
        // The tasks write on for a while, so that there is something to hand back.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    stop.send_replace(true);
    let mut rests = Vec::new();
    for writer in writers {
        let rest = timeout(LONGEST, writer).await.expect("it was told to stop");
        rests.push(joined(rest));
    }
    if let Some(fake) = fake {
        silence(fake).await;
    }
    let bytes = sink.snapshot().await.expect("the sink is open").to_bytes();
    let aborted = sink.abort().await;
    let snapshot = Snapshot::from_bytes(&bytes).expect("what was written can be read");
    let text = String::from_utf8(bytes).expect("a snapshot is text");
    let saved: HashSet<u64> = ids_in(&text).collect();
    ledger.restore(saved.clone());
    for rest in &mut rests {
        for (id, kind, receipt) in std::mem::take(&mut rest.held) {
            let outcome = timeout(LONGEST, receipt).await;
            let outcome = outcome.unwrap_or_else(|_| panic!("write {id} ({kind:?}) is stuck"));
            let carries_id = !matches!(kind, Kind::Delete | Kind::Count);
            if carries_id && matches!(outcome, Outcome::Unwritten { .. }) {
                assert!(saved.contains(&id), "write {id} is in no snapshot");
            }
            ledger.end(id, &outcome);
        }
    }
    check_counts(&sink, ledger);

    if let Some(faulty) = &server.faulty {
        faulty.fake.heal();
        faults::plan(faulty);
    }
    let second = open(server, ledger).await;
    let restored = timeout(LONGEST, second.restore(&snapshot)).await;
    let restored = restored.expect("it has room").expect("the same tables");
    let again = restored.receipts.len();
    for receipt in restored.receipts {
        let outcome = timeout(LONGEST, receipt)
            .await
            .expect("a restored write is stuck");
        let handed_back = matches!(outcome, Outcome::Unwritten { .. });
        assert!(!handed_back, "a restored write: {outcome}");
    }
    let closed = timeout(LONGEST, second.close()).await.expect("it drains");
    closed.unwrap_or_else(|error| panic!("the second sink: {error}"));
    for id in rests.iter().flat_map(|rest| &rest.unheard) {
        ledger.end_unheard(*id);
    }
    joined(timeout(LONGEST, rounds).await.expect("it was told to stop"));

    if let Some(fake) = fake {
        fake.heal();
        silence(fake).await;
    }
    ledger.sweep(fake, true, tally);
    ledger.check();
    assert_eq!(ledger.under_way(), 0, "writes without an outcome");
    let forgiven = ledger.check_suspects();
    let (sure, unsure) = check_tables(server, ledger).await;
    let sum = |of: fn(&Rest) -> u64| rests.iter().map(of).sum::<u64>().to_string();
    vec![
        ("flushes", sum(|rest| rest.flushes)),
        ("snapshots", sum(|rest| rest.snapshots)),
        ("submits given up", sum(|rest| rest.cancelled)),
        ("handed back by the abort", aborted.len().to_string()),
        ("restored", again.to_string()),
        (
            "restored as unknown",
            restored.handed_back.len().to_string(),
        ),
        ("applied out of turn after a time-out", forgiven.to_string()),
        ("keys compared", sure.to_string()),
        ("keys whose last write is unknown", unsure.to_string()),
    ]
}

fn joined<T>(task: Result<T, tokio::task::JoinError>) -> T {
    task.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// Waits until no request is under way but those that are never answered.
async fn silence(fake: &FaultyDynamoDb) {
    let began = Instant::now();
    loop {
        let busy = fake.requests().iter().any(|request| {
            request.outcome() == RequestOutcome::Pending && request.fault() != Some("never answer")
        });
        if !busy {
            return;
        }
        assert!(began.elapsed() < LONGEST, "requests that do not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Every accepted write is counted under one outcome.
fn check_counts(sink: &DynamoDbSink, ledger: &Ledger) {
    let accepted = ledger.accepted();
    for table in sink.tables() {
        let stats = table.stats();
        let outcomes = stats.written
            + stats.superseded
            + stats.condition_failed
            + stats.rejected
            + stats.unwritten;
        let wanted = Table::of_name(TableSink::name(table)).and_then(|table| accepted.get(&table));
        assert_eq!(Some(&outcomes), wanted.or(Some(&0)), "{stats:?}");
        assert_eq!((stats.buffered_records, stats.buffered_bytes), (0, 0));
    }
}

/// Compares each key with its last write; how many were sure and how many not.
async fn check_tables(server: &Server, ledger: &Ledger) -> (usize, usize) {
    let (mut sure, mut unsure, mut wrong) = (0, 0, Vec::new());
    for (spot, expected) in ledger.expected() {
        let found = read(server, spot, "id").await;
        let wanted = match expected {
            Expected::Unsure => {
                unsure += 1;
                continue;
            }
            Expected::Nothing => None,
            Expected::Id(id) => Some(id),
        };
        sure += 1;
        if found != wanted {
            wrong.push(format!("{spot:?} holds {found:?}, not {wanted:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(sure > unsure, "{sure} keys are sure and {unsure} are not");
    for (key, (surely, maybe)) in ledger.counters() {
        let table = Table::Counters;
        let found = read(server, Spot { table, key }, "n").await.unwrap_or(0);
        assert!(
            (surely..=surely + maybe).contains(&found),
            "counter {key} is {found}, added to {surely} times and maybe {maybe} times more"
        );
    }
    (sure, unsure)
}

async fn read(server: &Server, spot: Spot, attribute: &str) -> Option<u64> {
    let get = server.honest.get_item().table_name(spot.table.name());
    let get = get.set_key(Some(spot.attributes())).consistent_read(true);
    let item = get.send().await.expect("read").item?;
    number(&item, attribute)
}
