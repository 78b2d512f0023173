//! Times, in a histogram of three significant digits.

use std::iter::Sum;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::clock;

/// A number of times, kept in nanoseconds and given in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        Self(Histogram::new(3).expect("a histogram has up to five digits"))
    }
}

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).expect("no run takes centuries");
        self.0
            .record(nanoseconds)
            .expect("the histogram grows with its values");
    }

    /// Returns the time that `share` of all do not exceed; not a number where there are none.
    pub(crate) fn at(&self, share: f64) -> f64 {
        if self.0.is_empty() {
            return f64::NAN;
        }
        clock::milliseconds(Duration::from_nanos(self.0.value_at_quantile(share)))
    }

    pub(crate) fn most(&self) -> f64 {
        self.at(1.0)
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }
}

impl Extend<Duration> for Times {
    fn extend<I: IntoIterator<Item = Duration>>(&mut self, times: I) {
        times.into_iter().for_each(|time| self.add(time));
    }
}

impl FromIterator<Duration> for Times {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        let mut all = Self::default();
        all.extend(times);
        all
    }
}

impl<'a> Sum<&'a Self> for Times {
    fn sum<I: Iterator<Item = &'a Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |mut all, part| {
            all.0 += &part.0;
            all
        })
    }
}
