//! The look-ups of topics on their first use: one at a time for each topic, shared by all that wait for
//! it. A topic without a leader holds back no other.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::error::KafkaError;
use parking_lot::Mutex;

/// For how long a failure answers those who ask again: a caller that tries in a loop does not have the
/// brokers asked each time.
const FAILURE_TTL: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct LookUps(Mutex<HashMap<Arc<str>, Arc<LookUp>>>);

#[derive(Default)]
struct LookUp {
    /// Locked by the one that asks. Holds the last failure, with its time.
    failure: tokio::sync::Mutex<Option<(Duration, KafkaError)>>,
    in_background: AtomicBool,
}

/// The right to look a topic up in the background, until it is dropped.
pub(super) struct Claim(Arc<LookUp>);

impl LookUps {
    /// Returns what is `known`, or what `search` finds; its failure is that of all who waited for it.
    ///
    /// # Cancel safety
    /// Dropped, the next that waits asks in its place.
    pub(super) async fn share<T>(
        &self,
        topic: &Arc<str>,
        now: impl Fn() -> Duration,
        cached: impl Fn() -> Option<T>,
        search: impl Future<Output = Result<T, KafkaError>>,
    ) -> Result<T, KafkaError> {
        let look_up = self.of(topic, now());
        let mut failure = look_up.failure.lock().await;
        if let Some(cached) = cached() {
            return Ok(cached);
        }
        if let Some((at, error)) = &*failure
            && is_remembered(*at, now())
        {
            return Err(error.clone());
        }
        let found = search.await;
        *failure = found.as_ref().err().map(|error| (now(), error.clone()));
        found
    }

    /// Returns the right to look a topic up in the background; `None` while another has it.
    pub(super) fn claim(&self, topic: &Arc<str>, now: Duration) -> Option<Claim> {
        let look_up = self.of(topic, now);
        let claimed = look_up.in_background.swap(true, Ordering::AcqRel);
        (!claimed).then_some(Claim(look_up))
    }

    /// Returns a topic's, and forgets those that are not needed any more.
    fn of(&self, topic: &Arc<str>, now: Duration) -> Arc<LookUp> {
        let mut all = self.0.lock();
        all.retain(|_, look_up| Arc::strong_count(look_up) > 1 || look_up.has_failed_by(now));
        all.entry(topic.clone()).or_default().clone()
    }
}

impl LookUp {
    fn has_failed_by(&self, now: Duration) -> bool {
        let failure = self.failure.try_lock();
        failure.is_ok_and(|failure| matches!(*failure, Some((at, _)) if is_remembered(at, now)))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.in_background.store(false, Ordering::Release);
    }
}

fn is_remembered(at: Duration, now: Duration) -> bool {
    now.saturating_sub(at) < FAILURE_TTL
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures::{FutureExt as _, future, poll};

    use super::*;

    #[tokio::test]
    async fn all_that_wait_for_a_topic_share_one_look_up_and_other_topics_do_not_wait() {
        let (look_ups, now, asked) = (LookUps::default(), Cell::new(0), Cell::new(0));
        let share = |topic: &str, answer: future::BoxFuture<'static, Result<u8, KafkaError>>| {
            let topic: Arc<str> = topic.into();
            let (look_ups, now, asked) = (&look_ups, &now, &asked);
            async move {
                let search = async {
                    asked.set(asked.get() + 1);
                    answer.await
                };
                let now = || Duration::from_millis(now.get());
                look_ups.share(&topic, now, || None, search).await
            }
        };
        let failed = || future::ready(Err(KafkaError::Closed)).boxed();
        let (answer, answered) = tokio::sync::oneshot::channel();
        let slow = answered.map(|answer| answer.expect("sent")).boxed();
        let mut first = std::pin::pin!(share("a", slow));
        let mut second = std::pin::pin!(share("a", failed()));
        assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
        assert!(share("b", future::ready(Ok(1)).boxed()).await.is_ok());
        assert_eq!(asked.get(), 2, "a, and b");
        answer.send(Err(KafkaError::Closed)).expect("waited for");
        assert!(first.await.is_err() && second.await.is_err());
        now.set(999);
        assert!(share("a", failed()).await.is_err());
        assert_eq!(asked.get(), 2, "remembered");
        now.set(1_000);
        assert!(share("a", future::ready(Ok(1)).boxed()).await.is_ok());
        assert_eq!(asked.get(), 3);
    }

    #[test]
    fn a_topic_is_looked_up_in_the_background_once_at_a_time() {
        let look_ups = LookUps::default();
        let claim = |topic: &str| look_ups.claim(&topic.into(), Duration::ZERO);
        let first = claim("a");
        assert!(first.is_some() && claim("a").is_none() && claim("b").is_some());
        drop(first);
        assert!(claim("a").is_some());
    }
}
