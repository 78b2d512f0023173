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

pub(super) use condition::{Comparison, Condition, Operand};
pub(super) use path::Path;
pub(super) use scope::Scope;
pub(super) use update::Update;

use super::error::Refusal;
use super::value::Item;
use parser::Parser;

/// The attributes a read wants, places inside attributes included.
#[derive(Clone, Debug)]
pub(super) struct Projection(Vec<Path>);

impl Projection {
    pub(super) fn parse(text: &str, scope: &Scope) -> Result<Self, Refusal> {
        let mut parser = Parser::new(text, "ProjectionExpression", scope)?;
        let mut paths = vec![parser.path()?];
        while parser.take_symbol(",") {
            paths.push(parser.path()?);
        }
        parser.finish()?;
        Ok(Self(paths))
    }

    /// The part of an item that is wanted.
    pub(super) fn of(&self, item: &Item) -> Item {
        let mut part = Item::new();
        for path in &self.0 {
            path.copy(item, &mut part);
        }
        part
    }
}
