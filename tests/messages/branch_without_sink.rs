//! A branch that ends in an operator.

// says: expected `Job<
// says: found `Pipeline<

use dynamodb_connector::pipeline::Pipeline;
use dynamodb_connector::test_util::{CollectSink, IterSource};

fn main() {
    let _ = Pipeline::from(IterSource::new(0..3)).tee(
        |all| all.to(CollectSink::new()),
        |texts| texts.map(|n| n.to_string()), //~
    );
}
