//! The guide: a page for each subject. In the documentation only; no code is in these modules.
//!
//! | page | answers |
//! |---|---|
//! | [`writing`] | how records are written, and what a receipt is |
//! | [`guarantees`] | what the sink promises, how far, and what it does not |
//! | [`on_call`] | what is logged when things fail, and what a readiness probe asks |
//! | [`settings`] | one file for a program, each setting of a table, its range, and when to change it |
//! | [`capacity`] | how the sink uses a table's write units without being throttled |
//! | `changes` (feature `streams`) | how a fleet reads a table's stream |
//! | `pipelines` (`kafka`, `pipeline`, `streams`) | how changes get to Kafka |
//! | [`metrics`] | what is counted and measured |
//! | `testing` (`test-util`) | how to test a program against a DynamoDB that fails |
//! | [`connecting`] | clients, endpoints, and the actions that must be allowed |
//! | [`flink`] | what takes the place of each option of Flink's DynamoDB sink |

macro_rules! pages {
    ($($(#[$meta:meta])* $page:ident: $file:literal,)*) => {
        $(
            $(#[$meta])*
            // The pages define these as each other's files, for readers of the repository; the first
            // definition counts.
            #[doc = "[capacity.md]: capacity"]
            #[doc = "[on_call.md]: on_call"]
            #[doc = ""]
            #[doc = include_str!($file)]
            pub mod $page {}
        )*
    };
}

pages! {
    writing: "writing.md",
    guarantees: "guarantees.md",
    on_call: "on_call.md",
    settings: "settings.md",
    capacity: "capacity.md",
    #[cfg(feature = "streams")]
    changes: "changes.md",
    #[cfg(all(feature = "kafka", feature = "pipeline", feature = "streams"))]
    pipelines: "pipelines.md",
    metrics: "metrics.md",
    #[cfg(feature = "test-util")]
    testing: "testing.md",
    connecting: "connecting.md",
    flink: "flink.md",
}
