//! A fleet that never stays as it is: every few seconds a worker joins, leaves or is killed, while changes are written.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use dynamodb_connector::streams::{Batch, Change, StreamsSettings};
use dynamodb_connector::test_util::FaultyDynamoDb;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::rig::{Item, LEASES, Row, Worker, leases, nth, put, table, text};

const SECOND: Duration = Duration::from_secs(1);
/// Longer than by default: a look at the lease table, each tenth of it, is what costs a debug build most.
const FAILOVER: Duration = Duration::from_secs(30);
const IDLE_POLL: Duration = Duration::from_secs(10);
/// The longest time until the lease of a killed worker is taken: others look ten times in the failover time, so a renewal may
/// be seen that much later, and the end of its time too.
const LAPSE: Duration = Duration::from_secs(36);
/// The shortest time until then: the last renewal may be a third of the failover time old.
const EARLIEST_LAPSE: Duration = Duration::from_secs(20);
/// The longest time in which a lease goes to a living worker from a living one: a few looks.
const HAND_OVER: Duration = Duration::from_secs(6);
const WORKERS: usize = 8;
const SHARDS: usize = 200;
/// The time between two changes of the fleet.
const STEP: Duration = Duration::from_secs(5);
/// A minute and a half of virtual time; `CHURN_CHANGES` sets another number, a multiple of six.
const CHANGES: u64 = 18;
/// More than there are shards, so that most shards get some.
const KEYS: u64 = 250;
const WRITES_PER_SECOND: u64 = 5;
/// The most seconds for which a worker to kill is looked for: each has unsaved changes for most of a checkpoint interval.
const MAX_SEARCH: u64 = 60;

/// A change as a handler saw it.
#[derive(Clone)]
struct Sighting {
    shard: String,
    sequence: u128,
    id: String,
    version: u64,
}

impl Sighting {
    fn of(shard: &str, change: &Change<Item>) -> Option<Self> {
        let item = change.new.as_ref()?;
        let sequence = change.record.sequence_number()?;
        Some(Self {
            shard: shard.to_owned(),
            sequence: sequence.to_string().parse().ok()?,
            id: item.id.clone(),
            version: item.version,
        })
    }
}

/// A worker that was killed.
struct Kill {
    at: Instant,
    /// The shards that it read or had asked for.
    shards: BTreeSet<String>,
}

impl Kill {
    /// Returns whether this shard may have been without a reader at some time from this one on.
    fn holds_up(&self, shard: &str, from: Instant) -> bool {
        self.shards.contains(shard) && self.at + LAPSE > from
    }

    /// Returns whether this shard's lease may have lapsed within this time.
    fn lapses(&self, shard: &str, from: Instant, until: Instant) -> bool {
        self.holds_up(shard, from) && self.at + EARLIEST_LAPSE < until
    }
}

/// What all handlers have seen, and which of it may be seen again.
#[derive(Default)]
struct Book {
    sightings: Vec<Sighting>,
    /// How often each change was seen.
    seen: HashMap<(String, u64), usize>,
    newest: BTreeMap<String, u64>,
    /// The number of killed workers that had handled a change and not checkpointed it.
    excused: HashMap<(String, u64), usize>,
    /// When each change that was not seen yet was written.
    written: HashMap<(String, u64), Instant>,
    /// The longest time from a change to its handler, and its shard, by the number of kills that may have held it up.
    longest_waits: BTreeMap<usize, (Duration, String)>,
    kills: Vec<Kill>,
    wrong: Vec<String>,
}

impl Book {
    fn note(&mut self, sighting: Sighting) {
        let which = (sighting.id.clone(), sighting.version);
        let next = self.newest.get(&sighting.id).map_or(0, |last| last + 1);
        if sighting.version > next {
            let late = format!("{which:?} came while {next} was the next one");
            self.wrong.push(late);
        }
        if sighting.version == next {
            self.newest.insert(sighting.id.clone(), next);
        }
        if let Some(written) = self.written.remove(&which) {
            // Shards do not split here: this one is that of the change from the beginning.
            let held_up = |kill: &&Kill| kill.holds_up(&sighting.shard, written);
            let kills = self.kills.iter().filter(held_up).count();
            let longest = self.longest_waits.entry(kills).or_default();
            if written.elapsed() > longest.0 {
                *longest = (written.elapsed(), sighting.shard.clone());
            }
        }
        *self.seen.entry(which).or_default() += 1;
        self.sightings.push(sighting);
    }

    /// Returns the changes of these leases that were handled and lie behind their checkpoints.
    fn unsaved(&self, rows: &[Row]) -> BTreeSet<(String, u64)> {
        let mut unsaved = BTreeSet::new();
        for row in rows {
            let shard = text(row, "leaseKey").expect("a key");
            let checkpoint = text(row, "checkpoint").expect("a checkpoint");
            // A start position is no number: nothing of the shard is checkpointed.
            let stored: u128 = checkpoint.parse().unwrap_or(0);
            let of_shard = |seen: &&Sighting| seen.shard == shard && seen.sequence > stored;
            let behind = self.sightings.iter().filter(of_shard);
            unsaved.extend(behind.map(|seen| (seen.id.clone(), seen.version)));
        }
        unsaved
    }

