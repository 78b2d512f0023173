//! The whole sink against the faulty DynamoDB: random settings, writes, faults and endings, one set of
//! promises.
//!
//! Several tasks submit writes of every kind to a few keys and flush, take snapshots and forget receipts at
//! random; at some moment the table is closed or aborted. Then every receipt is compared with what the table
//! took:
//!
//! - K1: every accepted write has one outcome; `Written` was applied; what says that it was not applied was not;
//!   what must not be applied twice was not; every dead letter was handed over once.
//! - K2: no two requests held one key at once; no write was applied after a later one of its key; after a close,
//!   the table holds the last write of each key.
//! - K3, K5: no request and no buffer was beyond its bounds.
//! - K6: what was submitted before a flush had its outcome when the flush was done.
//! - K8: a snapshot held every write that had no outcome yet.
//! - Everything ended within virtual hours.
//!
//! Writes carry their number as the attribute `id`, so each application can be told from every other. A delete
//! carries none: it is matched to the earliest delete that may have been the one.
//!
//! Cases are drawn from a fixed seed; `PROPTEST_CASES` sets their number.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::TableSpec;
use dynamodb_connector::retry::RetryPolicy;
use dynamodb_connector::sink::{
    DrainError, DynamoDbSink, Outcome, Receipt, Snapshot, SubmitError, TableSettings, TableSink,
    WriteRecord,
};
use dynamodb_connector::test_util::{
    AppliedKind, Fault, FaultPlan, FaultyDynamoDb, Operation, Throttle,
};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use serde::Serialize;

const TABLE: &str = "decisions";
const KEYS: u8 = 4;
/// No case may take longer, in virtual time: each fault passes within seconds.
const LONGEST: Duration = Duration::from_secs(6 * 60 * 60);

#[derive(Clone, Debug)]
struct Case {
    settings: Settings,
    faults: Faults,
    tasks: Vec<Vec<Step>>,
    ending: Ending,
    seed: u64,
}

#[derive(Clone, Debug)]
struct Settings {
    concurrency: (usize, usize),
    batch: usize,
    buffer: usize,
    key_share: f64,
    linger: u64,
    coalesce: bool,
    dead_letters: bool,
    max_attempts: Option<u32>,
    deadline: Option<u64>,
}

/// Probabilities in percent.
#[derive(Clone, Debug, Default)]
struct Faults {
    unprocessed: u32,
    throttle: u32,
    error: u32,
    error_after: u32,
    close_before: u32,
    close_after: u32,
    never: u32,
    never_after: u32,
    garbage: u32,
    truncated: u32,
    delay: (u32, u64),
    late: (u32, u64),
    /// A key whose every write is refused.
    poison: Option<u8>,
    outage: Option<Outage>,
}

/// All of a kind fails, from a moment on, for so many milliseconds. None is long enough to end the table.
#[derive(Clone, Debug)]
struct Outage {
    kind: OutageKind,
    after: u64,
    lasts: u64,
}

#[derive(Clone, Copy, Debug)]
enum OutageKind {
    /// The table can't be described.
    ControlPlane,
    /// Writes are refused with a code that is not known.
    UnknownCode,
    /// Whatever is sent is refused as if a record in it were bad.
    AllInvalid,
    /// Writes find no table.
    Missing,
    /// No credentials are taken.
    Unauthorized,
    /// One action may not be used.
    DeniedAction,
    /// One key may not be written.
    DeniedKey(u8),
}

