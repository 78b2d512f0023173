//! The kinds of clients that take part, and what they may know.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    Flink,
    SdkLoop,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Ours, Self::Flink, Self::SdkLoop];

    /// As it stands in the table and is given on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Flink => "flink",
            Self::SdkLoop => "sdk-loop",
        }
    }
}

/// The knowledge that clients have of their tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// They may describe them.
    Known,
    /// They know the keys, and may describe nothing.
    Blind,
}
