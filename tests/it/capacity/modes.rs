//! How a table's capacity is paid for is found out, followed, and done without where it can't be.

use std::time::Duration;

use dynamodb_connector::TableSpec;
use dynamodb_connector::item::{KeyKind, KeySchema};
use dynamodb_connector::sink::{CapacityMode, DynamoDbSink, Rate, TableSettings, TableSink};
use dynamodb_connector::test_util::{
    FakeTable, Fault, FaultyDynamoDb, Operation, TableSpecExt as _,
};

use super::{Class, Span, at_least, at_most, capacity, open, seconds, spec};
use crate::setup::TABLE;

fn fake(table: impl Into<FakeTable>) -> FaultyDynamoDb {
    super::fake([table])
}

/// No burst credit is looked for, so that the rate is what is provisioned until something is refused.
fn settings() -> TableSettings {
    super::settings().burst(false)
}

fn provisioned(units: u64) -> TableSpec {
    spec(TABLE).provisioned(5, units)
}

/// Opens [`TABLE`] with its keys given.
async fn open_keyed(fake: &FaultyDynamoDb, settings: TableSettings) -> TableSink {
    let keys = KeySchema::new("pk", KeyKind::String).with_sort("sk", KeyKind::Number);
    let sink = DynamoDbSink::builder(&fake.client())
        .table(TABLE, settings)
        .keys(TABLE, keys)
        .seed(1)
        .open();
    sink.await.expect("opened").table(TABLE).expect("opened")
}

fn mode_and_rate(table: &TableSink) -> (CapacityMode, Option<f64>) {
    let stats = table.stats();
    (stats.mode, stats.rate)
}