impl OutageKind {
    fn faults(self) -> Vec<Fault> {
        let writes = |fault: Fault| {
            let operations = [
                Operation::BatchWriteItem,
                Operation::PutItem,
                Operation::UpdateItem,
                Operation::DeleteItem,
                Operation::TransactWriteItems,
            ];
            let faults = operations.map(|operation| fault.clone().on(operation));
            faults.to_vec()
        };
        let describe = |fault: Fault| fault.on(Operation::DescribeTable);
        let mut faults = match self {
            Self::ControlPlane => vec![describe(Fault::internal_error())],
            Self::UnknownCode => writes(Fault::error(400, "BrandNewException", "no")),
            Self::AllInvalid => {
                let mut faults = writes(Fault::validation("no"));
                faults.push(describe(Fault::validation("no")));
                faults
            }
            Self::Missing => writes(Fault::resource_not_found()),
            Self::Unauthorized => {
                let mut faults = writes(Fault::unrecognized_client());
                faults.push(describe(Fault::unrecognized_client()));
                faults
            }
            Self::DeniedAction => vec![Fault::access_denied().on(Operation::UpdateItem)],
            Self::DeniedKey(key) => {
                let denied = pk(key);
                let is_it = move |key: &HashMap<String, AttributeValue>| {
                    key["pk"].as_s().ok() == Some(&denied)
                };
                vec![Fault::access_denied().on_key(is_it)]
            }
        };
        faults = faults.into_iter().map(Fault::always).collect();
        faults
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write {
        kind: Kind,
        key: u8,
        keep: bool,
    },
    /// Submits only where there is room.
    Try {
        key: u8,
    },
    /// Two writes of one key at once, waiting for room together.
    Both {
        key: u8,
    },
    /// Begins to submit and gives up after a time.
    GiveUp {
        key: u8,
        after: u64,
    },
    Flush,
    Snapshot,
    Sleep {
        millis: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Put,
    Delete,
    /// An update that may be applied twice.
    Set,
    /// One that may not.
    Add,
    /// The same as a transaction with a token.
    AddOnce,
    NewerBy,
    /// A put where there is no item.
    IfAbsent,
    /// A put on this key and an addition on the next one.
    Transaction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Close,
    CloseAfter(u64),
    AbortAfter(u64),
    /// An abort while a flush, a snapshot and a close are asked for.
    AllAfter(u64),
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        8 => Just(Kind::Put),
        3 => Just(Kind::Delete),
        2 => Just(Kind::Set),
        2 => Just(Kind::Add),
        2 => Just(Kind::AddOnce),
        3 => Just(Kind::NewerBy),
        2 => Just(Kind::IfAbsent),
        2 => Just(Kind::Transaction),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (kind(), 0..KEYS, prop::bool::weighted(0.9))
            .prop_map(|(kind, key, keep)| Step::Write { kind, key, keep }),
        2 => (0..KEYS).prop_map(|key| Step::Try { key }),
        2 => (0..KEYS).prop_map(|key| Step::Both { key }),
        2 => (0..KEYS, 0..50_u64).prop_map(|(key, after)| Step::GiveUp { key, after }),
        1 => Just(Step::Flush),
        1 => Just(Step::Snapshot),
        3 => (0..200_u64).prop_map(|millis| Step::Sleep { millis }),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    (
        (1..=3_usize, 0..=5_usize),
        1..=25_usize,
        0..40_usize,
        prop_oneof![Just(1.0), Just(0.25)],
        0..20_u64,
        any::<bool>(),
        any::<bool>(),
        prop::option::weighted(0.3, 1..5_u32),
        prop::option::weighted(0.3, 10..5_000_u64),
    )
        .prop_map(
            |(
                (least, more),
                batch,
                spare,
                key_share,
                linger,
                coalesce,
                dead_letters,
                max_attempts,
                deadline,
            )| Settings {
                concurrency: (least, least + more),
                batch,
                buffer: batch + spare,
                key_share,
                linger,
                coalesce,
                dead_letters,
                max_attempts,
                deadline,
            },
        )
}

/// A probability in percent: often none at all.
fn percent() -> impl Strategy<Value = u32> {
    prop_oneof![2 => Just(0_u32), 1 => 1..12_u32]
}

fn faults(late: bool) -> impl Strategy<Value = Faults> {
    let late = if late { 1..40_u32 } else { 0..1 };
    (
        (percent(), percent(), percent(), percent()),
        (percent(), percent(), percent(), percent()),
        (percent(), percent()),
        (percent(), 1..3_000_u64),
        (late, 1..60_000_u64),
        prop::option::weighted(0.2, 0..KEYS),
        prop::option::weighted(0.4, outage()),
    )
        .prop_map(
            |(first, second, third, delay, late, poison, outage)| Faults {
                unprocessed: first.0 * 4,
                throttle: first.1,
                error: first.2,
                error_after: first.3,
                close_before: second.0,
                close_after: second.1,
                never: second.2,
                never_after: second.3,
                garbage: third.0,
                truncated: third.1,
                delay: (delay.0 * 4, delay.1),
                late,
                poison,
                outage,
            },
        )
}

fn outage() -> impl Strategy<Value = Outage> {
    let kind = prop_oneof![
        Just(OutageKind::ControlPlane),
        Just(OutageKind::UnknownCode),
        Just(OutageKind::AllInvalid),
        Just(OutageKind::Missing),
        Just(OutageKind::Unauthorized),
        Just(OutageKind::DeniedAction),
        (0..KEYS).prop_map(OutageKind::DeniedKey),
    ];
    let lasts = prop_oneof![1..2_000_u64, 1..20_000_u64];
    (kind, 0..1_000_u64, lasts).prop_map(|(kind, after, lasts)| Outage { kind, after, lasts })
}

fn case(late: bool) -> impl Strategy<Value = Case> {
    let ending = prop_oneof![
        4 => Just(Ending::Close),
        1 => (0..3_000_u64).prop_map(Ending::CloseAfter),
        1 => (0..3_000_u64).prop_map(Ending::AbortAfter),
        1 => (0..3_000_u64).prop_map(Ending::AllAfter),
    ];
    let tasks = prop::collection::vec(prop::collection::vec(step(), 1..30), 1..4);
    (settings(), faults(late), tasks, ending, any::<u64>()).prop_map(
        |(settings, faults, tasks, ending, seed)| Case {
            settings,
            faults,
            tasks,
            ending,
            seed,
        },
    )
}

impl Settings {
    fn table(&self) -> TableSettings {
        let retry = RetryPolicy::default()
            .max_attempts(self.max_attempts)
            .max_backoff(Duration::from_secs(2));
        TableSettings::default()
            .concurrency(self.concurrency.0..=self.concurrency.1)
            .max_batch_items(self.batch)
            .buffer_records(self.buffer)
            .max_key_share(self.key_share)
            .linger(ms(self.linger))
            .coalesce(self.coalesce)
            .retry(retry)
            .deadline(self.deadline.map(ms))
            .request_timeout(Duration::from_secs(1))
    }
}

impl Faults {
    /// Has the fake fail by chance, and refuse what is poisoned.
    fn arm(&self, fake: &FaultyDynamoDb, seed: u64) {
        fake.fault_plan(self.plan(seed));
        if let Some(key) = self.poison {
            let poisoned = pk(key);
            fake.inject(Fault::poison(move |key| {
                key["pk"].as_s().ok() == Some(&poisoned)
            }));
        }
    }

    fn plan(&self, seed: u64) -> FaultPlan {
        let share = |percent: u32| f64::from(percent) / 100.0;
        FaultPlan::seeded(seed)
            .unprocessed(share(self.unprocessed))
            .throttle(share(self.throttle))
            .internal_error(share(self.error))
            .internal_error_after(share(self.error_after))
            .close_before(share(self.close_before))
            .close_after(share(self.close_after))
            .never(share(self.never))
            .never_after(share(self.never_after))
            .garbage(share(self.garbage))
            .truncated(share(self.truncated))
            .delay(share(self.delay.0), ms(0)..=ms(self.delay.1))
            .apply_late(share(self.late.0), ms(0)..=ms(self.late.1))
    }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[derive(Serialize)]
struct Item {
    pk: String,
    id: u64,
}

#[derive(Serialize)]
struct KeyOf {
    pk: String,
}

fn pk(key: u8) -> String {
    format!("key-{key}")
}

/// An accepted write.
struct Accepted {
    id: u64,
    kind: Kind,
    keys: Vec<u8>,
    /// `None` once taken, or where it was dropped.
    receipt: Option<Receipt>,
    outcome: Option<Outcome>,
}

/// What the tasks of a case share. All run on one thread, so the order in which they were accepted is the
/// order of `accepted`.
struct Run {
    table: TableSink,
    settings: Settings,
    accepted: RefCell<Vec<Accepted>>,
    next_id: Cell<u64>,
}

impl Run {
    fn id(&self) -> u64 {
        self.next_id.set(self.next_id.get() + 1);
        self.next_id.get()
    }

    fn bounds(&self) {
        let stats = self.table.stats();
        assert!(stats.buffered_records <= self.settings.buffer, "{stats:?}");
        assert!(stats.buffered_bytes <= 64 << 20, "{stats:?}");
        assert!(stats.in_flight <= self.settings.concurrency.1, "{stats:?}");
    }

    fn accept(
        &self,
        id: u64,
        kind: Kind,
        keys: Vec<u8>,
        keep: bool,
        entered: Result<Receipt, SubmitError>,
    ) {
        self.bounds();
        match entered {
            Ok(receipt) => self.accepted.borrow_mut().push(Accepted {
                id,
                kind,
                keys,
                receipt: keep.then_some(receipt),
                outcome: None,
            }),
            Err(SubmitError::Closed | SubmitError::Full) => {}
            Err(error) => panic!("refused: {error}"),
        }
    }

    async fn step(&self, step: &Step) {
        let table = &self.table;
        match *step {
            Step::Write { kind, key, keep } => {
                let id = self.id();
                let item = Item { pk: pk(key), id };
                let of = KeyOf { pk: pk(key) };
                let add = "SET id = :id ADD n :one";
                let mut keys = vec![key];
                let entered = match kind {
                    Kind::Put => table.put(&item).await,
                    Kind::Delete => table.delete(&of).await,
                    Kind::Set => table.update(&of, "SET id = :id").value(":id", &id).await,
                    Kind::Add => {
                        table
                            .update(&of, add)
                            .value(":id", &id)
                            .value(":one", &1)
                            .await
                    }
                    Kind::AddOnce => {
                        table
                            .update(&of, add)
                            .value(":id", &id)
                            .value(":one", &1)
                            .exactly_once()
                            .await
                    }
                    Kind::NewerBy => table.put(&item).newer_by("id").await,
                    Kind::IfAbsent => table.put(&item).condition("attribute_not_exists(pk)").await,
                    Kind::Transaction => {
                        let other = (key + 1) % KEYS;
                        keys.push(other);
                        let of = KeyOf { pk: pk(other) };
                        let add = table.update(&of, add).value(":id", &id).value(":one", &1);
                        table.transaction().add(table.put(&item)).add(add).await
                    }
                };
                self.accept(id, kind, keys, keep, entered);
            }
            Step::Try { key } => {
                let id = self.id();
                let entered = table.put(&Item { pk: pk(key), id }).try_submit();
                self.accept(id, Kind::Put, vec![key], true, entered);
            }
            Step::Both { key } => {
                let (first, second) = (self.id(), self.id());
                let write = |id| async move {
                    let entered = table.put(&Item { pk: pk(key), id }).await;
                    self.accept(id, Kind::Put, vec![key], true, entered);
                };
                tokio::join!(write(first), write(second));
            }
            Step::GiveUp { key, after } => {
                let id = self.id();
                let item = Item { pk: pk(key), id };
                let write = async {
                    let entered = table.put(&item).await;
                    self.accept(id, Kind::Put, vec![key], true, entered);
                };
                // Given up, nothing was submitted: it is not among the accepted and must never be applied.
                let _ = tokio::time::timeout(ms(after), write).await;
            }
            Step::Flush => self.flush().await,
            Step::Snapshot => self.snapshot().await,
            Step::Sleep { millis } => tokio::time::sleep(ms(millis)).await,
        }
    }

    /// Whether each of the first `count` accepted writes has its outcome, as far as receipts are held.
    fn resolved(&self, count: usize) -> Vec<bool> {
        let mut accepted = self.accepted.borrow_mut();
        accepted
            .iter_mut()
            .take(count)
            .map(|write| {
                if let Some(receipt) = &mut write.receipt
                    && write.outcome.is_none()
                {
                    write.outcome = receipt.try_outcome();
                }
                write.receipt.is_none() || write.outcome.is_some()
            })
            .collect()
    }

    async fn flush(&self) {
        let count = self.accepted.borrow().len();
        match self.table.flush().await {
            Ok(()) | Err(DrainError::Unobserved { .. } | DrainError::Closed) => {}
            Err(error) => panic!("flush: {error}"),
        }
        assert!(
            self.resolved(count).into_iter().all(|resolved| resolved),
            "a flush was done before a write submitted earlier"
        );
    }

    async fn snapshot(&self) {
        let count = self.accepted.borrow().len();
        let snapshot = match self.table.snapshot().await {
            Ok(snapshot) => snapshot,
            Err(DrainError::Closed) => return,
            Err(error) => panic!("snapshot: {error}"),
        };
        let bytes = snapshot.to_bytes();
        let read = Snapshot::from_bytes(&bytes).expect("what was written can be read");
        assert_eq!(read.len(), snapshot.len());
        assert_eq!(read.to_bytes(), bytes);
        assert!(snapshot.len() <= self.settings.buffer);
        let text = String::from_utf8(bytes).expect("text");
        let resolved = self.resolved(count);
        for (write, resolved) in self.accepted.borrow().iter().zip(resolved) {
            let there = text.contains(&format!(r#"{{"N":"{}"}}"#, write.id));
            assert!(
                resolved || there || write.kind == Kind::Delete,
                "write {} is missing in a snapshot",
                write.id
            );
        }
    }
}

/// The id that a dead letter's record carries; a delete has none.
fn id_of(record: &WriteRecord) -> Option<u64> {
    let part = record.parts().first().expect("a part");
    let text = match part.kind() {
        dynamodb_connector::sink::WriteKind::Update => part.expressions(),
        _ => String::from_utf8(part.item().as_json().to_vec()).expect("text"),
    };
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let value = json
        .get("id")
        .or_else(|| json.get("ExpressionAttributeValues")?.get(":id"))?;
    value["N"].as_str()?.parse().ok()
}

fn number(item: &HashMap<String, AttributeValue>, name: &str) -> Option<u64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

fn key_number(item: &HashMap<String, AttributeValue>) -> u8 {
    let text = item["pk"].as_s().expect("a string");
    text["key-".len()..].parse().expect("a number")
}

async fn run(case: &Case) {
    let fake = FaultyDynamoDb::new();
    fake.create_table(TableSpec::new(TABLE));
    let letters: Arc<Mutex<Vec<Option<u64>>>> = Arc::default();
    let mut builder = DynamoDbSink::builder(&fake.client())
        .table(TABLE, case.settings.table())
        .seed(case.seed);
    if case.settings.dead_letters {
        let letters = Arc::clone(&letters);
        builder = builder.dead_letters(move |letter| {
            let letters = Arc::clone(&letters);
            async move {
                letters
                    .lock()
                    .expect("no panic")
                    .push(id_of(&letter.record));
                tokio::time::sleep(ms(30)).await;
                Ok(())
            }
        });
    }
    let sink = builder.open().await.expect("opened");
    let table = sink.table(TABLE).expect("opened");
    case.faults.arm(&fake, case.seed);
    let outage = case.faults.outage.clone().map(|outage| {
        let (fake, faults, seed) = (fake.clone(), case.faults.clone(), case.seed);
        tokio::spawn(async move {
            tokio::time::sleep(ms(outage.after)).await;
            for fault in outage.kind.faults() {
                fake.inject(fault);
            }
            tokio::time::sleep(ms(outage.lasts)).await;
            fake.heal();
            faults.arm(&fake, seed);
        })
    });

    let run = Rc::new(Run {
        table: table.clone(),
        settings: case.settings.clone(),
        accepted: RefCell::default(),
        next_id: Cell::new(0),
    });
    let local = tokio::task::LocalSet::new();
    let aborted = local
        .run_until(async {
            let mut tasks = Vec::new();
            for steps in case.tasks.clone() {
                let run = Rc::clone(&run);
                tasks.push(tokio::task::spawn_local(async move {
                    for step in &steps {
                        run.step(step).await;
                    }
                }));
            }
            let mut aborted = false;
            match case.ending {
                Ending::Close => {}
                Ending::CloseAfter(after) => {
                    tokio::time::sleep(ms(after)).await;
                    let closed = table.close().await;
                    assert!(
                        matches!(closed, Ok(()) | Err(DrainError::Unobserved { .. })),
                        "{closed:?}"
                    );
                }
                Ending::AbortAfter(after) => {
                    tokio::time::sleep(ms(after)).await;
                    table.abort().await;
                    aborted = true;
                }
                Ending::AllAfter(after) => {
                    tokio::time::sleep(ms(after)).await;
                    let (_, flushed, snapshot, closed) = tokio::join!(
                        table.abort(),
                        table.flush(),
                        table.snapshot(),
                        table.close()
                    );
                    let errors = [flushed.err(), snapshot.err(), closed.err()];
                    for error in errors {
                        assert!(matches!(error, Some(DrainError::Closed)), "{error:?}");
                    }
                    aborted = true;
                }
            }
            for task in tasks {
                if let Err(error) = task.await {
                    std::panic::resume_unwind(error.into_panic());
                }
            }
            aborted
        })
        .await;
    let closed = table.close().await;
    match case.ending {
        Ending::Close => assert!(
            matches!(closed, Ok(()) | Err(DrainError::Unobserved { .. })),
            "{closed:?}"
        ),
        _ => assert!(matches!(closed, Err(DrainError::Closed)), "{closed:?}"),
    }
    let mut accepted = run.accepted.take();
    for write in &mut accepted {
        if let (None, Some(receipt)) = (&write.outcome, write.receipt.take()) {
            write.outcome = Some(receipt.await);
        }
    }
    // What the service applies late is applied by now.
    tokio::time::sleep(Duration::from_secs(300)).await;
    if let Some(outage) = outage {
        outage.await.expect("no panic");
    }
    fake.heal();

    let stats = table.stats();
    let outcomes = stats.written
        + stats.superseded
        + stats.condition_failed
        + stats.rejected
        + stats.unwritten;
    assert_eq!(
        outcomes,
        accepted.len() as u64,
        "one outcome each: {stats:?}"
    );
    assert_eq!((stats.buffered_records, stats.buffered_bytes), (0, 0));
    check_requests(case, &fake);
    check_letters(case, &accepted, &letters.lock().expect("no panic"), aborted);
    check_table(case, &fake, &accepted, aborted);
}

fn check_requests(case: &Case, fake: &FaultyDynamoDb) {
    assert!(fake.overlaps().is_empty(), "{:?}", fake.overlaps());
    // Two more for descriptions: of a table in doubt, and for its capacity.
    assert!(fake.most_in_flight() <= case.settings.concurrency.1 + 2);
    for request in fake.requests() {
        if request.operation() == Some(Operation::BatchWriteItem) {
            assert!(
                (1..=case.settings.batch).contains(&request.items()),
                "{request:?}"
            );
            assert!(request.body_bytes() <= 16 << 20);
        }
    }
}

fn check_letters(case: &Case, accepted: &[Accepted], letters: &[Option<u64>], aborted: bool) {
    let mut counts: HashMap<u64, usize> = HashMap::new();
    for id in letters.iter().flatten() {
        *counts.entry(*id).or_default() += 1;
    }
    for write in accepted {
        let count = counts.remove(&write.id).unwrap_or(0);
        let Some(outcome) = &write.outcome else {
            assert!(
                count <= 1,
                "write {} was dead-lettered {count} times",
                write.id
            );
            continue;
        };
        let dead = matches!(outcome, Outcome::Rejected { .. } | Outcome::Unknown { .. });
        if write.kind == Kind::Delete {
            continue;
        }
        if dead && case.settings.dead_letters && !aborted {
            assert_eq!(count, 1, "write {}, {outcome}", write.id);
        } else if !dead {
            assert_eq!(count, 0, "write {}, {outcome}", write.id);
        }
    }
    assert!(
        counts.is_empty(),
        "dead letters of writes that were never accepted"
    );
}

fn check_table(case: &Case, fake: &FaultyDynamoDb, accepted: &[Accepted], aborted: bool) {
    let late = case.faults.late.0 > 0;
    let place: HashMap<u64, usize> = accepted
        .iter()
        .enumerate()
        .map(|(place, write)| (write.id, place))
        .collect();
    // What each key took, in order: the place of the write, or nothing for a delete.
    let mut lines: BTreeMap<u8, Vec<Option<usize>>> = BTreeMap::new();
    let mut times: HashMap<(usize, u8), usize> = HashMap::new();
    let mut last_key: HashMap<u8, Option<usize>> = HashMap::new();
    for write in fake.applied() {
        let key = key_number(&write.key());
        let which = write.after().map(|item| {
            let id = number(&item, "id").expect("an id");
            let place = place.get(&id);
            *place.unwrap_or_else(|| panic!("write {id} was applied and never accepted"))
        });
        assert_eq!(which.is_none(), write.kind() == AppliedKind::Delete);
        if let Some(which) = which {
            *times.entry((which, key)).or_default() += 1;
        }
        lines.entry(key).or_default().push(which);
        last_key.insert(key, which);
    }
    if !late {
        for (key, line) in &lines {
            in_order(accepted, *key, line);
        }
    }
    for (at, write) in accepted.iter().enumerate() {
        let name = format!("write {} ({:?}) {:?}", write.id, write.kind, write.outcome);
        for &key in &write.keys {
            let count = times.get(&(at, key)).copied().unwrap_or(0);
            if matches!(write.kind, Kind::Add | Kind::AddOnce | Kind::Transaction) {
                assert!(count <= 1, "{name} was applied {count} times");
            }
            if write.kind == Kind::Delete {
                continue;
            }
            match &write.outcome {
                Some(Outcome::Written) => assert!(count > 0, "{name} was not applied"),
                // A request that is applied late may meet a table where its condition holds again.
                Some(Outcome::ConditionFailed { .. }) if late => {}
                Some(outcome) if !outcome.may_have_applied() => {
                    assert_eq!(count, 0, "{name} was applied");
                }
                _ => {}
            }
        }
    }
    if aborted || late {
        return;
    }
    for key in 0..KEYS {
        // The last write of the key that took part. Where that is not certain, nothing is.
        let last = accepted.iter().enumerate().rev().find(|(_, write)| {
            write.keys.contains(&key)
                && write.outcome.as_ref().is_none_or(Outcome::may_have_applied)
        });
        let Some((at, write)) = last else { continue };
        if !matches!(write.outcome, Some(Outcome::Written)) {
            continue;
        }
        let item = fake.item(TABLE, [("pk", AttributeValue::S(pk(key)))]);
        let found = item.and_then(|item| number(&item, "id"));
        let wanted = (write.kind != Kind::Delete).then(|| accepted[at].id);
        assert_eq!(found, wanted, "key {key} holds another than its last write");
    }
}

/// Whether the applications of a key can be read as its writes in their order, some of them repeated.
fn in_order(accepted: &[Accepted], key: u8, line: &[Option<usize>]) {
    let mut at = 0;
    for applied in line {
        match *applied {
            Some(which) => {
                assert!(
                    which >= at,
                    "key {key}: write {} landed after a later one, {}",
                    accepted[which].id,
                    accepted[at].id
                );
                at = which;
            }
            None => {
                let delete = accepted
                    .iter()
                    .enumerate()
                    .skip(at)
                    .find(|(_, write)| write.kind == Kind::Delete && write.keys.contains(&key));
                let (which, _) =
                    delete.unwrap_or_else(|| panic!("key {key}: a delete landed late"));
                at = which;
            }
        }
    }
    // A delete that is said to be written must have its place among the others.
    for (place, write) in accepted.iter().enumerate() {
        if write.kind != Kind::Delete
            || !write.keys.contains(&key)
            || !matches!(write.outcome, Some(Outcome::Written))
        {
            continue;
        }
        let fits = (0..line.len()).any(|spot| {
            line[spot].is_none()
                && line[..spot].iter().flatten().all(|&before| before < place)
                && line[spot..].iter().flatten().all(|&after| after > place)
        });
        assert!(fits, "delete {} was not applied in its turn", write.id);
    }
}

fn check(late: bool, share: u32) {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|text| text.parse().ok());
    let config = ProptestConfig {
        cases: cases.unwrap_or(200) * share / 4,
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let outcome = TestRunner::new_with_rng(config, rng).run(&case(late), |case| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let ended = runtime.block_on(async { tokio::time::timeout(LONGEST, run(&case)).await });
        prop_assert!(ended.is_ok(), "it hangs");
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

#[test]
fn every_promise_holds_under_every_fault() {
    check(false, 3);
}

/// A request that was given up may be applied by the service at any later time: then plain writes have no order
/// any more. Everything else holds.
#[test]
fn all_but_order_holds_where_given_up_requests_are_applied_late() {
    check(true, 1);
}

/// The service remembers a transaction's token for ten minutes. A counter whose answer was lost and that then
/// was throttled for longer must not be sent once more: it would count twice.
#[tokio::test(start_paused = true)]
async fn a_lapsed_token_is_not_used_again() {
    let fake = FaultyDynamoDb::new();
    fake.create_table(TableSpec::new(TABLE));
    let table = TableSink::open(&fake.client(), TABLE)
        .await
        .expect("opened");
    fake.inject(Fault::close_after().on(Operation::TransactWriteItems));
    fake.inject(Fault::throttled(Throttle::ProvisionedThroughput).always());
    let add = table
        .update(&KeyOf { pk: pk(0) }, "SET id = :id ADD n :one")
        .value(":id", &1)
        .value(":one", &1)
        .exactly_once();
    let receipt = add.await.expect("accepted");
    let next = table.put(&Item { pk: pk(1), id: 2 }).exactly_once();
    let next = next.await.expect("accepted");
    tokio::time::sleep(Duration::from_secs(660)).await;
    fake.heal();
    assert!(matches!(receipt.await, Outcome::Unknown { .. }));
    assert!(
        matches!(next.await, Outcome::Written),
        "throttled alone, it was never applied"
    );
    assert_eq!(fake.applied().len(), 2);
}
