//! A writer is killed (SIGKILL) thirty times, and goes on each time from its last stored snapshot and position.
//!
//! The service runs in this process, fails by a fixed seed, and sees everything that any writer ever got applied.
//! The writer is this binary again, started as a process of its own. What it may be killed in:
//! with requests that the service has not carried out, with requests that it has carried out and not answered, in the
//! midst of work, and on either side of the rename by which it stores its state. The moments are counted in requests
//! and storings, never in time.
//!
//! What holds, and what does not (see `dynamodb_connector::sink::Snapshot`):
//!
//! - Nothing is lost: each key ends with its newest value.
//! - A guarded write never puts an older value over a newer one. A plain put may, until the replay is through.
//! - An update that is not idempotent is applied by one process at most once. One that a snapshot held as sent is
//!   handed back on restore and never sent again. One that the snapshot held unsent, or that the input brings again, is
//!   sent by the next process too, whatever became of it after the snapshot.
//!   With `exactly_once` the service knows the former by its token, within 10 minutes.
//! - An update with a condition on the place in the input that it keeps itself is applied exactly once.

mod state;
mod workload;
mod writer;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::TableSpec;
use dynamodb_connector::test_util::{AppliedKind, AppliedWrite, Fault, FaultPlan, FaultyDynamoDb};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::in_time;
use state::State;
use workload::{COUNTED_KEYS, GUARDED_KEYS, Kind, MARKS, PUT_KEYS, TABLE, key, kind, of_counter};
use writer::{INTERVAL, TASK, Task, WAITING, Wait, state_in};

const KILLS: usize = 30;
const SEED: u64 = 20_260;

/// In what a writer is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// From this request on, none is carried out or answered.
    Held(usize),
    /// From this request on, all are carried out and none is answered.
    Unanswered(usize),
    /// At this request, which is answered like any other.
    Running(usize),
    /// In this storing of its state.
    Storing(Wait),
}

/// The moments, the same ones in the same order in every run.
fn moments() -> Vec<Moment> {
    let mut rng = fastrand::Rng::with_seed(SEED);
    let mut moments: Vec<Moment> = (0..KILLS)
        .map(|place| {
            let request = rng.usize(1..160);
            match place % 10 {
                0..3 => Moment::Held(request),
                3..6 => Moment::Unanswered(request),
                6..8 => Moment::Running(request),
                before => Moment::Storing(Wait {
                    storing: rng.u64(1..4),
                    before_rename: before == 8,
                }),
            }
        })
        .collect();
    rng.shuffle(&mut moments);
    moments
}

/// One life of a writer, and what it found when it began.
struct Life {
    /// What it restored, and where it went on.
    from: State,
    /// What it got applied.
    applied: Vec<AppliedWrite>,
}

#[tokio::test]
async fn a_writer_that_is_killed_again_and_again_loses_nothing_and_repeats_only_what_it_may() {
    let folder = folder();
    let fake = FaultyDynamoDb::new();
    fake.create_table(TableSpec::new(TABLE));
    fake.create_table(TableSpec::new(MARKS));
    let mut lives = Vec::new();
    for (seed, moment) in (SEED..).zip(moments()) {
        fake.fault_plan(faults(seed));
        lives.push(in_time(live(&fake, &folder, Some(moment), None)).await);
    }
    // No writer got further than one interval beyond the last position that was stored.
    let end = State::load(&state_in(&folder)).position + 10 * INTERVAL;
    fake.fault_plan(faults(0));
    lives.push(in_time(live(&fake, &folder, None, Some(end))).await);
    let last = State::load(&state_in(&folder));
    std::fs::remove_dir_all(&folder).expect("removed");

    assert_eq!(last.position, end);
    assert!(fake.overlaps().is_empty(), "{:?}", fake.overlaps());
    every_key_holds_its_newest_value(&fake, end);
    guarded_writes_never_step_back(&lives);
    counted_updates_were_applied_once(&fake, end);
    snapshots_know_what_was_sent(&lives);
    updates_are_repeated_only_where_they_may_be(&lives, &last, end);
    a_token_counts_once_over_all_lives(&lives);
}

/// The process that is killed. Without a task there is nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process of its own, which the other test starts and kills"]
async fn writer_process() {
    if let Some(task) = writer::task() {
        writer::run(&task).await;
    }
}

fn faults(seed: u64) -> FaultPlan {
    let plan = FaultPlan::seeded(seed).unprocessed(0.1).throttle(0.03);
    let plan = plan.internal_error(0.03).internal_error_after(0.03);
    // Slow answers, so that snapshots find writes that were applied and not yet acknowledged.
    let slow = Duration::from_millis(1)..=Duration::from_millis(30);
    plan.close_before(0.03).close_after(0.03).delay(0.5, slow)
}

