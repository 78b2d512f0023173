//! SIGTERM and ctrl-C.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::io;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::Notify;

use super::error::PipelineError;
use super::stats::PipelineReport;

/// Both from now on, as one.
pub(super) struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next of either.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Waits for the next ctrl-C; for ever where it can't be listened for.
    pub(super) async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            pending::<()>().await;
        }
    }
}

/// Runs `run` with the first and the second signal that end the process.
pub(super) async fn until_signal<R>(
    run: impl FnOnce(Signaled, Signaled) -> R,
) -> Result<PipelineReport, PipelineError>
where
    R: Future<Output = Result<PipelineReport, PipelineError>>,
{
    let mut signals = Signals::listen().map_err(PipelineError::Signal)?;
    let (first, second) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let running = run(signaled(&first), signaled(&second));
    let watch = async {
        signals.next().await;
        tracing::info!("stopping: what is in flight is finished; a second signal gives it up");
        first.notify_one();
        signals.next().await;
        second.notify_one();
        pending::<Infallible>().await
    };
    tokio::select! {
        ended = running => ended,
        never = watch => match never {},
    }
}

/// Resolves once a signal has come.
type Signaled = BoxFuture<'static, ()>;

fn signaled(signal: &Arc<Notify>) -> Signaled {
    let signal = Arc::clone(signal);
    Box::pin(async move { signal.notified().await })
}
