//! JSON strings: escaped on the way out, unescaped on the way in.

use std::borrow::Cow;

/// The number of bytes that are looked at together; a fixed-size inner loop is turned into vector
/// instructions.
const BLOCK_BYTES: usize = 16;

/// Appends `text` as the inside of a JSON string, without the quotes.
///
/// Only the characters that JSON demands are escaped (quote, backslash, control characters), so
/// equal texts have equal bytes: names and set members are compared on the escaped form.
///
/// Most texts are names and short values. Up to a block they are looked at and written as two words
/// that overlap, since calls to copy a handful of bytes cost more than the bytes.
#[inline]
pub(super) fn push(buf: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let len = bytes.len();
    if let (8..=BLOCK_BYTES, Some(first), Some(last)) =
        (len, bytes.first_chunk::<8>(), bytes.last_chunk::<8>())
    {
        let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
        if specials(first) | specials(last) == 0 {
            let joined = u128::from(first) | u128::from(last) << (8 * (len - 8));
            let end = buf.len() + len;
            buf.extend_from_slice(&joined.to_le_bytes());
            buf.truncate(end);
            return;
        }
    } else if let (4..8, Some(first), Some(last)) =
        (len, bytes.first_chunk::<4>(), bytes.last_chunk::<4>())
    {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        let joined = u64::from(first) | u64::from(last) << (8 * (len - 4));
        // The places that the last bytes leave empty would look like control characters.
        if specials(u64::from(first) | u64::from(last) << 32) == 0 {
            let end = buf.len() + len;
            buf.extend_from_slice(&joined.to_le_bytes());
            buf.truncate(end);
            return;
        }
    }
    push_runs(buf, bytes);
}

/// Appends plain bytes as they are and the rest escaped, run by run.
fn push_runs(buf: &mut Vec<u8>, bytes: &[u8]) {
    let mut rest = bytes;
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

/// Returns whether a byte is a control character, a quote or a backslash. With its second bit
/// turned over, the quote comes right behind the control characters, which stay among themselves,
/// so that one comparison finds both.
fn needs_escape(byte: u8) -> bool {
    (byte ^ 0x02) < 0x21 || byte == b'\\'
}

/// Returns the number of leading bytes that are neither quote nor backslash nor control character.
///
/// The last block overlaps the one before it, so that the rest is not looked at byte by byte.
pub(super) fn plain_prefix(bytes: &[u8]) -> usize {
    let Some(last) = bytes.last_chunk::<BLOCK_BYTES>() else {
        let special = |&byte: &u8| needs_escape(byte);
        return bytes.iter().position(special).unwrap_or(bytes.len());
    };
    let (blocks, rest) = bytes.as_chunks::<BLOCK_BYTES>();
    for (at, block) in blocks.iter().enumerate() {
        if has_special(block) {
            return at * BLOCK_BYTES + first_special(block);
        }
    }
    if rest.is_empty() || !has_special(last) {
        return bytes.len();
    }
    bytes.len() - BLOCK_BYTES + first_special(last)
}

#[inline(always)]
fn has_special(block: &[u8; BLOCK_BYTES]) -> bool {
    block
        .iter()
        .fold(false, |any, &byte| any | needs_escape(byte))
}

/// Returns the position of the first byte in a block that needs escaping.
fn first_special(block: &[u8; BLOCK_BYTES]) -> usize {
    let word = |word: Option<&[u8; 8]>| word.map_or(0, |word| specials(u64::from_le_bytes(*word)));
    let (low, high) = (word(block.first_chunk()), word(block.last_chunk()));
    let found = u128::from(low) | u128::from(high) << 64;
    usize::try_from(found.trailing_zeros() / 8).unwrap_or(BLOCK_BYTES)
}

/// Returns a word with a bit set where a byte needs escaping.
///
/// A byte below `n` borrows when `n` is taken from it, and shows that in its top bit. A borrow may
/// reach higher bytes, so only the lowest bit is in the right place, and no bit means none.
fn specials(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const TOPS: u64 = ONES * 128;
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & TOPS;
    below(word ^ (ONES * 0x02), 0x21) | below(word ^ (ONES * u64::from(b'\\')), 1)
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

/// Returns the text of a JSON string from its inside; `None` where an escape or the UTF-8 is wrong.
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

/// Reads the character of a `\u` escape, the second half of a surrogate pair included.
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
    fn what_json_demands_is_escaped_and_nothing_else() {
        for byte in 0..128_u8 {
            for len in [1, 5, 8, 12, 16, 17, 40] {
                let text = char::from(byte).to_string().repeat(len);
                let quoted = [b"\"".as_slice(), &escaped(&text), b"\""].concat();
                assert_eq!(quoted, serde_json::to_vec(&text).unwrap(), "{byte:#x}");
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
