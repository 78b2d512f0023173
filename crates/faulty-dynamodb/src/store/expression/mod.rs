//! DynamoDB's expressions: conditions, updates, projections.

mod condition;
mod lexer;
mod parser;
mod path;
mod reserved;
mod scope;
#[cfg(test)]
mod tests;
mod update;

pub(crate) use condition::{Comparison, Condition, Operand};
pub(crate) use path::Path;
pub(crate) use scope::Scope;
pub(crate) use update::Update;

use crate::item::error::Refusal;
use crate::item::value::Item;
use parser::Parser;

/// The attributes a read wants, places inside attributes included.
#[derive(Clone, Debug)]
pub(crate) struct Projection(Vec<Path>);

impl Projection {
    pub(crate) fn parse(text: &str, scope: &Scope) -> Result<Self, Refusal> {
        let mut parser = Parser::new(text, "ProjectionExpression", scope)?;
        let mut paths = vec![parser.path()?];
        while parser.take_symbol(",") {
            paths.push(parser.path()?);
        }
        parser.finish()?;
        Ok(Self(paths))
    }

    /// The part of an item that is wanted.
    pub(crate) fn of(&self, item: &Item) -> Item {
        let mut part = Item::new();
        for path in &self.0 {
            path.copy(item, &mut part);
        }
        part
    }
}
