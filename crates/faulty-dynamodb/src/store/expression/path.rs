//! Document paths: `a.b[0].#c`.

use std::fmt;

use crate::item::error::Refusal;
use crate::item::value::{Item, Value};

/// One step below an attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Member(String),
    Index(usize),
}

/// An attribute, or a place inside one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Path {
    pub(crate) attribute: String,
    pub(super) steps: Vec<Step>,
}

const INVALID_PATH: &str =
    "The document path provided in the update expression is invalid for update";

impl Path {
    /// Returns whether it is this attribute as a whole.
    pub(crate) fn is(&self, attribute: &str) -> bool {
        self.steps.is_empty() && self.attribute == attribute
    }

    /// Returns the value that stands there.
    pub(super) fn get<'a>(&self, item: &'a Item) -> Option<&'a Value> {
        self.steps
            .iter()
            .try_fold(item.get(&self.attribute)?, |value, step| {
                match (value, step) {
                    (Value::M(map), Step::Member(name)) => map.get(name),
                    (Value::L(list), Step::Index(at)) => list.get(*at),
                    _ => None,
                }
            })
    }

    /// Puts a value there. The place's parent has to be there already; a list index behind the end
    /// appends.
    pub(super) fn set(&self, item: &mut Item, value: Value) -> Result<(), Refusal> {
        let Some((last, parents)) = self.steps.split_last() else {
            item.insert(self.attribute.clone(), value);
            return Ok(());
        };
        match (parent(item, &self.attribute, parents)?, last) {
            (Value::M(map), Step::Member(name)) => {
                map.insert(name.clone(), value);
            }
            (Value::L(list), Step::Index(at)) => match list.get_mut(*at) {
                Some(slot) => *slot = value,
                None => list.push(value),
            },
            _ => return Err(Refusal::validation(INVALID_PATH)),
        }
        Ok(())
    }

    /// Removes what stands there, if anything does.
    pub(super) fn remove(&self, item: &mut Item) -> Result<(), Refusal> {
        let Some((last, parents)) = self.steps.split_last() else {
            item.remove(&self.attribute);
            return Ok(());
        };
        match (parent(item, &self.attribute, parents)?, last) {
            (Value::M(map), Step::Member(name)) => {
                map.remove(name);
            }
            (Value::L(list), Step::Index(at)) if *at < list.len() => {
                list.remove(*at);
            }
            (Value::L(_), Step::Index(_)) => {}
            _ => return Err(Refusal::validation(INVALID_PATH)),
        }
        Ok(())
    }

    /// Returns whether one of the two paths is the other or leads into it.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.attribute == other.attribute
            && self
                .steps
                .iter()
                .zip(&other.steps)
                .all(|(mine, theirs)| mine == theirs)
    }
}

fn parent<'a>(
    item: &'a mut Item,
    attribute: &str,
    steps: &[Step],
) -> Result<&'a mut Value, Refusal> {
    let root = item
        .get_mut(attribute)
        .ok_or_else(|| Refusal::validation(INVALID_PATH))?;
    steps
        .iter()
        .try_fold(root, |value, step| match (value, step) {
            (Value::M(map), Step::Member(name)) => map.get_mut(name),
            (Value::L(list), Step::Index(at)) => list.get_mut(*at),
            _ => None,
        })
        .ok_or_else(|| Refusal::validation(INVALID_PATH))
}

impl fmt::Display for Path {
    /// As DynamoDB quotes paths: `[a, b, [0]]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}", self.attribute)?;
        for step in &self.steps {
            match step {
                Step::Member(name) => write!(f, ", {name}")?,
                Step::Index(at) => write!(f, ", [{at}]")?,
            }
        }
        f.write_str("]")
    }
}

impl Path {
    /// Copies what stands at this place into an item that holds only wanted parts. Maps keep their
    /// form; of lists the wanted elements move together.
    pub(super) fn copy(&self, from: &Item, into: &mut Item) {
        let Some(value) = self.get(from) else { return };
        let mut slot = match self.steps.first() {
            None => {
                into.insert(self.attribute.clone(), value.clone());
                return;
            }
            Some(first) => into
                .entry(self.attribute.clone())
                .or_insert_with(|| empty_for(first)),
        };
        for (at, step) in self.steps.iter().enumerate() {
            let fresh = self
                .steps
                .get(at + 1)
                .map_or_else(|| value.clone(), empty_for);
            slot = match (slot, step) {
                (Value::M(map), Step::Member(name)) => map.entry(name.clone()).or_insert(fresh),
                (Value::L(list), Step::Index(_)) => {
                    list.push(fresh);
                    match list.last_mut() {
                        Some(last) => last,
                        None => return,
                    }
                }
                _ => return,
            };
        }
    }
}

fn empty_for(step: &Step) -> Value {
    match step {
        Step::Member(_) => Value::M(Item::new()),
        Step::Index(_) => Value::L(Vec::new()),
    }
}
