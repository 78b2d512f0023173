//! The calls of librdkafka. All unsafe code of the crate is here.
//!
//! Each native object is an [`Owned`] that frees it when it is dropped, on every path, and that borrows
//! the client it was made with, so that it cannot outlive it. What is read from an event is copied
//! before the event is freed. Nothing here is called by librdkafka, so no panic can reach it.
//!
//! rdkafka opens the client with the bindings of the same `rdkafka-sys` that this module calls: Cargo
//! links one crate for the native library `rdkafka`.

#![expect(
    unsafe_code,
    reason = "rdkafka has no safe call for a topic's id, nor for a member's generation"
)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys::bindings as sys;

use crate::describe::TopicDescription;
use crate::error::{DescribeError, TopicError};
use crate::topic_id::TopicId;

/// The part of the time-out that librdkafka does not have: it ends its request this much earlier, so
/// that its answer, which has the reason, is here by the time-out.
const ANSWER_SHARE: u32 = 10;
const MAX_ANSWER_TIME: Duration = Duration::from_millis(100);

// These codes are enums in the bindings, of the values known when those were made. Brokers send newer
// ones, and an enum of any other value is undefined behavior, so they are read as the integers that
// they are in C.
unsafe extern "C" {
    #[link_name = "rd_kafka_error_code"]
    fn raw_error_code(error: *const sys::rd_kafka_error_t) -> c_int;
    #[link_name = "rd_kafka_event_error"]
    fn raw_event_error(event: *mut sys::rd_kafka_event_t) -> c_int;
}

/// Asks `broker`, or the controller, for these topics, which must be distinct and not empty, and waits
/// for the answer. `timeout` must be 1 ms or more, and no more than an hour.
pub(crate) fn describe<C: ClientContext>(
    client: &Client<C>,
    broker: Option<i32>,
    names: &[CString],
    timeout: Duration,
) -> Result<Vec<Result<TopicDescription, TopicError>>, DescribeError> {
    let deadline = now() + timeout;
    let queue = new_queue(client)?;
    let topics = new_collection(client, names)?;
    let own_time = timeout - MAX_ANSWER_TIME.min(timeout / ANSWER_SHARE);
    let options = new_options(client)?;
    options.set_timeout(own_time)?;
    if let Some(broker) = broker {
        options.set_broker(broker)?;
    }
    // SAFETY: all four are valid: the client while it is borrowed, the others until they are dropped
    // below. librdkafka copies names and options before it returns, and holds a reference of its own
    // to the queue until it has answered, also where `queue` is dropped before that.
    unsafe {
        sys::rd_kafka_DescribeTopics(
            client.native_ptr(),
            topics.as_ptr(),
            options.as_ptr(),
            queue.as_ptr(),
        );
    }
    let event = wait(&queue, deadline)?;
    check(&event)?;
    Ok(read(&event))
}

/// Returns the generation of the group's member that the client is; `None` where it has no group. librdkafka's
/// own thread answers, at once.
pub(crate) fn generation<C: ClientContext>(client: &Client<C>) -> Option<i32> {
    // SAFETY: the client is valid while it is borrowed.
    let pointer = unsafe { sys::rd_kafka_consumer_group_metadata(client.native_ptr()) };
    // SAFETY: it is null, or a copy that was made for this call and refers to no client.
    let metadata = unsafe { Owned::new(pointer, sys::rd_kafka_consumer_group_metadata_destroy) }?;
    // SAFETY: the copy is valid until it is dropped.
    Some(unsafe { sys::rd_kafka_consumer_group_metadata_generation_id(metadata.as_ptr()) })
}

/// A native object of a client, freed when this is dropped.
struct Owned<'client, T> {
    pointer: NonNull<T>,
    free: unsafe extern "C" fn(*mut T),
    client: PhantomData<&'client ()>,
}

impl<T> Owned<'_, T> {
    /// Takes an object over; `None` for null.
    ///
    /// # Safety
    /// `pointer` is null, or valid, its caller's own, and to be freed once by `free`. The client that
    /// it was made with lives for the lifetime of the result.
    unsafe fn new(pointer: *mut T, free: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        NonNull::new(pointer).map(|pointer| Self {
            pointer,
            free,
            client: PhantomData,
        })
    }

    fn as_ptr(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

impl<T> Drop for Owned<'_, T> {
    fn drop(&mut self) {
        // SAFETY: `new`'s caller owned it and named its destructor, and this is its only call.
        unsafe { (self.free)(self.as_ptr()) }
    }
}

type Queue<'client> = Owned<'client, sys::rd_kafka_queue_t>;
type Event<'client> = Owned<'client, sys::rd_kafka_event_t>;

/// Creates a queue that nothing else is sent to, so that no other part of the program takes the answer
/// and no event of the client is taken here. It does not count as a consumer's poll.
fn new_queue<C: ClientContext>(client: &Client<C>) -> Result<Queue<'_>, DescribeError> {
    // SAFETY: the client is valid while it is borrowed.
    let pointer = unsafe { sys::rd_kafka_queue_new(client.native_ptr()) };
    // SAFETY: it was made for this call, of the client that the result borrows.
    let queue = unsafe { Owned::new(pointer, sys::rd_kafka_queue_destroy) };
    queue.ok_or_else(|| not_created("queue"))
}

