//! The members of a JSON object, each read by itself.
//!
//! An answer is made by more programs than DynamoDB: by compatible servers, proxies and load
//! balancers. A member that is odd must not hide the others, so each is kept as raw text, and a
//! body that breaks off keeps the members before the break.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer as _};
use serde_json::value::RawValue;

/// The members of one object, in order. A name may occur more than once.
#[derive(Debug, Default)]
pub(super) struct Members<'a> {
    members: Vec<(String, &'a RawValue)>,
    /// Set if the object is whole, and nothing follows it.
    whole: bool,
}

impl<'a> Members<'a> {
    /// Reads an object, as far as it can be read. Anything else has no members.
    pub(super) fn read(json: &'a str) -> Self {
        let mut members = Vec::new();
        let mut reader = serde_json::Deserializer::from_str(json);
        let read = reader.deserialize_map(Collect(&mut members));
        let whole = read.is_ok() && reader.end().is_ok();
        Self { members, whole }
    }

    /// Returns whether all of it could be read.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Returns whether it has none.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Returns the raw text of the first member of this name.
    pub(super) fn raw(&self, name: &str) -> Option<&'a str> {
        let found = self.members.iter().find(|(member, _)| member == name);
        found.map(|(_, value)| value.get())
    }

    /// Returns the members of these names that read as a type, in order.
    fn read_as<T: Deserialize<'a>>(&self, names: &[&str]) -> impl Iterator<Item = T> {
        let named = self
            .members
            .iter()
            .filter(|(member, _)| names.contains(&member.as_str()));
        named.filter_map(|(_, value)| serde_json::from_str(value.get()).ok())
    }

    /// Returns the members of these names that are strings.
    pub(super) fn texts(&self, names: &[&str]) -> impl Iterator<Item = String> {
        self.read_as(names)
    }

    /// Returns the first member of one of these names that is a string.
    pub(super) fn text(&self, names: &[&str]) -> Option<String> {
        self.texts(names).next()
    }

    /// Returns the elements of the first member of one of these names that is a list.
    pub(super) fn list(&self, names: &[&str]) -> Vec<&'a str> {
        let elements: Vec<&RawValue> = self.read_as(names).next().unwrap_or_default();
        elements.into_iter().map(RawValue::get).collect()
    }
}

struct Collect<'m, 'a>(&'m mut Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Visitor<'de> for Collect<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry::<&RawValue, _>()? {
            // Half a surrogate pair makes no text. The member has no name then, and hides no other.
            let name = serde_json::from_str(name.get()).unwrap_or_default();
            self.0.push((name, value));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_member_hides_no_other() {
        let json = r#"{"a":{"b":[1]},"\ud800":1,"c":null,"c":7,"c":"text","d":["x",null,{}]}"#;
        let members = Members::read(json);
        assert!(members.is_whole());
        assert_eq!(members.raw("a"), Some(r#"{"b":[1]}"#));
        assert_eq!(members.text(&["c"]).as_deref(), Some("text"));
        assert_eq!(members.text(&["a", "d"]), None);
        assert_eq!(members.list(&["c", "d"]), [r#""x""#, "null", "{}"]);
        assert!(members.list(&["a"]).is_empty());
    }

    #[test]
    fn what_breaks_off_keeps_the_members_before() {
        let members = Members::read(r#"{"code":"A","message":"cut sh"#);
        assert_eq!(members.text(&["code"]).as_deref(), Some("A"));
        assert!(!members.is_whole());
        assert!(!Members::read(r#"{"code":"A"} and more"#).is_whole());
        for none in ["", "[]", "null", "\"text\"", "<html>"] {
            let members = Members::read(none);
            assert!(members.is_empty() && !members.is_whole(), "{none}");
        }
    }
}
