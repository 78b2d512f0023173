//! Starting a table's worker once its keys are known.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use super::admission::{Admission, Bounds};
use super::config::TableSettings;
use super::core::{BufferPool, Core, Rules};
use super::dead_letter::DeadLetterHandler;
use super::describing::{self, SharedShape};
use super::payload::TOKEN_LIFETIME;
use super::shared::Shared;
use super::shared_limit::SharedLimit;
use super::stats::{Meter, Published};
use super::table::TableSink;
use super::worker::{Account, Permits, Worker};
use crate::admission::Limits;
use crate::capacity::{Budgets, CapacityConfig, ConcurrencyLimit, TableCapacity};
use crate::clock::Clock;
use crate::health::Reporter;
use crate::item::TableShape;
use crate::random::entropy;
use crate::retry::{Backoff, RetryBudget};
use crate::transport::Transport;

/// The parts that all tables of a sink have in common.
pub(super) struct Common {
    pub(super) requests: Arc<SharedLimit>,
    /// The descriptions that may be under way, beside the requests that write.
    pub(super) descriptions: Arc<Semaphore>,
    pub(super) bytes: Arc<SharedLimit>,
    pub(super) account: Account,
    pub(super) buffers: BufferPool,
    pub(super) dead_letters: Option<DeadLetterHandler>,
}

/// A table that is ready to be started.
pub(super) struct Opening {
    pub(super) name: String,
    pub(super) settings: TableSettings,
    pub(super) transport: Transport,
    pub(super) shape: TableShape,
    /// The capacity in its description, if it was described.
    pub(super) capacity: Option<TableCapacity>,
    pub(super) backoff: Backoff,
    pub(super) rng: fastrand::Rng,
    /// The time of day that is taken as that of its opening; `None` for the real one.
    pub(super) opened: Option<Duration>,
}

impl Opening {
    /// Starts the table's worker on the current runtime.
    pub(super) fn start(self, common: &Common) -> TableSink {
        let Self {
            name,
            settings,
            transport,
            shape,
            capacity,
            backoff,
            mut rng,
            opened,
        } = self;
        let name: Arc<str> = name.into();
        let records = settings.get_buffer_records();
        let bounds = Bounds {
            buffer: Limits {
                records,
                bytes: settings.get_buffer_bytes(),
            },
            share: settings.key_share_records(),
        };
        let wake = Arc::new(Notify::new());
        let requests = Permits::new(
            common.requests.join(&wake),
            Arc::clone(&common.descriptions),
        );
        let admission = Arc::new(Admission::new(bounds, wake, &common.bytes));
        let dead_letters = common.dead_letters.clone();
        let rules = Rules {
            max_batch_items: settings.get_max_batch_items(),
            max_batch_bytes: settings.get_max_batch_bytes(),
            linger: settings.get_linger(),
            coalesce: settings.get_coalesce(),
            consumed_capacity: settings.get_consumed_capacity(),
            max_attempts: settings.get_retry().get_max_attempts(),
            // Sent before that, a request has reached the service before the token lapses.
            token_lifetime: TOKEN_LIFETIME.saturating_sub(settings.get_request_timeout()),
            dead_letters: dead_letters.is_some(),
        };
        let runtime = tokio::runtime::Handle::current();
        let clock = Clock::start();
        let config = CapacityConfig {
            rate: settings.get_rate(),
            burst: settings.get_burst(),
            share: settings.get_share(),
            refresh: settings.get_refresh(),
            opened: opened.unwrap_or_else(|| clock.opened()),
        };
        let kinds = describing::index_kinds(&shape);
        let shape = SharedShape::new(shape);
        let mut core = Core::new(
            &name,
            rules,
            ConcurrencyLimit::new(settings.get_concurrency()),
            Budgets::new(clock.now(), config, capacity, kinds),
            backoff,
            RetryBudget::new(settings.get_retry().get_budget()),
            rng.fork(),
        );
        core.share_buffers(&common.buffers);
        let stats = Arc::new(Mutex::new(Published::default()));
        let shared = Shared {
            name: Arc::clone(&name),
            shape: shape.clone(),
            admission: Arc::clone(&admission),
            deadline: settings.get_deadline(),
            max_requests: common.requests.limit(),
            stats: Arc::clone(&stats),
            token_prefix: entropy(),
            tokens: AtomicU64::new(0),
            dead_letters: dead_letters.clone(),
            runtime: runtime.clone(),
        };
        let meter = Meter::new(&name);
        let delay = settings.get_retry().get_max_backoff();
        let longest_gap = settings.get_request_timeout().saturating_add(delay);
        let reporter = Reporter::new(&name, longest_gap);
        let worker = Worker {
            table: name,
            shape,
            core,
            admission,
            requests,
            transport,
            clock,
            dead_letters,
            reporter,
            meter,
            stats,
            account: common.account.of_other_table(),
        };
        runtime.spawn(worker.run());
        TableSink::from_shared(Arc::new(shared))
    }
}
