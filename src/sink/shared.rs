//! The state that the clones of a table's handle share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::admission::Admission;
use super::dead_letter::DeadLetterHandler;
use super::describing::SharedShape;
use super::message::Message;
use super::prepared::token;
use super::stats::Published;

/// A table as its handles see it. The last of them that is dropped lets the worker end.
pub(super) struct Shared {
    pub(super) name: Arc<str>,
    pub(super) shape: SharedShape,
    pub(super) admission: Arc<Admission<Message>>,
    pub(super) deadline: Option<Duration>,
    /// The most requests that all tables of the sink may have in flight.
    pub(super) max_requests: usize,
    pub(super) stats: Arc<Mutex<Published>>,
    pub(super) token_prefix: u64,
    pub(super) tokens: AtomicU64,
    pub(super) dead_letters: Option<DeadLetterHandler>,
    pub(super) runtime: tokio::runtime::Handle,
}

impl Shared {
    /// Returns the token of the next transaction.
    pub(super) fn token(&self) -> Arc<str> {
        token(
            self.token_prefix,
            self.tokens.fetch_add(1, Ordering::Relaxed),
        )
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.admission.orphan();
    }
}
