//! Dead letters of a record that can't be cloned.

// says: `Payment: Clone` is not satisfied
// says: #[derive(Clone)]

use dynamodb_connector::pipeline::Pipeline;
use dynamodb_connector::test_util::{CollectSink, IterSource};

struct Payment {
    amount: i64,
}

fn main() {
    let _ = Pipeline::from(IterSource::new([Payment { amount: 1 }]))
        .filter(|payment| payment.amount > 0)
        .dead_letter(CollectSink::new()) //~
        .to(CollectSink::new());
}
