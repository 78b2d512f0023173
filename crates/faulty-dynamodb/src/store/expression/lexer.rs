//! Text to tokens.

use crate::item::error::Refusal;

/// A token of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A bare word: an attribute, a function or a keyword.
    Word(String),
    /// `#name`, with the `#`.
    Name(String),
    /// `:value`, with the `:`.
    Value(String),
    /// A list index.
    Number(String),
    /// An operator or a delimiter.
    Symbol(&'static str),
}

const SYMBOLS: [&str; 13] = [
    "<>", "<=", ">=", "=", "<", ">", "(", ")", "[", "]", ".", ",", "+",
];

/// A token and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) from: usize,
    pub(super) to: usize,
}

/// Takes an expression apart. `label` is the name of the request's member that holds it.
pub(super) fn lex(text: &str, label: &str) -> Result<Vec<Placed>, Refusal> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut from = 0;
    while let Some(&byte) = bytes.get(from) {
        if byte.is_ascii_whitespace() {
            from += 1;
            continue;
        }
        let word = |at: usize| {
            at + bytes[at..]
                .iter()
                .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_')
                .count()
        };
        let (token, to) = match byte {
            b'#' | b':' => {
                let to = word(from + 1);
                let name = text[from..to].to_owned();
                (
                    if byte == b'#' {
                        Token::Name(name)
                    } else {
                        Token::Value(name)
                    },
                    to,
                )
            }
            b'0'..=b'9' => {
                let to = word(from);
                (Token::Number(text[from..to].to_owned()), to)
            }
            _ if byte.is_ascii_alphabetic() || byte == b'_' => {
                let to = word(from);
                (Token::Word(text[from..to].to_owned()), to)
            }
            b'-' => (Token::Symbol("-"), from + 1),
            _ => match SYMBOLS
                .iter()
                .find(|symbol| text[from..].starts_with(**symbol))
            {
                Some(symbol) => (Token::Symbol(symbol), from + symbol.len()),
                None => {
                    let bad: String = text[from..].chars().take(1).collect();
                    return Err(Refusal::validation(format!(
                        "Invalid {label}: Syntax error; token: \"{bad}\", near: \"{}\"",
                        near(text, from)
                    )));
                }
            },
        };
        if to == from + 1 && matches!(token, Token::Name(_) | Token::Value(_)) {
            return Err(Refusal::validation(format!(
                "Invalid {label}: Syntax error; token: \"{}\", near: \"{}\"",
                &text[from..to],
                near(text, from)
            )));
        }
        tokens.push(Placed { token, from, to });
        from = to;
    }
    Ok(tokens)
}

/// The few characters around a mistake.
fn near(text: &str, at: usize) -> String {
    let skip = text[..at].chars().count().saturating_sub(4);
    text.chars().skip(skip).take(9).collect()
}
