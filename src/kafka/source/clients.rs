//! The two clients of a source, and librdkafka's callbacks.
//!
//! One is the group's member and fetches nothing; the other reads and never joins. librdkafka keeps
//! *all* partitions of a client still while the answer to a revocation is due. With two clients the
//! answer can wait until the work on the partitions that go is finished, and those that stay flow.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use parking_lot::Mutex;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError as ClientError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, ClientContext, TopicPartitionList};

use super::super::error::{KafkaError, is_fatal};
use super::super::producer::log;
use super::super::settings::not_taken;
use super::message::Key;
use super::shared::Shared;

/// The group's member.
pub(super) type Member = BaseConsumer<MemberContext>;
/// The reader.
pub(super) type Reader = BaseConsumer<ReaderContext>;

/// Both clients. Dropped, the member leaves the group, which blocks.
pub(super) struct Clients {
    pub(super) member: Arc<Member>,
    pub(super) reader: Arc<Reader>,
}

/// An event of the group.
pub(super) enum GroupEvent {
    Assigned(Vec<Key>),
    /// These partitions are to go, once that is answered.
    Revoked(Vec<Key>),
    /// These are gone.
    Lost(Vec<Key>),
}

pub(super) struct MemberContext {
    shared: Arc<Shared>,
    events: Mutex<VecDeque<GroupEvent>>,
    /// Revocations are answered at once: the member is leaving.
    leaving: AtomicBool,
    /// A revocation is not answered yet.
    owes_answer: AtomicBool,
    /// Losses that are not followed yet.
    losses: AtomicUsize,
}

pub(super) struct ReaderContext(Arc<Shared>);

impl Clients {
    pub(super) fn create(
        member: &ClientConfig,
        reader: &ClientConfig,
        shared: &Arc<Shared>,
    ) -> Result<Self, KafkaError> {
        let context = MemberContext {
            shared: Arc::clone(shared),
            events: Mutex::default(),
            leaving: AtomicBool::new(false),
            owes_answer: AtomicBool::new(false),
            losses: AtomicUsize::new(0),
        };
        let mut member = Member::from_config_and_context(member, context).map_err(not_taken)?;
        let wake = Arc::clone(&shared.wake);
        member.set_nonempty_callback(move || wake.notify_one());
        let context = ReaderContext(Arc::clone(shared));
        let mut reader = Reader::from_config_and_context(reader, context).map_err(not_taken)?;
        let wake = Arc::clone(&shared.wake);
        reader.set_nonempty_callback(move || wake.notify_one());
        Ok(Self {
            member: Arc::new(member),
            reader: Arc::new(reader),
        })
    }

    /// Takes what the group said since this was last asked.
    pub(super) fn events(&self) -> VecDeque<GroupEvent> {
        let events = &self.member.context().events;
        std::mem::take(&mut *events.lock())
    }

    /// Notes that a loss was followed: nothing of what was lost counts as this member's any more.
    pub(super) fn has_followed_loss(&self) {
        self.member.context().losses.fetch_sub(1, SeqCst);
    }

    /// Returns whether partitions were lost that may still count as this member's.
    pub(super) fn has_losses(&self) -> bool {
        self.member.context().losses.load(SeqCst) > 0
    }

    /// Answers a revocation: the partitions are another member's from now on.
    pub(super) fn release(&self) {
        let owed = self.member.context().owes_answer.swap(false, SeqCst);
        if owed && let Err(error) = revoke(&self.member) {
            tracing::warn!(%error, "kafka consumer: a revocation is not answered");
        }
    }

    /// Returns whether the member is about to leave.
    pub(super) fn is_leaving(&self) -> bool {
        self.member.context().leaving.load(SeqCst)
    }

    /// Has revocations answered at once from now on: dropped with one unanswered, the client would
    /// wait for the answer for good.
    pub(super) fn leave(&self) {
        self.member.context().leaving.store(true, SeqCst);
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        // However the source's thread ends.
        self.leave();
        self.release();
    }
}

/// Answers an assignment. The member is given nothing to fetch.
fn assign<C: ConsumerContext>(member: &BaseConsumer<C>) -> KafkaResult<()> {
    let none = TopicPartitionList::new();
    match member.rebalance_protocol() {
        RebalanceProtocol::Eager => member.assign(&none),
        RebalanceProtocol::Cooperative | RebalanceProtocol::None => {
            member.incremental_assign(&none)
        }
    }
}

/// Answers a revocation.
fn revoke<C: ConsumerContext>(member: &BaseConsumer<C>) -> KafkaResult<()> {
    match member.rebalance_protocol() {
        RebalanceProtocol::Eager => member.unassign(),
        RebalanceProtocol::Cooperative | RebalanceProtocol::None => {
            member.incremental_unassign(&TopicPartitionList::new())
        }
    }
}

pub(super) fn keys(list: &TopicPartitionList) -> Vec<Key> {
    let elements = list.elements();
    let keys = elements
        .iter()
        .map(|element| (Arc::from(element.topic()), element.partition()));
    keys.collect()
}

impl MemberContext {
    fn push(&self, event: GroupEvent) {
        let mut events = self.events.lock();
        events.push_back(event);
        drop(events);
        self.shared.wake.notify_one();
    }
}

fn failed(shared: &Shared, error: &ClientError, reason: &str) {
    use RDKafkaErrorCode as Code;
    // Answers of a partition's queue, which the reading of the partition acts upon.
    if matches!(
        error.rdkafka_error_code(),
        Some(Code::PartitionEOF | Code::AutoOffsetReset | Code::OffsetOutOfRange)
    ) {
        return;
    }
    shared.meter.errors.add(1);
    match error.rdkafka_error_code() {
        Some(Code::GroupAuthorizationFailed) => shared.fail(&shared.group_refused()),
        Some(code) if is_fatal(code) => shared.fail(&KafkaError::fatal(code, reason)),
        code => shared.connection.failed(code, reason),
    }
}

impl ClientContext for MemberContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        failed(&self.shared, &error, reason);
    }
}

impl ConsumerContext for MemberContext {
    fn rebalance(
        &self,
        member: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            if let Err(error) = assign(member) {
                tracing::warn!(%error, "kafka consumer: an assignment is not answered");
            }
            return self.push(GroupEvent::Assigned(keys(list)));
        }
        // Asked before the answer, which clears it.
        let is_lost = member.assignment_lost();
        if !is_lost && !self.leaving.load(SeqCst) {
            self.owes_answer.store(true, SeqCst);
            return self.push(GroupEvent::Revoked(keys(list)));
        }
        self.owes_answer.store(false, SeqCst);
        // Before the answer, after which this may be a member again, of a generation that knows nothing of it.
        self.losses.fetch_add(1, SeqCst);
        self.push(GroupEvent::Lost(keys(list)));
        if let Err(error) = revoke(member) {
            tracing::warn!(%error, "kafka consumer: a revocation is not answered");
        }
    }
}

impl ClientContext for ReaderContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        failed(&self.0, &error, reason);
    }
}

impl ConsumerContext for ReaderContext {}
