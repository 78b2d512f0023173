//! A decision as it comes about, in four stages.

use std::error::Error;

use serde::{Deserialize, Serialize};

const CSV: &str = include_str!("../../data/german_credit.csv");

/// An application as the file has it, as far as the demonstration needs it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Application {
    pub(crate) application: u32,
    purpose: String,
    credit_amount_dm: u32,
    duration_months: u32,
    checking_account: String,
    credit_history: String,
    savings: String,
    credit_risk: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    Received,
    CreditChecked,
    FraudChecked,
    Decided,
}

impl Stage {
    pub(crate) const ALL: [Self; 4] = [
        Self::Received,
        Self::CreditChecked,
        Self::FraudChecked,
        Self::Decided,
    ];
}

/// The table's item: one for each decision, written anew at each stage.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Decision {
    pub(crate) id: String,
    pub(crate) stage: Stage,
    pub(crate) purpose: String,
    pub(crate) amount_dm: u32,
    pub(crate) months: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) credit_check: Option<CreditCheck>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fraud_check: Option<FraudCheck>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) risk: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct CreditCheck {
    history: String,
    checking_account: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct FraudCheck {
    savings: String,
    /// Made up: the file knows of no fraud.
    score: u32,
}

impl Application {
    /// The decision as it stands at a stage.
    pub(crate) fn at(&self, stage: Stage) -> Decision {
        let since = |from: Stage| stage >= from;
        Decision {
            id: format!("decision-{:04}", self.application),
            stage,
            purpose: self.purpose.clone(),
            amount_dm: self.credit_amount_dm,
            months: self.duration_months,
            credit_check: since(Stage::CreditChecked).then(|| CreditCheck {
                history: self.credit_history.clone(),
                checking_account: self.checking_account.clone(),
            }),
            fraud_check: since(Stage::FraudChecked).then(|| FraudCheck {
                savings: self.savings.clone(),
                score: self.application * 7 % 100,
            }),
            risk: since(Stage::Decided).then(|| self.credit_risk.clone()),
        }
    }
}

/// The 1,000 applications that come with the crate.
pub(crate) fn load() -> Result<Vec<Application>, Box<dyn Error>> {
    let applications = csv::Reader::from_reader(CSV.as_bytes()).into_deserialize();
    Ok(applications.collect::<Result<_, _>>()?)
}
