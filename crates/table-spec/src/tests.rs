//! Specifications that `CreateTable` refuses are refused with its rule.

use super::KeyKind::{Binary, Number, String};
use super::{IndexSpec, TableSpec};

fn table() -> TableSpec {
    TableSpec::new("orders").sort("at", Number)
}

fn global() -> IndexSpec {
    IndexSpec::global("by-state").partition("state", String)
}

fn local() -> IndexSpec {
    IndexSpec::local("by-size").sort("size", Number)
}

#[test]
fn a_specification_that_fits_passes() {
    let longest = "n".repeat(255);
    for name in ["abc", "a.B-c_9", &longest] {
        TableSpec::new(name).check().unwrap();
        let index = IndexSpec::global(name);
        table().index(index).check().unwrap();
    }
    let whole = table()
        .index(global().provisioned(1, 1).include(["size"]))
        .index(local().keys_only());
    whole.provisioned(1, 1).check().unwrap();
    let on_demand = table().on_demand_at_most(1);
    let index = global().on_demand_at_most(1);
    on_demand.index(index).check().unwrap();
    // The order of the two does not matter.
    let keys = TableSpec::new("orders")
        .sort("b", Binary)
        .partition("a", Number)
        .keys;
    assert_eq!(
        (keys.partition().name(), keys.sort().unwrap().name()),
        ("a", "b")
    );
}

#[test]
fn a_table_has_no_more_indexes_than_the_service_allows() {
    for (index, most, kind) in [(global(), 20, "global"), (local(), 5, "local")] {
        let of = |count: usize| {
            let indexes = (0..count).map(|n| IndexSpec {
                name: format!("index-{n}"),
                ..index.clone()
            });
            indexes.fold(table(), TableSpec::index)
        };
        of(most).check().unwrap();
        let broken = of(most + 1).check().unwrap_err();
        let told = format!(
            "it has {} {kind} indexes, and {most} are the most",
            most + 1
        );
        assert!(broken.contains(&told), "{broken}");
    }
}

#[test]
fn each_rule_is_named_with_the_place_that_breaks_it() {
    let names = "3 to 255 characters";
    let too_long = "n".repeat(256);
    let long = &*too_long;
    for (spec, place, rule) in [
        (TableSpec::new("ab"), "table \"ab\"", names),
        (TableSpec::new(long), "table", names),
        (TableSpec::new("a b"), "table \"a b\"", names),
        (TableSpec::new("größe"), "table \"größe\"", names),
        (
            table().index(IndexSpec::global("i")),
            "index \"i\" of table \"orders\"",
            names,
        ),
        (
            table().index(global()).index(global()),
            "by-state",
            "another index",
        ),
        (table().partition("", String), "orders", "1 to 255 bytes"),
        (table().sort(long, String), "orders", "1 to 255 bytes"),
        (table().sort("pk", String), "orders", "one attribute"),
        (
            table().sort("pk", Number),
            "orders",
            "of type N here and of type S",
        ),
        (
            table().index(global().sort("at", String)),
            "by-state",
            "of type S here and of type N",
        ),
        (
            table().index(global().include::<&str>([])),
            "by-state",
            "attributes to include",
        ),
        (
            table().index(IndexSpec::local("by-size")),
            "by-size",
            "needs a sort key",
        ),
        (
            TableSpec::new("orders").index(local()),
            "by-size",
            "needs a sort key",
        ),
        (
            table().index(local().partition("state", String)),
            "by-size",
            "partition key of its table",
        ),
        (
            table().provisioned(1, 1).index(local().provisioned(1, 1)),
            "by-size",
            "none of its own",
        ),
        (
            table().index(global().provisioned(1, 1)),
            "by-state",
            "the table is on demand",
        ),
        (
            table()
                .provisioned(1, 1)
                .index(global().on_demand_at_most(1)),
            "by-state",
            "the table is provisioned",
        ),
        (table().provisioned(0, 1), "orders", "at least 1 unit"),
        (table().provisioned(1, 0), "orders", "at least 1 unit"),
        (table().on_demand_at_most(0), "orders", "at least 1 unit"),
        (
            table().index(global().on_demand_at_most(0)),
            "by-state",
            "at least 1 unit",
        ),
        (
            table().provisioned(1, 1).index(global().provisioned(1, 0)),
            "by-state",
            "at least 1 unit",
        ),
    ] {
        let error = spec.check().unwrap_err();
        assert!(
            error.contains(place) && error.contains(rule),
            "{error}, not {rule}"
        );
    }
}
