//! The ids of Kafka topics, for clients of [`rdkafka`].
//!
//! A topic that is deleted and made again has the same name and another id. Its offsets begin at 0
//! again, so a committed offset of the old topic means nothing in the new one, and only the id differs.
//! librdkafka itself reads on at the old offset. `rdkafka` 0.39 has no call that gives the id;
//! [`describe_topics`] does.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use kafka_topic_id::{TopicId, describe_topics};
//! use rdkafka::ClientConfig;
//! use rdkafka::consumer::{BaseConsumer, Consumer as _};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let consumer: BaseConsumer = ClientConfig::new()
//!     .set("bootstrap.servers", "localhost:9092")
//!     .create()?;
//! let known: TopicId = "cxk5sDF3RuOYgRGxIVVlzg".parse()?;
//! for described in describe_topics(consumer.client(), &["orders"], Duration::from_secs(10))? {
//!     if described?.id != Some(known) {
//!         println!("orders was made again: the offsets stored for it are another topic's");
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`group_generation`] gives another number that `rdkafka` has no call for: that of a consumer group's
//! generation, by which brokers refuse the offsets of a member that is none any more.
//!
//! | file | owns |
//! |---|---|
//! | `topic_id` | an id and its text form |
//! | `describe` | the call: what is asked, and each topic's answer |
//! | `group` | the generation of a group's member |
//! | `error` | the reasons why a topic, or none, was described |
//! | `native` | the calls of librdkafka: all of the crate's unsafe code |
//!
//! Rejected: librdkafka's own text form of an id (`rd_kafka_Uuid_base64str`). It has `+` and `/` where
//! Kafka's tools print `-` and `_`, and it writes to the object that it reads.

mod describe;
mod error;
mod group;
mod native;
mod topic_id;

pub use describe::{MAX_TOPICS, TopicDescription, describe_topics, describe_topics_at};
pub use error::{DescribeError, TopicError};
pub use group::group_generation;
pub use topic_id::{ParseTopicIdError, TopicId};

/// The example of README.md, to be compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[derive(Debug)]
pub struct Readme;