#[tokio::test(start_paused = true)]
async fn each_mode_is_recognised_with_its_units() {
    let warm = |spec: TableSpec| spec.enforce(capacity(1, 1_000).warm_units(400));
    let limited = || spec(TABLE).on_demand_at_most(150);
    let on_demand = CapacityMode::OnDemand;
    for (table, mode, rate) in [
        (
            provisioned(200).into(),
            CapacityMode::Provisioned,
            Some(200.0),
        ),
        (warm(spec(TABLE)), on_demand, Some(400.0)),
        (warm(limited()), on_demand, Some(150.0)),
        (limited().into(), on_demand, Some(150.0)),
        // Nothing tells what it takes at once.
        (spec(TABLE).into(), on_demand, None),
    ] {
        let told = format!("{table:?}");
        let fake = fake(table);
        for keyed in [false, true] {
            let table = if keyed {
                open_keyed(&fake, settings()).await
            } else {
                open(&fake, settings(), 1).await
            };
            let _load = Class::offered("all", |_| 10.0).start(&table);
            seconds(1.05).await;
            let (found, found_rate) = mode_and_rate(&table);
            assert_eq!(found, mode, "keyed {keyed}: {told}");
            let close = match (found_rate, rate) {
                // What is on demand may have grown a little.
                (Some(found), Some(rate)) => (rate..rate * 1.001).contains(&found),
                (found, rate) => found == rate,
            };
            assert!(close, "keyed {keyed}: {found_rate:?}, {told}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_share_is_a_share_of_the_tables_units() {
    let fake = fake(provisioned(200));
    let table = open(&fake, settings().share(0.25), 1).await;
    let _load = Class::overload("all").start(&table);
    seconds(1.0).await;
    assert_eq!(table.stats().rate, Some(50.0));
    seconds(5.0).await;
    let written = table.stats().written;
    assert!(
        written <= 6 * 50 + 50,
        "{written} in 6 s and a burst of one"
    );
    assert!(written >= 5 * 50, "{written}");
}

#[tokio::test(start_paused = true)]
async fn a_table_that_may_not_be_described_is_found_out_by_trying() {
    let fake = fake(provisioned(200).enforce(capacity(4, 200)));
    fake.inject(Fault::access_denied().on(Operation::DescribeTable).always());
    let table = open_keyed(&fake, super::settings()).await;
    let _load = Class::overload("all").start(&table);
    seconds(10.0).await;
    let span = Span::of(&fake, 25.0).await;
    let (mode, rate) = mode_and_rate(&table);
    assert_eq!(mode, CapacityMode::Unknown);
    assert!(rate.is_some(), "refusals have told it something");
    // No bar is set for a table of which nothing is known; what a careful client with a description does is far
    // from what others waste.
    at_least("used", span.used(), 90.0);
    at_most("throttled", span.throttled(), 10.0);
}

#[tokio::test(start_paused = true)]
async fn a_description_that_is_denied_once_is_asked_for_again() {
    let fake = fake(provisioned(200));
    fake.keep_journal(true);
    let settings = settings().refresh(Duration::from_secs(10));
    let table = open(&fake, settings, 1).await;
    fake.inject(Fault::access_denied().on(Operation::DescribeTable));
    let _load = Class::offered("all", |_| 10.0).start(&table);
    seconds(35.0).await;
    assert_eq!(described(&fake), 4, "at opening, and after 10, 20 and 30 s");
    let (mode, _) = mode_and_rate(&table);
    assert_eq!(mode, CapacityMode::Provisioned);
}

/// How often the table was described since the journal was last emptied.
fn described(fake: &FaultyDynamoDb) -> usize {
    let requests = fake.take_requests();
    let described = requests
        .iter()
        .filter(|request| request.operation() == Some(Operation::DescribeTable));
    described.count()
}

#[tokio::test(start_paused = true)]
async fn a_table_is_described_at_intervals_while_it_is_written_to() {
    let fake = fake(provisioned(200));
    fake.keep_journal(true);
    let settings = settings().refresh(Duration::from_secs(10));
    let table = open(&fake, settings, 1).await;
    assert_eq!(described(&fake), 1);
    let load = Class::offered("all", |_| 10.0).start(&table);
    seconds(35.0).await;
    assert_eq!(described(&fake), 3, "after 10, 20 and 30 s");
    drop(load);
    seconds(600.0).await;
    assert_eq!(described(&fake), 0, "nothing was written");
    let _load = Class::offered("all", |_| 10.0).start(&table);
    seconds(5.0).await;
    assert_eq!(described(&fake), 1, "what was known was old");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_described_for_a_rate_that_was_set() {
    for rate in [Rate::Fixed(100), Rate::Unlimited] {
        let fake = fake(provisioned(200));
        fake.keep_journal(true);
        let settings = settings().refresh(Duration::from_secs(1)).rate(rate);
        let table = open_keyed(&fake, settings).await;
        let _load = Class::offered("all", |_| 10.0).start(&table);
        fake.inject(Fault::unprocessed_all().times(5));
        seconds(20.0).await;
        assert_eq!(described(&fake), 0, "{rate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn units_that_are_changed_elsewhere_are_known_within_a_refresh() {
    let fake = fake(provisioned(200));
    let settings = settings().refresh(Duration::from_secs(5));
    let table = open(&fake, settings, 1).await;
    let _load = Class::offered("all", |_| 20.0).start(&table);
    seconds(2.0).await;
    for units in [400_u32, 100, 101] {
        fake.set_write_units(TABLE, units.into());
        seconds(5.1).await;
        let rate = table.stats().rate.expect("it has one");
        assert!((rate - f64::from(units)).abs() < 1e-6, "{rate} for {units}");
    }
    fake.set_max_on_demand(TABLE, Some(300));
    seconds(5.1).await;
    assert_eq!(mode_and_rate(&table), (CapacityMode::OnDemand, Some(300.0)));
}

#[tokio::test(start_paused = true)]
async fn refusals_that_what_is_known_does_not_explain_have_the_table_described() {
    let fake = fake(provisioned(200).enforce(capacity(4, 200)));
    fake.keep_journal(true);
    let settings = settings().refresh(Duration::from_secs(3_600));
    let table = open(&fake, settings, 1).await;
    let _load = Class::overload("all").start(&table);
    seconds(10.0).await;
    assert_eq!(described(&fake), 1, "at opening");
    fake.set_write_units(TABLE, 100);
    // What the bank held at the change is spent first.
    seconds(15.0).await;
    let times = described(&fake);
    assert!(
        (1..=3).contains(&times),
        "{times}: every five seconds at most"
    );
    let rate = table.stats().rate.expect("it has one");
    assert!((50.0..=100.0).contains(&rate), "{rate}");
}

#[tokio::test(start_paused = true)]
async fn a_description_that_fails_takes_nothing_of_what_is_known() {
    for fault in [
        Fault::internal_error(),
        Fault::throttled(dynamodb_connector::test_util::Throttle::Throttling),
        Fault::close_before(),
        Fault::garbage_body(),
        Fault::never_answer(),
        // The permission was withdrawn.
        Fault::access_denied(),
    ] {
        let told = format!("{fault:?}");
        let fake = fake(provisioned(200));
        fake.keep_journal(true);
        let settings = settings().refresh(Duration::from_secs(2));
        let table = open(&fake, settings, 1).await;
        fake.inject(fault.on(Operation::DescribeTable).always());
        let load = Class::offered("all", |_| 20.0).start(&table);
        seconds(20.0).await;
        assert!(described(&fake) > 1, "it was tried: {told}");
        let known = (CapacityMode::Provisioned, Some(200.0));
        assert_eq!(mode_and_rate(&table), known, "{told}");
        assert!(load.written() >= 395.0, "writes go on: {told}");
        assert_eq!(table.stats().rejected, 0);
    }
}
