//! A future that keeps an `Rc` while it waits.

// says: is not `Send`
// says: has type `Rc<str>`

use std::rc::Rc;

use dynamodb_connector::pipeline::{Pipeline, Reason};
use dynamodb_connector::test_util::{CollectSink, IterSource};

async fn stored(_: &str) -> Result<(), Reason> {
    Ok(())
}

fn main() {
    let _ = Pipeline::from(IterSource::new(["a"]))
        .map_async(|text| async move { //~
            let text: Rc<str> = text.into();
            stored(&text).await?;
            Ok::<_, Reason>(text.len())
        })
        .to(CollectSink::new());
}
