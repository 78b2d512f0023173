//! Names within one map: the last of equal names wins.
//!
//! A map may name an attribute twice, through `#[serde(flatten)]` or `#[serde(rename)]` or in JSON
//! from outside. As in a hash map, the last value is the attribute's. DynamoDB reads JSON the same
//! way, but then the size and the key worked out here would be wrong, so the earlier ones are taken
//! out of the buffer. The search must cost next to nothing where there is nothing to find: each
//! name of a map sets one bit of a word, and only a bit that is set already makes it look at the
//! hashes.

use super::writer::{OpenMap, Writer};

/// The number of entries from which hashes are compared once at the end, not one against all.
const MIN_SORTED_ENTRIES: usize = 32;

/// An entry of a map that is being written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) hash: u64,
    /// The position of its name's opening quote.
    pub(super) start: usize,
    /// The position of its value.
    pub(super) value: usize,
    /// The size as stored before it.
    pub(super) size: usize,
    /// Its position among the watched attributes, where it is one.
    pub(super) watched: Option<usize>,
}

/// Returns a hash of a name, good enough to keep the names of one map apart.
///
/// Names made to collide cost time, not correctness: equal hashes are settled by comparing the
/// names.
pub(super) fn hash_of(name: &str) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| {
        let mixed = (hash ^ word).wrapping_mul(FACTOR);
        mixed ^ (mixed >> 29)
    };
    let bytes = name.as_bytes();
    let mut hash = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if let Some(last) = bytes.last_chunk::<8>() {
        for word in bytes.chunks_exact(8) {
            hash = mix(
                hash,
                word.first_chunk()
                    .map_or(0, |word| u64::from_le_bytes(*word)),
            );
        }
        hash = mix(hash, u64::from_le_bytes(*last));
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        hash = mix(hash, u64::from(first) << 32 | u64::from(last));
    } else {
        let word = bytes
            .iter()
            .fold(0, |word, &byte| word << 8 | u64::from(byte));
        hash = mix(hash, word);
    }
    hash.wrapping_mul(FACTOR)
}

impl Writer {
    /// Notes whether a name that is about to be added may be there already.
    pub(super) fn note(&self, map: &mut OpenMap, hash: u64) {
        let bit = 1 << (hash >> 58);
        if map.seen & bit != 0 && !map.suspect {
            let earlier = self.entries.get(map.first..).unwrap_or_default();
            map.suspect = earlier.len() >= MIN_SORTED_ENTRIES
                || earlier.iter().any(|entry| entry.hash == hash);
        }
        map.seen |= bit;
    }

    /// Takes every entry out of the buffer that a later one of the same name replaces.
    pub(super) fn keep_last_of_each_name(&mut self, map: &OpenMap) {
        if map.suspect {
            self.compact(map.first);
        }
    }

    #[cold]
    fn compact(&mut self, first: usize) {
        let entries = self.entries.split_off(first);
        let name = |entry: &Entry| self.buf.get(entry.start..entry.value).unwrap_or_default();
        let mut order: Vec<usize> = (0..entries.len()).collect();
        order.sort_by(|&a, &b| {
            let (ea, eb) = (&entries[a], &entries[b]);
            (ea.hash, name(ea), a).cmp(&(eb.hash, name(eb), b))
        });
        let mut replaced = vec![false; entries.len()];
        for pair in order.windows(2) {
            let (a, b) = (&entries[pair[0]], &entries[pair[1]]);
            replaced[pair[0]] = a.hash == b.hash && name(a) == name(b);
        }
        if !replaced.contains(&true) {
            self.entries.extend(entries);
            return;
        }
        let Some(start) = entries.first().map(|entry| entry.start) else {
            return;
        };
        let (buf_end, size_end) = (self.buf.len(), self.size);
        let mut kept = Vec::with_capacity(buf_end - start);
        self.size = entries.first().map_or(size_end, |entry| entry.size);
        for (i, entry) in entries.iter().enumerate() {
            if replaced[i] {
                continue;
            }
            // The next entry starts after a comma.
            let (end, size) = entries
                .get(i + 1)
                .map_or((buf_end, size_end), |next| (next.start - 1, next.size));
            if !kept.is_empty() {
                kept.push(b',');
            }
            let at = start + kept.len();
            kept.extend_from_slice(self.buf.get(entry.start..end).unwrap_or_default());
            self.entries.push(Entry {
                start: at,
                value: at + (entry.value - entry.start),
                size: self.size,
                ..*entry
            });
            self.size += size - entry.size;
        }
        self.buf.truncate(start);
        self.buf.extend_from_slice(&kept);
    }
}
