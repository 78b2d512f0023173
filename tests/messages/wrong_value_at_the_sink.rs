//! A sink of texts behind an operator that makes numbers.

// says: `CollectSink<std::string::String>` is not a sink of `usize`
// says: the last operator makes `usize`: add a `map`

use dynamodb_connector::pipeline::Pipeline;
use dynamodb_connector::test_util::{CollectSink, IterSource};

fn main() {
    let texts: CollectSink<String> = CollectSink::new();
    let _ = Pipeline::from(IterSource::new(["a", "bc"]))
        .map(|text| text.len())
        .to(texts); //~
}
