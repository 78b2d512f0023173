//! Update expressions: `SET`, `REMOVE`, `ADD`, `DELETE`.

use std::collections::BTreeSet;

use super::parser::Parser;
use super::path::Path;
use super::scope::Scope;
use crate::item::error::Refusal;
use crate::item::number::NumberError;
use crate::item::value::{Item, MAX_DEPTH, TOO_DEEP, Value};

/// The label of update expressions in messages.
const LABEL: &str = "UpdateExpression";

/// A list of changes to an item.
#[derive(Clone, Debug, Default)]
pub(crate) struct Update {
    set: Vec<(Path, Source)>,
    remove: Vec<Path>,
    add: Vec<(Path, Value)>,
    delete: Vec<(Path, Value)>,
}

/// The source of a new value.
#[derive(Clone, Debug)]
enum Source {
    Path(Path),
    Value(Value),
    IfNotExists(Path, Box<Source>),
    ListAppend(Box<Source>, Box<Source>),
    Plus(Box<Source>, Box<Source>),
    Minus(Box<Source>, Box<Source>),
}

impl Update {
    pub(crate) fn parse(text: &str, scope: &Scope) -> Result<Self, Refusal> {
        let mut parser = Parser::new(text, LABEL, scope)?;
        let mut update = Self::default();
        let mut seen = BTreeSet::new();
        loop {
            let sections = ["SET", "REMOVE", "ADD", "DELETE"];
            let Some(section) = sections.into_iter().find(|word| parser.take_keyword(word)) else {
                return Err(parser.syntax());
            };
            if !seen.insert(section) {
                return Err(parser.invalid(format!(
                    "The \"{section}\" section can only be used once in an update expression;"
                )));
            }
            loop {
                update.action(section, &mut parser)?;
                if !parser.take_symbol(",") {
                    break;
                }
            }
            if parser.peek().is_none() {
                break;
            }
        }
        update.check_overlaps(&parser)?;
        Ok(update)
    }

    fn action(&mut self, section: &str, parser: &mut Parser<'_>) -> Result<(), Refusal> {
        let path = parser.path()?;
        match section {
            "SET" => {
                parser.expect_symbol("=")?;
                self.set.push((path, Source::parse(parser)?));
            }
            "REMOVE" => self.remove.push(path),
            _ => {
                let Some(value) = parser.take_value()? else {
                    return Err(parser.syntax());
                };
                let is_set = matches!(value, Value::Ss(_) | Value::Ns(_) | Value::Bs(_));
                let adding = section == "ADD";
                if !(is_set || adding && matches!(value, Value::N(_))) {
                    return Err(parser.invalid(format!(
                        "Incorrect operand type for operator or function; operator: {section}, operand \
                         type: {}, typeSet: ALLOWED_FOR_{section}_OPERAND",
                        long_type_name(&value)
                    )));
                }
                if adding {
                    &mut self.add
                } else {
                    &mut self.delete
                }
                .push((path, value));
            }
        }
        Ok(())
    }

    fn check_overlaps(&self, parser: &Parser<'_>) -> Result<(), Refusal> {
        let paths: Vec<&Path> = self.paths().collect();
        for (at, one) in paths.iter().enumerate() {
            if let Some(two) = paths[at + 1..].iter().find(|two| one.overlaps(two)) {
                return Err(parser.invalid(format!(
                    "Two document paths overlap with each other; must remove or rewrite one of these \
                     paths; path one: {one}, path two: {two}"
                )));
            }
        }
        Ok(())
    }

    /// All the places the update touches.
    fn paths(&self) -> impl Iterator<Item = &Path> {
        let set = self.set.iter().map(|(path, _)| path);
        let add = self.add.iter().map(|(path, _)| path);
        let delete = self.delete.iter().map(|(path, _)| path);
        set.chain(&self.remove).chain(add).chain(delete)
    }

    /// The attributes the update touches.
    pub(crate) fn attributes(&self) -> BTreeSet<String> {
        self.paths().map(|path| path.attribute.clone()).collect()
    }

    /// Changes an item. On a refusal the item is left half changed and has to be thrown away.
    pub(crate) fn apply(&self, item: &mut Item) -> Result<(), Refusal> {
        // Every right-hand side sees the item as it was before the update.
        let mut values = self
            .set
            .iter()
            .map(|(path, source)| Ok((path, source.of(item)?)))
            .collect::<Result<Vec<_>, Refusal>>()?;
        // Indexes behind a list's end append in their own order, not in that of the expression.
        values.sort_by_key(|(path, _)| *path);
        for (path, value) in values {
            path.set(item, value)?;
        }
        let mut removals: Vec<&Path> = self.remove.iter().collect();
        // From the back, so that a removal does not move what another one means.
        removals.sort_unstable_by(|one, two| two.cmp(one));
        for path in removals {
            path.remove(item)?;
        }
        for (path, value) in &self.add {
            let sum = match (path.get(item), value) {
                (None, value) => value.clone(),
                (Some(Value::N(old)), Value::N(more)) => Value::N(old.add(more).map_err(numeric)?),
                (Some(Value::Ss(old)), Value::Ss(more)) => Value::Ss(old | more),
                (Some(Value::Ns(old)), Value::Ns(more)) => Value::Ns(old | more),
                (Some(Value::Bs(old)), Value::Bs(more)) => Value::Bs(old | more),
                _ => return Err(wrong_type()),
            };
            path.set(item, sum)?;
        }
        for (path, value) in &self.delete {
            let rest = match (path.get(item), value) {
                (None, _) => continue,
                (Some(Value::Ss(old)), Value::Ss(less)) => Value::Ss(old - less),
                (Some(Value::Ns(old)), Value::Ns(less)) => Value::Ns(old - less),
                (Some(Value::Bs(old)), Value::Bs(less)) => Value::Bs(old - less),
                _ => return Err(wrong_type()),
            };
            // A set without elements does not exist.
            if rest.length() == Some(0) {
                path.remove(item)?;
            } else {
                path.set(item, rest)?;
            }
        }
        if item.values().any(|value| value.depth() > MAX_DEPTH) {
            return Err(Refusal::validation(TOO_DEEP));
        }
        Ok(())
    }
}

