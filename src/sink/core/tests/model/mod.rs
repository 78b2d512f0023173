//! Arbitrary interleavings against a model of the service.

mod case;
mod run;

use super::budgets::with_budgets;
use super::*;
use crate::item::IndexSet;
use case::*;
