//! A closure that borrows from the function that builds the pipeline.

// says: it borrows `names`
// says: move |n| names[n].clone()

use dynamodb_connector::pipeline::Pipeline;
use dynamodb_connector::test_util::{CollectSink, IterSource};

fn main() {
    let names = vec![String::from("a"), String::from("b")];
    let _ = Pipeline::from(IterSource::new(0..2usize))
        .map(|n| names[n].clone()) //~
        .to(CollectSink::new());
}
