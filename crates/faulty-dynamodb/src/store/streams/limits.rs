//! Limits on the requests that streams take.

use std::collections::VecDeque;
use std::time::Duration;

use crate::item::error::Refusal;

/// The limits in force; none until a test sets them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    /// `DescribeStream` a second, of all streams together.
    pub(crate) describes: Option<usize>,
    /// Set where each shard takes 2 readers at a time and 5 reads a second.
    pub(crate) readers: bool,
    /// The latest listings that were let through, at most as many as a second takes.
    recent: VecDeque<Duration>,
}

impl Limits {
    /// Lets a `DescribeStream` through, or not.
    pub(crate) fn describe(&mut self, now: Duration) -> Result<(), Refusal> {
        let Some(max) = self.describes else {
            return Ok(());
        };
        while let Some(at) = self.recent.front()
            && *at + Duration::from_secs(1) <= now
        {
            self.recent.pop_front();
        }
        if self.recent.len() >= max {
            let message = "Rate of requests exceeds the allowed throughput.";
            return Err(Refusal::new(400, "ThrottlingException", message));
        }
        self.recent.push_back(now);
        Ok(())
    }
}
