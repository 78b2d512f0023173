use super::*;

fn kafka() -> KafkaSettings {
    KafkaSettings::new("b:1")
}

fn socket_timeout(settings: &TransactionSettings, kafka: &KafkaSettings) -> String {
    let config = settings.client(kafka, "id").expect("taken");
    config.get("socket.timeout.ms").expect("set").to_owned()
}

#[test]
fn settings_are_read_as_they_are_written() {
    let settings = TransactionSettings::new("a")
        .instance("i")
        .transaction_timeout(Duration::from_secs(20));
    let text = toml::to_string(&settings).expect("written");
    assert_eq!(
        TransactionSettings::from_toml(&text).expect("read"),
        settings
    );
    let short = TransactionSettings::from_toml("application = \"a\"").expect("defaults");
    assert_eq!(short, TransactionSettings::new("a"));
}

#[test]
fn an_id_is_of_application_instance_and_group_and_stays_with_a_named_instance() {
    let named = TransactionSettings::new("app").instance("pod-0");
    assert_eq!(named.id(3), "app/pod-0/3");
    let drawn = TransactionSettings::new("app");
    assert_eq!(
        drawn.id(0),
        TransactionSettings::new("app").id(0),
        "of the process"
    );
    let parts: Vec<String> = drawn.id(7).split('/').map(str::to_owned).collect();
    let is_hex = |text: &str| text.len() == 16 && text.chars().all(|c| c.is_ascii_hexdigit());
    assert!(is_hex(&parts[1]) && parts[2..] == ["7"], "{parts:?}");
}

#[test]
fn names_that_two_ids_could_share_and_too_long_ones_are_refused() {
    let problem = |settings: TransactionSettings| {
        let checked = settings.validate();
        checked.expect_err("refused").to_string()
    };
    assert_eq!(
        problem(TransactionSettings::new("")),
        "kafka.transaction: application is not set"
    );
    let slash = problem(TransactionSettings::new("a/b"));
    assert!(slash.contains("application is \"a/b\""), "{slash}");
    let empty = problem(TransactionSettings::new("a").instance(""));
    assert!(empty.contains("instance is \"\""), "{empty}");
    let at_most = "i".repeat(188 - 1);
    let settings = TransactionSettings::new("a").instance(&at_most);
    settings.validate().expect("at most");
    assert_eq!(settings.id(u32::MAX).len(), MAX_ID_BYTES);
    assert_eq!(
        problem(TransactionSettings::new("a").instance(at_most + "i")),
        "kafka.transaction: application is with the instance a name of 189 bytes, allowed 1 to 188 bytes"
    );
    let short = TransactionSettings::new("a").transaction_timeout(Duration::from_millis(999));
    assert_eq!(
        problem(short),
        "kafka.transaction: transaction_timeout is 999ms, allowed 1s to 15m"
    );
}

#[test]
fn a_request_is_tried_three_times_within_a_transaction() {
    let of = |secs| TransactionSettings::new("a").transaction_timeout(Duration::from_secs(secs));
    for (secs, expected) in [
        (1, "1000"),
        (3, "1000"),
        (6, "2000"),
        (10, "3000"),
        (60, "3000"),
    ] {
        assert_eq!(socket_timeout(&of(secs), &kafka()), expected, "{secs} s");
    }
    let set = kafka().set("socket.timeout.ms", "5000");
    let error = of(10).client(&set, "id").expect_err("two tries");
    assert_eq!(
        error.to_string(),
        "kafka property \"socket.timeout.ms\": must be at most 3s 333ms, so that a transaction has time for 3 \
         tries of a request: lower it, or raise transaction_timeout"
    );
    assert_eq!(socket_timeout(&of(15), &set), "5000");
}

#[test]
fn a_backoff_in_which_a_second_try_would_not_be_seen_is_refused() {
    let settings = TransactionSettings::new("a");
    for property in BACKOFFS {
        let short = kafka().set(property, "99");
        let error = settings.client(&short, "id").expect_err("too short");
        let error = error.to_string();
        assert!(
            error.contains(property) && error.contains("100ms"),
            "{error}"
        );
    }
    let least = kafka().set("retry.backoff.ms", "100");
    settings.client(&least, "id").expect("taken");
}

#[test]
fn what_would_break_a_transaction_is_refused_and_librdkafka_takes_the_rest() {
    let settings = TransactionSettings::new("a");
    for (property, _) in REFUSED {
        let set = kafka().set(property, "1");
        let error = settings.client(&set, "id").expect_err("refused");
        assert!(error.to_string().contains(property), "{error}");
    }
    let config = settings.client(&kafka(), "a/b/0").expect("taken");
    let native = config.create_native_config().expect("known properties");
    let id = native.get("transactional.id").expect("set");
    assert_eq!(id.trim_end_matches('\0'), "a/b/0");
}
