//! What is offered: records that cost a known number of write units, at a pace.
//!
//! A class of records has a task of its own for each client, so that one class that waits for
//! room doesn't stop the others. Keys come from a bounded space, each once before the first comes
//! again, so that the fake's memory stays small and no key is twice in a client's buffer.

use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::mpsc;

use crate::contender::Client;
use crate::rig::{Failure, clock};

/// Records of one kind, offered in one way.
#[derive(Clone)]
pub(crate) struct Class {
    pub(crate) name: &'static str,
    /// Its place among the scenario's tables.
    pub(crate) table: usize,
    pub(crate) pace: Pace,
    pub(crate) sizes: Sizes,
    /// Whether all share one partition key, apart by their sort keys.
    pub(crate) one_key: bool,
    /// Whether they enter the table's index.
    pub(crate) indexed: bool,
    /// How many there are; `None` as long as the scenario lasts.
    pub(crate) total: Option<u32>,
}

/// Something that changes over a scenario's seconds, in so many a second.
pub(crate) type Rate = Arc<dyn Fn(f64) -> f64 + Send + Sync>;

#[derive(Clone)]
pub(crate) enum Pace {
    /// There is always more waiting.
    Overload,
    /// So many a second, whether the client takes them or not; positive at every moment.
    Offered(Rate),
}

#[derive(Clone, Copy)]
pub(crate) enum Sizes {
    /// Just under 1,024 bytes stored: one write unit.
    OneKilobyte,
    /// [`MIXED`].
    Mixed,
}

/// Stored bytes, and the share of the items that have them. Most are small, as they are in
/// practice, and most of the units are spent on the large.
pub(crate) const MIXED: [(usize, f64); 5] = [
    (200, 0.40),
    (1_000, 0.30),
    (4_080, 0.20),
    (16_360, 0.08),
    (61_420, 0.02),
];

/// More than any client has buffered and in flight, and a power of two.
const KEYS: u32 = 1 << 14;
/// Odd, so that it visits every key.
const STRIDE: u32 = 0x9e37_79b1;

static TEXT: LazyLock<String> =
    LazyLock::new(|| "the quick brown fox jumps over the lazy dog ".repeat(1_500));

/// What is written. Two of the same key differ, for an unchanged item costs its indexes nothing.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Record {
    pub(crate) pk: String,
    pub(crate) sk: u32,
    /// The index's key, so that those without it are not in the index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<String>,
    pub(crate) body: String,
    /// Its place in [`MIXED`].
    #[serde(skip)]
    pub(crate) size: u8,
}

impl Class {
    /// One-kilobyte records over many keys, in the first table.
    pub(crate) fn new(name: &'static str, pace: Pace) -> Self {
        Self {
            name,
            table: 0,
            pace,
            sizes: Sizes::OneKilobyte,
            one_key: false,
            indexed: false,
            total: None,
        }
    }

    fn record(&self, client: usize, number: u32) -> Record {
        let sk = number.wrapping_mul(STRIDE) % KEYS;
        let pk = if self.one_key {
            format!("{}-{client}", self.name)
        } else {
            format!("{}-{client}-{sk:05}", self.name)
        };
        let (size, bytes) = self.sizes.of(sk);
        let state = self.indexed.then(|| format!("open-{:04}", sk % 1_000));
        // Names and values of all but the body; four bytes at most for the number.
        let other = "pkskbody".len() + pk.len() + 4 + state.as_ref().map_or(0, |_| 14);
        let body = bytes.saturating_sub(other + 10);
        Record {
            pk,
            sk,
            state,
            body: format!("{number:010}{}", &TEXT[..body]),
            size,
        }
    }
}

impl Sizes {
    /// By key, so that an item never changes its size and costs the same each time.
    fn of(self, key: u32) -> (u8, usize) {
        match self {
            Self::OneKilobyte => (0, 1_000),
            Self::Mixed => {
                let mut drawn = fastrand::Rng::with_seed(key.into()).f64();
                let mut last = (0, 0);
                for (place, (bytes, share)) in (0..).zip(MIXED) {
                    last = (place, bytes);
                    drawn -= share;
                    if drawn < 0.0 {
                        break;
                    }
                }
                last
            }
        }
    }
}

/// What became of one class's records in one client.
pub(crate) struct Log {
    started: Instant,
    /// The sizes in the order of acceptance.
    accepted: Mutex<Vec<u8>>,
    written: Mutex<Vec<Written>>,
    failed: mpsc::UnboundedSender<Failure>,
}

/// A record that was acknowledged. Seconds, the first from the scenario's start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    pub(crate) at: f32,
    pub(crate) from_accepted: f32,
    /// Not a number where nothing was due at a time.
    pub(crate) from_due: f32,
    pub(crate) size: u8,
}

/// What a client holds of a record until it is acknowledged.
pub(crate) struct Ticket {
    log: Arc<Log>,
    due: Option<Instant>,
    accepted: Instant,
    size: u8,
}

impl Log {
    pub(crate) fn new(started: Instant, failed: mpsc::UnboundedSender<Failure>) -> Arc<Self> {
        Arc::new(Self {
            started,
            accepted: Mutex::default(),
            written: Mutex::default(),
            failed,
        })
    }

    pub(crate) fn accepted(&self) -> MutexGuard<'_, Vec<u8>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn written(&self) -> MutexGuard<'_, Vec<Written>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// The client has taken the record: a submitter may go on.
    pub(crate) fn accepted(mut self) -> Self {
        self.accepted = clock::instant();
        self.log.accepted().push(self.size);
        self
    }

    pub(crate) fn written(self) {
        let now = clock::instant();
        let since = |then: Instant| now.saturating_duration_since(then).as_secs_f32();
        let written = Written {
            at: since(self.log.started),
            from_accepted: since(self.accepted),
            from_due: self.due.map_or(f32::NAN, since),
            size: self.size,
        };
        self.log.written().push(written);
    }

    /// The record can't be written at all, which ends the benchmark.
    pub(crate) fn failed(&self, failure: Failure) {
        // Nobody listens any more where the scenario has ended.
        drop(self.log.failed.send(failure));
    }
}

/// Offers a class's records to a client for a time, in seconds from the scenario's start. One that
/// is late because the client made it wait goes on as fast as it can: what was due stays due.
pub(crate) async fn offer(
    class: Class,
    client: Arc<Client>,
    place: usize,
    log: Arc<Log>,
    within: Range<f64>,
) -> Result<(), Failure> {
    let mut next = within.start;
    for number in 0..class.total.unwrap_or(u32::MAX) {
        let due = match &class.pace {
            Pace::Overload => None,
            Pace::Offered(rate) => {
                next += rate(next).recip();
                if next >= within.end {
                    return Ok(());
                }
                let due = log.started + Duration::from_secs_f64(next);
                if due > clock::instant() {
                    tokio::time::sleep_until(due.into()).await;
                }
                Some(due)
            }
        };
        let record = class.record(place, number);
        let ticket = Ticket {
            log: Arc::clone(&log),
            due,
            accepted: clock::instant(),
            size: record.size,
        };
        client.submit(class.table, record, ticket).await?;
    }
    Ok(())
}
