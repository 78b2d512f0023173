//! Condition, filter and key condition expressions.

use std::cmp::Ordering;

use super::parser::Parser;
use super::path::Path;
use super::scope::Scope;
use crate::item::error::Refusal;
use crate::item::number::Decimal;
use crate::item::value::{Item, Value};

/// Values an `IN` may list (AWS: quotas, "Expression parameters").
const MAX_IN: usize = 100;

/// A condition on an item.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
    Compare(Comparison, Operand, Operand),
    Between(Operand, Operand, Operand),
    In(Operand, Vec<Operand>),
    Exists(Path),
    NotExists(Path),
    HasType(Operand, String),
    BeginsWith(Operand, Operand),
    Contains(Operand, Operand),
}

/// A comparison's operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A value that a condition compares.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    Path(Path),
    Value(Value),
    Size(Box<Operand>),
}

impl Condition {
    /// Reads a condition. `label` names the member of the request that holds it.
    pub(crate) fn parse(text: &str, label: &'static str, scope: &Scope) -> Result<Self, Refusal> {
        let mut parser = Parser::new(text, label, scope)?;
        let condition = or(&mut parser)?;
        parser.finish()?;
        Ok(condition)
    }

    /// Returns whether an item meets the condition; no item is like one without attributes.
    pub(crate) fn matches(&self, item: Option<&Item>) -> bool {
        match self {
            Self::And(left, right) => left.matches(item) && right.matches(item),
            Self::Or(left, right) => left.matches(item) || right.matches(item),
            Self::Not(inner) => !inner.matches(item),
            Self::Compare(comparison, left, right) => {
                comparison.matches(left.of(item).as_ref(), right.of(item).as_ref())
            }
            Self::Between(value, low, high) => {
                let (value, low, high) = (value.of(item), low.of(item), high.of(item));
                Comparison::GreaterOrEqual.matches(value.as_ref(), low.as_ref())
                    && Comparison::LessOrEqual.matches(value.as_ref(), high.as_ref())
            }
            Self::In(value, list) => {
                let value = value.of(item);
                value.is_some() && list.iter().any(|other| other.of(item) == value)
            }
            Self::Exists(path) => item.and_then(|item| path.get(item)).is_some(),
            Self::NotExists(path) => item.and_then(|item| path.get(item)).is_none(),
            Self::HasType(value, kind) => value
                .of(item)
                .is_some_and(|value| value.type_name() == kind),
            Self::BeginsWith(value, prefix) => match (value.of(item), prefix.of(item)) {
                (Some(Value::S(text)), Some(Value::S(prefix))) => text.starts_with(&prefix),
                (Some(Value::B(bytes)), Some(Value::B(prefix))) => bytes.starts_with(&prefix),
                _ => false,
            },
            Self::Contains(whole, part) => match (whole.of(item), part.of(item)) {
                (Some(whole), Some(part)) => contains(&whole, &part),
                _ => false,
            },
        }
    }
}

fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::S(text), Value::S(part)) => text.contains(part.as_str()),
        (Value::B(bytes), Value::B(part)) => {
            part.is_empty()
                || bytes
                    .windows(part.len())
                    .any(|window| window == part.as_slice())
        }
        (Value::Ss(set), Value::S(part)) => set.contains(part),
        (Value::Ns(set), Value::N(part)) => set.contains(part),
        (Value::Bs(set), Value::B(part)) => set.contains(part),
        (Value::L(list), part) => list.contains(part),
        _ => false,
    }
}

impl Comparison {
    fn from_symbol(parser: &mut Parser<'_>) -> Option<(Self, &'static str)> {
        let all = [
            (Self::Equal, "="),
            (Self::NotEqual, "<>"),
            (Self::LessOrEqual, "<="),
            (Self::GreaterOrEqual, ">="),
            (Self::Less, "<"),
            (Self::Greater, ">"),
        ];
        all.into_iter()
            .find(|(_, symbol)| parser.take_symbol(symbol))
    }

    /// A missing operand is unequal to everything and in no order with anything; so are values of
    /// two types.
    pub(crate) fn matches(self, left: Option<&Value>, right: Option<&Value>) -> bool {
        let equal = left.is_some() && left == right;
        let order = left.zip(right).and_then(|(left, right)| order(left, right));
        match self {
            Self::Equal => equal,
            Self::NotEqual => !equal,
            Self::Less => order == Some(Ordering::Less),
            Self::LessOrEqual => order.is_some_and(Ordering::is_le),
            Self::Greater => order == Some(Ordering::Greater),
            Self::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
        }
    }
}

fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::S(left), Value::S(right)) => Some(left.cmp(right)),
        (Value::N(left), Value::N(right)) => Some(left.cmp(right)),
        (Value::B(left), Value::B(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

impl Operand {
    fn of(&self, item: Option<&Item>) -> Option<Value> {
        match self {
            Self::Path(path) => path.get(item?).cloned(),
            Self::Value(value) => Some(value.clone()),
            Self::Size(inner) => inner
                .of(item)?
                .length()
                .map(|length| Value::N(Decimal::from_count(length))),
        }
    }
}

fn or(parser: &mut Parser<'_>) -> Result<Condition, Refusal> {
    let mut left = and(parser)?;
    while parser.take_keyword("OR") {
        left = Condition::Or(Box::new(left), Box::new(and(parser)?));
    }
    Ok(left)
}

fn and(parser: &mut Parser<'_>) -> Result<Condition, Refusal> {
    let mut left = not(parser)?;
    while parser.take_keyword("AND") {
        left = Condition::And(Box::new(left), Box::new(not(parser)?));
    }
    Ok(left)
}

fn not(parser: &mut Parser<'_>) -> Result<Condition, Refusal> {
    if parser.take_keyword("NOT") {
        return Ok(Condition::Not(Box::new(parser.nested(not)?)));
    }
    if !parser.take_symbol("(") {
        return simple(parser);
    }
    let start = parser.position();
    let inner = parser.nested(or)?;
    if parser.is_wrapped_since(start) {
        return Err(parser.invalid("The expression has redundant parentheses;"));
    }
    parser.expect_symbol(")")?;
    Ok(inner)
}

fn simple(parser: &mut Parser<'_>) -> Result<Condition, Refusal> {
    if let Some(name) = parser.take_function() {
        if name != "size" {
            return function(parser, &name);
        }
        let operand = size(parser)?;
        return compared(parser, operand, Some("size"));
    }
    let operand = operand(parser)?;
    compared(parser, operand, None)
}

fn compared(
    parser: &mut Parser<'_>,
    left: Operand,
    function: Option<&str>,
) -> Result<Condition, Refusal> {
    if let Some((comparison, symbol)) = Comparison::from_symbol(parser) {
        let right = operand(parser)?;
        distinct(parser, symbol, &left, &[&right])?;
        if !matches!(comparison, Comparison::Equal | Comparison::NotEqual) {
            ordered(parser, symbol, &left)?;
            ordered(parser, symbol, &right)?;
        }
        return Ok(Condition::Compare(comparison, left, right));
    }
    if parser.take_keyword("BETWEEN") {
        let low = operand(parser)?;
        if !parser.take_keyword("AND") {
            return Err(parser.syntax());
        }
        let high = operand(parser)?;
        for operand in [&left, &low, &high] {
            ordered(parser, "BETWEEN", operand)?;
        }
        check_bounds(parser, &low, &high)?;
        return Ok(Condition::Between(left, low, high));
    }
    if parser.take_keyword("IN") {
        parser.expect_symbol("(")?;
        let list = operands(parser)?;
        if list.len() > MAX_IN {
            return Err(parser.invalid(format!(
                "The IN operator is provided with too many operands; number of operands: {}",
                list.len()
            )));
        }
        distinct(parser, "IN", &left, &list.iter().collect::<Vec<_>>())?;
        return Ok(Condition::In(left, list));
    }
    Err(match function {
        Some(function) => parser.invalid(format!(
            "The function is not allowed to be used this way in an expression; function: {function}"
        )),
        None => parser.syntax(),
    })
}

fn function(parser: &mut Parser<'_>, name: &str) -> Result<Condition, Refusal> {
    let expected = match name {
        "attribute_exists" | "attribute_not_exists" => 1,
        "attribute_type" | "begins_with" | "contains" => 2,
        _ => return Err(parser.invalid(format!("Invalid function name; function: {name}"))),
    };
    let given = operands(parser)?;
    if given.len() != expected {
        return Err(parser.invalid(format!(
            "Incorrect number of operands for operator or function; operator or function: {name}, \
             number of operands: {}",
            given.len()
        )));
    }
    let mut given = given.into_iter();
    let (Some(first), second) = (given.next(), given.next()) else {
        return Err(parser.syntax());
    };
    match (name, first, second) {
        ("attribute_exists", Operand::Path(path), None) => Ok(Condition::Exists(path)),
        ("attribute_not_exists", Operand::Path(path), None) => Ok(Condition::NotExists(path)),
        ("attribute_exists" | "attribute_not_exists", ..) => Err(parser.invalid(format!(
            "Operator or function requires a document path; operator or function: {name}"
        ))),
        ("attribute_type", first, Some(Operand::Value(Value::S(kind)))) => {
            if ["S", "SS", "N", "NS", "B", "BS", "BOOL", "NULL", "L", "M"].contains(&&*kind) {
                return Ok(Condition::HasType(first, kind));
            }
            Err(parser.invalid(format!(
                "Invalid attribute type name found; type: {kind}, valid types: \
                 {{B,NULL,SS,BOOL,L,BS,N,NS,S,M}}"
            )))
        }
        ("begins_with", first, Some(second)) => {
            for operand in [&first, &second] {
                if let Operand::Value(value) = operand
                    && !matches!(value, Value::S(_) | Value::B(_))
                {
                    return Err(parser.wrong_type(name, value));
                }
            }
            distinct(parser, name, &first, &[&second])?;
            Ok(Condition::BeginsWith(first, second))
        }
        ("contains", first, Some(second)) => {
            distinct(parser, name, &first, &[&second])?;
            Ok(Condition::Contains(first, second))
        }
        (_, _, Some(Operand::Value(value))) => Err(parser.wrong_type(name, &value)),
        _ => Err(parser.syntax()),
    }
}

fn operands(parser: &mut Parser<'_>) -> Result<Vec<Operand>, Refusal> {
    let mut list = vec![operand(parser)?];
    while parser.take_symbol(",") {
        list.push(operand(parser)?);
    }
    parser.expect_symbol(")")?;
    Ok(list)
}

fn operand(parser: &mut Parser<'_>) -> Result<Operand, Refusal> {
    if let Some(value) = parser.take_value()? {
        return Ok(Operand::Value(value));
    }
    match parser.take_function() {
        Some(name) if name == "size" => size(parser),
        Some(name) => Err(parser.invalid(format!("Invalid function name; function: {name}"))),
        None => Ok(Operand::Path(parser.path()?)),
    }
}

fn size(parser: &mut Parser<'_>) -> Result<Operand, Refusal> {
    let inner = parser.nested(operand)?;
    parser.expect_symbol(")")?;
    match inner {
        Operand::Value(value) if value.length().is_none() => Err(parser.wrong_type("size", &value)),
        Operand::Size(_) => Err(parser.invalid(
            "The function is not allowed to be used this way in an expression; function: size",
        )),
        inner => Ok(Operand::Size(Box::new(inner))),
    }
}

fn ordered(parser: &Parser<'_>, operator: &str, operand: &Operand) -> Result<(), Refusal> {
    match operand {
        Operand::Value(Value::S(_) | Value::N(_) | Value::B(_))
        | Operand::Path(_)
        | Operand::Size(_) => Ok(()),
        Operand::Value(value) => Err(parser.wrong_type(operator, value)),
    }
}

fn check_bounds(parser: &Parser<'_>, low: &Operand, high: &Operand) -> Result<(), Refusal> {
    let (Operand::Value(low), Operand::Value(high)) = (low, high) else {
        return Ok(());
    };
    let complaint = match order(low, high) {
        None => "requires same data type for lower and upper bounds",
        Some(Ordering::Greater) => {
            "requires upper bound to be greater than or equal to lower bound"
        }
        Some(Ordering::Less | Ordering::Equal) => return Ok(()),
    };
    Err(parser.invalid(format!(
        "The BETWEEN operator {complaint}; lower bound operand: AttributeValue: {}, upper bound \
         operand: AttributeValue: {}",
        low.to_json(),
        high.to_json()
    )))
}

fn distinct(
    parser: &Parser<'_>,
    operator: &str,
    first: &Operand,
    others: &[&Operand],
) -> Result<(), Refusal> {
    match first {
        Operand::Path(path) if others.contains(&first) => Err(parser.invalid(format!(
            "The first operand must be distinct from the remaining operands for this operator or \
             function; operator: {operator}, first operand: {path}"
        ))),
        _ => Ok(()),
    }
}
