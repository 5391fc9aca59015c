//! The one table of AWS error codes. Idempotence rests on knowing them.

use aws_smithy_runtime_api::client::{
    orchestrator::HttpResponse,
    result::{ConnectorError, SdkError},
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use trunkline_engine::{Cause, Failure, FailureKind};

use crate::guard::Refused;

/// Turns an error of the SDK into a [`Failure`]: kind by the table of codes,
/// what was left behind by how far the request came.
///
/// An answer of 4xx refused the request: nothing was left. Everything that is
/// not an answer (a broken connection, a time-out) and every 5xx leaves it
/// open whether the work was done.
pub fn failure<E>(service: &str, action: &str, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let mut cause = Cause {
        service: service.to_owned(),
        action: action.to_owned(),
        ..Cause::default()
    };
    match error {
        SdkError::ServiceError(answer) => {
            let meta = answer.err().meta();
            let status = answer.raw().status().as_u16();
            cause.code = meta.code().unwrap_or_default().to_owned();
            cause.message = meta.message().unwrap_or_default().to_owned();
            cause.request_id = request_id(meta.extra("aws_request_id"), answer.raw());
            if cause.code.is_empty() {
                // A HEAD has no body, so no code: the status is all there is.
                cause.code = status.to_string();
            }
            let kind = kind_of(&cause.code, &cause.message, status);
            let failure = Failure::new(kind, cause);
            // Throttling is said with 503 by EC2 and S3, and refuses the request.
            if status < 500 || kind == FailureKind::Throttled {
                failure.clear()
            } else {
                failure
            }
        }
        SdkError::ConstructionFailure(_) => {
            cause.message = chain(error);
            Failure::new(FailureKind::Bug, cause).clear()
        }
        SdkError::DispatchFailure(dispatch) => dispatch.as_connector_error().map_or_else(
            || passing(cause.clone(), error),
            |broken| never_sent(cause.clone(), broken),
        ),
        _ => passing(cause, error),
    }
}

/// The request may have left, and no answer came.
fn passing(mut cause: Cause, error: &(dyn std::error::Error + 'static)) -> Failure {
    cause.message = chain(error);
    Failure::new(FailureKind::Retry, cause)
}

/// Broken connections: some of them never carried the request.
fn never_sent(mut cause: Cause, error: &ConnectorError) -> Failure {
    cause.message = chain(error);
    if let Some(refused) = find::<Refused>(error) {
        cause.message.clone_from(&refused.0);
        return Failure::new(FailureKind::Stopped, cause).clear();
    }
    if find::<aws_credential_types::provider::error::CredentialsError>(error).is_some() {
        return Failure::new(FailureKind::Denied, cause).clear().next(
            "give credentials: log in by `aws sso login`, set AWS_PROFILE, or check the role",
        );
    }
    let refused = find::<std::io::Error>(error)
        .is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused);
    let failure = Failure::new(FailureKind::Retry, cause);
    if refused { failure.clear() } else { failure }
}

fn find<'a, T: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a T> {
    std::iter::successors(Some(error), |e| e.source()).find_map(|e| e.downcast_ref())
}

/// The whole chain of reasons, each once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    for reason in std::iter::successors(Some(error), |e| e.source()) {
        let text = reason.to_string();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
    }
    parts.join(": ")
}

fn request_id(from_meta: Option<&str>, raw: &HttpResponse) -> Option<String> {
    let header = |name| raw.headers().get(name).map(str::to_owned);
    from_meta
        .map(str::to_owned)
        .or_else(|| header("x-amzn-requestid"))
        .or_else(|| header("x-amz-request-id"))
}

