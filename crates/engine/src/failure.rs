//! Failures: what went wrong, what it left behind, what to do next.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why an operation did not succeed, in the terms the walk and the operator
/// act on.
///
/// Once a write has begun, the honest default for [`left`](Self::left) is
/// [`Left::Unknown`]: constructors that do not say otherwise take it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What class of failure it is: decides on retries.
    pub kind: FailureKind,
    /// What it left behind.
    pub left: Left,
    /// What the other side said.
    pub cause: Cause,
    /// What the operator should do, as a sentence or a command.
    pub next: Option<String>,
}

/// The classes of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Passing: a time-out, a broken connection, an answer of 5xx.
    Retry,
    /// Asked to slow down.
    Throttled,
    /// The identity may not do this.
    Denied,
    /// A limit of the account is reached.
    Quota,
    /// The other side is in a state that does not allow this now.
    Conflict,
    /// The request itself is wrong.
    Invalid,
    /// What it was about is not there.
    Gone,
    /// Stopped on our own demand: Ctrl-C, a lost lease, a deadline.
    Stopped,
    /// A mistake in Trunkline or in a layer.
    Bug,
}

/// What a failed operation left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Left {
    /// Nothing: the request was refused, or never left.
    Clear,
    /// These things, in words; they are marked and the next run finds them.
    Remains(Vec<String>),
    /// It cannot be told: a write began and its end was not seen.
    Unknown,
}

/// What the other side said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Who said it: `EC2`, `Kubernetes`, `helm`.
    pub service: String,
    /// What it was asked: `CreateVpc`.
    pub action: String,
    /// Its error code: `VpcLimitExceeded`. Empty when there was no answer.
    pub code: String,
    /// Its words.
    pub message: String,
    /// The id under which its support finds the request.
    pub request_id: Option<String>,
}

impl Failure {
    /// A failure of `kind`, left-overs unknown.
    #[must_use]
    pub fn new(kind: FailureKind, cause: Cause) -> Self {
        Self {
            kind,
            left: Left::Unknown,
            cause,
            next: None,
        }
    }

    /// A mistake in Trunkline or in a layer: nothing was done.
    #[must_use]
    pub fn bug(message: impl Into<String>) -> Self {
        let cause = Cause {
            service: "trunkline".into(),
            message: message.into(),
            ..Cause::default()
        };
        Self::new(FailureKind::Bug, cause).clear()
    }

    /// Stopped on our own demand.
    #[must_use]
    pub fn stopped(message: impl Into<String>) -> Self {
        let cause = Cause {
            service: "trunkline".into(),
            message: message.into(),
            ..Cause::default()
        };
        Self::new(FailureKind::Stopped, cause)
    }

    /// Says that nothing was left behind.
    #[must_use]
    pub fn clear(mut self) -> Self {
        self.left = Left::Clear;
        self
    }

    /// Says what was left behind.
    #[must_use]
    pub fn remains(mut self, what: impl Into<String>) -> Self {
        match &mut self.left {
            Left::Remains(all) => all.push(what.into()),
            left => *left = Left::Remains(vec![what.into()]),
        }
        self
    }

    /// Says what to do next, unless that was said already.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next.get_or_insert_with(|| next.into());
        self
    }

    /// The same failure as the last of several tries: what an earlier one may
    /// have left is still unknown.
    #[must_use]
    pub fn after(mut self, unclear: &mut bool) -> Self {
        if *unclear && self.left == Left::Clear {
            self.left = Left::Unknown;
        }
        *unclear |= self.is_unclear();
        self
    }

    /// Whether trying again may help without anybody doing anything.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self.kind, FailureKind::Retry | FailureKind::Throttled)
    }

    /// Whether a write may have happened although it failed.
    #[must_use]
    pub fn is_unclear(&self) -> bool {
        self.left == Left::Unknown
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.service)?;
        if !self.action.is_empty() {
            write!(f, " {}", self.action)?;
        }
        f.write_str(": ")?;
        match (self.code.is_empty(), self.message.is_empty()) {
            (false, false) => write!(f, "{}: {}", self.code, self.message)?,
            (false, true) => f.write_str(&self.code)?,
            (true, false) => f.write_str(&self.message)?,
            (true, true) => f.write_str("no answer")?,
        }
        match &self.request_id {
            Some(id) => write!(f, " (request {id})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clear => f.write_str("nothing"),
            Self::Remains(all) => f.write_str(&all.join(", ")),
            Self::Unknown => f.write_str("unknown: the next run looks before it acts"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_as_one_line() {
        let cause = Cause {
            service: "EC2".into(),
            action: "CreateNatGateway".into(),
            code: "NatGatewayLimitExceeded".into(),
            message: "limit reached".into(),
            request_id: Some("4f1c".into()),
        };
        assert_eq!(
            Failure::new(FailureKind::Quota, cause).to_string(),
            "EC2 CreateNatGateway: NatGatewayLimitExceeded: limit reached (request 4f1c)"
        );
    }

    #[test]
    fn a_write_is_unclear_unless_said_otherwise() {
        let failure = Failure::new(FailureKind::Retry, Cause::default());
        assert!(failure.is_unclear());
        assert!(!failure.clone().clear().is_unclear());
        assert!(!failure.remains("elastic ip c").is_unclear());
    }

    #[test]
    fn a_clear_last_try_does_not_hide_an_unclear_earlier_one() {
        let passing = || Failure::new(FailureKind::Retry, Cause::default());
        let mut unclear = false;
        assert!(!passing().clear().after(&mut unclear).is_unclear());
        assert!(passing().after(&mut unclear).is_unclear());
        assert!(passing().clear().after(&mut unclear).is_unclear());
    }

    #[test]
    fn the_first_advice_stays() {
        let failure = Failure::bug("x").next("first").next("second");
        assert_eq!(failure.next.as_deref(), Some("first"));
    }
}
