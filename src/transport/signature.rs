//! A signature by `aws-sigv4`, as the SDK makes it: what the [`Signer`](super::signer::Signer) and
//! a capture are measured by, and what signs where they can't.

use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SigningInstructions, SigningParams, SigningSettings,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::identity::Identity;
use std::time::SystemTime;

/// Signs a POST as the SDK signs DynamoDB's requests: the default settings of `SigV4`, in headers.
/// `host`, the date and the session token are the signer's to add.
pub(super) fn sign_by_sdk<'a>(
    identity: &Identity,
    (region, service): (&str, &str),
    time: SystemTime,
    uri: &'a str,
    headers: impl Iterator<Item = (&'a str, &'a str)>,
    body: &'a [u8],
) -> Result<SigningInstructions, BoxError> {
    let params = v4::SigningParams::builder()
        .identity(identity)
        .region(region)
        .name(service)
        .time(time)
        .settings(SigningSettings::default())
        .build()?;
    let request = SignableRequest::new("POST", uri, headers, SignableBody::Bytes(body))?;
    let params = SigningParams::V4(params);
    Ok(aws_sigv4::http_request::sign(request, &params)?
        .into_parts()
        .0)
}
