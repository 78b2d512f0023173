//! Bodies of batches that are done, kept for the next ones.
//!
//! A body is the largest allocation on the way. Given back to the allocator, one after each answer, it is joined
//! and split anew for each request, and the heap's end moves up and down with it.

use bytes::Bytes;

/// How many bodies are kept: enough for the default concurrency.
const MOST: usize = 32;

/// The largest body that is kept. All that wait here are 4 MiB at most.
///
/// One that is used again is at most [`SLACK`] times as large as what it carries, so that the room a batch takes is near
/// what its writes were charged for.
const LARGEST: usize = 128 * 1024;

/// See [`LARGEST`].
const SLACK: usize = 2;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Spares(Vec<Vec<u8>>);

impl Spares {
    /// An empty buffer with room for `len` bytes.
    pub(super) fn take(&mut self, len: usize) -> Vec<u8> {
        match self.0.pop() {
            Some(mut body) if body.capacity() <= len.saturating_mul(SLACK) => {
                body.reserve_exact(len);
                body
            }
            _ => Vec::with_capacity(len),
        }
    }

    /// Keeps a body if nobody else holds it any more.
    pub(super) fn keep(&mut self, body: Bytes) {
        if body.len() <= LARGEST
            && self.0.len() < MOST
            && let Ok(mut body) = body.try_into_mut()
            && body.capacity() <= LARGEST
        {
            body.clear();
            self.0.push(Vec::from(body));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_nobody_holds_is_used_again() {
        let mut spares = Spares::default();
        let body = Bytes::from(vec![1; 1_000]);
        let place = body.as_ptr();
        spares.keep(body);
        let again = spares.take(900);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        assert!(spares.take(10).capacity() >= 10, "there is no other");
        spares.keep(Bytes::from(vec![1; 1_000]));
        assert!(spares.take(100).capacity() < 1_000, "far too large for it");
    }

    #[test]
    fn what_others_hold_or_is_large_is_let_go() {
        let mut spares = Spares::default();
        let held = Bytes::from(vec![1; 1_000]);
        let slice = held.slice(3..5);
        spares.keep(held);
        spares.keep(Bytes::from(vec![1; LARGEST + 1]));
        assert!(spares.0.is_empty());
        assert_eq!(slice.len(), 2);
        for _ in 0..2 * MOST {
            spares.keep(Bytes::from(vec![1; 10]));
        }
        assert_eq!(spares.0.len(), MOST);
    }
}
