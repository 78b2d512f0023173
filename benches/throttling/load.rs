//! What is offered: records that cost a known number of write units, at a pace.
//!
//! A class of records has a task of its own for each client, so that one class that waits for
//! room doesn't stop the others. Keys come from a bounded space, each once before the first comes
//! again, so that the fake's memory stays small and no key is twice in a client's buffer.

use std::sync::{Arc, LazyLock};

use crate::record::Record;

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

    /// Makes the record of this number for a client.
    pub(crate) fn record(&self, client: usize, number: u32) -> Record {
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
