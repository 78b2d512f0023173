//! The common part of condition and update expressions: tokens, paths, lists of operands.

use super::lexer::{Placed, Token, lex};
use super::path::{Path, Step};
use super::reserved::is_reserved;
use super::scope::Scope;
use crate::item::error::Refusal;
use crate::item::value::Value;

/// Bytes an expression may have (AWS: quotas, "Expression parameters").
const MAX_BYTES: usize = 4096;
/// Parentheses, functions and negations inside one another. DynamoDB counts operators (300);
/// this bound also keeps the parser's recursion small.
const MAX_NESTING: usize = 60;

/// A cursor over an expression's tokens.
#[derive(Debug)]
pub(super) struct Parser<'a> {
    text: &'a str,
    pub(super) label: &'static str,
    tokens: Vec<Placed>,
    at: usize,
    nesting: usize,
    scope: &'a Scope,
}

impl<'a> Parser<'a> {
    pub(super) fn new(
        text: &'a str,
        label: &'static str,
        scope: &'a Scope,
    ) -> Result<Self, Refusal> {
        if text.trim().is_empty() {
            return Err(Refusal::validation(format!(
                "Invalid {label}: The expression can not be empty;"
            )));
        }
        if text.len() > MAX_BYTES {
            return Err(Refusal::validation(format!(
                "Invalid {label}: Expression size has exceeded the maximum allowed size; expression \
                 size: {}",
                text.len()
            )));
        }
        Ok(Self {
            text,
            label,
            tokens: lex(text, label)?,
            at: 0,
            nesting: 0,
            scope,
        })
    }

    pub(super) fn invalid(&self, why: impl AsRef<str>) -> Refusal {
        Refusal::validation(format!("Invalid {}: {}", self.label, why.as_ref()))
    }

    /// A syntax error at the next token.
    pub(super) fn syntax(&self) -> Refusal {
        let here = self.tokens.get(self.at);
        let token = here.map_or("<EOF>", |placed| &self.text[placed.from..placed.to]);
        let before = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        let after = self.tokens.get(self.at + 1);
        let from = before.or(here).map_or(0, |placed| placed.from);
        let to = after.or(here).or(before).map_or(0, |placed| placed.to);
        self.invalid(format!(
            "Syntax error; token: \"{token}\", near: \"{}\"",
            &self.text[from..to]
        ))
    }

    pub(super) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|placed| &placed.token)
    }

    fn peek_second(&self) -> Option<&Token> {
        self.tokens.get(self.at + 1).map(|placed| &placed.token)
    }

    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.peek(), Some(Token::Symbol(next)) if *next == symbol)
    }

    pub(super) fn take_symbol(&mut self, symbol: &str) -> bool {
        let found = self.is_symbol(symbol);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect_symbol(&mut self, symbol: &str) -> Result<(), Refusal> {
        if self.take_symbol(symbol) {
            Ok(())
        } else {
            Err(self.syntax())
        }
    }

    pub(super) fn is_keyword(&self, keyword: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword))
    }

    pub(super) fn take_keyword(&mut self, keyword: &str) -> bool {
        let found = self.is_keyword(keyword);
        self.at += usize::from(found);
        found
    }

    /// The name of a function, when a word and an opening parenthesis come next. Takes both.
    pub(super) fn take_function(&mut self) -> Option<String> {
        match (self.peek(), self.peek_second()) {
            (Some(Token::Word(word)), Some(Token::Symbol("("))) => {
                let word = word.clone();
                self.at += 2;
                Some(word)
            }
            _ => None,
        }
    }

    pub(super) fn take_value(&mut self) -> Result<Option<Value>, Refusal> {
        let Some(Token::Value(name)) = self.peek() else {
            return Ok(None);
        };
        let value = self.scope.value(name, self.label)?;
        self.at += 1;
        Ok(Some(value))
    }

    pub(super) fn path(&mut self) -> Result<Path, Refusal> {
        let attribute = self.attribute()?;
        let mut steps = Vec::new();
        loop {
            if self.take_symbol(".") {
                steps.push(Step::Member(self.attribute()?));
            } else if self.take_symbol("[") {
                let Some(Token::Number(digits)) = self.peek() else {
                    return Err(self.syntax());
                };
                let Ok(at) = digits.parse::<u32>() else {
                    return Err(self.syntax());
                };
                steps.push(Step::Index(usize::try_from(at).unwrap_or(usize::MAX)));
                self.at += 1;
                self.expect_symbol("]")?;
            } else {
                return Ok(Path { attribute, steps });
            }
        }
    }

    fn attribute(&mut self) -> Result<String, Refusal> {
        let name = match self.peek() {
            Some(Token::Name(placeholder)) => self.scope.name(placeholder, self.label)?,
            Some(Token::Word(word)) if is_reserved(word) => {
                return Err(self.invalid(format!(
                    "Attribute name is a reserved keyword; reserved keyword: {word}"
                )));
            }
            Some(Token::Word(word)) => word.clone(),
            _ => return Err(self.syntax()),
        };
        self.at += 1;
        Ok(name)
    }

    /// Goes one level deeper for the length of `inside`.
    pub(super) fn nested<T>(
        &mut self,
        inside: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(self.invalid("The expression contains too many levels of nesting;"));
        }
        let result = inside(self);
        self.nesting -= 1;
        result
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Returns whether everything from `start` to here is one pair of parentheses and its content:
    /// `(a AND b)` is, `(a) AND (b)` is not.
    pub(super) fn is_wrapped_since(&self, start: usize) -> bool {
        let mut open = 0_usize;
        for (offset, placed) in self.tokens[start..self.at].iter().enumerate() {
            match placed.token {
                Token::Symbol("(") => open += 1,
                Token::Symbol(")") => open = open.saturating_sub(1),
                _ => {}
            }
            if open == 0 {
                return offset > 0 && start + offset + 1 == self.at;
            }
        }
        false
    }

    pub(super) fn wrong_type(&self, operator: &str, value: &Value) -> Refusal {
        self.invalid(format!(
            "Incorrect operand type for operator or function; operator or function: {operator}, \
             operand type: {}",
            value.type_name()
        ))
    }

    pub(super) fn finish(&self) -> Result<(), Refusal> {
        if self.at == self.tokens.len() {
            Ok(())
        } else {
            Err(self.syntax())
        }
    }
}
