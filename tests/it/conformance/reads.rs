//! `GetItem`, `Query`, `Scan`.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::Select;

use super::harness::*;

checks![
    a_query_is_in_the_order_of_the_sort_key,
    a_query_goes_on_where_it_stopped,
    a_query_reads_an_index,
    a_query_needs_the_partition_key,
    a_filter_hides_but_counts,
    segments_share_a_scan,
    projections_leave_out,
];

async fn filled(client: &Client) -> String {
    let table = table(client).await;
    for (at, sort) in ["10", "9", "-1", "1e2", "0.5"].iter().enumerate() {
        let item = with(
            key("a", sort),
            "g",
            s(if at % 2 == 0 { "even" } else { "odd" }),
        );
        put(client, &table, item).await;
    }
    put(client, &table, key("b", "1")).await;
    table
}

fn query(
    client: &Client,
    table: &str,
) -> aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder {
    let query = client.query().table_name(table).consistent_read(true);
    query
        .key_condition_expression("pk = :p")
        .expression_attribute_values(":p", s("a"))
}

fn sorts(items: &[Item]) -> Vec<String> {
    items
        .iter()
        .filter_map(|item| item["sk"].as_n().ok().cloned())
        .collect()
}

/// Numbers as the fake and AWS write them; DynamoDB Local gives back the text that was put.
fn values(items: &[Item]) -> Vec<f64> {
    sorts(items)
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect()
}

async fn a_query_is_in_the_order_of_the_sort_key(client: Client) {
    let table = filled(&client).await;
    let all = query(&client, &table).send().await.expect("queried");
    assert_eq!(values(all.items()), [-1.0, 0.5, 9.0, 10.0, 100.0]);
    let back = query(&client, &table)
        .scan_index_forward(false)
        .send()
        .await
        .expect("queried");
    assert_eq!(values(back.items()), [100.0, 10.0, 9.0, 0.5, -1.0]);
    let part = client
        .query()
        .table_name(&table)
        .key_condition_expression("pk = :p AND sk BETWEEN :low AND :high")
        .expression_attribute_values(":p", s("a"))
        .expression_attribute_values(":low", n("0.5"))
        .expression_attribute_values(":high", n("10"));
    assert_eq!(
        values(part.send().await.expect("queried").items()),
        [0.5, 9.0, 10.0]
    );
}

async fn a_query_goes_on_where_it_stopped(client: Client) {
    let table = filled(&client).await;
    for forward in [true, false] {
        let mut found = Vec::new();
        let mut start = None;
        loop {
            let page = query(&client, &table).scan_index_forward(forward).limit(2);
            let page = page
                .set_exclusive_start_key(start)
                .send()
                .await
                .expect("queried");
            assert!(page.count() <= 2);
            found.extend(values(page.items()));
            start = page.last_evaluated_key;
            if start.is_none() {
                break;
            }
        }
        if !forward {
            found.reverse();
        }
        assert_eq!(found, [-1.0, 0.5, 9.0, 10.0, 100.0]);
    }
}

async fn a_query_reads_an_index(client: Client) {
    let table = filled(&client).await;
    let answer = client
        .query()
        .table_name(&table)
        .index_name("by-group")
        .key_condition_expression("g = :g")
        .expression_attribute_values(":g", s("odd"))
        .send()
        .await
        .expect("queried");
    assert_eq!(answer.count(), 2);
    let missing = client
        .query()
        .table_name(&table)
        .index_name("no-index")
        .key_condition_expression("g = :g")
        .expression_attribute_values(":g", s("odd"))
        .send()
        .await;
    refused(missing, "ValidationException", &["no-index"]);
}

async fn a_query_needs_the_partition_key(client: Client) {
    let table = filled(&client).await;
    let query = client
        .query()
        .table_name(&table)
        .key_condition_expression("sk = :s")
        .expression_attribute_values(":s", n("1"));
    refused(
        query.send().await,
        "ValidationException",
        &["missed key schema element"],
    );
}

async fn a_filter_hides_but_counts(client: Client) {
    let table = filled(&client).await;
    let scan = client
        .scan()
        .table_name(&table)
        .filter_expression("g = :g")
        .expression_attribute_values(":g", s("odd"))
        .send()
        .await
        .expect("scanned");
    assert_eq!((scan.count(), scan.scanned_count()), (2, 6));
    let count = client
        .scan()
        .table_name(&table)
        .select(Select::Count)
        .send()
        .await;
    let count = count.expect("scanned");
    assert_eq!((count.count(), count.items().len()), (6, 0));
}

async fn segments_share_a_scan(client: Client) {
    let table = table(&client).await;
    for at in 0..40 {
        put(&client, &table, key(&at.to_string(), "1")).await;
    }
    let mut found = BTreeSet::new();
    for segment in 0..4 {
        let mut start = None;
        loop {
            let scan = client
                .scan()
                .table_name(&table)
                .segment(segment)
                .total_segments(4);
            let page = scan
                .limit(7)
                .set_exclusive_start_key(start)
                .send()
                .await
                .expect("scanned");
            for item in page.items() {
                assert!(
                    found.insert(item["pk"].as_s().cloned().expect("text")),
                    "{item:?} twice"
                );
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                break;
            }
        }
    }
    assert_eq!(found.len(), 40);
    let alone = client.scan().table_name(&table).segment(1).send().await;
    refused(alone, "ValidationException", &[]);
}

async fn projections_leave_out(client: Client) {
    let table = filled(&client).await;
    let get = client
        .get_item()
        .table_name(&table)
        .set_key(Some(key("a", "9")))
        .projection_expression("g, nothing");
    let item = get.send().await.expect("read").item;
    assert_eq!(item, Some(Item::from([("g".to_owned(), s("odd"))])));
}
