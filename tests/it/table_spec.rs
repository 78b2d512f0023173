//! A table's specification is the same to every server that the crate brings along.

use std::panic::{AssertUnwindSafe, catch_unwind};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::TableDescription;
use dynamodb_connector::item::KeyKind;
use dynamodb_connector::test_util::{Capacity, FaultyDynamoDb, TableSpecExt as _};
use dynamodb_connector::{IndexSpec, StreamView, TableSpec};

async fn described(client: &Client, table: &str) -> TableDescription {
    let describe = client.describe_table().table_name(table);
    let described = describe.send().await.expect("described");
    described.table.expect("a table")
}

#[cfg(feature = "embedded")]
mod on_both {
    use std::collections::BTreeMap;

    use aws_sdk_dynamodb::types::{KeySchemaElement, OnDemandThroughput, Projection};
    use dynamodb_connector::embedded::EmbeddedDynamoDb;

    use super::*;

    /// Indexes of every kind, under a capacity and a stream of each kind.
    fn specs() -> [TableSpec; 3] {
        let whole = TableSpec::new("orders.2026-all_of")
            .partition("customer", KeyKind::Binary)
            .sort("at", KeyKind::Number)
            .index(
                IndexSpec::local("by_size")
                    .partition("customer", KeyKind::Binary)
                    .sort("size", KeyKind::Number)
                    .keys_only(),
            )
            .index(IndexSpec::global("by-state").partition("state", KeyKind::String))
            .index(
                IndexSpec::global("by.state")
                    .partition("state", KeyKind::String)
                    .sort("at", KeyKind::Number)
                    .include(["a", "b"])
                    .provisioned(3, 4),
            );
        [
            whole.provisioned(5, 70).stream(StreamView::OldImage),
            TableSpec::new("maximum").on_demand_at_most(9),
            TableSpec::new("default").stream(StreamView::NewAndOldImages),
        ]
    }

    fn keys(schema: &[KeySchemaElement]) -> Vec<(String, String)> {
        let pair = |one: &KeySchemaElement| (one.attribute_name.clone(), one.key_type.to_string());
        schema.iter().map(pair).collect()
    }

    fn form(schema: &[KeySchemaElement], projection: Option<&Projection>) -> String {
        let projection = projection.expect("a projection");
        let kind = projection.projection_type().expect("its type");
        let names = projection.non_key_attributes();
        format!("{:?} {kind} {names:?}", keys(schema))
    }

    /// All that a description says of what a specification can say.
    fn said(table: &TableDescription) -> BTreeMap<String, String> {
        let mut said = BTreeMap::new();
        let mut say = |what: &str, value: String| said.insert(what.to_owned(), value);
        say("name", table.table_name().expect("a name").to_owned());
        say("status", format!("{:?}", table.table_status()));
        say("keys", format!("{:?}", keys(table.key_schema())));
        let attributes = table.attribute_definitions().iter();
        let attributes = attributes.map(|one| (one.attribute_name(), one.attribute_type()));
        say(
            "attributes",
            format!("{:?}", attributes.collect::<BTreeMap<_, _>>()),
        );
        let mode = table
            .billing_mode_summary()
            .and_then(|mode| mode.billing_mode());
        let on_demand = mode.is_some_and(|mode| mode.as_str() == "PAY_PER_REQUEST");
        say("on demand", on_demand.to_string());
        let units = table.provisioned_throughput().expect("units");
        let units = (units.read_capacity_units(), units.write_capacity_units());
        say("units", format!("{units:?}"));
        let maximum = table.on_demand_throughput();
        let maximum = maximum.and_then(OnDemandThroughput::max_write_request_units);
        say("maximum", format!("{maximum:?}"));
        let stream = table.stream_specification();
        let view = stream.and_then(|stream| stream.stream_view_type());
        say("stream", format!("{view:?}"));
        for index in table.local_secondary_indexes() {
            let form = form(index.key_schema(), index.projection());
            say(index.index_name().expect("a name"), format!("local {form}"));
        }
        for index in table.global_secondary_indexes() {
            let form = form(index.key_schema(), index.projection());
            let units = index.provisioned_throughput();
            let units = units.map(|units| (units.read_capacity_units, units.write_capacity_units));
            say(
                index.index_name().expect("a name"),
                format!("{form} {units:?}"),
            );
        }
        said
    }

    #[tokio::test]
    async fn both_servers_describe_the_table_as_it_was_specified() {
        let fake = FaultyDynamoDb::new();
        let embedded = EmbeddedDynamoDb::start().await.expect("a database");
        for spec in specs() {
            let name = spec.name().to_owned();
            fake.create_table(spec.clone());
            embedded.create_table(spec).await.expect("created");
            let by_fake = said(&described(&fake.client(), &name).await);
            let by_embedded = said(&described(&embedded.client(), &name).await);
            assert_eq!(by_fake, by_embedded);
            if name.starts_with("orders") {
                for (what, part) in [
                    ("keys", r#"[("customer", "HASH"), ("at", "RANGE")]"#),
                    (
                        "attributes",
                        r#"{"at": N, "customer": B, "size": N, "state": S}"#,
                    ),
                    ("units", "(Some(5), Some(70))"),
                    ("stream", "OldImage"),
                    ("by_size", "KEYS_ONLY"),
                    ("by-state", "(Some(5), Some(70))"),
                    ("by.state", r#"INCLUDE ["a", "b"]"#),
                    ("by.state", "(Some(3), Some(4))"),
                ] {
                    assert!(by_embedded[what].contains(part), "{what}: {by_embedded:#?}");
                }
            }
        }
        embedded.shutdown().await;
    }
}

#[tokio::test]
async fn the_fake_creates_no_table_that_it_would_refuse_to_describe() {
    let fake = FaultyDynamoDb::new();
    let named = |name: &str| TableSpec::new(name).partition("id", KeyKind::String);
    let makers: [fn(&FaultyDynamoDb, TableSpec); 2] = [
        |fake, spec| fake.create_table(spec),
        |fake, spec| fake.alter_table(spec),
    ];
    let (shortest, longest) = ("abc", "n".repeat(255));
    for name in [shortest, &longest, "A.b-c_9"] {
        fake.create_table(named(name));
        described(&fake.client(), name).await;
    }
    for name in ["", "ab", "a b", "größe", "a!c", &"n".repeat(256)] {
        for make in makers {
            let made = catch_unwind(AssertUnwindSafe(|| make(&fake, named(name))));
            let panic = made.expect_err(name);
            let rule = panic.downcast_ref::<String>().expect("a message");
            assert!(rule.contains("3 to 255 characters"), "{rule}");
            assert!(rule.contains(name), "{rule}");
        }
        let describe = fake.client().describe_table().table_name(name);
        describe.send().await.expect_err("no name of a table");
    }
    // The fake still works, and no table was made.
    let enforced = named("enforced").enforce(Capacity::enforced());
    fake.create_table(enforced);
    let listed = fake.client().list_tables().send().await.expect("listed");
    assert_eq!(listed.table_names().len(), 4);
}