/// A folder for the writers' state, of this process alone.
fn folder() -> PathBuf {
    let name = format!("kills-{}", std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("created");
    folder
}

/// Runs a writer until it is killed at a moment, or has come to the end of its input.
async fn live(
    fake: &FaultyDynamoDb,
    folder: &Path,
    moment: Option<Moment>,
    end: Option<u64>,
) -> Life {
    let from = State::load(&state_in(folder));
    let before = fake.applied().len();
    let server = fake.serve().await.expect("a port");
    let (reached, mut told) = mpsc::unbounded_channel();
    let fault = match moment {
        Some(Moment::Held(request)) => Some((request, Fault::never_answer().always())),
        Some(Moment::Unanswered(request)) => {
            Some((request, Fault::never_answer().after_applying().always()))
        }
        Some(Moment::Running(request)) => Some((request, Fault::delay_after(Duration::ZERO))),
        Some(Moment::Storing(_)) | None => None,
    };
    if let Some((request, fault)) = fault {
        let seen = AtomicUsize::new(0);
        // Asked once for each request that writes.
        fake.inject(fault.skip(request - 1).on_key(move |_| {
            if seen.fetch_add(1, Ordering::Relaxed) + 1 == request {
                // Nobody listens where the writer has died by itself, which is noticed.
                let _ = reached.send(());
            }
            true
        }));
    }
    let wait = match moment {
        Some(Moment::Storing(wait)) => Some(wait),
        _ => None,
    };
    let mut writer = start(&Task {
        endpoint: server.endpoint_url(),
        state: state_in(folder),
        end,
        wait,
    });
    let stdout = writer.stdout.take().expect("piped");
    let mut lines = BufReader::new(stdout).lines();
    let waits = async {
        while let Some(line) = lines.next_line().await.expect("lines") {
            if line.contains(WAITING) {
                return;
            }
        }
        std::future::pending::<()>().await;
    };
    let killed = tokio::select! {
        Some(()) = told.recv() => true,
        () = waits => true,
        _ = writer.wait() => false,
    };
    writer.start_kill().expect("killed, unless it has ended");
    let status = writer.wait().await.expect("waited for");
    // Where it ended by itself too early, its last words are on standard error.
    assert_eq!(killed, moment.is_some(), "{moment:?}: {status}");
    assert_eq!(status.success(), moment.is_none(), "{moment:?}: {status}");
    // What the dead one sent is dropped or carried out before the next one starts: it could land
    // late, over a newer put, and nothing but a version guard closes that.
    server.shutdown().await;
    assert_eq!(fake.in_flight(), 0);
    fake.heal();
    let applied = fake.applied().split_off(before);
    Life { from, applied }
}

fn start(task: &Task) -> Child {
    let task = serde_json::to_string(task).expect("JSON");
    Command::new(std::env::current_exe().expect("this binary"))
        .args([
            "kills::writer_process",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .env(TASK, task)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("started")
}

/// The newest record of each key of a kind.
fn newest(of: Kind, end: u64) -> BTreeMap<String, u64> {
    let of = (0..end).filter(|n| kind(*n) == of);
    of.map(|n| (key(n), n)).collect()
}

fn number(item: &HashMap<String, AttributeValue>, name: &str) -> Option<u64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

fn stored(fake: &FaultyDynamoDb, pk: &str) -> HashMap<String, AttributeValue> {
    let item = fake.item(TABLE, [("pk", AttributeValue::S(pk.to_owned()))]);
    item.unwrap_or_else(|| panic!("{pk} is lost"))
}

fn every_key_holds_its_newest_value(fake: &FaultyDynamoDb, end: u64) {
    for (of, keys, attribute) in [
        (Kind::Put, PUT_KEYS, "n"),
        (Kind::Guarded, GUARDED_KEYS, "n"),
        (Kind::Counted, COUNTED_KEYS, "seen"),
    ] {
        let newest = newest(of, end);
        assert_eq!(newest.len() as u64, keys);
        for (pk, n) in newest {
            assert_eq!(number(&stored(fake, &pk), attribute), Some(n), "{pk}");
        }
    }
}

fn guarded_writes_never_step_back(lives: &[Life]) {
    let mut newest = HashMap::new();
    let mut steps = 0;
    for write in lives.iter().flat_map(|life| &life.applied) {
        let item = write.after().expect("nothing is deleted");
        let pk = item["pk"].as_s().expect("a string").clone();
        if pk.starts_with("guarded-") {
            let n = number(&item, "n").expect("a number");
            let before = newest.insert(pk.clone(), n);
            assert!(
                before.is_none_or(|before| before < n),
                "{pk}: {before:?} {n}"
            );
            steps += 1;
        }
    }
    assert!(steps > GUARDED_KEYS);
}

fn counted_updates_were_applied_once(fake: &FaultyDynamoDb, end: u64) {
    let mut records: BTreeMap<String, u64> = BTreeMap::new();
    for n in (0..end).filter(|n| kind(*n) == Kind::Counted) {
        *records.entry(key(n)).or_default() += 1;
    }
    for (pk, records) in records {
        assert_eq!(number(&stored(fake, &pk), "tally"), Some(records), "{pk}");
    }
}

/// The service's word against the snapshot's: what was applied before a snapshot was begun, and is
/// in it, is marked there.
fn snapshots_know_what_was_sent(lives: &[Life]) {
    let mut applied_before = 0;
    for pair in lives.windows(2) {
        let [life, next] = pair else { continue };
        let mark = life.applied.iter().rposition(|write| {
            let pk = AttributeValue::S(next.from.position.to_string());
            write.table() == MARKS && write.key().get("pk") == Some(&pk)
        });
        // It may have stored nothing, and left the next one what it had found.
        let Some(mark) = mark.filter(|_| next.from.position > life.from.position) else {
            continue;
        };
        let held = next.from.adds();
        for n in life.applied[..mark].iter().filter_map(applied_add) {
            assert_ne!(held.get(&n), Some(&false), "update {n} had been sent");
            applied_before += usize::from(held.contains_key(&n));
        }
    }
    println!("{applied_before} updates in snapshots had been applied before");
    assert!(applied_before > 0, "or nothing was shown");
}

/// Which update that is not idempotent an applied write was.
fn applied_add(write: &AppliedWrite) -> Option<u64> {
    if write.kind() != AppliedKind::Update {
        return None;
    }
    let before = write.before().unwrap_or_default();
    let after = write.after()?;
    let changed = after
        .iter()
        .find(|(name, value)| of_counter(name).is_some() && before.get(*name) != Some(*value));
    of_counter(changed?.0)
}

fn updates_are_repeated_only_where_they_may_be(lives: &[Life], last: &State, end: u64) {
    let mut applications: BTreeMap<u64, usize> = BTreeMap::new();
    let mut handed_back = BTreeSet::new();
    let mut sent_again = 0;
    for (place, life) in lives.iter().enumerate() {
        let held = life.from.adds();
        let (sent, unsent): (BTreeSet<u64>, BTreeSet<u64>) = (
            held.iter()
                .filter(|(_, sent)| **sent)
                .map(|(n, _)| *n)
                .collect(),
            held.iter()
                .filter(|(_, sent)| !**sent)
                .map(|(n, _)| *n)
                .collect(),
        );
        assert!(held.keys().all(|n| *n < life.from.position));
        let mut own = BTreeSet::new();
        for n in life.applied.iter().filter_map(applied_add) {
            assert!(own.insert(n), "life {place} applied update {n} twice");
            assert!(!sent.contains(&n), "life {place} sent update {n} again");
            assert!(
                n >= life.from.position || unsent.contains(&n),
                "life {place} applied update {n}, which was neither left to it nor in its input"
            );
            let before = applications.entry(n).or_default();
            sent_again += usize::from(*before > 0);
            *before += 1;
        }
        handed_back.extend(sent);
    }
    for n in (0..end).filter(|n| matches!(kind(*n), Kind::Add | Kind::Once)) {
        let applied = applications.get(&n).copied().unwrap_or(0);
        assert!(
            applied > 0 || last.reported.contains(&n),
            "update {n} is lost"
        );
    }
    for n in &handed_back {
        assert!(last.reported.contains(n), "update {n} was not handed back");
    }
    // Without these the test would have shown nothing.
    assert!(!handed_back.is_empty());
    assert!(handed_back.iter().any(|n| applications.contains_key(n)));
    assert!(sent_again > 0);
    println!(
        "{} lives, {end} records, {} updates handed back, {} reported, {sent_again} repeated",
        lives.len(),
        handed_back.len(),
        last.reported.len(),
    );
}

/// A record of the input gets a token when it is submitted, and keeps it in snapshots.
fn a_token_counts_once_over_all_lives(lives: &[Life]) {
    let mut applied: BTreeSet<u64> = BTreeSet::new();
    let mut known_by_their_token = 0;
    for (place, life) in lives.iter().enumerate() {
        // What the input brings again gets a new token.
        applied.retain(|n| *n < life.from.position);
        let unsent = life.from.adds().into_iter().filter(|(_, sent)| !sent);
        known_by_their_token += unsent.filter(|(n, _)| applied.contains(n)).count();
        for n in life.applied.iter().filter_map(applied_add) {
            if kind(n) == Kind::Once {
                assert!(applied.insert(n), "life {place} applied update {n} again");
            }
        }
    }
    println!("{known_by_their_token} updates sent again, and known by their token");
    assert!(known_by_their_token > 0, "or nothing was shown");
}
