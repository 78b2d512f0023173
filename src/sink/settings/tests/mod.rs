//! Settings written, read, inherited and refused.

mod bounds;
mod reading;

use std::time::Duration;

use proptest::prelude::*;
use proptest::string::string_regex;

use super::*;
use crate::capacity::Rate;
use crate::retry::{RetryBudgetSettings, RetryPolicy};

fn problem(toml: &str) -> String {
    DynamoDbSinkSettings::from_toml(toml)
        .expect_err("refused")
        .to_string()
}
