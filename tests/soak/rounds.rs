//! A sink that stops and is opened again: its dead-letter handler fails the first time it sees a write.
//!
//! What was handed back or never accepted is given to the next sink, until all of a round is written or in the
//! hands of the handler. These sinks send through the SDK, the lasting one directly. Keys come back only after
//! many rounds, so that a request which one sink left behind can't undo what the next one wrote.

use parking_lot::Mutex;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use dynamodb_connector::TransportKind;
use dynamodb_connector::sink::{DrainError, DynamoDbSink, Outcome, SubmitError};
use tokio::sync::watch;

use crate::tables::{Row, Spot, Table, ids_in, number};
use crate::watch::{keys, settings};

const WRITES: u64 = 60;
/// Every so many is refused by the service.
const BAD: u64 = 20;
const KEYS: u64 = 20 * WRITES;

/// Which letters the handler has taken, and which it has refused.
#[derive(Debug, Default)]
struct Letters {
    refused: HashSet<u64>,
    taken: HashSet<u64>,
}

pub(crate) async fn run(
    client: Client,
    honest: Client,
    done: Arc<std::sync::atomic::AtomicU64>,
    stop: watch::Receiver<bool>,
) {
    let mut first = 1;
    while !*stop.borrow() {
        round(&client, first).await;
        check(&honest, first).await;
        first += WRITES;
        done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

fn spot(id: u64) -> Spot {
    let key = u32::try_from(id % KEYS).expect("small");
    Spot {
        table: Table::Rounds,
        key,
    }
}

fn is_bad(id: u64) -> bool {
    id.is_multiple_of(BAD)
}

fn row(id: u64) -> Row {
    let row = spot(id).row(id);
    if is_bad(id) { row.bad() } else { row }
}

async fn round(client: &Client, first: u64) {
    let letters: Arc<Mutex<Letters>> = Arc::default();
    let mut left: BTreeMap<u64, Row> = (first..first + WRITES).map(|id| (id, row(id))).collect();
    // One stop for each bad write, and one sink more that ends well.
    for _ in 0..=WRITES / BAD {
        let sink = open(client, &letters).await;
        let table = sink.table(&Table::Rounds.name()).expect("opened");
        let mut receipts = Vec::new();
        for (id, row) in &left {
            match table.put(row).await {
                Ok(receipt) => receipts.push((*id, receipt)),
                Err(SubmitError::Stopped(_)) => break,
                Err(error) => panic!("{error}"),
            }
        }
        let closed = table.close().await;
        for (id, receipt) in receipts {
            match receipt.await {
                Outcome::Written => drop(left.remove(&id)),
                Outcome::Rejected { .. } if is_bad(id) => {
                    let letters = letters.lock();
                    if letters.taken.contains(&id) {
                        left.remove(&id);
                    }
                }
                Outcome::Unwritten { .. } => {
                    assert!(closed.is_err(), "write {id} was handed back by a close");
                }
                outcome => panic!("write {id}: {outcome}"),
            }
        }
        match closed {
            Ok(()) => break,
            Err(DrainError::Stopped { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(left.is_empty(), "left of a round: {:?}", left.keys());
    let letters = letters.lock();
    assert_eq!(letters.taken.len() as u64, WRITES / BAD, "{letters:?}");
}

async fn open(client: &Client, letters: &Arc<Mutex<Letters>>) -> DynamoDbSink {
    let letters = Arc::clone(letters);
    DynamoDbSink::builder(client)
        .table(Table::Rounds.name(), settings())
        .keys(Table::Rounds.name(), keys(Table::Rounds))
        .transport(TransportKind::Sdk)
        .dead_letters(move |letter| {
            let json = letter.record.item().expect("a put").as_json().to_vec();
            let text = String::from_utf8(json).expect("text");
            let id = ids_in(&text).next().expect("an id");
            let mut letters = letters.lock();
            let known = !letters.refused.insert(id);
            assert!(!known || letters.taken.insert(id), "{id} came thrice");
            async move {
                if known {
                    Ok(())
                } else {
                    Err("the first time it always fails".into())
                }
            }
        })
        .open()
        .await
        .expect("opened")
}

async fn check(honest: &Client, first: u64) {
    for id in first..first + WRITES {
        let get = honest
            .get_item()
            .table_name(Table::Rounds.name())
            .set_key(Some(spot(id).attributes()))
            .consistent_read(true);
        let item = get.send().await.expect("read").item;
        let found = item.and_then(|item| number(&item, "id"));
        if is_bad(id) {
            assert_eq!(found, None, "write {id} should have been refused");
        } else {
            assert_eq!(found, Some(id));
        }
    }
}
