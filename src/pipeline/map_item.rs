//! A source that converts its items.

use std::fmt;

use super::endpoint_error::EndpointError;
use super::lag::LagProbe;
use super::source::{NextEvent, Source, SourceEvent, SourceRecord};

/// A source that converts its items, by [`Source::map_item`].
pub struct MapItem<S, F> {
    pub(super) source: S,
    f: F,
}

impl<S, F> MapItem<S, F> {
    pub(super) fn new(source: S, f: F) -> Self {
        Self { source, f }
    }
}

#[diagnostic::do_not_recommend]
impl<S, U, F> Source for MapItem<S, F>
where
    S: Source,
    U: Send + 'static,
    F: FnMut(S::Item) -> U + Send + 'static,
{
    type Item = U;

    async fn next_event(&mut self) -> NextEvent<U> {
        let event = self.source.next_event().await?;
        Some(event.map(|event| map_event(event, &mut self.f)))
    }

    async fn next_closing(&mut self) -> SourceEvent<U> {
        let event = self.source.next_closing().await;
        map_event(event, &mut self.f)
    }

    fn lag(&self) -> Option<LagProbe> {
        self.source.lag()
    }

    fn stop(&mut self) {
        self.source.stop();
    }

    async fn close(self) -> Result<(), EndpointError> {
        self.source.close().await
    }
}

fn map_event<T, U>(event: SourceEvent<T>, f: &mut impl FnMut(T) -> U) -> SourceEvent<U> {
    match event {
        SourceEvent::Records(records) => {
            let mapped = records.into_iter().map(|record| SourceRecord {
                value: f(record.value),
                position: record.position,
                ack: record.ack,
                bytes: record.bytes,
            });
            SourceEvent::Records(mapped.collect())
        }
        SourceEvent::Opened(name) => SourceEvent::Opened(name),
        SourceEvent::Advanced(position) => SourceEvent::Advanced(position),
        SourceEvent::Closing(name, guard) => SourceEvent::Closing(name, guard),
        SourceEvent::Lost(name) => SourceEvent::Lost(name),
        SourceEvent::Idle(name) => SourceEvent::Idle(name),
    }
}

impl<S, F> fmt::Debug for MapItem<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapItem").finish_non_exhaustive()
    }
}
