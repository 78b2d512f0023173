//! A list of values in the place of a source.

// says: `Vec<{integer}>` is not a source of a pipeline
// says: in tests `IterSource`s of values

use dynamodb_connector::pipeline::Pipeline;
use dynamodb_connector::test_util::CollectSink;

fn main() {
    let _ = Pipeline::from(vec![1, 2, 3]) //~
        .map(|n| n + 1)
        .to(CollectSink::new());
}
