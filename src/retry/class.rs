//! One classification of every error, matched exhaustively.

/// What to do about a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The service refused for want of capacity and applied nothing: send again, later and slower.
    Throttled,
    /// The request failed and was certainly not applied: send again.
    Transient,
    /// The request failed and may have been applied: send again only what may be applied twice.
    Ambiguous,
    /// This request can never succeed; others can.
    Permanent,
    /// No request to this table can succeed until somebody mends something.
    Fatal,
}
