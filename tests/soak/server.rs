//! The two servers: the faulty one behind a socket, and DynamoDB Local.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType,
};
use dynamodb_connector::test_util::{FakeServer, FaultyDynamoDb};

use crate::local::client_for;
use crate::tables::Table;

pub(crate) struct Server {
    /// Over HTTP, faults and all.
    pub(crate) client: Client,
    /// Answers truly whatever the other does.
    pub(crate) honest: Client,
    pub(crate) faulty: Option<Faulty>,
}

pub(crate) struct Faulty {
    pub(crate) fake: FaultyDynamoDb,
    pub(crate) seed: u64,
    _server: FakeServer,
}

impl Server {
    pub(crate) async fn faulty(seed: u64) -> Self {
        let fake = FaultyDynamoDb::new();
        let server = fake.serve().await.expect("a server");
        let both = Self {
            client: server.client(),
            honest: fake.client(),
            faulty: Some(Faulty {
                fake,
                seed,
                _server: server,
            }),
        };
        both.create_tables().await;
        both
    }

    pub(crate) async fn local(url: &str) -> Self {
        let client = client_for(url);
        let local = Self {
            honest: client.clone(),
            client,
            faulty: None,
        };
        local.create_tables().await;
        local
    }

    async fn create_tables(&self) {
        for table in Table::ALL {
            let mut create = self
                .honest
                .create_table()
                .table_name(table.name())
                .billing_mode(BillingMode::PayPerRequest)
                .key_schema(element("pk", KeyType::Hash))
                .attribute_definitions(attribute("pk", ScalarAttributeType::S))
                .attribute_definitions(attribute("g", ScalarAttributeType::S))
                .global_secondary_indexes(index());
            if table.has_sort_key() {
                create = create
                    .key_schema(element("sk", KeyType::Range))
                    .attribute_definitions(attribute("sk", ScalarAttributeType::N));
            }
            create.send().await.expect("a table");
        }
    }

    pub(crate) async fn delete_tables(&self) {
        for table in Table::ALL {
            let delete = self.honest.delete_table().table_name(table.name());
            delete.send().await.expect("deleted");
        }
    }
}

/// Of which the sink is not told: keys of another type in it are for the service to refuse.
fn index() -> GlobalSecondaryIndex {
    let all = Projection::builder().projection_type(ProjectionType::All);
    GlobalSecondaryIndex::builder()
        .index_name("by-g")
        .key_schema(element("g", KeyType::Hash))
        .projection(all.build())
        .build()
        .expect("complete")
}

fn element(name: &str, role: KeyType) -> KeySchemaElement {
    let element = KeySchemaElement::builder().attribute_name(name);
    element.key_type(role).build().expect("complete")
}

fn attribute(name: &str, kind: ScalarAttributeType) -> AttributeDefinition {
    let attribute = AttributeDefinition::builder().attribute_name(name);
    attribute.attribute_type(kind).build().expect("complete")
}