    /// Notes that a worker was killed that read the shards of these leases, and had asked for others: what lies behind the
    /// checkpoints of the first comes again.
    fn killed(&mut self, read: &[Row], asked: &[Row]) {
        let keys = read.iter().chain(asked).map(|row| text(row, "leaseKey"));
        self.kills.push(Kill {
            at: Instant::now(),
            shards: keys.map(|key| key.expect("a key")).collect(),
        });
        for which in self.unsaved(read) {
            *self.excused.entry(which).or_default() += 1;
        }
    }
}

struct Fleet {
    fake: FaultyDynamoDb,
    book: Arc<Mutex<Book>>,
    workers: Vec<(u64, Worker)>,
    next: u64,
    leases_lost: u64,
}

impl Fleet {
    async fn join(&mut self) {
        let number = self.next;
        self.next += 1;
        // Idle shards are asked for seldom: this test is of leases, and of 200 shards. Checkpoints are rare, so that something
        // comes again after a crash.
        let settings = StreamsSettings::default()
            .failover(FAILOVER)
            .checkpoint_interval(10 * SECOND)
            .poll(IDLE_POLL / 2)
            .idle_poll(IDLE_POLL)
            .idle_after(SECOND);
        let builder = nth(&self.fake, number).settings(settings);
        let book = Arc::clone(&self.book);
        let handler = move |batch: Batch<Item>| {
            let mut book = book.lock();
            for change in &batch.changes {
                match Sighting::of(&batch.shard.to_string(), change) {
                    Some(sighting) => book.note(sighting),
                    // A panic here would be a failed batch, which comes again.
                    None => book
                        .wrong
                        .push(format!("{:?} has no image or no number", change.record)),
                }
            }
            std::future::ready(Ok(()))
        };
        let worker = Worker::handle(builder, handler).await;
        self.workers.push((number, worker));
    }

    async fn leave(&mut self, at: usize) {
        let (_, worker) = self.workers.remove(at);
        self.leases_lost += worker.control.stats().leases_lost;
        worker.stop().await;
    }

    async fn kill(&mut self, at: usize) {
        let (number, worker) = self.workers.remove(at);
        self.leases_lost += worker.control.stats().leases_lost;
        worker.kill().await;
        let read = self.rows_of(number, reader);
        let asked = self.rows_of(number, |row| text(row, "leaseOwner"));
        self.book.lock().killed(&read, &asked);
    }

    /// Returns the leases of which this is a worker.
    fn rows_of(&self, number: u64, role: impl Fn(&Row) -> Option<String>) -> Vec<Row> {
        let prefix = format!("w{number}-");
        let rows = leases(&self.fake).into_values();
        rows.filter(|row| role(row).is_some_and(|worker| worker.starts_with(&prefix)))
            .collect()
    }

    /// Returns whether a worker has handled changes that are not checkpointed.
    fn has_unsaved(&self, at: usize) -> bool {
        let rows = self.rows_of(self.workers[at].0, reader);
        !self.book.lock().unsaved(&rows).is_empty()
    }
}

/// The worker that reads a lease's shard.
fn reader(row: &Row) -> Option<String> {
    text(row, "checkpointOwner").or_else(|| text(row, "leaseOwner"))
}

/// How often each lease got another reader, from the journal: each time with the moment.
fn moves(fake: &FaultyDynamoDb, started: Instant) -> BTreeMap<String, Vec<Instant>> {
    let mut readers: BTreeMap<String, String> = BTreeMap::new();
    let mut moves: BTreeMap<String, Vec<Instant>> = BTreeMap::new();
    for write in fake.applied() {
        let Some(row) = write.after().filter(|_| write.table() == LEASES) else {
            continue;
        };
        let shard = text(&row, "leaseKey").expect("a key");
        let Some(now) = reader(&row) else { continue };
        let before = readers.insert(shard.clone(), now.clone());
        if before.is_some_and(|before| before != now) {
            moves.entry(shard).or_default().push(started + write.at());
        }
    }
    moves
}

/// The owners and readers of a shard's lease, each with the moment, for the message of a failure.
fn owners(fake: &FaultyDynamoDb, shard: &str) -> Vec<(Duration, Option<String>, Option<String>)> {
    let mut owners = Vec::new();
    for write in fake.applied() {
        let Some(row) = write.after().filter(|_| write.table() == LEASES) else {
            continue;
        };
        if text(&row, "leaseKey").as_deref() == Some(shard) {
            let (owner, reader) = (text(&row, "leaseOwner"), text(&row, "checkpointOwner"));
            owners.push((write.at(), owner, reader));
        }
    }
    owners.dedup_by(|next, last| (&next.1, &next.2) == (&last.1, &last.2));
    owners
}

