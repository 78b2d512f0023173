//! A walk over DynamoDB's JSON that builds nothing.

use super::ItemError;
use super::escape;
use super::fault::Fault;
use std::borrow::Cow;

/// A place in JSON text. Every step either moves ahead or fails with the expected text and the
/// place.
#[derive(Clone, Debug)]
pub(crate) struct Scanner<'a> {
    json: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(json: &'a [u8]) -> Self {
        Self { json, at: 0 }
    }

    #[cold]
    pub(crate) fn fault(&self, expected: &'static str) -> Fault {
        Fault::new(ItemError::Json {
            offset: self.at,
            expected,
        })
    }

    /// Returns the number of bytes taken, white space looked past included.
    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    /// Goes back to a place that it was at before.
    pub(crate) fn rewind(&mut self, offset: usize) {
        self.at = offset;
    }

    /// Returns the next byte that is no white space, still to be taken.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.json.get(self.at)?;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    /// Takes this byte if it is next.
    #[inline]
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        self.at += usize::from(next);
        next
    }

    #[inline]
    pub(crate) fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Fault> {
        if self.eat(byte) {
            Ok(())
        } else {
            Err(self.fault(what))
        }
    }

    /// Takes a literal such as `true`.
    pub(crate) fn word(&mut self, word: &[u8]) -> bool {
        self.peek();
        let next = self
            .json
            .get(self.at..)
            .is_some_and(|rest| rest.starts_with(word));
        if next {
            self.at += word.len();
        }
        next
    }

    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        if self.peek().is_none() {
            Ok(())
        } else {
            Err(self.fault("the end"))
        }
    }

    /// Takes a string and returns its inside with its escapes.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<&'a [u8], Fault> {
        self.expect(b'"', "a string")?;
        if let Some(plain) = self.plain() {
            return Ok(plain);
        }
        self.past_escapes()
    }

    /// Takes the rest of a string that has no escapes, its quote included, or nothing.
    #[inline]
    fn plain(&mut self) -> Option<&'a [u8]> {
        let rest = self.json.get(self.at..)?;
        let (plain, after) = rest.split_at_checked(escape::plain_prefix(rest))?;
        if after.first() != Some(&b'"') {
            return None;
        }
        self.at += plain.len() + 1;
        Some(plain)
    }

    /// Takes the rest of a string, its quote included.
    fn past_escapes(&mut self) -> Result<&'a [u8], Fault> {
        let start = self.at;
        loop {
            let rest = self.json.get(self.at..).unwrap_or_default();
            self.at += escape::plain_prefix(rest);
            match self.json.get(self.at) {
                Some(b'"') => {
                    let inside = self.json.get(start..self.at).unwrap_or_default();
                    self.at += 1;
                    return Ok(inside);
                }
                Some(b'\\') => self.at = (self.at + 2).min(self.json.len()),
                Some(_) => return Err(self.fault("no bare control character")),
                None => return Err(self.fault("the end of a string")),
            }
        }
    }

    /// Takes a string and returns its text.
    #[inline]
    pub(crate) fn text(&mut self) -> Result<Cow<'a, str>, Fault> {
        let start = self.at;
        self.expect(b'"', "a string")?;
        let text = match self.plain() {
            Some(plain) => std::str::from_utf8(plain).ok().map(Cow::Borrowed),
            None => escape::unescape(self.past_escapes()?),
        };
        text.ok_or_else(|| Self { at: start, ..*self }.fault("a well-formed string"))
    }

    /// Takes a name and its colon.
    #[inline]
    pub(crate) fn name(&mut self) -> Result<&'a [u8], Fault> {
        let name = self.string()?;
        self.expect(b':', "a colon")?;
        Ok(name)
    }

    /// Takes any value and returns its bytes. Brackets are counted, not matched by kind: a skipped
    /// value is only passed on, or read by the full parser later. There is no recursion, so depth
    /// is no danger.
    pub(crate) fn skip(&mut self) -> Result<&'a [u8], Fault> {
        self.peek();
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                None => return Err(self.fault("a value")),
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'{' | b'[') => {
                    self.at += 1;
                    depth += 1;
                }
                Some(b'}' | b']') => {
                    if depth == 0 {
                        return Err(self.fault("a value"));
                    }
                    self.at += 1;
                    depth -= 1;
                }
                Some(b',' | b':') => {
                    if depth == 0 {
                        return Err(self.fault("a value"));
                    }
                    self.at += 1;
                    continue;
                }
                Some(_) => {
                    while self.json.get(self.at).is_some_and(|&b| is_bare(b)) {
                        self.at += 1;
                    }
                    if self.json.get(self.at).is_some_and(|&b| !ends_bare(b)) {
                        return Err(self.fault("a value"));
                    }
                }
            }
            if depth == 0 {
                return Ok(self.json.get(start..self.at).unwrap_or_default());
            }
        }
    }
}

/// Returns whether a byte is of a number or of a literal.
fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// Returns whether a byte may follow a number or a literal.
fn ends_bare(byte: u8) -> bool {
    matches!(
        byte,
        b',' | b':' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t'
    )
}
