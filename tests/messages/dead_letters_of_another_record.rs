//! Dead letters of the value that was refused, in the place of the source's record.

// says: DeadLetter<i64>>` is not a sink of
// says: DeadLetter<&str>`

use dynamodb_connector::pipeline::{DeadLetter, Pipeline};
use dynamodb_connector::test_util::{CollectSink, IterSource};

fn main() {
    let refused: CollectSink<DeadLetter<i64>> = CollectSink::new();
    let _ = Pipeline::from(IterSource::new(["1", "x"]))
        .try_map(|text| text.parse::<i64>())
        .dead_letter(refused) //~
        .to(CollectSink::new());
}