impl Source {
    fn parse(parser: &mut Parser<'_>) -> Result<Self, Refusal> {
        let left = Self::operand(parser)?;
        let plus = parser.take_symbol("+");
        if !plus && !parser.take_symbol("-") {
            return Ok(left);
        }
        let right = Self::operand(parser)?;
        for operand in [&left, &right] {
            match operand {
                Self::Value(Value::N(_)) => {}
                Self::Value(value) => {
                    return Err(parser.wrong_type(if plus { "+" } else { "-" }, value));
                }
                _ => {}
            }
        }
        let (left, right) = (Box::new(left), Box::new(right));
        Ok(if plus {
            Self::Plus(left, right)
        } else {
            Self::Minus(left, right)
        })
    }

    fn operand(parser: &mut Parser<'_>) -> Result<Self, Refusal> {
        if let Some(value) = parser.take_value()? {
            return Ok(Self::Value(value));
        }
        if parser.take_symbol("(") {
            let inner = parser.nested(Self::parse)?;
            parser.expect_symbol(")")?;
            return Ok(inner);
        }
        let Some(name) = parser.take_function() else {
            return Ok(Self::Path(parser.path()?));
        };
        let source = match name.as_str() {
            "if_not_exists" => {
                let path = parser.path()?;
                parser.expect_symbol(",")?;
                Self::IfNotExists(path, Box::new(parser.nested(Self::operand)?))
            }
            "list_append" => {
                let first = parser.nested(Self::operand)?;
                parser.expect_symbol(",")?;
                let second = parser.nested(Self::operand)?;
                for operand in [&first, &second] {
                    if let Self::Value(value) = operand
                        && !matches!(value, Value::L(_))
                    {
                        return Err(parser.wrong_type("list_append", value));
                    }
                }
                Self::ListAppend(Box::new(first), Box::new(second))
            }
            name => return Err(parser.invalid(format!("Invalid function name; function: {name}"))),
        };
        parser.expect_symbol(")")?;
        Ok(source)
    }

    fn of(&self, item: &Item) -> Result<Value, Refusal> {
        match self {
            Self::Value(value) => Ok(value.clone()),
            Self::Path(path) => path.get(item).cloned().ok_or_else(|| {
                Refusal::validation(
                    "The provided expression refers to an attribute that does not exist in the item",
                )
            }),
            Self::IfNotExists(path, otherwise) => match path.get(item) {
                Some(value) => Ok(value.clone()),
                None => otherwise.of(item),
            },
            Self::ListAppend(first, second) => match (first.of(item)?, second.of(item)?) {
                (Value::L(mut first), Value::L(second)) => {
                    first.extend(second);
                    Ok(Value::L(first))
                }
                _ => Err(wrong_type()),
            },
            Self::Plus(left, right) => match (left.of(item)?, right.of(item)?) {
                (Value::N(left), Value::N(right)) => {
                    left.add(&right).map(Value::N).map_err(numeric)
                }
                _ => Err(wrong_type()),
            },
            Self::Minus(left, right) => match (left.of(item)?, right.of(item)?) {
                (Value::N(left), Value::N(right)) => {
                    left.subtract(&right).map(Value::N).map_err(numeric)
                }
                _ => Err(wrong_type()),
            },
        }
    }
}

fn numeric(error: NumberError) -> Refusal {
    Refusal::validation(error.message())
}

fn wrong_type() -> Refusal {
    Refusal::validation("An operand in the update expression has an incorrect data type")
}

/// The names that messages about `ADD` and `DELETE` use.
fn long_type_name(value: &Value) -> &'static str {
    match value {
        Value::S(_) => "STRING",
        Value::N(_) => "NUMBER",
        Value::B(_) => "BINARY",
        Value::Bool(_) => "BOOLEAN",
        Value::Null => "NULL",
        Value::L(_) => "LIST",
        Value::M(_) => "MAP",
        Value::Ss(_) => "STRING_SET",
        Value::Ns(_) => "NUMBER_SET",
        Value::Bs(_) => "BINARY_SET",
    }
}
