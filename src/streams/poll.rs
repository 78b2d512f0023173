//! The time of a shard's next read.
//!
//! A read is billed whether it returns records or not, and a shard allows five a second for all its
//! readers together. A full page means that there is more: the next read follows at once. Otherwise
//! the next read waits for the poll interval, counted from the start of the one before. On a shard
//! that has returned nothing for a while, it waits for the longer interval of an idle shard.

use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Poll {
    interval: Duration,
    idle_interval: Duration,
    idle_after: Duration,
    started: Option<Duration>,
    /// The time since which no page has had a record.
    empty_since: Option<Duration>,
    at_once: bool,
    pause: Duration,
}

impl Poll {
    pub(crate) fn new(interval: Duration, idle_interval: Duration, idle_after: Duration) -> Self {
        Self {
            interval,
            idle_interval: idle_interval.max(interval),
            idle_after,
            started: None,
            empty_since: None,
            at_once: false,
            pause: Duration::ZERO,
        }
    }

    /// Returns the time at which the next read may start.
    pub(crate) fn due(&self) -> Duration {
        let Some(started) = self.started else {
            return self.pause;
        };
        let idle = self
            .empty_since
            .is_some_and(|since| started.saturating_sub(since) >= self.idle_after);
        let interval = match (self.at_once, idle) {
            (true, _) => Duration::ZERO,
            (false, true) => self.idle_interval,
            (false, false) => self.interval,
        };
        (started + interval).max(self.pause)
    }

    /// Notes the start of a read.
    pub(crate) fn started(&mut self, now: Duration) {
        self.started = Some(now);
        self.at_once = false;
    }

    /// Notes a read that returned `records` records; `full` if the page could hold no more.
    pub(crate) fn read(&mut self, records: usize, full: bool, now: Duration) {
        self.at_once = full;
        if records > 0 {
            self.empty_since = None;
        } else if self.empty_since.is_none() {
            self.empty_since = Some(now);
        }
    }

    /// Sets the time before which no read starts, whatever else is due.
    pub(crate) fn pause_until(&mut self, time: Duration) {
        self.pause = time;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_full_page_is_followed_at_once_and_others_after_the_interval() {
        let mut poll = Poll::new(ms(200), ms(1000), ms(30_000));
        assert_eq!(poll.due(), ms(0));
        poll.started(ms(10));
        poll.read(1000, true, ms(30));
        assert_eq!(poll.due(), ms(10));
        poll.started(ms(30));
        poll.read(3, false, ms(50));
        assert_eq!(poll.due(), ms(230), "counted from the start of the read");
    }

    #[test]
    fn an_idle_shard_is_read_more_slowly_until_it_brings_something() {
        let mut poll = Poll::new(ms(200), ms(1000), ms(30_000));
        poll.started(ms(0));
        poll.read(0, false, ms(5));
        assert_eq!(poll.due(), ms(200));
        poll.started(ms(30_005));
        poll.read(0, false, ms(30_010));
        assert_eq!(poll.due(), ms(31_005));
        poll.started(ms(31_005));
        poll.read(1, false, ms(31_010));
        assert_eq!(poll.due(), ms(31_205));
        poll.pause_until(ms(40_000));
        assert_eq!(poll.due(), ms(40_000));
    }
}
