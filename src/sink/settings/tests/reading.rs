//! Files that are read, and mistakes in them.

use super::*;

#[test]
fn an_empty_file_is_all_defaults() {
    assert_eq!(
        DynamoDbSinkSettings::from_toml("").expect("valid"),
        DynamoDbSinkSettings::default()
    );
    assert_eq!(
        DynamoDbSinkSettings::from_json("{}").expect("valid"),
        DynamoDbSinkSettings::default()
    );
}

#[test]
fn a_table_takes_what_it_does_not_name_from_the_defaults() {
    let settings = DynamoDbSinkSettings::from_toml(
        r#"
            [defaults]
            concurrency = { min = 2, max = 8 }
            rate = "unlimited"
            refresh = "2m"
            linger = "5ms"
            deadline = "1m 30s"
            [defaults.retry]
            max_attempts = 7
            budget = { ratio = 0.5 }

            [tables.a]
            linger = "20ms"
            concurrency.max = 64
            rate = 500
            share = 0.25
            retry.budget.burst = 7

            [tables.b]
            deadline = "none"
            concurrency = 3
            rate = "adaptive"
            burst = false
            retry.max_attempts = "none"
            "#,
    )
    .expect("valid");
    let retry = RetryPolicy::default()
        .max_attempts(7)
        .budget(RetryBudgetSettings::default().ratio(0.5));
    let defaults = TableSettings::default()
        .concurrency(2..=8)
        .rate(Rate::Unlimited)
        .refresh(Duration::from_secs(120))
        .linger(Duration::from_millis(5))
        .deadline(Duration::from_secs(90))
        .retry(retry.clone());
    assert_eq!(*settings.for_table("unnamed"), defaults);
    let budget = RetryBudgetSettings::default().ratio(0.5).burst(7);
    assert_eq!(
        *settings.for_table("a"),
        defaults
            .clone()
            .linger(Duration::from_millis(20))
            .concurrency(2..=64)
            .rate(500)
            .share(0.25)
            .retry(retry.clone().budget(budget)),
    );
    assert_eq!(
        *settings.for_table("b"),
        defaults
            .deadline(None)
            .concurrency(3)
            .rate(Rate::Adaptive)
            .burst(false)
            .retry(retry.max_attempts(None)),
    );
}

#[test]
fn json_and_toml_read_alike() {
    let json = r#"{"defaults": {"linger": "5ms"}, "tables": {"a": {"buffer_bytes": 8388608, "max_key_share": 1}}}"#;
    let toml =
        "defaults.linger = \"5ms\"\n[tables.a]\nbuffer_bytes = \"8 MiB\"\nmax_key_share = 1.0";
    assert_eq!(
        DynamoDbSinkSettings::from_json(json).expect("valid"),
        DynamoDbSinkSettings::from_toml(toml).expect("valid"),
    );
}

#[test]
fn a_mistake_names_table_field_value_and_range() {
    let cases = [
        (
            "tables.a.max_batch_items = 26",
            "table \"a\": max_batch_items is 26, allowed 1 to 25",
        ),
        (
            "tables.a.max_batch_items = -1",
            "table \"a\": max_batch_items: invalid value: integer `-1`, expected usize, allowed 1 to 25",
        ),
        (
            "tables.a.linger = 5",
            "table \"a\": linger: invalid type: integer `5`, expected a duration with a unit, such as \
                 \"250ms\", \"2s\" or \"1m 30s\", allowed 0s to 1m",
        ),
        (
            "defaults.buffer_bytes = \"8 lorries\"",
            "defaults: buffer_bytes: invalid value: string \"8 lorries\", expected a whole number of bytes, or one \
                 with a unit, such as \"64KiB\", \"8MiB\" or \"1MB\", allowed 4MiB to 1GiB",
        ),
        (
            "tables.a.deadline = true",
            "table \"a\": deadline: invalid type: boolean `true`, expected a duration with a unit, such as \
                 \"250ms\", \"2s\" or \"1m 30s\", or \"none\", allowed 10ms to 1day",
        ),
        (
            "tables.a.retry.max_attempts = 1.5",
            "table \"a\": retry.max_attempts: invalid type: floating point `1.5`, expected a whole number, or \
                 \"none\", allowed 1 to 10000",
        ),
        (
            "tables.a.concurrency = \"many\"",
            "table \"a\": concurrency: invalid type: string \"many\", expected a whole number, or a table of `min` \
                 and `max`, allowed 1 to 1000",
        ),
        (
            "tables.a.rate = \"fast\"",
            "table \"a\": rate: invalid value: string \"fast\", expected a whole number of write units a second, \
                 \"adaptive\" or \"unlimited\", allowed 1 to 10000000",
        ),
        (
            "tables.a.rate = 0.5",
            "table \"a\": rate: invalid type: floating point `0.5`, expected a whole number of write units a \
                 second, \"adaptive\" or \"unlimited\", allowed 1 to 10000000",
        ),
        (
            "defaults.rate = 0",
            "defaults: rate is 0, allowed 1 to 10000000",
        ),
        (
            "tables.a.share = \"half\"",
            "table \"a\": share: invalid type: string \"half\", expected f64, allowed 0.001 to 1",
        ),
        (
            "tables.a.refresh = 30",
            "table \"a\": refresh: invalid type: integer `30`, expected a duration with a unit, such as \
                 \"250ms\", \"2s\" or \"1m 30s\", allowed 1s to 1day",
        ),
        (
            "tables.a.concurrency.min = true",
            "table \"a\": concurrency.min: invalid type: boolean `true`, expected usize, allowed 1 to 1000",
        ),
        (
            "defaults.concurrency.min = 40",
            "defaults: concurrency.max is 32, allowed 40 (concurrency.min) to 1000",
        ),
        (
            "defaults.concurrency.min = 4\ntables.a.concurrency.max = 2",
            "table \"a\": concurrency.max is 2, allowed 4 (concurrency.min) to 1000",
        ),
        (
            "tables = 7",
            "sink: tables: invalid type: integer `7`, expected a map",
        ),
        (
            "tables.a = 7",
            "sink: tables.a: invalid type: integer `7`, expected a map",
        ),
        (
            "a = 7",
            "sink: a: unknown field `a`, expected one of `max_requests`, `buffer_bytes`, `defaults`, `tables`",
        ),
    ];
    for (toml, expected) in cases {
        assert_eq!(problem(toml), expected);
    }
}