fn new_collection<'client, C: ClientContext>(
    _client: &'client Client<C>,
    names: &[CString],
) -> Result<Owned<'client, sys::rd_kafka_TopicCollection_t>, DescribeError> {
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: `pointers` has as many texts as it says, each ended by NUL and alive; they are copied.
    let pointer = unsafe {
        sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len())
    };
    // SAFETY: it was made for this call, and refers to no client.
    let topics = unsafe { Owned::new(pointer, sys::rd_kafka_TopicCollection_destroy) };
    topics.ok_or_else(|| not_created("topic collection"))
}

type Options<'client> = Owned<'client, sys::rd_kafka_AdminOptions_t>;

/// Creates the options of a request.
fn new_options<C: ClientContext>(client: &Client<C>) -> Result<Options<'_>, DescribeError> {
    let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: the client is valid while it is borrowed.
    let pointer = unsafe { sys::rd_kafka_AdminOptions_new(client.native_ptr(), operation) };
    // SAFETY: it was made for this call, of the client that the result borrows.
    let options = unsafe { Owned::new(pointer, sys::rd_kafka_AdminOptions_destroy) };
    options.ok_or_else(|| not_created("options"))
}

impl Options<'_> {
    fn set_timeout(&self, timeout: Duration) -> Result<(), DescribeError> {
        self.set(
            sys::rd_kafka_AdminOptions_set_request_timeout,
            milliseconds(timeout),
        )
    }

    fn set_broker(&self, broker: i32) -> Result<(), DescribeError> {
        self.set(sys::rd_kafka_AdminOptions_set_broker, broker)
    }

    /// Sets an option by one of the two calls above, which differ in their names alone.
    fn set(&self, call: SetOption, value: c_int) -> Result<(), DescribeError> {
        let mut message: [c_char; 256] = [0; 256];
        // SAFETY: the options are valid until they are dropped, and used by this thread alone;
        // `message` has the size that is said. The result is one of two codes of librdkafka's own, both
        // in the bindings.
        let code = unsafe { call(self.as_ptr(), value, message.as_mut_ptr(), message.len()) };
        if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Ok(());
        }
        // SAFETY: it was zeroed, and librdkafka ends by NUL what it writes within the size.
        let reason = unsafe { text(message.as_ptr()) };
        Err(DescribeError::new(code.into(), reason))
    }
}

type SetOption = unsafe extern "C" fn(
    *mut sys::rd_kafka_AdminOptions_t,
    c_int,
    *mut c_char,
    usize,
) -> sys::rd_kafka_resp_err_t;

/// Waits for the answer.
fn wait<'client>(
    queue: &Queue<'client>,
    deadline: Instant,
) -> Result<Event<'client>, DescribeError> {
    loop {
        let left = deadline.saturating_duration_since(now());
        // SAFETY: the queue is valid until it is dropped, and polled by this thread alone.
        let pointer = unsafe { sys::rd_kafka_queue_poll(queue.as_ptr(), milliseconds(left)) };
        // SAFETY: an event belongs to the caller of the poll. It is of the queue's client, which lives
        // for the lifetime that the queue has.
        let event: Option<Event<'client>> =
            unsafe { Owned::new(pointer, sys::rd_kafka_event_destroy) };
        if let Some(event) = event
            && is_answer(&event)
        {
            return Ok(event);
        }
        if left.is_zero() {
            let reason = "librdkafka gave no answer".to_owned();
            return Err(DescribeError::new(
                RDKafkaErrorCode::OperationTimedOut,
                reason,
            ));
        }
    }
}

fn is_answer(event: &Event<'_>) -> bool {
    // SAFETY: the event is valid until it is dropped.
    let kind = unsafe { sys::rd_kafka_event_type(event.as_ptr()) };
    kind == sys::RD_KAFKA_EVENT_DESCRIBETOPICS_RESULT
}

/// Checks that the request as a whole was answered.
fn check(event: &Event<'_>) -> Result<(), DescribeError> {
    // SAFETY: the event is valid until it is dropped.
    let code = unsafe { raw_event_error(event.as_ptr()) };
    if code == 0 {
        return Ok(());
    }
    // SAFETY: the event is valid until it is dropped.
    let pointer = unsafe { sys::rd_kafka_event_error_string(event.as_ptr()) };
    // SAFETY: the text is the event's, or a constant, and ended by NUL.
    let reason = unsafe { text(pointer) };
    Err(DescribeError::new(code_of(code), reason))
}

