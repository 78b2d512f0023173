//! What of an item a stream's records show.

/// What of a changed item the records of a table's stream show.
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
    pub(in crate::test_util) fn name(self) -> &'static str {
        match self {
            Self::KeysOnly => "KEYS_ONLY",
            Self::NewImage => "NEW_IMAGE",
            Self::OldImage => "OLD_IMAGE",
            Self::NewAndOldImages => "NEW_AND_OLD_IMAGES",
        }
    }

    pub(in crate::test_util) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "KEYS_ONLY" => Self::KeysOnly,
            "NEW_IMAGE" => Self::NewImage,
            "OLD_IMAGE" => Self::OldImage,
            "NEW_AND_OLD_IMAGES" => Self::NewAndOldImages,
            _ => return None,
        })
    }

    pub(super) fn shows_new(self) -> bool {
        matches!(self, Self::NewImage | Self::NewAndOldImages)
    }

    pub(super) fn shows_old(self) -> bool {
        matches!(self, Self::OldImage | Self::NewAndOldImages)
    }
}
