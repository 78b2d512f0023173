//! Texts in the place of `ProducerRecord`s.

// says: KafkaSink` is not a sink of `std::string::String`
// says: add a `map`, or make the sink
// says: a `KafkaSink` takes `ProducerRecord`s

use dynamodb_connector::kafka::KafkaSink;
use dynamodb_connector::pipeline::Pipeline;
use dynamodb_connector::test_util::IterSource;

fn example(events: KafkaSink) {
    let _ = Pipeline::from(IterSource::new(0..3))
        .map(|n| n.to_string())
        .to(events); //~
}

fn main() {}