/// The table. Codes are those of the API references of EC2, EKS, IAM, S3 and
/// STS; a code that is not here is judged by its status.
fn kind_of(code: &str, message: &str, status: u16) -> FailureKind {
    use FailureKind::{Conflict, Denied, Gone, Invalid, Quota, Retry, Throttled};
    match code {
        // Transport's own words for throttling differ by protocol.
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "TooManyRequestsException"
        | "SlowDown"
        | "EC2ThrottledException"
        | "BandwidthLimitExceeded" => Throttled,
        "UnauthorizedOperation"
        | "AccessDenied"
        | "AccessDeniedException"
        | "AuthFailure"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException"
        | "OptInRequired"
        | "InvalidAccessKeyId"
        | "NotAuthorized" => Denied,
        // EC2 names its limits one by one.
        "LimitExceeded"
        | "LimitExceededException"
        | "ResourceLimitExceededException"
        | "ServiceQuotaExceededException"
        | "TooManyBuckets"
        | "ResourceLimitExceeded" => Quota,
        _ if code.ends_with("LimitExceeded") => Quota,
        // Something that is still vanishing blocks us: EC2 is eventually
        // consistent, so this passes by itself once the blocker is gone.
        "DependencyViolation"
        | "DeleteConflict"
        | "OperationAborted"
        | "ConcurrentModification"
        | "ConcurrentModificationException"
        | "IncorrectState"
        | "IncorrectInstanceState"
        | "ResourceInUseException"
        | "InvalidIPAddress.InUse"
        | "VolumeInUse"
        | "BucketNotEmpty"
        | "IncorrectVpcState" => Retry,
        "EntityAlreadyExists"
        | "BucketAlreadyExists"
        | "BucketAlreadyOwnedByYou"
        | "PreconditionFailed"
        | "ConditionalRequestConflict"
        | "Resource.AlreadyAssociated"
        | "RouteAlreadyExists"
        | "InvalidPermission.Duplicate"
        | "InvalidGroup.Duplicate"
        | "IdempotentParameterMismatch"
        | "InvalidRequestException" => Conflict,
        "NoSuchEntity"
        | "NoSuchBucket"
        | "NoSuchKey"
        | "NoSuchVersion"
        | "NotFoundException"
        | "ResourceNotFoundException"
        | "NatGatewayNotFound"
        | "NoSuchLifecycleConfiguration"
        | "NoSuchTagSet"
        | "NoSuchBucketPolicy"
        | "NoSuchPublicAccessBlockConfiguration"
        | "OwnershipControlsNotFoundError"
        | "ServerSideEncryptionConfigurationNotFoundError"
        | "NotFound"
        | "404" => Gone,
        // EC2: `InvalidVpcID.NotFound`, `InvalidSubnetID.NotFound`, …
        _ if code.ends_with(".NotFound") => Gone,
        "InternalError"
        | "InternalFailure"
        | "ServiceUnavailable"
        | "ServerException"
        | "ServiceUnavailableException"
        | "RequestTimeout"
        | "Unavailable" => Retry,
        // IAM roles are not seen by EKS at once, and it says so only in words:
        // terraform-provider-aws retries on the same text.
        "InvalidParameterException" if message.contains("could not be assumed") => Retry,
        _ if status >= 500 => Retry,
        _ if status == 429 => Throttled,
        _ if status == 401 || status == 403 => Denied,
        _ if status == 404 => Gone,
        _ if status == 409 || status == 412 => Conflict,
        _ => Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_known() {
        for (code, status, kind) in [
            ("RequestLimitExceeded", 503, FailureKind::Throttled),
            ("NatGatewayLimitExceeded", 400, FailureKind::Quota),
            ("InvalidVpcID.NotFound", 400, FailureKind::Gone),
            ("DependencyViolation", 400, FailureKind::Retry),
            ("UnauthorizedOperation", 403, FailureKind::Denied),
            ("EntityAlreadyExists", 409, FailureKind::Conflict),
            ("InvalidParameterValue", 400, FailureKind::Invalid),
            ("SomethingNew", 503, FailureKind::Retry),
            ("403", 403, FailureKind::Denied),
        ] {
            assert_eq!(kind_of(code, "", status), kind, "{code}");
        }
    }
}