/// Copies what the answer says of each topic.
fn read(event: &Event<'_>) -> Vec<Result<TopicDescription, TopicError>> {
    // SAFETY: the event is valid until it is dropped. The result is a part of it.
    let result = unsafe { sys::rd_kafka_event_DescribeTopics_result(event.as_ptr()) };
    if result.is_null() {
        return Vec::new();
    }
    let mut count = 0;
    // SAFETY: the result is the event's, of the type that this call takes, and not null.
    let list = unsafe { sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count) };
    if list.is_null() || count == 0 {
        return Vec::new();
    }
    // SAFETY: the list is the event's, has `count` elements and is not changed while the event is
    // borrowed, which is longer than the slice is used.
    let topics = unsafe { std::slice::from_raw_parts(list.cast_const(), count) };
    // An element is null where the broker left a topic out.
    let topics = topics.iter().filter(|topic| !topic.is_null());
    topics
        // SAFETY: each is a description of the event, which is borrowed, and not null.
        .map(|topic| unsafe { read_topic(*topic) })
        .collect()
}

/// Copies a description.
///
/// # Safety
/// `topic` is valid.
unsafe fn read_topic(
    topic: *const sys::rd_kafka_TopicDescription_t,
) -> Result<TopicDescription, TopicError> {
    // SAFETY: `topic` is valid.
    let name = unsafe { sys::rd_kafka_TopicDescription_name(topic) };
    // SAFETY: the name is the description's, and ended by NUL.
    let name = unsafe { text(name) };
    // SAFETY: `topic` is valid.
    let error = unsafe { sys::rd_kafka_TopicDescription_error(topic) };
    if !error.is_null() {
        // SAFETY: the error is the description's, and not null.
        let code = unsafe { raw_error_code(error) };
        // SAFETY: as above.
        let reason = unsafe { sys::rd_kafka_error_string(error) };
        // SAFETY: the text is the error's, and ended by NUL.
        let reason = unsafe { text(reason) };
        return Err(TopicError::new(&name, code_of(code), reason));
    }
    let mut partitions = 0;
    // SAFETY: `topic` is valid. The list is not read.
    unsafe { sys::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions) };
    // SAFETY: `topic` is valid. The id is a part of it.
    let id = unsafe { sys::rd_kafka_TopicDescription_topic_id(topic) };
    Ok(TopicDescription {
        name,
        // SAFETY: the id is null or the description's.
        id: unsafe { read_id(id) },
        partitions,
    })
}

/// Copies an id; `None` for null, and for the reserved id.
///
/// # Safety
/// `id` is null or valid.
unsafe fn read_id(id: *const sys::rd_kafka_Uuid_t) -> Option<TopicId> {
    if id.is_null() {
        return None;
    }
    // SAFETY: `id` is valid.
    let most = unsafe { sys::rd_kafka_Uuid_most_significant_bits(id) };
    // SAFETY: `id` is valid.
    let least = unsafe { sys::rd_kafka_Uuid_least_significant_bits(id) };
    TopicId::from_halves(most, least)
}

/// Copies a text; null is an empty one.
///
/// # Safety
/// `pointer` is null, or to a text that is ended by NUL and not changed meanwhile.
unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: it is a text that is ended by NUL.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_string_lossy().into_owned()
}

/// Returns the code; [`RDKafkaErrorCode::Unknown`] for one that the bindings do not have.
fn code_of(raw: c_int) -> RDKafkaErrorCode {
    sys::rd_kafka_resp_err_t::try_from(raw).map_or(RDKafkaErrorCode::Unknown, Into::into)
}

fn not_created(what: &str) -> DescribeError {
    DescribeError::new(
        RDKafkaErrorCode::CriticalSystemResource,
        format!("librdkafka created no {what}"),
    )
}

/// Rounds up, so that a wait of less than 1 ms is not none.
fn milliseconds(duration: Duration) -> c_int {
    c_int::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX)
}

#[expect(
    clippy::disallowed_methods,
    reason = "librdkafka waits in real time, and the call has no state for which the time matters"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_the_bindings_do_not_have_is_unknown() {
        assert_eq!(code_of(3), RDKafkaErrorCode::UnknownTopicOrPartition);
        assert_eq!(code_of(-185), RDKafkaErrorCode::OperationTimedOut);
        for newer in [30_000, i32::MIN, i32::MAX] {
            assert_eq!(code_of(newer), RDKafkaErrorCode::Unknown);
        }
    }

    #[test]
    fn a_wait_is_rounded_up() {
        assert_eq!(milliseconds(Duration::ZERO), 0);
        assert_eq!(milliseconds(Duration::from_nanos(1)), 1);
        assert_eq!(milliseconds(Duration::from_millis(20)), 20);
        assert_eq!(milliseconds(Duration::MAX), c_int::MAX);
    }

    #[test]
    fn null_is_no_object_no_text_and_no_id() {
        // SAFETY: null is allowed.
        let owned = unsafe { Owned::new(std::ptr::null_mut(), sys::rd_kafka_queue_destroy) };
        assert!(owned.is_none());
        // SAFETY: null is allowed.
        assert_eq!(unsafe { text(std::ptr::null()) }, "");
        // SAFETY: null is allowed.
        assert_eq!(unsafe { read_id(std::ptr::null()) }, None);
    }
}
