//! What goes wrong: drawn by a seed for every request, and now and then one of those that are rare.

use std::time::Duration;

use dynamodb_connector::test_util::{Fault, FaultPlan, FaultyDynamoDb, Operation, Throttle};
use tokio::sync::watch;

use crate::server::Faulty;
use crate::tables::Table;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What faults strike; the reads of the checks are spared.
const WRITES: [Operation; 5] = [
    Operation::BatchWriteItem,
    Operation::PutItem,
    Operation::DeleteItem,
    Operation::UpdateItem,
    Operation::TransactWriteItems,
];

/// From here on nothing is applied any more, and nothing answered.
pub(crate) fn silence(fake: &FaultyDynamoDb) {
    fake.heal();
    for operation in WRITES {
        fake.inject(Fault::never_answer().on(operation).always());
    }
}

/// Sets the plan, every probability of it well above none. No answer is slower than a small part of the sink's
/// time-out, so that a request is given up only where none comes.
pub(crate) fn plan(faulty: &Faulty) {
    faulty.fake.fault_plan(
        FaultPlan::seeded(faulty.seed)
            .operations(WRITES)
            .unprocessed(0.02)
            .throttle(0.005)
            .internal_error(0.01)
            .internal_error_after(0.01)
            .unavailable(0.005)
            .close_before(0.005)
            .close_after(0.01)
            .never(0.001)
            .never_after(0.001)
            .garbage(0.005)
            .truncated(0.005)
            .delay(0.2, ms(0)..=ms(40)),
    );
}

/// Strikes some request with another rare fault every so often, until told to stop.
pub(crate) async fn strike(fake: FaultyDynamoDb, seed: u64, mut stop: watch::Receiver<bool>) {
    let mut rng = fastrand::Rng::with_seed(seed);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(ms(rng.u64(100..800))) => {}
        }
        // Where few requests are sent they must not pile up: each of those would be struck, again and again.
        if fake.waiting_faults() < 4 {
            fake.inject(rare(&mut rng));
        }
    }
}

fn rare(rng: &mut fastrand::Rng) -> Fault {
    let guarded = Table::Guarded.name();
    // Those of which there are many: a fault that finds no request would keep others from being injected.
    let any = [
        Operation::BatchWriteItem,
        Operation::PutItem,
        Operation::UpdateItem,
    ];
    let any = *rng.choice(&any).expect("there are three");
    match rng.u32(0..13) {
        0 => Fault::throttled(Throttle::ProvisionedThroughput)
            .reason("TableWriteProvisionedThroughputExceeded", "table/soak")
            .on(any)
            .times(3),
        1 => Fault::throttled(Throttle::Throttling)
            .reason("TableWriteKeyRangeThroughputExceeded", "table/soak")
            .table(Table::Hot.name())
            .times(3),
        2 => Fault::throttled(Throttle::RequestLimit).on(any).times(2),
        3 => Fault::unprocessed_all(),
        4 => Fault::replicated_write_conflict().on(any),
        5 => Fault::transaction_conflict().on(Operation::PutItem),
        6 => Fault::transaction_in_progress().on(Operation::TransactWriteItems),
        7 => Fault::expired_token().on(any),
        // A whole batch is refused, and not a single record in it is at fault.
        8 => Fault::validation("Refused for no reason")
            .on(Operation::BatchWriteItem)
            .table(Table::Plain.name()),
        9 => Fault::too_large()
            .on(Operation::BatchWriteItem)
            .table(Table::Plain.name()),
        10 => Fault::bad_gateway().on(any),
        11 => Fault::apply_late(ms(rng.u64(100..8_000))).table(guarded),
        _ => Fault::never_answer().after_applying().table(guarded),
    }
}