/// Of six changes of the fleet three are joins, two leaves and one a kill.
#[tokio::test(start_paused = true)]
async fn while_workers_join_leave_and_die_nothing_is_lost_and_few_leases_move() {
    let number = std::env::var("CHURN_CHANGES").ok();
    let changes = number.map_or(CHANGES, |number| number.parse().expect("a number"));
    assert!(changes.is_multiple_of(6), "the fleet ends as it began");
    let started = Instant::now();
    let fake = table(SHARDS);
    let mut rng = fastrand::Rng::with_seed(40);
    let mut fleet = Fleet {
        fake: fake.clone(),
        book: Arc::default(),
        workers: Vec::new(),
        next: 0,
        leases_lost: 0,
    };
    let book = Arc::clone(&fleet.book);
    let mut versions: BTreeMap<String, u64> = BTreeMap::new();
    let mut n = 0;
    let mut write_for = async |seconds: u64| {
        for _ in 0..seconds * WRITES_PER_SECOND {
            let id = format!("k{}", n % KEYS);
            n += 1;
            let version = versions.get(&id).map_or(0, |last| last + 1);
            let which = (id.clone(), version);
            book.lock().written.insert(which, Instant::now());
            put(&fake, &id, version).await;
            versions.insert(id, version);
            tokio::time::sleep(SECOND / u32::try_from(WRITES_PER_SECOND).unwrap()).await;
        }
    };
    for _ in 0..WORKERS {
        fleet.join().await;
    }
    write_for(20).await;
    let share = || {
        let mut workers = fleet.workers.iter();
        workers.all(|(_, worker)| worker.shards().len() == SHARDS / WORKERS)
    };
    super::rig::eventually("they share at first", 60 * SECOND, share).await;

    let mut changed: Vec<Instant> = Vec::new();
    for change in 0..changes {
        changed.push(Instant::now());
        let at = rng.usize(..fleet.workers.len());
        match change % 6 {
            0 | 2 => fleet.leave(at).await,
            4 => {
                let (mut at, mut waited) = (at, 0);
                // Or it has nothing to lose.
                while !fleet.has_unsaved(at) {
                    assert!(
                        waited < MAX_SEARCH,
                        "no worker had unsaved changes for {waited} s"
                    );
                    write_for(1).await;
                    waited += 1;
                    at = rng.usize(..fleet.workers.len());
                }
                fleet.kill(at).await;
            }
            _ => fleet.join().await,
        }
        write_for(STEP.as_secs()).await;
    }
    changed.push(Instant::now());
    // The last that were killed lapse, and all is read.
    write_for(30).await;
    let (changes, all) = (usize::try_from(changes).unwrap(), versions.len());
    assert_eq!(fleet.workers.len(), WORKERS);
    let done = || {
        let book = fleet.book.lock();
        book.newest == versions
    };
    super::rig::eventually("all is seen", 60 * SECOND, done).await;
    while !fleet.workers.is_empty() {
        fleet.leave(0).await;
    }

    let moves = moves(&fake, started);
    let book = fleet.book.lock();
    // Before a fleet of 8 was complete the leases were shared out among fewer: that is not counted.
    let windows = changed.windows(2);
    let mut most_in_a_window: BTreeMap<usize, usize> = BTreeMap::new();
    let mut total = 0;
    for window in windows {
        for (shard, times) in &moves {
            let within = |at: &&Instant| (window[0]..window[1]).contains(*at);
            let count = times.iter().filter(within).count();
            // What a killed worker had lapses in the time of a later change, and is evened out with what that one moves.
            let lapses = |kill: &&Kill| kill.lapses(shard, window[0], window[1]);
            let lapses = book.kills.iter().filter(lapses).count();
            assert!(
                count <= 2 * (1 + lapses),
                "{shard} moved {count} times after a change and {lapses} lapses"
            );
            let most = most_in_a_window.entry(lapses).or_default();
            *most = count.max(*most);
            total += count;
        }
    }
    assert_eq!(book.wrong, Vec::<String>::new());
    let mut repeats = 0;
    for (which, count) in &book.seen {
        let excused = book.excused.get(which).copied().unwrap_or(0);
        assert!(*count <= 1 + excused, "{which:?} came {count} times");
        repeats += count - 1;
    }
    println!(
        "{all} items, {} changes, {repeats} repeats after {} kills ({} could be), {total} moves after {changes} changes of the fleet, at most {most_in_a_window:?} of a shard after one by its lapses, longest waits {:?}",
        book.seen.len(),
        book.kills.len(),
        book.excused.values().sum::<usize>(),
        book.longest_waits,
    );
    assert_eq!(fleet.leases_lost, 0, "the living lost none");
    // An even share is an eighth of the shards.
    assert!(total <= changes * 2 * SHARDS / WORKERS, "{total} moves");
    assert!(repeats > 0, "or the killed had nothing to lose");
    // A killed worker's shard may have been taken, or asked for, by one that is killed next.
    for (kills, (wait, shard)) in &book.longest_waits {
        let owners = owners(&fake, shard);
        let lapses = u32::try_from(*kills).expect("few");
        let most = lapses * LAPSE + HAND_OVER + IDLE_POLL;
        assert!(
            *wait <= most,
            "{wait:?} after {kills} kills, of {shard}, whose workers were {owners:?}"
        );
    }
}
