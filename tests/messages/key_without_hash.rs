//! A lookup by a key that can be neither hashed nor compared.

// says: `Customer` cannot be the key of a lookup
// says: #[derive(Clone, PartialEq, Eq, Hash)]

use std::io::Error;

use dynamodb_connector::pipeline::{Enrichment, Pipeline};
use dynamodb_connector::test_util::{CollectSink, IterSource};

struct Customer(u64);

fn main() {
    let names = Enrichment::new(|customer: Customer| async move {
        Ok::<_, Error>(Some(format!("customer {}", customer.0)))
    });
    let _ = Pipeline::from(IterSource::new(0..3))
        .enrich(|n| Customer(*n), names, |n, name| (n, name)) //~
        .to(CollectSink::new());
}
