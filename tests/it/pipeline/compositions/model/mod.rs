//! Compositions drawn at random, with faults: sources merged, operators in boxes, branches, refusals, delays, a failure and
//! a second run. In each run the order of every partition holds in every branch; a record is acknowledged only after all
//! its effects, and both runs together leave no effect out.

mod composition;
mod ledger;

use proptest::prelude::*;

use composition::{BranchDraw, Draw, Op, Shape, SourceDraw};

fn paused() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap()
}

/// One in so many values, or none.
fn some_of(from: u32, to: u32) -> impl Strategy<Value = Option<u32>> {
    prop_oneof![2 => Just(None), 1 => (from..to).prop_map(Some)]
}

fn fails(weight: u32) -> impl Strategy<Value = Option<usize>> {
    prop_oneof![weight => Just(None), 1 => (1_usize..40).prop_map(Some)]
}

fn source() -> impl Strategy<Value = SourceDraw> {
    (1_u32..4, 0_u32..40, 1_usize..9, 0_u64..20, fails(5)).prop_map(
        |(partitions, records, batch, wait, fails_at)| SourceDraw {
            partitions,
            records,
            batch,
            wait,
            fails_at,
        },
    )
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => Just(Op::Map),
        3 => (1_u64..30, 1_usize..9).prop_map(|(delay, at_once)| Op::Wait(delay, at_once)),
        1 => Just(Op::Twice),
        1 => (3_u32..9).prop_map(Op::Refuse),
    ]
}

fn branch() -> impl Strategy<Value = BranchDraw> {
    (
        1_u64..30,
        1_usize..9,
        some_of(2, 9),
        some_of(3, 9),
        some_of(3, 9),
        1_u64..40,
        fails(4),
    )
        .prop_map(
            |(delay, at_once, filters, refuses, rejects, settles, fails_at)| BranchDraw {
                delay,
                at_once,
                filters,
                refuses,
                rejects,
                settles,
                fails_at,
            },
        )
}

fn draw() -> impl Strategy<Value = Draw> {
    let shapes = [Shape::Plain, Shape::Tee, Shape::Split, Shape::Nested];
    (
        prop::collection::vec(source(), 1..4),
        prop::collection::vec(op(), 0..4),
        prop::sample::select(shapes.to_vec()),
        [branch(), branch(), branch()],
        1_usize..60,
    )
        .prop_map(|(sources, ops, shape, branches, in_flight)| Draw {
            sources,
            ops,
            shape,
            branches,
            in_flight,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn whatever_is_composed_keeps_order_and_acknowledges_what_is_durable(draw in draw()) {
        paused().block_on(async {
            let ledger = ledger::Ledger::default();
            let first = draw.run(&ledger, true).await;
            ledger.end_run(&draw, first.is_ok())?;
            if let Err(error) = &first {
                let name = error.operator().unwrap_or_default().to_owned();
                prop_assert!(draw.may_fail(&name), "{error} of {name}");
            }
            let second = draw.run(&ledger, false).await;
            prop_assert!(second.is_ok(), "{second:?}");
            ledger.end_run(&draw, true)?;
            ledger.is_complete(&draw)
        })?;
    }
}
