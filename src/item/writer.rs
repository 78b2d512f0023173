//! DynamoDB's JSON, written value by value into one buffer, with the size as stored kept along.
//!
//! Everything that becomes an item passes here: serde records, `AttributeValue` maps and JSON from
//! outside. So the rules on nesting, names, numbers and sets are checked in one place.

use super::ItemError;
use super::escape;
use super::fault::{Fault, shown};
use super::limits::{CONTAINER_SIZE, ELEMENT_SIZE, MAX_DEPTH, MAX_NAME};
use super::names::{Entry, hash_of};
use super::number;
use super::set::SetKind;

/// The bytes that a scratch buffer starts with, and shrinks back to after a huge record.
const SCRATCH_BYTES: usize = 4 * 1024;

/// The most bytes that a scratch buffer keeps: more than most records need, few enough to hold for
/// every thread.
const MAX_KEPT_SCRATCH_BYTES: usize = 512 * 1024;

/// The buffer, the size so far, and the names of the maps that are open.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) buf: Vec<u8>,
    /// Bytes as DynamoDB stores them.
    pub(super) size: usize,
    /// Open maps and lists, the item included.
    depth: usize,
    /// The entries of all open maps, those of the innermost last.
    pub(super) entries: Vec<Entry>,
    /// The start and the end of each member of the open set.
    pub(super) members: Vec<(usize, usize)>,
    /// Set if something failed half-way: the buffer is no item, even where the record's type
    /// ignored the error.
    broken: bool,
}

