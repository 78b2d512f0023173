//! The present readers of a shard.

use std::time::Duration;

use super::Streams;
use super::iterator::Token;

/// A `GetRecords` under way.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    arn: String,
    shard: String,
}

impl Streams {
    /// Notes that a `GetRecords` with this iterator arrived. Returns the reading to end with
    /// [`has_read`](Self::has_read), and the time that it is to take.
    pub(crate) fn reading(&mut self, iterator: &str) -> Option<(Reading, Duration)> {
        let Token { arn, shard, .. } = Token::read(iterator)?;
        let found = self.all.get_mut(&arn)?.shards.get_mut(&shard)?;
        let slow = found.slow;
        let readers = &mut found.use_;
        readers.calls += 1;
        readers.readers += 1;
        readers.max_readers = readers.max_readers.max(readers.readers);
        Some((Reading { arn, shard }, slow))
    }

    /// It was answered or given up.
    pub(crate) fn has_read(&mut self, reading: &Reading) {
        let stream = self.all.get_mut(&reading.arn);
        if let Some(shard) = stream.and_then(|stream| stream.shards.get_mut(&reading.shard)) {
            shard.use_.readers = shard.use_.readers.saturating_sub(1);
        }
    }
}
