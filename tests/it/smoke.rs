//! x
use dynamodb_connector::sink::{Outcome, TableSink};
use dynamodb_connector::test_util::{FaultyDynamoDb, TableSpec};
use serde::Serialize;

#[derive(Serialize)]
struct R {
    pk: String,
    n: u32,
}

#[tokio::test(start_paused = true)]
async fn smoke() {
    let fake = FaultyDynamoDb::new();
    fake.create_table(TableSpec::new("decisions"));
    let t = TableSink::open(&fake.client(), "decisions").await.unwrap();
    let mut rs = vec![];
    for n in 0..1000 {
        rs.push(
            t.put(&R {
                pk: format!("k{}", n % 300),
                n,
            })
            .await
            .unwrap(),
        );
    }
    for r in rs {
        assert!(matches!(r.await, Outcome::Written));
    }
    t.close().await.unwrap();
    assert_eq!(fake.item_count("decisions"), 300);
    println!("{:?}", t.stats());
}
