//! What is read back by the plain SDK is what was given to the sink, whichever way it went.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue as V;

use super::{Local, item, pk};
use crate::conformance::harness::{Item, b, n, ns, s, ss};

/// Every type, empty where that is allowed, and whatever is hard to write as JSON.
fn every_type(key: &str) -> Item {
    let bs = |members: &[&[u8]]| V::Bs(members.iter().map(|bytes| (*bytes).into()).collect());
    let map = |entries: Vec<(&str, V)>| {
        V::M(
            entries
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    };
    let deep = (0..29).fold(n("1"), |inner, _| V::L(vec![inner]));
    item([
        ("pk", s(key)),
        ("g", s("group")),
        (
            "text",
            s("quotes \" and \\, é, 漢, 🦀, \u{0}, \u{7f}, \u{2028}"),
        ),
        ("empty text", s("")),
        ("number", n("-12.5")),
        ("digits", n("12345678901234567890.123456789012345678")),
        ("greatest", n("99999999999999999999999999999999999999")),
        ("bytes", b(&[0, 255, 10, 13])),
        ("empty bytes", b(&[])),
        ("true", V::Bool(true)),
        ("false", V::Bool(false)),
        ("null", V::Null(true)),
        (
            "list",
            V::L(vec![n("1"), s(""), V::Null(true), V::L(vec![])]),
        ),
        ("empty list", V::L(vec![])),
        (
            "map",
            map(vec![("a.b", n("7")), ("\"#:", s("x")), ("m", map(vec![]))]),
        ),
        ("empty map", map(vec![])),
        ("strings", ss(&["only"])),
        ("empty string in a set", ss(&[""])),
        ("numbers", ns(&["3"])),
        ("binaries", bs(&[&[0, 1]])),
        ("deep", deep),
    ])
}

#[tokio::test]
async fn every_attribute_type_is_read_back_as_it_was_given() {
    let Some(local) = Local::new("values::every_attribute_type_is_read_back_as_it_was_given").await
    else {
        return;
    };
    let table = local.open().await;
    let batched = table.put_item(&every_type("batched")).await.unwrap();
    let single = table
        .put_item(&every_type("single"))
        .condition("attribute_not_exists(pk)");
    let single = single.await.unwrap();
    let transaction = table
        .transaction()
        .add(table.put_item(&every_type("transaction")));
    let transaction = transaction.await.unwrap();
    let mut update = Vec::new();
    let mut of = table.update(&HashMap::from([("pk", "updated")]), {
        let values = every_type("updated");
        let mut names: Vec<_> = values.keys().filter(|name| *name != "pk").collect();
        names.sort();
        for (place, name) in names.iter().enumerate() {
            update.push((place, (*name).clone(), values[*name].clone()));
        }
        let sets: Vec<String> = (0..names.len())
            .map(|place| format!("#n{place} = :v{place}"))
            .collect();
        format!("SET {}", sets.join(", "))
    });
    for (place, name, value) in &update {
        of = of
            .name(format!("#n{place}"), name)
            .attribute_value(format!(":v{place}"), value);
    }
    let updated = of.await.unwrap();
    super::all_written(vec![batched, single, transaction, updated]).await;
    for key in ["batched", "single", "transaction", "updated"] {
        assert_eq!(local.get(pk(key)).await, Some(every_type(key)), "{key}");
    }
    table.close().await.unwrap();
    local.end().await;
}

#[tokio::test]
async fn sets_of_several_members_are_read_back_in_some_order() {
    let Some(local) =
        Local::new("values::sets_of_several_members_are_read_back_in_some_order").await
    else {
        return;
    };
    let table = local.open().await;
    let members: Vec<String> = (0..100).map(|member| format!("m{member:03}")).collect();
    let words: Vec<&str> = members.iter().map(String::as_str).collect();
    let given = item([("pk", s("a")), ("set", ss(&words))]);
    assert!(table.put_item(&given).confirm().await.unwrap().is_written());
    let found = local.get(pk("a")).await.unwrap();
    let mut set = found["set"].as_ss().unwrap().clone();
    set.sort();
    assert_eq!(set, members);
    table.close().await.unwrap();
    local.end().await;
}

/// The server would refuse them together with all their neighbours in the batch.
#[tokio::test]
async fn empty_sets_are_refused_at_submit_and_named() {
    let Some(local) = Local::new("values::empty_sets_are_refused_at_submit_and_named").await else {
        return;
    };
    let table = local.open().await;
    for empty in [V::Ss(vec![]), V::Ns(vec![]), V::Bs(vec![])] {
        let within = V::M(HashMap::from([("inner".to_owned(), empty.clone())]));
        let write = item([("pk", s("a")), ("outer", within)]);
        let error = table.put_item(&write).await.unwrap_err();
        assert!(error.is_record());
        assert!(error.to_string().contains("outer.*"), "{error}");
        // The server agrees.
        let direct = local.client.put_item().table_name(&local.name);
        direct.set_item(Some(write)).send().await.unwrap_err();
    }
    table.close().await.unwrap();
    local.end().await;
}
