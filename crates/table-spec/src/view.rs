//! The stream's part.

/// The images of a changed item that the records of a table's stream show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamView {
    /// The item's key alone.
    KeysOnly,
    /// The whole item after the change.
    NewImage,
    /// The whole item before the change.
    OldImage,
    /// The whole item before and after the change.
    NewAndOldImages,
}

impl StreamView {
    /// Returns DynamoDB's name of the view, such as `NEW_IMAGE`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::KeysOnly => "KEYS_ONLY",
            Self::NewImage => "NEW_IMAGE",
            Self::OldImage => "OLD_IMAGE",
            Self::NewAndOldImages => "NEW_AND_OLD_IMAGES",
        }
    }
}