/// A map that is being written.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenMap {
    /// Its first entry among the writer's.
    pub(super) first: usize,
    /// A bit for each hash seen: a name that sets no new bit may be there already.
    pub(super) seen: u64,
    /// Set if two hashes were equal: the names are compared at the end.
    pub(super) suspect: bool,
    /// The bytes of each entry beside its name and value.
    per_entry: usize,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self {
            buf: Vec::with_capacity(SCRATCH_BYTES),
            size: 0,
            depth: 0,
            entries: Vec::with_capacity(32),
            members: Vec::new(),
            broken: false,
        }
    }

    /// Resets the writer, and keeps its memory within bounds.
    pub(super) fn reset(&mut self) {
        self.buf.clear();
        self.entries.clear();
        self.members.clear();
        if self.buf.capacity() > MAX_KEPT_SCRATCH_BYTES {
            self.buf.shrink_to(SCRATCH_BYTES);
        }
        if self.entries.capacity() * size_of::<Entry>() > MAX_KEPT_SCRATCH_BYTES {
            self.entries.shrink_to(32);
        }
        if self.members.capacity() * size_of::<(usize, usize)>() > MAX_KEPT_SCRATCH_BYTES {
            self.members.shrink_to(32);
        }
        self.size = 0;
        self.depth = 0;
        self.broken = false;
    }

    /// Prepares for a value by itself, which is to become an attribute: the item around it counts
    /// as a level.
    pub(super) fn begin_value(&mut self) {
        self.depth = 1;
    }

    /// Returns the value written, in an allocation of its size.
    pub(super) fn copy_value(&self) -> Result<Vec<u8>, Fault> {
        self.check_whole()?;
        Ok(self.buf.as_slice().to_vec())
    }

    /// Notes that a part was left unfinished.
    #[cold]
    pub(super) fn breaks(&mut self, fault: Fault) -> Fault {
        self.broken = true;
        fault
    }

    /// Fails where a `Serialize` ignored an error.
    pub(super) fn check_whole(&self) -> Result<(), Fault> {
        if self.broken {
            return Err(Fault::new(ItemError::Refused {
                path: String::new(),
            }));
        }
        Ok(())
    }

    pub(super) fn string(&mut self, value: &str) {
        self.buf.extend_from_slice(b"{\"S\":\"");
        self.bare_string(value);
        self.buf.extend_from_slice(b"\"}");
    }

    pub(super) fn bool(&mut self, value: bool) {
        self.buf.extend_from_slice(if value {
            b"{\"BOOL\":true}"
        } else {
            b"{\"BOOL\":false}"
        });
        self.size += 1;
    }

    pub(super) fn null(&mut self) {
        self.buf.extend_from_slice(b"{\"NULL\":true}");
        self.size += 1;
    }

    pub(super) fn binary(&mut self, value: &[u8]) {
        self.buf.extend_from_slice(b"{\"B\":\"");
        self.bare_binary(value);
        self.buf.extend_from_slice(b"\"}");
    }

    pub(super) fn integer(&mut self, value: impl itoa::Integer) {
        self.buf.extend_from_slice(b"{\"N\":\"");
        self.bare_integer(value);
        self.buf.extend_from_slice(b"\"}");
    }

    pub(super) fn float(&mut self, value: f64, text: &str) -> Result<(), Fault> {
        self.buf.extend_from_slice(b"{\"N\":\"");
        self.bare_float(value, text)?;
        self.buf.extend_from_slice(b"\"}");
        Ok(())
    }

    pub(super) fn number(&mut self, text: &str) -> Result<(), Fault> {
        self.buf.extend_from_slice(b"{\"N\":\"");
        self.bare_number(text)?;
        self.buf.extend_from_slice(b"\"}");
        Ok(())
    }

    pub(super) fn bare_string(&mut self, value: &str) {
        escape::push(&mut self.buf, value);
        self.size += value.len();
    }

    pub(super) fn bare_binary(&mut self, value: &[u8]) {
        base64_simd::STANDARD.encode_append(value, &mut self.buf);
        self.size += value.len();
    }

    pub(super) fn bare_integer(&mut self, value: impl itoa::Integer) {
        let mut digits = itoa::Buffer::new();
        let text = digits.format(value).as_bytes();
        self.buf.extend_from_slice(text);
        self.size += number::integer_size(text);
    }

    /// Writes a float by its shortest text, `text`; `value` is checked for NaN, infinity and zero.
    pub(super) fn bare_float(&mut self, value: f64, text: &str) -> Result<(), Fault> {
        if !value.is_finite() {
            return Err(number::NumberFault::Syntax.into());
        }
        // A negative zero is written as zero; DynamoDB has only one.
        let text = if value == 0.0 {
            "0"
        } else {
            text.strip_suffix(".0").unwrap_or(text)
        };
        self.bare_number(text)
    }

    pub(super) fn bare_number(&mut self, text: &str) -> Result<(), Fault> {
        self.size += number::check(text.as_bytes())?;
        self.buf.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn descend(&mut self) -> Result<(), Fault> {
        if self.depth == MAX_DEPTH {
            return Err(Fault::new(ItemError::TooDeep {
                path: String::new(),
                limit: MAX_DEPTH,
            }));
        }
        self.depth += 1;
        Ok(())
    }

    pub(super) fn open_list(&mut self) -> Result<(), Fault> {
        self.descend()?;
        self.size += CONTAINER_SIZE;
        self.buf.extend_from_slice(b"{\"L\":[");
        Ok(())
    }

    /// Moves to the next element of a list.
    pub(super) fn element(&mut self, index: usize) {
        self.size += ELEMENT_SIZE;
        if index > 0 {
            self.buf.push(b',');
        }
    }

    pub(super) fn close_list(&mut self) {
        self.depth -= 1;
        self.buf.extend_from_slice(b"]}");
    }

    /// Opens the item itself: a map without a type around it and without the overhead of one.
    pub(super) fn open_item(&mut self) -> OpenMap {
        self.depth = 1;
        self.buf.push(b'{');
        OpenMap {
            first: 0,
            seen: 0,
            suspect: false,
            per_entry: 0,
        }
    }

    pub(super) fn open_map(&mut self) -> Result<OpenMap, Fault> {
        self.descend()?;
        self.size += CONTAINER_SIZE;
        self.buf.extend_from_slice(b"{\"M\":{");
        Ok(OpenMap {
            first: self.entries.len(),
            seen: 0,
            suspect: false,
            per_entry: ELEMENT_SIZE,
        })
    }

    /// Moves to the entry of this name.
    pub(super) fn name(&mut self, map: &mut OpenMap, name: &str) -> Result<(), Fault> {
        if name.is_empty() {
            return Err(Fault::new(ItemError::EmptyName {
                path: String::new(),
            }));
        }
        if name.len() > MAX_NAME {
            let (path, size) = (String::new(), name.len());
            return Err(Fault::new(ItemError::NameTooLong {
                path,
                size,
                limit: MAX_NAME,
            }));
        }
        if self.entries.len() > map.first {
            self.buf.push(b',');
        }
        let hash = hash_of(name);
        self.note(map, hash);
        let start = self.buf.len();
        self.buf.push(b'"');
        escape::push(&mut self.buf, name);
        self.buf.extend_from_slice(b"\":");
        self.entries.push(Entry {
            hash,
            start,
            value: self.buf.len(),
            size: self.size,
            watched: None,
        });
        self.size += name.len() + map.per_entry;
        Ok(())
    }

    /// Notes the watched attribute that the entry just begun is.
    pub(super) fn watch(&mut self, position: usize) {
        if let Some(entry) = self.entries.last_mut() {
            entry.watched = Some(position);
        }
    }

    /// Removes an entry whose value never came.
    pub(super) fn drop_entry(&mut self, map: &OpenMap) {
        if let Some(entry) = self.entries.pop() {
            let comma = usize::from(self.entries.len() > map.first);
            self.buf.truncate(entry.start - comma);
            self.size = entry.size;
        }
    }

    pub(super) fn close_map(&mut self, map: OpenMap) {
        self.keep_last_of_each_name(&map);
        self.entries.truncate(map.first);
        self.depth -= 1;
        self.buf.extend_from_slice(b"}}");
    }

    /// Closes the item, its entries kept for the checks that follow.
    pub(super) fn close_item(&mut self, map: OpenMap) {
        self.keep_last_of_each_name(&map);
        self.depth -= 1;
        self.buf.push(b'}');
    }

    /// Returns the last entry's name as messages show it.
    pub(super) fn last_name(&self) -> String {
        self.entries
            .last()
            .map_or_else(String::new, |entry| self.name_of(entry))
    }

    /// Returns an entry's name as messages show it.
    pub(super) fn name_of(&self, entry: &Entry) -> String {
        // Between the quotes, before the colon.
        let inside = self
            .buf
            .get(entry.start + 1..entry.value - 2)
            .unwrap_or_default();
        shown(&escape::unescape(inside).unwrap_or_default())
    }

    pub(super) fn open_set(&mut self, kind: SetKind) {
        self.members.clear();
        self.buf.extend_from_slice(kind.opening());
    }
}
