//! A member's generation.

use rdkafka::client::{Client, ClientContext};

use crate::native;

/// Returns the generation of the consumer group's member that this client is; `None` where it is no
/// member: it has no group, or has not joined yet.
///
/// After it has left, or was put out, librdkafka may keep the last one for a while. Brokers refuse that.
///
/// Offsets that are sent within a transaction are refused by the brokers where their generation is an
/// old one, but taken unchecked where it is that of no member. `rdkafka` 0.39 has the group's metadata
/// as a sealed value; this call says which of the two it is. Asked before and after the metadata is
/// taken, the same answer says that it is of that generation.
///
/// `client` is that of a consumer, by its method `client()`. With the group protocol `consumer` the
/// generation is the member's epoch, which also moves while partitions stay.
///
/// Sends nothing, and waits only for librdkafka's own thread, which answers within microseconds. Do not
/// call it from a callback of the same client.
#[must_use]
pub fn group_generation<C: ClientContext>(client: &Client<C>) -> Option<i32> {
    member_generation(native::generation(client))
}

/// Returns the generation of a member; librdkafka's is -1 where there is none.
fn member_generation(generation: Option<i32>) -> Option<i32> {
    generation.filter(|generation| *generation >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_below_zero_is_that_of_no_member() {
        assert_eq!(member_generation(None), None);
        assert_eq!(member_generation(Some(-1)), None);
        assert_eq!(member_generation(Some(0)), Some(0));
        assert_eq!(member_generation(Some(7)), Some(7));
    }
}
