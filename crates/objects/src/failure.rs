//! The one table of what the API server answers → [`Failure`].

use kube::core::Status;
use trunkline_engine::{Cause, Failure, FailureKind};

/// Whether a request could have changed something, which decides what a lost
/// answer leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// Turns an error of the client into a failure.
pub(crate) fn failure(access: Access, action: &str, error: kube::Error) -> Failure {
    match error {
        kube::Error::Api(status) => answered(access, action, &status),
        other => unanswered(access, action, other),
    }
}

/// The API server answered with an error.
fn answered(access: Access, action: &str, status: &Status) -> Failure {
    let kind = kind_of(status);
    let code = if status.reason.is_empty() {
        status.code.to_string()
    } else {
        status.reason.clone()
    };
    let failure = Failure::new(kind, cause(action, code, status.message.clone()));
    // An answer of 4xx says that nothing was done. Behind a 5xx the write may
    // have happened (a time-out between API server and etcd).
    let refused = kind == FailureKind::Invalid
        || ((400..500).contains(&status.code) && status.reason != "Timeout");
    let failure = if access == Access::Read || refused {
        failure.clear()
    } else {
        failure
    };
    match kind {
        FailureKind::Denied => failure.next(advice_denied(status.code)),
        _ => failure,
    }
}

fn kind_of(status: &Status) -> FailureKind {
    // The reason is the more exact of the two; the code decides when a proxy
    // answered in place of the API server.
    match (status.reason.as_str(), status.code) {
        // A namespace that is ending refuses creates with Forbidden, and they
        // would work again in the next one of that name.
        ("Forbidden", _) if status.message.contains("because it is being terminated") => {
            FailureKind::Conflict
        }
        ("Forbidden", _) if status.message.contains("exceeded quota") => FailureKind::Quota,
        ("Unauthorized" | "Forbidden", _) | ("", 401 | 403) => FailureKind::Denied,
        ("NotFound" | "Gone", _) | ("", 404 | 410) => FailureKind::Gone,
        ("Expired", _) => FailureKind::Retry,
        ("AlreadyExists" | "Conflict", _) | ("", 409) => FailureKind::Conflict,
        ("TooManyRequests", _) | ("", 429) => FailureKind::Throttled,
        ("Invalid" | "BadRequest" | "MethodNotAllowed" | "NotAcceptable", _)
        | ("UnsupportedMediaType" | "RequestEntityTooLarge", _) => webhook(status),
        // A field that the schema does not know is a 500 without a reason in a
        // server-side apply.
        ("InternalError" | "", _) if status.message.contains("field not declared in schema") => {
            FailureKind::Invalid
        }
        ("InternalError" | "ServiceUnavailable" | "Timeout" | "ServerTimeout", _)
        | ("StoreReadError", _) => FailureKind::Retry,
        (_, 500..) | (_, 408) => FailureKind::Retry,
        (_, 429) => FailureKind::Throttled,
        _ => FailureKind::Invalid,
    }
}

/// An admission webhook that is not up yet answers through the API server; the
/// request itself is right.
fn webhook(status: &Status) -> FailureKind {
    if status.message.contains("failed calling webhook") {
        FailureKind::Retry
    } else {
        FailureKind::Invalid
    }
}

fn advice_denied(code: u16) -> &'static str {
    if code == 401 {
        "the cluster does not know this identity: add it to `admins` in the environment file, or \
         deploy as an identity that has an access entry"
    } else {
        "the identity is known and may not do this: its access entry needs a policy that allows it"
    }
}

/// No answer came: refused connections (right after ACTIVE the endpoint may
/// refuse for a while), time-outs, broken streams.
fn unanswered(access: Access, action: &str, error: kube::Error) -> Failure {
    // A token source speaks in failures of its own; kube hands them through boxed.
    if let kube::Error::Service(inner) = &error
        && let Some(own) = find::<Failure>(&**inner)
    {
        return own.clone();
    }
    let kind = match &error {
        kube::Error::BuildRequest(_) | kube::Error::HttpError(_) | kube::Error::SerdeError(_) => {
            FailureKind::Bug
        }
        _ => FailureKind::Retry,
    };
    let certificate = chain(&error).contains("certificate");
    let kind = if certificate {
        FailureKind::Invalid
    } else {
        kind
    };
    let failure = Failure::new(kind, cause(action, String::new(), chain(&error)));
    let never_sent = certificate
        || kind == FailureKind::Bug
        || find::<std::io::Error>(&error)
            .is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused);
    if access == Access::Read || never_sent {
        failure.clear()
    } else {
        failure
    }
}

/// A request that had no answer in time.
pub(crate) fn timed_out(access: Access, action: &str, seconds: u64) -> Failure {
    let text = format!("no answer within {seconds} s");
    let failure = Failure::new(FailureKind::Retry, cause(action, String::new(), text));
    if access == Access::Read {
        failure.clear()
    } else {
        failure
    }
}

/// A cause said by Kubernetes.
pub(crate) fn cause(action: &str, code: String, message: String) -> Cause {
    Cause {
        service: "Kubernetes".to_owned(),
        action: action.to_owned(),
        code,
        message,
        request_id: None,
    }
}

/// An error and everything under it, each said once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(inner) = next {
        let words = inner.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        next = inner.source();
    }
    text
}

/// The first error of a type in a chain.
fn find<'a, E: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(inner) = next {
        if let Some(found) = inner.downcast_ref::<E>() {
            return Some(found);
        }
        next = inner.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(reason: &str, code: u16, message: &str) -> kube::Error {
        kube::Error::Api(Status::failure(message, reason).with_code(code).boxed())
    }

    #[test]
    fn answers_are_classified() {
        for (reason, code, message, kind) in [
            ("Unauthorized", 401, "", FailureKind::Denied),
            ("Forbidden", 403, "may not", FailureKind::Denied),
            (
                "Forbidden",
                403,
                "unable to create new content in namespace a because it is being terminated",
                FailureKind::Conflict,
            ),
            ("NotFound", 404, "", FailureKind::Gone),
            ("Conflict", 409, "", FailureKind::Conflict),
            ("AlreadyExists", 409, "", FailureKind::Conflict),
            ("Invalid", 422, "", FailureKind::Invalid),
            ("TooManyRequests", 429, "", FailureKind::Throttled),
            (
                "InternalError",
                500,
                "failed calling webhook",
                FailureKind::Retry,
            ),
            ("", 503, "", FailureKind::Retry),
            ("Timeout", 504, "", FailureKind::Retry),
        ] {
            let failure = failure(Access::Write, "apply", status(reason, code, message));
            assert_eq!(failure.kind, kind, "{reason} {code}");
            assert_eq!(failure.is_unclear(), code >= 500, "{reason} {code}");
        }
    }

    #[test]
    fn a_read_leaves_nothing_behind() {
        assert!(!failure(Access::Read, "get", status("", 500, "")).is_unclear());
        assert!(!timed_out(Access::Read, "get", 30).is_unclear());
        assert!(timed_out(Access::Write, "apply", 30).is_unclear());
    }

    #[test]
    fn a_refused_connection_is_passing_and_clear() {
        let io = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let failure = failure(Access::Write, "apply", kube::Error::Service(Box::new(io)));
        assert!(failure.is_passing() && !failure.is_unclear());
    }

    #[test]
    fn a_token_failure_stays_what_it_is() {
        let own = Failure::bug("no credentials");
        let seen = failure(
            Access::Write,
            "apply",
            kube::Error::Service(Box::new(own.clone())),
        );
        assert_eq!(seen, own);
    }
}
