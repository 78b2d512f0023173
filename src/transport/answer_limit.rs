//! The most bytes that the answer to a request may have.
//!
//! **Problem.** A body is read into memory before it is parsed. A server that is not DynamoDB, or a
//! proxy that has lost its way, can send one that never ends, and the process runs out of memory
//! before the attempt runs out of time.
//!
//! **Choice.** Each operation has a limit, from what the service can answer to it. The limit is put
//! around the body itself, so that both ways obey it and an endless body costs no more than its
//! limit. What is over it is no answer: the outcome is open, the request is judged as after any
//! other garbled answer, and the connection is dropped with the rest of the body.
//!
//! **Rejected.** One limit for all: what a page of records needs is a thousand times what a
//! description needs. Trusting `content-length`: chunked bodies have none.

use super::Operation;
use aws_smithy_types::body::SdkBody;
use http_body_util::{LengthLimitError, Limited};
use std::error::Error;

const MIB: usize = 1 << 20;

/// The bytes that an answer may have beside the items in it: capacity by index, codes, messages,
/// iterators. Chosen: some hundred times what DynamoDB sends.
const ENVELOPE_BYTES: usize = MIB;

/// The growth of an item on its way back, where a server encodes it anew. An encoder that writes
/// ASCII alone makes six bytes, `\u00e9`, of a letter of two.
const ECHO_FACTOR: usize = 3;

/// The bytes of one item as JSON. An item has 400 KB at most (DynamoDB Developer Guide, quotas). An
/// empty string in a list takes one byte of them and nine of JSON, `{"S":""},`: the worst there is.
const ITEM_BYTES: usize = 6 * MIB;

/// The bytes of a description. A table's is the largest: 25 indexes, and 100 projected attributes
/// in all, with names of 255 bytes at most (quotas).
const DESCRIPTION_BYTES: usize = 4 * MIB;

/// The bytes of a page of items or records, and of the items in place that cancel a transaction.
///
/// DynamoDB answers with 1 MB of data at most (API reference, `Scan`, `GetRecords`), which is 9 MB
/// of JSON at worst. Local servers know no megabyte: a thousand records of two 16-KB images are 32
/// MB. A hundred items in place are 40 MB of data (`TransactWriteItems`); a `BatchGetItem` answers with 16 MB at most.
const PAGE_BYTES: usize = 64 * MIB;

/// Returns the most bytes that the answer to a request may have, given the request's own bytes.
pub(super) fn answer_limit(operation: Operation, request_bytes: usize) -> usize {
    let contents = match operation {
        // Items that were not processed come back.
        Operation::BatchWriteItem => request_bytes.saturating_mul(ECHO_FACTOR),
        Operation::PutItem | Operation::UpdateItem | Operation::DeleteItem | Operation::GetItem => {
            ITEM_BYTES
        }
        Operation::DescribeTable => DESCRIPTION_BYTES,
        Operation::TransactWriteItems | Operation::Scan | Operation::Query => PAGE_BYTES,
        #[cfg(feature = "pipeline")]
        Operation::BatchGetItem => PAGE_BYTES,
        #[cfg(feature = "streams")]
        Operation::DescribeStream | Operation::GetShardIterator => DESCRIPTION_BYTES,
        #[cfg(feature = "streams")]
        Operation::GetRecords => PAGE_BYTES,
    };
    contents.saturating_add(ENVELOPE_BYTES)
}

/// Returns a body that fails past its limit.
pub(super) fn limited(body: SdkBody, limit: usize) -> Limited<SdkBody> {
    Limited::new(body, limit)
}

/// Returns whether an error, or one of its sources, is that of a body past its limit.
pub(super) fn is_past_limit(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<LengthLimitError>() {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::operation::Service;
    use aws_smithy_runtime_api::box_error::BoxError;
    use aws_smithy_runtime_api::client::result::ConnectorError;
    use http_body_util::BodyExt as _;

    #[test]
    fn the_worst_item_is_within_the_limit_of_one() {
        // Developer Guide, item sizes: a place in a list takes one byte, a null or boolean another.
        let bytes = 400 * 1024;
        let empty = bytes * "{\"S\":\"\"},".len();
        let no = bytes / 2 * "{\"BOOL\":false},".len();
        let control = bytes * "\\u0001".len();
        assert!([empty, no, control].iter().all(|json| *json < ITEM_BYTES));
    }

    #[test]
    fn a_batch_may_come_back_whole_and_escaped() {
        let sent = 16 * MIB;
        let limit = answer_limit(Operation::BatchWriteItem, sent);
        assert!(limit > sent * 3 && limit < sent * 4);
    }

    #[test]
    fn no_limit_is_below_an_error_page_or_beyond_memory() {
        let operations = Service::DynamoDb.operations().iter();
        for &operation in operations {
            let limit = answer_limit(operation, 0);
            assert!((MIB..=128 * MIB).contains(&limit), "{operation:?}");
        }
        assert_eq!(
            answer_limit(Operation::BatchWriteItem, usize::MAX),
            usize::MAX
        );
    }

    #[tokio::test]
    async fn a_body_of_its_limit_passes_and_one_byte_more_does_not() {
        let whole = limited(SdkBody::from("abc"), 3).collect().await;
        assert_eq!(whole.unwrap().to_bytes(), "abc");
        let error = limited(SdkBody::from("abcd"), 3).collect().await;
        let error: BoxError = error.unwrap_err();
        assert!(is_past_limit(error.as_ref()));
        assert!(is_past_limit(&ConnectorError::other(error, None)));
        assert!(!is_past_limit(&std::io::Error::other("another")));
    }
}
