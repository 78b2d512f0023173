//! DynamoDB's JSON as plain serde types, for this one record: what a derive can do at its best.

use serde::{Serialize, Serializer};

use crate::rig::records::{Decision, Merchant};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BatchWriteItem<'a> {
    request_items: RequestItems<'a>,
}

impl<'a> From<&'a [Decision]> for BatchWriteItem<'a> {
    fn from(records: &'a [Decision]) -> Self {
        Self {
            request_items: RequestItems {
                bench: Puts(records),
            },
        }
    }
}

#[derive(Serialize)]
struct RequestItems<'a> {
    bench: Puts<'a>,
}

struct Puts<'a>(&'a [Decision]);

impl Serialize for Puts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Put::from))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Put<'a> {
    put_request: PutRequest<'a>,
}

impl<'a> From<&'a Decision> for Put<'a> {
    fn from(record: &'a Decision) -> Self {
        let Merchant { name, country } = &record.merchant;
        Self {
            put_request: PutRequest {
                item: Item {
                    customer: Value::S(&record.customer),
                    number: Value::N(Number::Unsigned(record.number)),
                    status: Value::S(record.status),
                    approved: Value::Bool(record.approved),
                    amount_cents: Value::N(Number::Signed(record.amount_cents)),
                    score: Value::N(Number::Float(record.score)),
                    decided_at: Value::S(&record.decided_at),
                    reasons: Value::L(Texts(&record.reasons)),
                    merchant: MerchantMap {
                        m: MerchantItem {
                            name: Value::S(name),
                            country: Value::S(country),
                        },
                    },
                    note: Value::S(&record.note),
                },
            },
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutRequest<'a> {
    item: Item<'a>,
}

#[derive(Serialize)]
struct Item<'a> {
    customer: Value<'a>,
    number: Value<'a>,
    status: Value<'a>,
    approved: Value<'a>,
    amount_cents: Value<'a>,
    score: Value<'a>,
    decided_at: Value<'a>,
    reasons: Value<'a>,
    merchant: MerchantMap<'a>,
    note: Value<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MerchantMap<'a> {
    m: MerchantItem<'a>,
}

#[derive(Serialize)]
struct MerchantItem<'a> {
    name: Value<'a>,
    country: Value<'a>,
}

#[derive(Serialize)]
enum Value<'a> {
    S(&'a str),
    N(Number),
    #[serde(rename = "BOOL")]
    Bool(bool),
    L(Texts<'a>),
}

struct Texts<'a>(&'a [&'a str]);

impl Serialize for Texts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|text| Value::S(text)))
    }
}

/// DynamoDB's numbers are strings.
enum Number {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unsigned(number) => serializer.serialize_str(itoa::Buffer::new().format(*number)),
            Self::Signed(number) => serializer.serialize_str(itoa::Buffer::new().format(*number)),
            Self::Float(number) => serializer.serialize_str(ryu::Buffer::new().format(*number)),
        }
    }
}
