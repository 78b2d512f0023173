//! Lookups in a table: many keys in one request, each with an answer of its own.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::TableSpec;
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::pipeline::{Enrichment, Pipeline, PipelineError, ReasonKind};
use dynamodb_connector::test_util::{
    CollectSink, Fault, FaultPlan, FaultyDynamoDb, IterSource, Operation, Throttle,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Customer {
    id: String,
    name: String,
}

const KEYS: u32 = 1_000;

/// A table of customers, of which each tenth is missing.
async fn customers() -> FaultyDynamoDb {
    let fake = FaultyDynamoDb::new();
    fake.create_table(TableSpec::new("customers").partition("id", KeyKind::String));
    for n in (0..KEYS).filter(|n| !n.is_multiple_of(10)) {
        let put = fake.client().put_item().table_name("customers");
        let put = put
            .item("id", AttributeValue::S(format!("c{n}")))
            .item("name", AttributeValue::S(format!("name {n}")));
        put.send().await.expect("put");
    }
    fake.take_requests();
    fake
}

/// The numbers of keys of the requests for items.
fn requests(fake: &FaultyDynamoDb) -> Vec<usize> {
    let requests = fake.requests().into_iter();
    requests
        .filter(|request| request.operation() == Some(Operation::BatchGetItem))
        .map(|request| request.items())
        .collect()
}

type Found = Vec<(u32, Option<String>)>;

async fn look_up_all(fake: &FaultyDynamoDb) -> Result<Found, PipelineError> {
    let found = CollectSink::new();
    let customers = Enrichment::table(&fake.client(), "customers", "id");
    Pipeline::from(IterSource::new(0..KEYS))
        .enrich_optional(
            |n| format!("c{n}"),
            customers,
            |n, customer: Option<Customer>| (n, customer.map(|customer| customer.name)),
        )
        .to(found.clone())
        .run()
        .await?;
    Ok(found.take())
}

fn wanted() -> Found {
    let name = |n: u32| (!n.is_multiple_of(10)).then(|| format!("name {n}"));
    (0..KEYS).map(|n| (n, name(n))).collect()
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_asked_for_at_once_go_in_one_request_and_stay_in_order() {
    let fake = customers().await;
    assert_eq!(look_up_all(&fake).await.expect("it ends"), wanted());
    let requests = requests(&fake);
    assert_eq!(requests.iter().sum::<usize>(), 1_000);
    assert!(requests.len() <= 20, "{requests:?}");
    assert!(requests.iter().all(|keys| *keys <= 100), "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn keys_left_unprocessed_are_asked_for_again_alone() {
    let fake = customers().await;
    let plan = FaultPlan::seeded(3).operations([Operation::BatchGetItem]);
    fake.fault_plan(plan.unprocessed(0.3));
    assert_eq!(look_up_all(&fake).await.expect("it ends"), wanted());
    let asked: usize = requests(&fake).iter().sum();
    // 1,000 / 0.7, with room for chance: what was read is not asked for again.
    assert!((1_300..1_600).contains(&asked), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn throttling_and_outages_hold_the_pipeline_back_and_cost_no_record() {
    let fake = customers().await;
    let plan = FaultPlan::seeded(4).throttle(0.3).internal_error(0.2);
    fake.fault_plan(plan.garbage(0.1).never(0.1));
    assert_eq!(look_up_all(&fake).await.expect("it ends"), wanted());
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_throttled_for_a_minute_is_waited_for() {
    let fake = customers().await;
    let throttled = Fault::throttled(Throttle::ProvisionedThroughput);
    fake.inject(throttled.on(Operation::BatchGetItem).always());
    let looking = tokio::spawn({
        let fake = fake.clone();
        async move { look_up_all(&fake).await }
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!looking.is_finished());
    fake.heal();
    assert_eq!(looking.await.unwrap().expect("it ends"), wanted());
}

/// Ends with the error of the pipeline, or with the reasons of its dead letters.
async fn refused<K>(
    fake: &FaultyDynamoDb,
    (table, attribute): (&str, &str),
    keys: Vec<K>,
) -> Result<Vec<(ReasonKind, String)>, PipelineError>
where
    K: Serialize + Clone + std::hash::Hash + Eq + Send + Sync + 'static,
{
    let letters = CollectSink::new();
    let customers = Enrichment::table(&fake.client(), table, attribute);
    Pipeline::from(IterSource::new(keys))
        .enrich(Clone::clone, customers, |_, customer: Customer| customer)
        .dead_letter(letters.clone())
        .to(CollectSink::new())
        .run()
        .await?;
    let reasons = letters.take().into_iter().map(|letter| letter.reason);
    Ok(reasons
        .map(|reason| (reason.kind(), reason.text().to_owned()))
        .collect())
}

#[tokio::test(start_paused = true)]
async fn a_key_that_can_not_be_one_is_its_records_fault_and_costs_no_other() {
    let fake = customers().await;
    let keys = vec![
        "c1".to_owned(),
        String::new(),
        "x".repeat(3_000),
        "c2".to_owned(),
    ];
    let reasons = refused(&fake, ("customers", "id"), keys).await;
    let reasons = reasons.expect("it ends");
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    for (kind, text) in &reasons {
        assert_eq!(*kind, ReasonKind::Invalid);
        assert!(text.contains("id") && !text.contains("xxx"), "{text}");
    }
    let reasons = refused(&fake, ("customers", "id"), vec![7_u32]).await;
    let reasons = reasons.expect("it ends");
    assert_eq!(reasons[0].0, ReasonKind::Invalid);
    assert!(!reasons[0].1.contains('7'), "{reasons:?}");
}

#[tokio::test(start_paused = true)]
async fn an_item_that_does_not_fit_is_its_records_fault_and_is_not_shown() {
    let fake = customers().await;
    let put = fake.client().put_item().table_name("customers");
    let put = put.item("id", AttributeValue::S("odd".into()));
    let put = put.item("name", AttributeValue::N("424242".into()));
    put.send().await.expect("put");
    let keys = vec!["odd".to_owned(), "c3".to_owned()];
    let reasons = refused(&fake, ("customers", "id"), keys).await;
    let reasons = reasons.expect("it ends");
    assert_eq!(reasons.len(), 1);
    assert!(reasons[0].1.contains("Customer") && !reasons[0].1.contains("424242"));
}

#[tokio::test(start_paused = true)]
async fn a_table_of_another_key_ends_the_pipeline_and_dead_letters_nothing() {
    let fake = customers().await;
    let error = refused(&fake, ("customers", "customer"), vec!["c1".to_owned()]).await;
    let error = error.expect_err("another key");
    let text = format!("{error:#}");
    assert!(
        text.contains("\"customers\" is \"id\", not \"customer\""),
        "{text}"
    );
    fake.create_table(
        TableSpec::new("orders")
            .partition("id", KeyKind::String)
            .sort("n", KeyKind::Number),
    );
    let error = refused(&fake, ("orders", "id"), vec!["c1".to_owned()]).await;
    let text = format!("{:#}", error.expect_err("a sort key"));
    assert!(text.contains("sort key, \"n\""), "{text}");
    assert!(requests(&fake).is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_describe_the_key_is_believed() {
    let fake = customers().await;
    let denied = Fault::access_denied();
    fake.inject(denied.on(Operation::DescribeTable).always());
    assert_eq!(look_up_all(&fake).await.expect("it ends"), wanted());
}
