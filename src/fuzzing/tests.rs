//! The checks on a slice of what fuzzing tries.

use std::collections::HashSet;

use proptest::prelude::*;
use proptest::sample::Index;

use super::odd_errors::OddError;
use super::{answers, items, records, requests, settings, snapshots};
use crate::sink::{DynamoDbSinkSettings, Snapshot, WriteRecord};
use crate::transport::{parse_batch, parse_describe, parse_single};

const ANSWERS: &[&[u8]] = &[
    include_bytes!("seeds/answers/batch.json"),
    include_bytes!("seeds/answers/cancelled.json"),
    include_bytes!("seeds/answers/capacity.json"),
    include_bytes!("seeds/answers/condition.json"),
    include_bytes!("seeds/answers/describe.json"),
    include_bytes!("seeds/answers/throttled.json"),
];
const ITEMS: &[&[u8]] = &[
    include_bytes!("seeds/items/nested.json"),
    include_bytes!("seeds/items/plain.json"),
    include_bytes!("seeds/items/refused.json"),
];
const REQUESTS: &[&[u8]] = &[
    include_bytes!("seeds/requests/many.txt"),
    include_bytes!("seeds/requests/puts.txt"),
    include_bytes!("seeds/requests/tables.txt"),
    include_bytes!("seeds/requests/updates.txt"),
];
const SETTINGS: &[&[u8]] = &[
    include_bytes!("seeds/settings/full.json"),
    include_bytes!("seeds/settings/full.toml"),
];
const SNAPSHOTS: &[&[u8]] = &[include_bytes!("seeds/snapshots/writes.txt")];
const LETTERS: &[&[u8]] = &[include_bytes!("seeds/snapshots/letters.txt")];

/// What every other test here begins with is what it is taken for.
#[test]
fn the_seeds_are_read_whole() {
    let [batch, _, capacity, _, describe, _] = ANSWERS else {
        panic!("six answers");
    };
    assert_eq!(parse_batch(batch).expect("an answer").unprocessed.len(), 2);
    let consumed = parse_single(capacity).expect("an answer");
    assert!((consumed.expect("capacity").total - 4.5).abs() < 1e-9);
    assert_eq!(
        parse_describe(describe)
            .expect("a table")
            .global_indexes
            .len(),
        1
    );
    for seed in SNAPSHOTS {
        let snapshot = Snapshot::from_bytes(seed).expect("a snapshot");
        assert_eq!(snapshot.len(), 4);
        assert_eq!(snapshot.to_bytes(), *seed);
    }
    for seed in LETTERS {
        for line in std::str::from_utf8(seed).expect("text").lines() {
            WriteRecord::from_dead_letter(line).expect("a dead letter");
        }
    }
    let text = |at: usize| std::str::from_utf8(SETTINGS[at]).expect("text");
    assert_eq!(
        DynamoDbSinkSettings::from_json(text(0))
            .expect("settings")
            .tables()
            .count(),
        1
    );
    assert_eq!(
        DynamoDbSinkSettings::from_toml(text(1))
            .expect("settings")
            .tables()
            .count(),
        2
    );
}

/// The grammar that the target `answers` draws from as well.
#[test]
fn the_code_of_an_odd_error_body_is_read_whatever_else_it_holds() {
    let mut rng = fastrand::Rng::with_seed(14);
    let (mut coded, mut bodies) = (0, HashSet::new());
    for _ in 0..100_000 {
        let plan: Vec<u8> = (0..rng.usize(20..200)).map(|_| rng.u8(..)).collect();
        let odd = OddError::draw(&plan);
        odd.check();
        coded += usize::from(odd.has_code());
        bodies.insert(crc32fast::hash(odd.body()));
    }
    assert!((45_000..80_000).contains(&coded), "{coded}");
    assert!(bodies.len() > 80_000, "{}", bodies.len());
}

/// One change to a text.
#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Cut(Index, usize),
    /// A piece from elsewhere in the text over what stands here.
    Copy(Index, Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    let byte = prop_oneof![
        any::<u8>(),
        prop::sample::select(&b"{}[]\":,\\01-e. \n"[..])
    ];
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..4),
        prop::sample::select(
            &[
                "null", "true", "{}", "[]", "\"\"", "0", "-1", "1e400", "\\u0000", "\\ud800",
                "\u{feff}"
            ][..]
        )
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop_oneof![
        4 => (at(), byte).prop_map(|(at, byte)| Change::Set(at, byte)),
        2 => (at(), piece).prop_map(|(at, piece)| Change::Insert(at, piece)),
        2 => (at(), 1..20_usize).prop_map(|(at, len)| Change::Cut(at, len)),
        2 => (at(), at(), 1..40_usize).prop_map(|(from, to, len)| Change::Copy(from, to, len)),
    ]
}

/// A valid input with a few changes, at times none.
fn nearly(seeds: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec(change(), 0..5);
    (prop::sample::select(seeds), changes).prop_map(|(seed, changes)| {
        let mut bytes = seed.to_vec();
        for change in changes {
            apply(&mut bytes, change);
        }
        bytes
    })
}

fn apply(bytes: &mut Vec<u8>, change: Change) {
    let len = bytes.len();
    if len == 0 {
        return;
    }
    match change {
        Change::Set(at, byte) => bytes[at.index(len)] = byte,
        Change::Insert(at, piece) => {
            let at = at.index(len);
            bytes.splice(at..at, piece);
        }
        Change::Cut(at, count) => {
            let at = at.index(len);
            bytes.drain(at..(at + count).min(len));
        }
        Change::Copy(from, to, count) => {
            let from = from.index(len);
            let piece = bytes[from..(from + count).min(len)].to_vec();
            let to = to.index(len);
            bytes.splice(to..(to + count).min(len), piece);
        }
    }
}

fn anything() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..300)
}

proptest! {
    #[test]
    fn no_answer_is_misread(near in nearly(ANSWERS), any in anything()) {
        answers(&near);
        answers(&any);
    }

    #[test]
    fn no_item_gets_past_the_rules(near in nearly(ITEMS), any in anything()) {
        items(&near);
        items(&any);
    }

    #[test]
    fn no_plan_makes_a_record_that_is_mapped_otherwise(any in anything()) {
        records(&any);
    }

    #[test]
    fn no_request_leaves_half_of_itself_behind(near in nearly(REQUESTS), any in anything()) {
        requests(&near);
        requests(&any);
    }

    #[test]
    fn no_settings_get_past_the_bounds(near in nearly(SETTINGS), any in anything()) {
        settings(&near);
        settings(&any);
    }

    #[test]
    fn no_snapshot_is_half_read(near in nearly(SNAPSHOTS), letter in nearly(LETTERS), any in anything()) {
        snapshots(&near);
        snapshots(&letter);
        snapshots(&any);
    }
}
