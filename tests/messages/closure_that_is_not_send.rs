//! A closure that shares a count by `Rc`.

// says: `Rc<Cell<i32>>` cannot be sent between threads safely

use std::cell::Cell;
use std::rc::Rc;

use dynamodb_connector::pipeline::Pipeline;
use dynamodb_connector::test_util::{CollectSink, IterSource};

fn main() {
    let seen = Rc::new(Cell::new(0));
    let _ = Pipeline::from(IterSource::new(0..3))
        .inspect(move |_| seen.set(seen.get() + 1)) //~
        .to(CollectSink::new());
}
