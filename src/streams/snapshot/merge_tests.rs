use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const SETTLING: Duration = Duration::from_secs(2);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn page(items: &[(&str, u64)], cursor: Cursor) -> ScanPage<(String, u64)> {
    let item = |(key, version): &(&str, u64)| ((*key).to_owned(), ((*key).to_owned(), *version));
    ScanPage {
        items: items.iter().map(item).collect(),
        cursor,
        bytes: 100,
    }
}

#[test]
fn a_page_waits_until_every_shard_was_read_after_its_answer_and_the_settling_time() {
    let mut merge = Merge::new();
    merge.sent(0);
    merge.answered(0, page(&[("a", 1)], Cursor::End), at(10));
    assert!(!merge.is_ripe(at(11), SETTLING));
    assert_eq!(merge.bytes(), 100);
    let ripe = merge.release(at(12), SETTLING);
    assert_eq!(ripe[0].items, [("a".to_owned(), 1)]);
    assert_eq!(ripe[0].cursor, Cursor::End);
    assert_eq!(merge.bytes(), 0);
}

#[test]
fn what_the_stream_gives_since_the_scan_was_sent_is_dropped_and_nothing_else() {
    let mut merge = Merge::new();
    merge.seen(&"before".to_owned());
    merge.sent(0);
    merge.seen(&"during".to_owned());
    let items = [("before", 1), ("during", 1), ("after", 1), ("never", 1)];
    merge.answered(0, page(&items, Cursor::End), at(1));
    merge.seen(&"after".to_owned());
    let ripe = merge.release(at(3), SETTLING);
    let left: Vec<&str> = ripe[0].items.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(left, ["before", "never"]);
}

#[test]
fn a_scan_that_failed_leaves_nothing_behind() {
    let mut merge = Merge::new();
    merge.sent(0);
    merge.failed(0);
    merge.answered(0, page(&[("a", 1)], Cursor::End), at(1));
    assert!(!merge.is_ripe(at(100), SETTLING));
}

/// A table of a few items, its stream in shards by key, a scanner in segments by key, and a
/// consumer. They take one step at a time, in any order.
#[derive(Default)]
struct World {
    now: u64,
    table: BTreeMap<usize, u64>,
    shards: [Vec<(usize, u64)>; 2],
    read: [usize; 2],
    read_up: [u64; 2],
    /// The rows that each segment's scan under way shows.
    scans: BTreeMap<usize, Option<Vec<(usize, u64)>>>,
    cursors: [Option<usize>; 2],
    scanned: [bool; 2],
    /// The versions given, by key, doubled; one more is a removal.
    given: BTreeMap<usize, Vec<u64>>,
}

const KEYS: usize = 12;

impl World {
    fn give(&mut self, key: usize, version: u64, is_removal: bool) -> Result<(), TestCaseError> {
        let given = self.given.entry(key).or_default();
        let last = given.last().map_or(0, |last| last / 2);
        prop_assert!(
            version >= last,
            "key {} stepped back from {} to {}",
            key,
            last,
            version
        );
        given.push(version * 2 + u64::from(is_removal));
        Ok(())
    }

    fn read(
        &mut self,
        shard: usize,
        most: usize,
        merge: &mut Merge<(usize, u64)>,
    ) -> Result<(), TestCaseError> {
        let from = self.read[shard];
        let records: Vec<_> = self.shards[shard]
            .iter()
            .skip(from)
            .take(most)
            .copied()
            .collect();
        self.read[shard] += records.len();
        for (key, version) in &records {
            merge.seen(&key.to_string());
            self.give(*key, version / 2, version % 2 == 1)?;
        }
        if records.len() < most {
            self.read_up[shard] = self.now;
        }
        Ok(())
    }

    fn release(&mut self, merge: &mut Merge<(usize, u64)>) -> Result<(), TestCaseError> {
        let read_up = *self.read_up.iter().min().expect("two shards");
        for page in merge.release(Duration::from_secs(read_up), Duration::ZERO) {
            for (key, version) in page.items {
                self.give(key, version, false)?;
            }
        }
        Ok(())
    }

    /// Takes one step of a scan. A page is read at one moment between its request and its answer.
    fn scan(&mut self, segment: usize, merge: &mut Merge<(usize, u64)>) {
        match self.scans.get(&segment).cloned() {
            None if !self.scanned[segment] => {
                merge.sent(segment);
                self.scans.insert(segment, None);
            }
            None => {}
            Some(None) => {
                let from = self.cursors[segment].map_or(0, |after| after + 1);
                let rows = self
                    .table
                    .range(from..)
                    .filter(|(key, _)| *key % 2 == segment);
                let rows = rows
                    .take(2)
                    .map(|(key, version)| (*key, *version))
                    .collect();
                self.scans.insert(segment, Some(rows));
            }
            Some(Some(rows)) => {
                self.scans.remove(&segment);
                self.cursors[segment] = rows.last().map(|(key, _)| *key).or(self.cursors[segment]);
                self.scanned[segment] = rows.len() < 2;
                let items = rows
                    .iter()
                    .map(|(key, version)| (key.to_string(), (*key, *version)));
                let page = ScanPage {
                    items: items.collect(),
                    cursor: Cursor::End,
                    bytes: rows.len(),
                };
                merge.answered(segment, page, Duration::from_secs(self.now));
            }
        }
    }
}

proptest! {
    /// In any order of steps no item steps back, and in the end the consumer has the whole table.
    #[test]
    fn no_interleaving_loses_an_item_or_gives_an_older_one_after_a_newer(
        steps in prop::collection::vec((0_u8..12, 0_usize..KEYS, 1_usize..5), 1..400),
    ) {
        let mut world = World::default();
        let mut merge = Merge::new();
        let mut version = 0;
        // Written before the iterators are pinned at LATEST: only the scan can show them.
        for key in 0..KEYS {
            version += 1;
            world.table.insert(key, version);
        }
        for (what, key, count) in steps {
            world.now += 1;
            version += 1;
            match what {
                0..=3 => {
                    world.table.insert(key, version);
                    world.shards[key % 3 % 2].push((key, version * 2));
                }
                4 => if world.table.remove(&key).is_some() {
                    world.shards[key % 3 % 2].push((key, version * 2 + 1));
                },
                5..=7 => world.read(key % 2, count, &mut merge)?,
                8..=10 => world.scan(key % 2, &mut merge),
                _ => world.release(&mut merge)?,
            }
            prop_assert!(merge.bytes() <= world.table.len().max(KEYS) * 2);
        }
        for _ in 0..100 {
            world.now += 1;
            for side in 0..2 {
                world.scan(side, &mut merge);
                world.read(side, 1000, &mut merge)?;
            }
            world.release(&mut merge)?;
        }
        prop_assert_eq!(merge.bytes(), 0);
        let last = |key: &usize| world.given.get(key).and_then(|given| given.last()).copied();
        for key in 0..KEYS {
            let given = last(&key);
            match world.table.get(&key) {
                Some(version) => prop_assert_eq!(given, Some(version * 2), "key {}", key),
                None => prop_assert!(given.is_none_or(|given| given % 2 == 1), "key {}", key),
            }
        }
    }
}
