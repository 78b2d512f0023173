//! A client with its two threads: one for calls, which block, and one for reports.
//!
//! Reports must be served during a commit and an abort, which wait for them, so the thread of the calls cannot. A call that
//! never returns is left to its thread: the client lives until it does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use tokio::sync::oneshot;

use super::super::error::KafkaError;
use super::client::{Client, Reports};

/// The longest single poll for reports, and so the longest that the end of a client waits for its thread.
const POLL: Duration = Duration::from_millis(100);

type Job = Box<dyn FnOnce(&Client) + Send>;

/// A client and its threads. Dropped, it is freed by them, which holds the caller up for no time and aborts nothing.
pub(super) struct Generation {
    client: Option<Arc<Client>>,
    jobs: mpsc::Sender<Job>,
}

impl Generation {
    /// Makes a client and starts its threads.
    pub(super) fn start(config: &ClientConfig) -> Result<Self, KafkaError> {
        let client = Arc::new(Client::new(config)?);
        let (jobs, inbox) = mpsc::channel::<Job>();
        let ended = Arc::new(AtomicBool::new(false));
        let (polled, end) = (client.clone(), ended.clone());
        let reports = thread::Builder::new().name("kafka-reports".to_owned());
        let reports = reports.spawn(move || {
            while !end.load(Ordering::Acquire) {
                polled.poll(POLL);
                polled.reports().connection.advance();
            }
        });
        let reports = reports.map_err(|error| KafkaError::no_thread(&error))?;
        let (called, end) = (client.clone(), ended.clone());
        let calls = thread::Builder::new().name("kafka-transactions".to_owned());
        let calls = calls.spawn(move || {
            inbox.into_iter().for_each(|job| job(&called));
            end.store(true, Ordering::Release);
            let _ = reports.join();
        });
        if let Err(error) = calls {
            ended.store(true, Ordering::Release);
            return Err(KafkaError::no_thread(&error));
        }
        Ok(Self {
            client: Some(client),
            jobs,
        })
    }

    pub(super) fn client(&self) -> &Arc<Client> {
        self.client.as_ref().expect("only a drop takes it")
    }

    pub(super) fn reports(&self) -> &Reports {
        self.client().reports()
    }

    /// Makes a call on its thread. Returns `None` where it is not answered within the time.
    ///
    /// # Cancel safety
    /// Dropped, the call is made nevertheless.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        longest: Duration,
        call: impl FnOnce(&Client) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |client| {
            // Its caller may have gone.
            let _ = answer.send(call(client));
        });
        self.jobs.send(job).ok()?;
        tokio::time::timeout(longest, answered).await.ok()?.ok()
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            // To be freed there.
            let _ = self.jobs.send(Box::new(move |_| drop(client)));
        }
    }
}
