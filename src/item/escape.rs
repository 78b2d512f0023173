//! JSON strings: escaping what goes out, unescaping what comes in.

use std::borrow::Cow;

/// How many bytes are looked at together; a fixed-size inner loop is turned into vector instructions.
const BLOCK: usize = 16;

/// Appends `text` as the inside of a JSON string, without the quotes.
///
/// Only what JSON demands is escaped (quote, backslash, control characters), so equal texts have equal
/// bytes: names and set members are compared on the escaped form.
pub(super) fn push(buf: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    loop {
        let run = plain_prefix(rest);
        let (plain, tail) = rest.split_at(run);
        buf.extend_from_slice(plain);
        let Some((&special, after)) = tail.split_first() else {
            return;
        };
        push_special(buf, special);
        rest = after;
    }
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// The number of leading bytes that are neither quote nor backslash nor control character.
///
/// Blocks first, then words, then bytes; the last word of a text overlaps the one before it, so that short
/// texts, as names are, rarely come down to bytes.
pub(super) fn plain_prefix(bytes: &[u8]) -> usize {
    let mut done = 0;
    for block in bytes.chunks_exact(BLOCK) {
        if block.iter().fold(false, |any, &b| any | needs_escape(b)) {
            break;
        }
        done += BLOCK;
    }
    let rest = bytes.get(done..).unwrap_or_default();
    for word in rest.chunks_exact(8) {
        let word = word
            .first_chunk()
            .map_or(0, |word| u64::from_le_bytes(*word));
        if let Some(at) = first_special(word) {
            return done + at;
        }
        done += 8;
    }
    let rest = bytes.get(done..).unwrap_or_default();
    let overlapping = match (
        bytes.last_chunk::<8>(),
        rest.first_chunk::<4>(),
        rest.last_chunk::<4>(),
    ) {
        _ if rest.is_empty() => return done,
        (Some(last), _, _) => u64::from_le_bytes(*last),
        (None, Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last))
        }
        // Fewer than four bytes: a zero byte is special and leads to the search below.
        _ => 0,
    };
    if first_special(overlapping).is_none() {
        return bytes.len();
    }
    done + rest
        .iter()
        .position(|&b| needs_escape(b))
        .unwrap_or(rest.len())
}

/// Which byte of a little-endian word is the first that needs escaping.
///
/// A byte below `n` borrows on `n` being taken from it, and shows that in its top bit; a borrow only reaches
/// higher bytes, so the lowest bit found is right.
fn first_special(word: u64) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    const TOPS: u64 = ONES * 128;
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & TOPS;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let found = below(word, 0x20) | equal(b'"') | equal(b'\\');
    if found == 0 {
        None
    } else {
        usize::try_from(found.trailing_zeros() / 8).ok()
    }
}

#[cold]
fn push_special(buf: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            buf.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            return;
        }
    };
    buf.extend_from_slice(&[b'\\', short]);
}

/// The text of a JSON string from its inside; `None` where an escape or the UTF-8 is wrong.
pub(super) fn unescape(inside: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(inside).ok()?;
    let Some(first) = text.find('\\') else {
        return Some(Cow::Borrowed(text));
    };
    let mut out = String::with_capacity(text.len());
    let (plain, mut rest) = text.split_at(first);
    out.push_str(plain);
    while let Some(escaped) = rest.strip_prefix('\\') {
        let mut chars = escaped.chars();
        let decoded = match chars.next()? {
            '"' => '"',
            '\\' => '\\',
            '/' => '/',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => unicode(&mut chars)?,
            _ => return None,
        };
        out.push(decoded);
        let after = chars.as_str();
        let (plain, next) = after.split_at(after.find('\\').unwrap_or(after.len()));
        out.push_str(plain);
        rest = next;
    }
    Some(Cow::Owned(out))
}

/// The character of a `\u` escape, the second half of a surrogate pair included.
fn unicode(chars: &mut std::str::Chars<'_>) -> Option<char> {
    let first = hex4(chars)?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first);
    }
    if chars.next()? != '\\' || chars.next()? != 'u' {
        return None;
    }
    let second = hex4(chars)?;
    if !(0xdc00..0xe000).contains(&second) {
        return None;
    }
    char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))
}

fn hex4(chars: &mut std::str::Chars<'_>) -> Option<u32> {
    let mut value = 0;
    for _ in 0..4 {
        value = value * 16 + chars.next()?.to_digit(16)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::seeded::config;
    use proptest::prelude::*;

    fn escaped(text: &str) -> Vec<u8> {
        let mut buf = Vec::new();
        push(&mut buf, text);
        buf
    }

    proptest! {
        #![proptest_config(config(500))]

        #[test]
        fn escaping_is_undone(text in "(?s).{0,80}") {
            let inside = escaped(&text);
            prop_assert_eq!(unescape(&inside).unwrap(), text.as_str());
            let quoted = [b"\"".as_slice(), &inside, b"\""].concat();
            let theirs: String = serde_json::from_slice(&quoted).unwrap();
            prop_assert_eq!(theirs, text);
        }

        #[test]
        fn other_escapes_are_read(text in "(?s)[\\x00-\\x{10ffff}]{0,20}") {
            let mut all_escaped = String::new();
            let mut units = [0; 2];
            for unit in text.chars().flat_map(|c| c.encode_utf16(&mut units).to_vec()) {
                all_escaped.push_str(&format!("\\u{unit:04X}"));
            }
            prop_assert_eq!(unescape(all_escaped.as_bytes()).unwrap(), text);
        }
    }

    #[test]
    fn every_position_of_a_special_byte_is_found() {
        for len in 0..70 {
            for at in 0..len {
                for special in ['"', '\\', '\n', '\u{1f}', '\0'] {
                    let text: String = (0..len)
                        .map(|i| if i == at { special } else { 'x' })
                        .collect();
                    assert_eq!(unescape(&escaped(&text)).unwrap(), text);
                    assert_ne!(escaped(&text), text.as_bytes());
                }
            }
        }
    }

    #[test]
    fn broken_escapes_are_refused() {
        for inside in [
            "\\",
            "\\x",
            "\\u12",
            "\\ud800",
            "\\ud800x",
            "\\ud800\\u0041",
            "\\udc00",
        ] {
            assert_eq!(unescape(inside.as_bytes()), None, "{inside}");
        }
        assert_eq!(unescape(b"\xff"), None);
    }
}
