//! A `validate` that returns a `bool`.

// says: expected `Result<(), _>`, found `bool`

use dynamodb_connector::pipeline::Pipeline;
use dynamodb_connector::test_util::{CollectSink, IterSource};

fn main() {
    let _ = Pipeline::from(IterSource::new([5, -1]))
        .validate(|n| *n > 0) //~
        .to(CollectSink::new());
}
