//! An asynchronous closure in `map`, whose values are futures.

// says: `CollectSink<usize>` is not a sink of
// says: `map_async` waits for it

use dynamodb_connector::pipeline::Pipeline;
use dynamodb_connector::test_util::{CollectSink, IterSource};

fn main() {
    let lengths: CollectSink<usize> = CollectSink::new();
    let _ = Pipeline::from(IterSource::new(["a", "bc"]))
        .map(|text| async move { text.len() })
        .to(lengths); //~
}
