//! The condition of a put that never replaces a newer version.

use super::error::SubmitError;
use super::expressions::More;
use super::outcome::WriteKind;
use super::shared::Shared;
use crate::item;

/// Adds the condition of `newer_by`.
pub(super) fn guard(
    more: &mut More,
    kind: WriteKind,
    item: &[u8],
    version: &str,
    table: &Shared,
) -> Result<(), SubmitError> {
    if kind != WriteKind::Put {
        let what = format!("newer_by is for puts, not for a {}", kind.as_str());
        return Err(table.invalid(what));
    }
    let value = item::find_attribute(item, version).ok_or_else(|| {
        table.invalid(format!(
            "the version attribute {version:?} is not in the record"
        ))
    })?;
    if ![b"{\"N\":".as_slice(), b"{\"S\":", b"{\"B\":"]
        .iter()
        .any(|kind| value.starts_with(kind))
    {
        let what = format!("the version attribute {version:?} is no string, number or binary");
        return Err(table.invalid(what));
    }
    let newer = "attribute_not_exists(#dc_key) OR #dc_version < :dc_version";
    more.condition = Some(match more.condition.take() {
        Some(other) => format!("({other}) AND ({newer})"),
        None => newer.to_owned(),
    });
    let key = table.shape().keys().partition().name().to_owned();
    more.names.push(("#dc_key".to_owned(), key));
    more.names
        .push(("#dc_version".to_owned(), version.to_owned()));
    more.values.push((":dc_version".to_owned(), value.to_vec()));
    Ok(())
}
