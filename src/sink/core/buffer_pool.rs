//! A pool of buffers for the bodies of batches.
//!
//! A body is the largest allocation of a write's path. Given back to the allocator after each
//! answer, its memory is joined and split anew for each request, and the end of the heap moves up
//! and down with it. All tables of a sink share one pool: a table that was busy keeps nothing.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

/// The largest number of buffers kept.
///
/// Chosen: twice the default concurrency of a table, so that each request in flight of a sink that is
/// not at its limits finds one.
const MAX_BUFFERS: usize = 64;

/// The largest buffer kept, in bytes.
///
/// Chosen: all buffers together take 8 MiB at most ([`MAX_BUFFERS`]).
const MAX_BUFFER_BYTES: usize = 128 * 1024;

/// The largest ratio of a buffer's capacity to the body that it is reused for.
///
/// Chosen: the memory of a batch then stays near the size that its writes were charged for.
const MAX_CAPACITY_RATIO: usize = 2;

/// The buffers that are free. See the module's documentation.
#[derive(Clone, Debug, Default)]
pub(crate) struct BufferPool(Arc<Mutex<Vec<Vec<u8>>>>);

impl BufferPool {
    /// Returns an empty buffer with room for `len` bytes.
    pub(super) fn take(&self, len: usize) -> Vec<u8> {
        let body = self.0.lock().pop();
        match body {
            Some(mut body) if body.capacity() <= len.saturating_mul(MAX_CAPACITY_RATIO) => {
                body.reserve_exact(len);
                body
            }
            _ => Vec::with_capacity(len),
        }
    }

    /// Keeps a body's buffer, unless it is too large or still shared.
    pub(super) fn keep(&self, body: Bytes) {
        if body.len() <= MAX_BUFFER_BYTES
            && let Ok(mut body) = body.try_into_mut()
            && body.capacity() <= MAX_BUFFER_BYTES
        {
            body.clear();
            let body = Vec::from(body);
            let mut buffers = self.0.lock();
            if buffers.len() < MAX_BUFFERS {
                buffers.push(body);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_not_shared_is_reused() {
        let pool = BufferPool::default();
        let body = Bytes::from(vec![1; 1_000]);
        let place = body.as_ptr();
        pool.keep(body);
        let reused = pool.take(900);
        assert_eq!((reused.as_ptr(), reused.len()), (place, 0));
        assert!(pool.take(10).capacity() >= 10, "there is no other");
        pool.keep(Bytes::from(vec![1; 1_000]));
        assert!(pool.take(100).capacity() < 1_000, "far too large for it");
    }

    #[test]
    fn a_shared_or_large_body_is_let_go() {
        let pool = BufferPool::default();
        let shared = Bytes::from(vec![1; 1_000]);
        let slice = shared.slice(3..5);
        pool.keep(shared);
        pool.keep(Bytes::from(vec![1; MAX_BUFFER_BYTES + 1]));
        assert!(pool.0.lock().is_empty());
        assert_eq!(slice.len(), 2);
        for _ in 0..2 * MAX_BUFFERS {
            pool.keep(Bytes::from(vec![1; 10]));
        }
        assert_eq!(pool.0.lock().len(), MAX_BUFFERS);
    }
}
