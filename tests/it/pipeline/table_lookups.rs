//! Lookups in a table: many keys in one request, each with an answer of its own.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::pipeline::{Enrichment, Pipeline, PipelineError, ReasonKind};
use dynamodb_connector::test_util::{
    CollectSink, Fault, FaultPlan, FaultyDynamoDb, IterSource, Operation, Throttle,
};
use dynamodb_connector::{ErrorKind, TableSpec};
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
    let refused = fake.requests().into_iter();
    assert!(refused.filter(|asked| asked.error_code().is_some()).count() > 3);
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
    let asked: usize = requests(&fake).iter().sum();
    // Each of 400 keys is tried a few times, at growing distances.
    assert!((1_000..8_000).contains(&asked), "{asked}");
    assert_eq!(looking.await.unwrap().expect("it ends"), wanted());
}

/// The customers that were found, the reasons of dead letters, and the end.
struct Ended {
    found: Vec<Customer>,
    reasons: Vec<(ReasonKind, String)>,
    end: Result<(), PipelineError>,
}

async fn look_up<K>(fake: &FaultyDynamoDb, (table, attribute): (&str, &str), keys: Vec<K>) -> Ended
where
    K: Serialize + Clone + std::hash::Hash + Eq + Send + Sync + 'static,
{
    let (found, letters) = (CollectSink::new(), CollectSink::new());
    let customers = Enrichment::table(&fake.client(), table, attribute);
    let end = Pipeline::from(IterSource::new(keys))
        .enrich(Clone::clone, customers, |_, customer: Customer| customer)
        .dead_letter(letters.clone())
        .to(found.clone())
        .run()
        .await;
    let reasons = letters.take().into_iter().map(|letter| letter.reason);
    Ended {
        found: found.take(),
        reasons: reasons
            .map(|reason| (reason.kind(), reason.text().to_owned()))
            .collect(),
        end: end.map(drop),
    }
}

/// Asserts that the pipeline has ended by a mistake of its set-up, and that no record was blamed.
fn assert_set_up_wrongly(ended: &Ended, text: &str) {
    assert!(ended.found.is_empty() && ended.reasons.is_empty());
    let error = ended.end.as_ref().expect_err("it is set up wrongly");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(!error.is_retryable());
    let said = format!("{error:#}");
    assert!(said.contains(text), "{said}");
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
    let ended = look_up(&fake, ("customers", "id"), keys).await;
    ended.end.expect("it ends");
    let names: Vec<_> = ended.found.iter().map(|found| &*found.name).collect();
    assert_eq!(names, ["name 1", "name 2"]);
    assert_eq!(ended.reasons.len(), 2, "{:?}", ended.reasons);
    for (kind, text) in &ended.reasons {
        assert_eq!(*kind, ReasonKind::Invalid);
        assert!(text.contains("id") && !text.contains("xxx"), "{text}");
    }
    let reasons = look_up(&fake, ("customers", "id"), vec![7_u32])
        .await
        .reasons;
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
    let ended = look_up(&fake, ("customers", "id"), keys).await;
    ended.end.expect("it ends");
    assert_eq!((ended.found.len(), ended.reasons.len()), (1, 1));
    let text = &ended.reasons[0].1;
    assert!(text.contains("Customer") && !text.contains("424242"));
}

#[tokio::test(start_paused = true)]
async fn a_table_of_another_key_ends_the_pipeline_and_dead_letters_nothing() {
    let fake = customers().await;
    let key = || vec!["c1".to_owned()];
    let ended = look_up(&fake, ("customers", "customer"), key()).await;
    assert_set_up_wrongly(&ended, "\"customers\" is \"id\", not \"customer\"");
    fake.create_table(
        TableSpec::new("orders")
            .partition("id", KeyKind::String)
            .sort("n", KeyKind::Number),
    );
    let ended = look_up(&fake, ("orders", "id"), key()).await;
    assert_set_up_wrongly(&ended, "sort key, \"n\"");
    assert!(requests(&fake).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_refused_for_what_it_is_ends_the_pipeline() {
    let fake = customers().await;
    fake.inject(Fault::access_denied().on(Operation::DescribeTable).always());
    // Not known to be wrong before the service says so.
    let ended = look_up(&fake, ("customers", "id"), vec![1_u32]).await;
    assert!(ended.found.is_empty() && ended.reasons.is_empty());
    let error = format!("{:#}", ended.end.expect_err("refused"));
    assert!(
        error.contains("BatchGetItem of table \"customers\""),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_describe_the_key_is_believed() {
    let fake = customers().await;
    fake.inject(Fault::access_denied().on(Operation::DescribeTable).always());
    assert_eq!(look_up_all(&fake).await.expect("it ends"), wanted());
}

#[tokio::test(start_paused = true)]
async fn a_description_takes_longer_than_a_lookup_may_and_is_asked_for_once() {
    let fake = customers().await;
    let slow = Fault::delay_before(Duration::from_millis(2_500));
    fake.inject(slow.on(Operation::DescribeTable).always());
    assert_eq!(look_up_all(&fake).await.expect("it ends"), wanted());
    let asked = fake.requests().into_iter();
    let described = asked.filter(|asked| asked.operation() == Some(Operation::DescribeTable));
    assert_eq!(described.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn numbers_are_keys_in_any_form() {
    let fake = FaultyDynamoDb::new();
    fake.create_table(TableSpec::new("customers").partition("id", KeyKind::Number));
    for n in 0..150 {
        let put = fake.client().put_item().table_name("customers");
        let put = put.item("id", AttributeValue::N(format!("{n}.00")));
        put.send().await.expect("put");
    }
    #[derive(Clone, Deserialize)]
    struct Number {
        id: f64,
    }
    let found = CollectSink::new();
    let numbers = Enrichment::table(&fake.client(), "customers", "id");
    Pipeline::from(IterSource::new(0..150_u32))
        .enrich(|n| *n, numbers, |n, found: Number| (n, found.id))
        .to(found.clone())
        .run()
        .await
        .expect("it ends");
    let wanted: Vec<_> = (0..150_u32).map(|n| (n, f64::from(n))).collect();
    assert_eq!(found.take(), wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_several_threads_keys_go_together_too() {
    let fake = customers().await;
    assert_eq!(look_up_all(&fake).await.expect("it ends"), wanted());
    let requests = requests(&fake);
    assert_eq!(requests.iter().sum::<usize>(), 1_000);
}
