//! What is written: a typed record of ten attributes, just under 1,024 bytes stored, or larger by
//! a longer note.
//!
//! Records are made of their own number alone, so every contender and every run writes the same
//! bytes. They are made inside the measured time, which a row of its own shows; what would be an
//! enum in an application is a static string. A contender that takes a record by value may move
//! the strings it owns.

use std::sync::LazyLock;

use serde::Serialize;

/// The most that `BatchWriteItem` takes.
pub(crate) const BATCH: usize = 25;

/// The table's name, as every contender sends it.
pub(crate) const TABLE: &str = "bench";

/// Keyed by `customer` (S) and `number` (N); see the null server's `DescribeTable` answer.
#[derive(Debug, Serialize)]
pub(crate) struct Decision {
    pub(crate) customer: String,
    pub(crate) number: u64,
    pub(crate) status: &'static str,
    pub(crate) approved: bool,
    pub(crate) amount_cents: i64,
    pub(crate) score: f64,
    pub(crate) decided_at: String,
    pub(crate) reasons: [&'static str; 3],
    pub(crate) merchant: Merchant,
    pub(crate) note: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Merchant {
    pub(crate) name: &'static str,
    pub(crate) country: &'static str,
}

/// Prose with the odd character that JSON must escape.
static PROSE: LazyLock<String> = LazyLock::new(|| {
    "The customer confirmed the delivery window by phone and asked for it to be \"left at the door\". "
        .repeat(800)
});

/// Makes a record of just under 1,024 bytes.
pub(crate) const NOTE_BYTES: usize = 740;

/// The records of one batch of one lane. No two batches of a round share a key.
pub(crate) fn batch(lane: usize, batch: usize) -> Vec<Decision> {
    let first = (lane * 1_000_000 + batch) * BATCH;
    (first..first + BATCH)
        .map(|number| decision(number, NOTE_BYTES))
        .collect()
}

/// A record whose key no other number has.
pub(crate) fn decision(number: usize, note_bytes: usize) -> Decision {
    let small = u32::try_from(number % 10_000).expect("a remainder of 10,000 fits");
    let offset = number % 300;
    Decision {
        customer: format!("customer-{number:010}"),
        number: number as u64,
        status: "APPROVED_WITH_LIMIT",
        approved: number.is_multiple_of(3),
        amount_cents: i64::from(small) * 37,
        score: f64::from(small) / 8192.0,
        decided_at: "2025-03-01T12:34:56.789Z".to_owned(),
        reasons: ["income", "history", "velocity"],
        merchant: Merchant {
            name: "Nordwind Versand",
            country: "DE",
        },
        note: PROSE[offset..offset + note_bytes].to_owned(),
    }
}
