//! The record: one credit decision, typed, the same from the file and from the table.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

const CSV: &str = include_str!("../../data/german_credit.csv");
/// 1994-01-03T08:00:00Z, a Monday of the year in which the data was published.
const FIRST_DECISION: Duration = Duration::from_secs(757_584_000);
const BETWEEN_DECISIONS: Duration = Duration::from_secs(11 * 60);

/// How the applicant turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CreditRisk {
    Good,
    Bad,
}

/// One decision. `customer` is the table's partition key, `application` its sort key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Decision {
    /// Not in the data, where every row is another person: made from the row number.
    #[serde(default)]
    pub(crate) customer: String,
    pub(crate) application: u32,
    /// Not in the data: made from the row number.
    #[serde(default)]
    pub(crate) decided_at: String,
    pub(crate) checking_account: String,
    pub(crate) duration_months: u32,
    pub(crate) credit_history: String,
    pub(crate) purpose: String,
    pub(crate) credit_amount_dm: u32,
    pub(crate) savings: String,
    pub(crate) employment_since: String,
    pub(crate) installment_rate_percent: u8,
    pub(crate) other_debtors: String,
    pub(crate) residence_since: u8,
    pub(crate) property: String,
    pub(crate) age_years: u8,
    pub(crate) other_installment_plans: String,
    pub(crate) housing: String,
    pub(crate) existing_credits: u8,
    pub(crate) job: String,
    pub(crate) dependants: u8,
    pub(crate) credit_risk: CreditRisk,
}

/// All decisions of the file, in its order; of the 1,000 that come with the crate where none is named.
pub(crate) fn load(path: Option<&Path>) -> Result<Vec<Decision>, Box<dyn Error>> {
    let Some(path) = path else {
        return Ok(parse(CSV)?);
    };
    let name = path.display();
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("cannot read {name}: {error}"))?;
    let decisions = parse(&text).map_err(|error| format!("{name}: {error}"))?;
    if decisions.is_empty() {
        return Err(format!("{name} holds no decisions").into());
    }
    Ok(decisions)
}

fn parse(text: &str) -> Result<Vec<Decision>, csv::Error> {
    let mut decided_at = UNIX_EPOCH + FIRST_DECISION;
    csv::Reader::from_reader(text.as_bytes())
        .into_deserialize()
        .zip(1..)
        .map(|(decision, row)| {
            let mut decision: Decision = decision?;
            decision.customer = format!("customer-{row:04}");
            decision.decided_at = humantime::format_rfc3339_seconds(decided_at).to_string();
            decided_at += BETWEEN_DECISIONS;
            Ok(decision)
        })
        .collect()
}
