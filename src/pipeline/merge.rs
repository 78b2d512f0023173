//! Two sources as one.

use std::collections::HashSet;
use std::fmt;
use std::future::pending;
use std::sync::Arc;

use super::endpoint_error::EndpointError;
use super::lag::LagProbe;
use super::source::{NextEvent, Source, SourceEvent};
use crate::error::ErrorKind;

/// Two sources of the same items as one, by [`Source::merge`].
pub struct Merge<A, B> {
    first: Side<A>,
    second: Side<B>,
    /// An error that was found while the pipeline had no room for events.
    failed: Option<EndpointError>,
}

/// A source, and its part in the merge.
struct Side<S> {
    source: S,
    has_ended: bool,
    /// Its partitions that were announced by `Opened`.
    open: HashSet<Arc<str>>,
}

impl<S: Source> Side<S> {
    fn new(source: S) -> Self {
        Self {
            source,
            has_ended: false,
            open: HashSet::new(),
        }
    }

    /// Waits for its next event; never resolves after its end.
    async fn next_event(&mut self) -> NextEvent<S::Item> {
        match self.has_ended {
            true => pending().await,
            false => self.source.next_event().await,
        }
    }

    /// Waits for news of its partitions; never resolves after its end, when it must not be asked.
    async fn next_closing(&mut self) -> SourceEvent<S::Item> {
        match self.has_ended {
            true => pending().await,
            false => self.source.next_closing().await,
        }
    }

    /// Notes an event of this source. `other` are the partitions that the other source has open. Returns `None` for an event
    /// that must not go on.
    fn note(
        &mut self,
        event: SourceEvent<S::Item>,
        other: &HashSet<Arc<str>>,
    ) -> Result<Option<SourceEvent<S::Item>>, EndpointError> {
        match &event {
            SourceEvent::Opened(name) => {
                if other.contains(name) {
                    let text = format!(
                        "both of two merged sources have a partition {name:?}: read it with one of them"
                    );
                    return Err(EndpointError::new(text).with_kind(ErrorKind::Config));
                }
                self.open.insert(Arc::clone(name));
            }
            SourceEvent::Closing(name, _) => {
                self.open.remove(name);
            }
            // It closed before, and the other source has it now.
            SourceEvent::Lost(name) if !self.open.remove(name) && other.contains(name) => {
                return Ok(None);
            }
            _ => {}
        }
        Ok(Some(event))
    }
}

impl<A: Source, B: Source<Item = A::Item>> Merge<A, B> {
    pub(super) fn new(first: A, second: B) -> Self {
        Self {
            first: Side::new(first),
            second: Side::new(second),
            failed: None,
        }
    }
}

#[diagnostic::do_not_recommend]
impl<A: Source, B: Source<Item = A::Item>> Source for Merge<A, B> {
    type Item = A::Item;

    async fn next_event(&mut self) -> NextEvent<A::Item> {
        loop {
            if let Some(error) = self.failed.take() {
                return Some(Err(error));
            }
            if self.first.has_ended && self.second.has_ended {
                return None;
            }
            // In no fixed order, so that one source can't starve the other.
            let noted = tokio::select! {
                next = self.first.next_event() => match next {
                    None => {
                        self.first.has_ended = true;
                        continue;
                    }
                    Some(next) => next.and_then(|event| self.first.note(event, &self.second.open)),
                },
                next = self.second.next_event() => match next {
                    None => {
                        self.second.has_ended = true;
                        continue;
                    }
                    Some(next) => next.and_then(|event| self.second.note(event, &self.first.open)),
                },
            };
            if let Some(event) = noted.transpose() {
                return Some(event);
            }
        }
    }

    async fn next_closing(&mut self) -> SourceEvent<A::Item> {
        loop {
            let noted = tokio::select! {
                event = self.first.next_closing() => self.first.note(event, &self.second.open),
                event = self.second.next_closing() => self.second.note(event, &self.first.open),
            };
            match noted {
                Ok(Some(event)) => return event,
                Ok(None) => {}
                Err(error) => {
                    self.failed.get_or_insert(error);
                }
            }
        }
    }

    fn lag(&self) -> Option<LagProbe> {
        match (self.first.source.lag(), self.second.source.lag()) {
            (Some(first), Some(second)) => Some(first.and(second)),
            (first, second) => first.or(second),
        }
    }

    fn stop(&mut self) {
        self.first.source.stop();
        self.second.source.stop();
    }

    async fn close(self) -> Result<(), EndpointError> {
        // Also where one fails: each stores the positions of its own.
        let (first, second) = tokio::join!(self.first.source.close(), self.second.source.close());
        if let (Err(_), Err(also)) = (&first, &second) {
            tracing::warn!(error = %also, "the second of two merged sources did not close either");
        }
        first.and(second)
    }
}

impl<A, B> fmt::Debug for Merge<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merge").finish_non_exhaustive()
    }
}
