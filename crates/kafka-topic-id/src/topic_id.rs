//! An id and its text form.

use std::error::Error;
use std::fmt;
use std::num::NonZero;
use std::str::FromStr;

use base64_simd::{AsOut as _, URL_SAFE_NO_PAD};

/// The bytes of an id.
const SIZE: usize = 16;
/// The characters of its text: four for three bytes.
const TEXT_SIZE: usize = 22;

/// The id of a topic: 16 bytes that the cluster draws when it makes the topic.
///
/// Its text is that of Kafka's own tools: 22 characters of base64 with `-` and `_`, without padding.
/// The id of 16 zero bytes is reserved in Kafka and means "no id", so it is no value of this type. The
/// order is that of the bytes; it says nothing of age.
///
/// ```
/// use kafka_topic_id::TopicId;
///
/// let id: TopicId = "cxk5sDF3RuOYgRGxIVVlzg".parse()?;
/// assert_eq!(id.to_string(), "cxk5sDF3RuOYgRGxIVVlzg");
/// assert_eq!(TopicId::from_bytes(id.to_bytes()), Some(id));
/// assert_eq!(TopicId::from_bytes([0; 16]), None);
/// # Ok::<(), kafka_topic_id::ParseTopicIdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId(NonZero<u128>);

impl TopicId {
    /// Returns the id of these bytes, in the order of Kafka's protocol; `None` for the reserved id
    /// of 16 zero bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; SIZE]) -> Option<Self> {
        NonZero::new(u128::from_be_bytes(bytes)).map(Self)
    }

    /// Returns the id's bytes, in the order of Kafka's protocol.
    #[must_use]
    pub fn to_bytes(self) -> [u8; SIZE] {
        self.0.get().to_be_bytes()
    }

    /// Returns the id of the two halves in which librdkafka keeps it; `None` for the reserved one.
    pub(crate) fn from_halves(most_significant: i64, least_significant: i64) -> Option<Self> {
        let mut bytes = [0; SIZE];
        bytes[..SIZE / 2].copy_from_slice(&most_significant.to_be_bytes());
        bytes[SIZE / 2..].copy_from_slice(&least_significant.to_be_bytes());
        Self::from_bytes(bytes)
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0_u8; TEXT_SIZE];
        let text = URL_SAFE_NO_PAD.encode_as_str(&self.to_bytes(), text.as_mut_slice().as_out());
        f.pad(text)
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicId({self})")
    }
}

impl FromStr for TopicId {
    type Err = ParseTopicIdError;

    /// Parses the text of [`Display`](fmt::Display), and no other: two texts are the same id only
    /// where they are the same text.
    fn from_str(text: &str) -> Result<Self, ParseTopicIdError> {
        if text.len() != TEXT_SIZE {
            return Err(ParseTopicIdError(Problem::Length(text.len())));
        }
        let mut bytes = [0; SIZE];
        URL_SAFE_NO_PAD
            .decode(text.as_bytes(), bytes.as_mut_slice().as_out())
            .map_err(|_| ParseTopicIdError(Problem::Encoding))?;
        Self::from_bytes(bytes).ok_or(ParseTopicIdError(Problem::Reserved))
    }
}

/// The reason why a text is no [`TopicId`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseTopicIdError(Problem);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    Length(usize),
    Encoding,
    Reserved,
}

impl fmt::Display for ParseTopicIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Problem::Length(length) => write!(
                f,
                "topic id of {length} bytes: a topic id has {TEXT_SIZE} characters"
            ),
            Problem::Encoding => f.write_str(
                "topic id is not base64 with `-` and `_` and without padding, \
                 as kafka's tools print it",
            ),
            Problem::Reserved => {
                f.write_str("topic id of zeros is reserved: it stands for a topic without an id")
            }
        }
    }
}

impl Error for ParseTopicIdError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids as Kafka's tools print them, and their bytes as `java.util.UUID` prints them.
    const KNOWN: [(&str, u128); 5] = [
        // Kafka's `Uuid.ONE_UUID` and `Uuid.METADATA_TOPIC_ID`.
        ("AAAAAAAAAAAAAAAAAAAAAQ", 1),
        (
            "cxk5sDF3RuOYgRGxIVVlzg",
            0x7319_39b0_3177_46e3_9881_11b1_2155_65ce,
        ),
        ("_____________________w", u128::MAX),
        (
            "--_7776-QAC__7_vvu--7w",
            0xfbef_fbef_bebe_4000_bfff_bfef_beef_beef,
        ),
        (
            "gAAAAAAAAACAAAAAAAAAAA",
            0x8000_0000_0000_0000_8000_0000_0000_0000,
        ),
    ];

    #[test]
    fn an_id_reads_as_kafkas_tools_print_it() {
        for (text, number) in KNOWN {
            let id = TopicId::from_bytes(number.to_be_bytes()).expect("not zero");
            assert_eq!(id.to_string(), text);
            assert_eq!(text.parse(), Ok(id));
            assert_eq!(id.to_bytes(), number.to_be_bytes());
        }
    }

    #[test]
    fn the_halves_are_in_the_order_of_the_protocol() {
        let id = TopicId::from_halves(0x731939b0_317746e3, 0x988111b1_215565ce_u64.cast_signed());
        assert_eq!(
            id.map(|id| id.to_string()).as_deref(),
            Some("cxk5sDF3RuOYgRGxIVVlzg")
        );
        assert_eq!(
            TopicId::from_halves(-1, -1),
            TopicId::from_bytes([0xff; 16])
        );
    }

    #[test]
    fn the_reserved_id_is_none() {
        assert_eq!(TopicId::from_bytes([0; 16]), None);
        assert_eq!(TopicId::from_halves(0, 0), None);
        let error = "AAAAAAAAAAAAAAAAAAAAAA".parse::<TopicId>();
        assert!(
            error
                .expect_err("reserved")
                .to_string()
                .contains("reserved")
        );
        assert_eq!(size_of::<Option<TopicId>>(), SIZE);
    }

    #[test]
    fn any_other_text_is_refused() {
        for text in [
            "",
            "AAAAAAAAAAAAAAAAAAAAQ",
            "AAAAAAAAAAAAAAAAAAAAAQ==",
            "731939b0-3177-46e3-9881-11b1215565ce",
            // The standard alphabet, which librdkafka writes.
            "++/7776+QAC//7/vvu++7w",
            // The last character's four low bits are not the id's, and must be 0.
            "AAAAAAAAAAAAAAAAAAAAAR",
            "AAAAAAAAAAAAAAAAAAAA Q",
            "ÄAAAAAAAAAAAAAAAAAAAQ",
        ] {
            assert!(text.parse::<TopicId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn every_bit_survives_the_text_and_the_order_is_that_of_the_bytes() {
        for bit in 0..u128::BITS {
            let id = TopicId::from_bytes((1_u128 << bit).to_be_bytes()).expect("not zero");
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(id.to_string().len(), TEXT_SIZE);
        }
        let id = |bytes| TopicId::from_bytes(bytes).expect("not zero");
        assert!(id([1; 16]) < id([2; 16]) && id([127; 16]) < id([128; 16]));
        assert_eq!(
            format!("{:>24}|", id([255; 16])),
            "  _____________________w|"
        );
        assert_eq!(
            format!("{:?}", id([255; 16])),
            "TopicId(_____________________w)"
        );
    }
}
