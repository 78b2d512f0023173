//! Descriptions as real servers gave them: of what mode, how much, and whether to believe it.

use crate::item::{IndexShape, KeyKind, KeySchema, Projection, TableShape};
use crate::transport::describe::{Billing, GlobalIndex};
use crate::transport::parse_describe;

/// The answer of DynamoDB Local 3.1.0 about a provisioned table.
const PROVISIONED: &str = r#"{"Table":{"AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"sk","AttributeType":"S"},{"AttributeName":"state","AttributeType":"S"}],"TableName":"prov","KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}],"TableStatus":"ACTIVE","CreationDateTime":1795450628.194,"ProvisionedThroughput":{"LastIncreaseDateTime":0.000,"LastDecreaseDateTime":0.000,"NumberOfDecreasesToday":0,"ReadCapacityUnits":5,"WriteCapacityUnits":7},"TableSizeBytes":0,"ItemCount":0,"TableArn":"arn:aws:dynamodb:ddblocal:000000000000:table/prov","LocalSecondaryIndexes":[{"IndexName":"loc","KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"state","KeyType":"RANGE"}],"Projection":{"ProjectionType":"KEYS_ONLY"},"IndexSizeBytes":0,"ItemCount":0,"IndexArn":"arn:aws:dynamodb:ddblocal:000000000000:table/prov/index/loc"}],"GlobalSecondaryIndexes":[{"IndexName":"glo","KeySchema":[{"AttributeName":"state","KeyType":"HASH"}],"Projection":{"ProjectionType":"INCLUDE","NonKeyAttributes":["a","b"]},"IndexStatus":"ACTIVE","ProvisionedThroughput":{"ReadCapacityUnits":3,"WriteCapacityUnits":4},"IndexSizeBytes":0,"ItemCount":0,"IndexArn":"arn:aws:dynamodb:ddblocal:000000000000:table/prov/index/glo"}],"DeletionProtectionEnabled":false}}"#;

/// The answer of DynamoDB Local 3.1.0 about a table on demand that was created with a maximum of 60
/// write units and a warm throughput of 4,000.
const ON_DEMAND: &str = r#"{"Table":{"AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"sk","AttributeType":"S"},{"AttributeName":"state","AttributeType":"S"}],"TableName":"dema","KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}],"TableStatus":"ACTIVE","CreationDateTime":1795450628.484,"ProvisionedThroughput":{"LastIncreaseDateTime":0.000,"LastDecreaseDateTime":0.000,"NumberOfDecreasesToday":0,"ReadCapacityUnits":0,"WriteCapacityUnits":0},"TableSizeBytes":0,"ItemCount":0,"TableArn":"arn:aws:dynamodb:ddblocal:000000000000:table/dema","BillingModeSummary":{"BillingMode":"PAY_PER_REQUEST","LastUpdateToPayPerRequestDateTime":1795450628.484},"GlobalSecondaryIndexes":[{"IndexName":"glo","KeySchema":[{"AttributeName":"state","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"},"IndexStatus":"ACTIVE","IndexSizeBytes":0,"ItemCount":0,"IndexArn":"arn:aws:dynamodb:ddblocal:000000000000:table/dema/index/glo"}],"DeletionProtectionEnabled":false,"OnDemandThroughput":{"MaxReadRequestUnits":50,"MaxWriteRequestUnits":60}}}"#;

fn index(provisioned_write_units: Option<u64>) -> GlobalIndex {
    GlobalIndex {
        name: "glo".into(),
        status: Some("ACTIVE".into()),
        provisioned_write_units,
        max_on_demand_write_units: None,
        warm_write_units: None,
    }
}

#[test]
fn a_provisioned_table_of_dynamodb_local_has_its_units_and_no_mode() {
    let table = parse_describe(PROVISIONED.as_bytes()).unwrap();
    let keys = KeySchema::new("pk", KeyKind::String);
    let local = keys.clone().with_sort("state", KeyKind::String);
    let included = Projection::Include(vec!["a".into(), "b".into()]);
    let shape = TableShape::new(keys.with_sort("sk", KeyKind::String))
        .with_index(
            IndexShape::new("loc", local)
                .local()
                .projection(Projection::KeysOnly),
        )
        .with_index(
            IndexShape::new("glo", KeySchema::new("state", KeyKind::String)).projection(included),
        );
    assert_eq!(table.shape, shape);
    assert_eq!(table.billing, None);
    assert_eq!(table.provisioned_write_units, Some(7));
    assert_eq!(table.max_on_demand_write_units, None);
    assert_eq!(table.warm_write_units, None);
    assert_eq!(table.global_indexes, [index(Some(4))]);
    assert!(table.local_imitation);
}

#[test]
fn a_table_on_demand_of_dynamodb_local_has_its_maximum_and_no_warm_throughput() {
    let table = parse_describe(ON_DEMAND.as_bytes()).unwrap();
    assert_eq!(table.billing, Some(Billing::OnDemand));
    assert_eq!(table.provisioned_write_units, Some(0));
    assert_eq!(table.max_on_demand_write_units, Some(60));
    assert_eq!(table.warm_write_units, None);
    assert_eq!(table.global_indexes, [index(None)]);
    assert!(table.local_imitation);
    let [global] = table.shape.indexes() else {
        panic!("one index: {:?}", table.shape);
    };
    assert!(!global.is_local() && *global.projected() == Projection::All);
}

#[test]
fn only_what_aws_does_not_have_is_an_imitations() {
    for (arn, local) in [
        ("arn:aws:dynamodb:ddblocal:000000000000:table/prov", true),
        ("arn:aws:dynamodb:dynoxide:000000000000:table/prov", true),
        ("arn:aws:dynamodb:eu-west-1:000000000000:table/prov", false),
        (
            "arn:aws-cn:dynamodb:cn-north-1:123456789012:table/prov",
            false,
        ),
        (
            "arn:aws:dynamodb:eu-west-1:123456789012:table/ddblocal",
            false,
        ),
        ("arn:scylla:alternator:ks:scylla:table/prov", true),
        ("ddblocal", true),
        ("", true),
    ] {
        let body = PROVISIONED.replace(
            "arn:aws:dynamodb:ddblocal:000000000000:table/prov\"",
            &format!("{arn}\""),
        );
        let table = parse_describe(body.as_bytes()).unwrap();
        assert_eq!(table.local_imitation, local, "{arn}");
    }
    let unnamed = PROVISIONED.replace("TableArn", "Other");
    assert!(!parse_describe(unnamed.as_bytes()).unwrap().local_imitation);
}

#[test]
fn a_projection_that_is_not_known_is_taken_for_the_whole_item() {
    for (told, expected) in [
        ("{\"ProjectionType\":\"KEYS_ONLY\"}", Projection::KeysOnly),
        (
            "{\"ProjectionType\":\"INCLUDE\"}",
            Projection::Include(vec![]),
        ),
        ("{\"ProjectionType\":\"SOMETHING_NEW\"}", Projection::All),
        ("{}", Projection::All),
        ("null", Projection::All),
    ] {
        let body = ON_DEMAND.replace("{\"ProjectionType\":\"ALL\"}", told);
        let table = parse_describe(body.as_bytes()).unwrap();
        let found: Vec<_> = table
            .shape
            .indexes()
            .iter()
            .map(IndexShape::projected)
            .collect();
        assert_eq!(found, [&expected], "{told}");
    }
}