#[test]
fn an_unknown_field_is_refused_with_those_there_are() {
    let unknown = problem("tables.a.lingr = \"5ms\"");
    assert!(
        unknown.starts_with(
            "table \"a\": lingr: unknown field `lingr`, expected one of `concurrency`, "
        ),
        "{unknown}"
    );
    assert!(unknown.contains("`linger`"), "{unknown}");
    let unknown = problem("tables.a.retry.budget.rate = 1");
    assert_eq!(
        unknown,
        "table \"a\": retry.budget.rate: unknown field `rate`, expected one of `ratio`, `min_per_second`, `burst`"
    );
}

#[test]
fn text_that_is_no_toml_or_json_is_refused_with_the_place() {
    let broken = problem("[defaults]\nlinger = = 3");
    assert!(broken.starts_with("settings are not TOML: "), "{broken}");
    assert!(broken.ends_with("at line 2 column 10"), "{broken}");
    let broken = DynamoDbSinkSettings::from_json("{\n  nonsense")
        .expect_err("refused")
        .to_string();
    assert_eq!(
        broken,
        "settings are not JSON: key must be a string at line 2 column 3"
    );
}

#[test]
fn files_are_told_apart_by_their_ending() {
    let missing = DynamoDbSinkSettings::from_path("no/such/settings.toml").expect_err("no file");
    assert!(matches!(missing, ConfigError::File { .. }));
    let unknown = DynamoDbSinkSettings::from_path("settings.yaml").expect_err("no format");
    assert_eq!(
        unknown.to_string(),
        "settings file \"settings.yaml\" ends in neither .toml nor .json"
    );
    let manifest = DynamoDbSinkSettings::from_path("Cargo.toml").expect_err("no settings");
    let manifest = manifest.to_string();
    let expected = "settings file \"Cargo.toml\": sink: ";
    assert!(manifest.starts_with(expected), "{manifest}");
}

#[test]
fn settings_can_be_part_of_an_applications_own() {
    #[derive(Debug, Deserialize)]
    struct Application {
        sink: DynamoDbSinkSettings,
    }
    let application: Application =
        toml::from_str("[sink.defaults]\nlinger = \"5ms\"\n[sink.tables.a]\ncoalesce = true")
            .expect("valid");
    let expected = TableSettings::default()
        .linger(Duration::from_millis(5))
        .coalesce(true);
    assert_eq!(*application.sink.for_table("a"), expected);
    let refused =
        toml::from_str::<Application>("[sink.tables.a]\nmax_batch_items = 0").expect_err("refused");
    assert!(
        refused
            .to_string()
            .contains("table \"a\": max_batch_items is 0, allowed 1 to 25"),
        "{refused}"
    );
}

#[test]
fn a_line_break_in_a_name_does_not_break_the_message() {
    let refused =
        DynamoDbSinkSettings::from_json(r#"{"defaults": {"l\nger": "5ms"}}"#).expect_err("unknown");
    assert_eq!(refused.to_string().lines().count(), 1, "{refused}");
    assert!(refused.to_string().contains(r"l\nger"), "{refused}");
}
