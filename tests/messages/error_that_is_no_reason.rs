//! A `try_map` whose error is neither an error nor a text.

// says: `Problem: Into<Reason>`
// says: `std::error::Error` is not implemented for `Problem`

use dynamodb_connector::pipeline::Pipeline;
use dynamodb_connector::test_util::{CollectSink, IterSource};

enum Problem {
    Negative,
}

fn main() {
    let _ = Pipeline::from(IterSource::new([1, -1]))
        .try_map(|n| match n < 0 { //~
            true => Err(Problem::Negative),
            false => Ok(n),
        })
        .to(CollectSink::new());
}
