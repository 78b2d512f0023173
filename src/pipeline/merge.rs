//! Two sources as one.

use std::collections::HashSet;
use std::fmt;
use std::future::pending;
use std::sync::Arc;

use super::endpoint_error::EndpointError;
use super::lag::LagProbe;
use super::source::{NextEvent, Source, SourceEvent};

/// Two sources of the same items as one, by [`Source::merge`].
pub struct Merge<A, B> {
    first: Side<A>,
    second: Side<B>,
    /// An error that was found while only news of partitions were asked for, which have none.
    error: Option<EndpointError>,
}

/// A source, and its part in the merge.
struct Side<S> {
    source: S,
    has_ended: bool,
    /// Its partitions that are open. Only those that it has opened itself: others stay, and are not given up.
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

    /// Waits for its next event; for ever after its end.
    async fn next_event(&mut self) -> NextEvent<S::Item> {
        match self.has_ended {
            true => pending().await,
            false => self.source.next_event().await,
        }
    }

    /// Waits for news of its partitions; for ever after its end, when it must not be asked.
    async fn next_closing(&mut self) -> SourceEvent<S::Item> {
        match self.has_ended {
            true => pending().await,
            false => self.source.next_closing().await,
        }
    }

    /// Notes an event of this source. `other` are the partitions that the other source has open.
    fn note(
        &mut self,
        event: SourceEvent<S::Item>,
        other: &HashSet<Arc<str>>,
    ) -> Result<SourceEvent<S::Item>, EndpointError> {
        match &event {
            SourceEvent::Opened(name) => {
                if other.contains(name) {
                    return Err(EndpointError::new(format!(
                        "both of two merged sources have a partition {name:?}: read it with one of them"
                    )));
                }
                self.open.insert(Arc::clone(name));
            }
            SourceEvent::Closing(name, _) | SourceEvent::Lost(name) => {
                self.open.remove(name);
            }
            _ => {}
        }
        Ok(event)
    }
}

impl<A: Source, B: Source<Item = A::Item>> Merge<A, B> {
    pub(super) fn new(first: A, second: B) -> Self {
        Self {
            first: Side::new(first),
            second: Side::new(second),
            error: None,
        }
    }
}

impl<A: Source, B: Source<Item = A::Item>> Source for Merge<A, B> {
    type Item = A::Item;

    async fn next_event(&mut self) -> NextEvent<A::Item> {
        if let Some(error) = self.error.take() {
            return Some(Err(error));
        }
        loop {
            if self.first.has_ended && self.second.has_ended {
                return None;
            }
            // In no fixed order: neither must keep the other from its turn.
            tokio::select! {
                next = self.first.next_event() => match next {
                    None => self.first.has_ended = true,
                    Some(next) => {
                        return Some(next.and_then(|event| self.first.note(event, &self.second.open)));
                    }
                },
                next = self.second.next_event() => match next {
                    None => self.second.has_ended = true,
                    Some(next) => {
                        return Some(next.and_then(|event| self.second.note(event, &self.first.open)));
                    }
                },
            }
        }
    }

    async fn next_closing(&mut self) -> SourceEvent<A::Item> {
        let event = tokio::select! {
            event = self.first.next_closing() => self.first.note(event, &self.second.open),
            event = self.second.next_closing() => self.second.note(event, &self.first.open),
        };
        match event {
            Ok(event) => event,
            Err(error) => {
                self.error = Some(error);
                pending().await
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
        first.and(second)
    }
}

impl<A, B> fmt::Debug for Merge<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merge").finish_non_exhaustive()
    }
}
