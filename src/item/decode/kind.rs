//! The types of attributes.

/// The types that an attribute can have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    String,
    Number,
    Binary,
    Bool,
    Null,
    List,
    Map,
    Strings,
    Numbers,
    Binaries,
}

impl Kind {
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"S" => Self::String,
            b"N" => Self::Number,
            b"B" => Self::Binary,
            b"BOOL" => Self::Bool,
            b"NULL" => Self::Null,
            b"L" => Self::List,
            b"M" => Self::Map,
            b"SS" => Self::Strings,
            b"NS" => Self::Numbers,
            b"BS" => Self::Binaries,
            _ => return None,
        })
    }

    /// Returns DynamoDB's name of it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::String => "S",
            Self::Number => "N",
            Self::Binary => "B",
            Self::Bool => "BOOL",
            Self::Null => "NULL",
            Self::List => "L",
            Self::Map => "M",
            Self::Strings => "SS",
            Self::Numbers => "NS",
            Self::Binaries => "BS",
        }
    }
}
