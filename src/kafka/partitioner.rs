//! The partition of a record by its key, as librdkafka and the Java client choose it.
//!
//! Chosen here and not by librdkafka, since the sink must know a record's partition before it hands the record over: what
//! is behind a refused batch is held back by partition.

use std::time::Duration;

use parking_lot::Mutex;
/// librdkafka's `partitioner`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Partitioner {
    Random,
    /// CRC32 of the key.
    Consistent {
        random_without_key: bool,
    },
    Murmur2 {
        random_without_key: bool,
    },
    Fnv1a {
        random_without_key: bool,
    },
}

/// The partition that records without a key go to for a while, so that they fill batches.
#[derive(Debug, Default)]
pub(super) struct StickyPartition(Mutex<Option<(u32, Duration)>>);

impl Partitioner {
    /// librdkafka's names.
    pub(super) const NAMES: [&str; 7] = [
        "random",
        "consistent",
        "consistent_random",
        "murmur2",
        "murmur2_random",
        "fnv1a",
        "fnv1a_random",
    ];

    /// Returns the partitioner of librdkafka's name for it.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "random" => Self::Random,
            "consistent" => Self::Consistent {
                random_without_key: false,
            },
            "consistent_random" => Self::Consistent {
                random_without_key: true,
            },
            "murmur2" => Self::Murmur2 {
                random_without_key: false,
            },
            "murmur2_random" => Self::Murmur2 {
                random_without_key: true,
            },
            "fnv1a" => Self::Fnv1a {
                random_without_key: false,
            },
            "fnv1a_random" => Self::Fnv1a {
                random_without_key: true,
            },
            _ => return None,
        })
    }

    /// Returns the hash that decides; `None` where chance does.
    fn hash(self, key: Option<&[u8]>) -> Option<u32> {
        let bytes = key.unwrap_or_default();
        match self {
            Self::Random => None,
            // librdkafka takes an empty key for none here, and only here.
            Self::Consistent { random_without_key } => {
                (!random_without_key || !bytes.is_empty()).then(|| crc32(bytes))
            }
            Self::Murmur2 { random_without_key } => {
                (!random_without_key || key.is_some()).then(|| murmur2(bytes) & 0x7fff_ffff)
            }
            Self::Fnv1a { random_without_key } => {
                (!random_without_key || key.is_some()).then(|| fnv1a(bytes))
            }
        }
    }

    /// Returns the partition, of `count`, which is not 0. `random` is any number.
    pub(super) fn partition(
        self,
        key: Option<&[u8]>,
        count: u32,
        sticky: &StickyPartition,
        random: impl FnOnce() -> u32,
        now: Duration,
        stick: Duration,
    ) -> u32 {
        match self.hash(key) {
            Some(hash) => hash % count,
            None if self == Self::Random => random() % count,
            None => sticky.partition(count, random, now, stick),
        }
    }
}

impl StickyPartition {
    fn partition(
        &self,
        count: u32,
        random: impl FnOnce() -> u32,
        now: Duration,
        stick: Duration,
    ) -> u32 {
        let mut state = self.0.lock();
        match *state {
            Some((partition, until)) if now < until => partition % count,
            _ => {
                let partition = random() % count;
                *state = Some((partition, now + stick));
                partition
            }
        }
    }
}

/// Murmur2 as the Java client has it.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(data.len() & 0xffff_ffff).unwrap_or(u32::MAX);
    let mut h = 0x9747_b28c_u32 ^ length;
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let k = u32::from_le_bytes(*word).wrapping_mul(M);
        let k = (k ^ (k >> 24)).wrapping_mul(M);
        h = h.wrapping_mul(M) ^ k;
    }
    for (place, byte) in tail.iter().enumerate() {
        h ^= u32::from(*byte) << (8 * place);
    }
    if !tail.is_empty() {
        h = h.wrapping_mul(M);
    }
    h = (h ^ (h >> 13)).wrapping_mul(M);
    h ^ (h >> 15)
}

/// FNV-1a as librdkafka and Sarama have it: the absolute value.
fn fnv1a(data: &[u8]) -> u32 {
    let hash = data.iter().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    hash.cast_signed().wrapping_abs().cast_unsigned()
}

/// CRC-32 as zlib has it.
fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of librdkafka's own tests, which come from the Java and the Go client.
    #[test]
    fn hashes_are_those_of_the_java_client_and_of_librdkafka() {
        let keys: [&[u8]; 6] = [b"kafka", b"giberish123456789", b"1234", b"234", b"34", b"4"];
        let java = [
            0xd067_cf64,
            0x8f55_2b0c,
            0x9fc9_7b14,
            0xe7c0_09ca,
            0x8739_30da,
            0x5a4b_5ca1,
        ];
        for (key, hash) in keys.into_iter().zip(java) {
            assert_eq!(murmur2(key), hash);
        }
        assert_eq!(murmur2(b""), 0x106e_08d9);
        let go = [0x0d33_c4e1, 0x77a5_8295, 0x023b_dd03, 0x2dea_3cd2];
        for (key, hash) in keys.into_iter().zip(go) {
            assert_eq!(fnv1a(key), hash);
        }
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn records_without_a_key_stay_with_a_partition_for_a_while() {
        let sticky = StickyPartition::default();
        let partitioner = Partitioner::named("murmur2_random").expect("it is one");
        let stick = Duration::from_millis(10);
        let at = |now, random| {
            partitioner.partition(
                None,
                7,
                &sticky,
                || random,
                Duration::from_millis(now),
                stick,
            )
        };
        assert_eq!((at(0, 3), at(9, 4), at(10, 4)), (3, 3, 4));
    }

    #[test]
    fn a_key_decides_alone_and_an_empty_one_is_one() {
        let sticky = StickyPartition::default();
        let partition = |name, key| {
            let partitioner = Partitioner::named(name).expect("it is one");
            let chance = || 5;
            partitioner.partition(key, 6, &sticky, chance, Duration::ZERO, Duration::ZERO)
        };
        assert_eq!(
            partition("murmur2_random", Some(&b""[..])),
            murmur2(b"") % 6
        );
        assert_eq!(partition("consistent_random", Some(&b""[..])), 5);
        assert_eq!(partition("consistent", None), crc32(b"") % 6);
        assert_eq!(partition("random", Some(&b"kafka"[..])), 5);
        assert_eq!(Partitioner::named("mine"), None);
    }
}
