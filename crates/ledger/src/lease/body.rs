//! What a lease says: who holds it, for which run, since when.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use trunkline_engine::Failure;
use ulid::Ulid;

/// The form of the object.
const FORMAT: u32 = 1;
/// How long a lease lives whose body cannot be read.
const UNREADABLE_EXPIRY: Duration = Duration::from_secs(60);

/// Who wants the lease, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The environment.
    pub environment: String,
    /// Who: `user@host`, or the URL of a CI run.
    pub holder: String,
    /// The run.
    pub run: Ulid,
    /// What it does, as a participle: `deployed`, `destroyed`.
    pub doing: String,
}

/// The contents of the object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Body {
    format: u32,
    environment: String,
    /// Which holding this is: new with each claim, the same in all its signs.
    pub(super) lease: Ulid,
    /// New with each sign, so that no two bodies, and so no two ETags, are
    /// equal.
    nonce: Ulid,
    holder: String,
    run: Ulid,
    doing: String,
    since: Timestamp,
    expires_after_s: u64,
}

/// A body that was found: ours, another's, or not to be read.
#[derive(Debug)]
pub(super) struct Found(Option<Body>);

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Holding {
    /// The environment.
    pub environment: String,
    /// Who.
    pub holder: String,
    /// The run; `None` where the lease could not be read.
    pub run: Option<Ulid>,
    /// What it does: `deployed`.
    pub doing: String,
    /// Since when, by the holder's clock.
    pub since: Option<Timestamp>,
    /// How long ago its last sign was, by S3's dates.
    #[serde(serialize_with = "seconds")]
    pub last_sign: Duration,
    /// How long it lives after its last sign.
    #[serde(serialize_with = "seconds")]
    pub expiry: Duration,
}

impl Body {
    pub(super) fn new(claim: &Claim, expiry: Duration, now: Timestamp) -> Self {
        Self {
            format: FORMAT,
            environment: claim.environment.clone(),
            lease: Ulid::generate(),
            nonce: Ulid::generate(),
            holder: claim.holder.clone(),
            run: claim.run,
            doing: claim.doing.clone(),
            since: now,
            expires_after_s: expiry.as_secs(),
        }
    }

    /// The next sign of the same holding.
    pub(super) fn signed_again(&self) -> Self {
        Self {
            nonce: Ulid::generate(),
            ..self.clone()
        }
    }

    pub(super) fn json(&self) -> Result<Vec<u8>, Failure> {
        serde_json::to_vec_pretty(self).map_err(|error| Failure::bug(error.to_string()))
    }

    pub(super) fn read(json: &[u8]) -> Found {
        let body: Option<Self> = serde_json::from_slice(json).ok();
        Found(body.filter(|body| body.format == FORMAT))
    }
}

impl Found {
    /// Whether it is this holding's.
    pub(super) fn is_of(&self, lease: Ulid) -> bool {
        self.0.as_ref().is_some_and(|body| body.lease == lease)
    }

    /// Who holds it, given its age. An age that is not known counts as none:
    /// nobody takes over a lease for want of a date.
    pub(super) fn holding(&self, age: Option<Duration>) -> Holding {
        let last_sign = age.unwrap_or(Duration::ZERO);
        match &self.0 {
            Some(body) => Holding {
                environment: body.environment.clone(),
                holder: body.holder.clone(),
                run: Some(body.run),
                doing: body.doing.clone(),
                since: Some(body.since),
                last_sign,
                expiry: Duration::from_secs(body.expires_after_s),
            },
            None => Holding {
                environment: "the environment".to_owned(),
                holder: "somebody with another version of trunkline".to_owned(),
                run: None,
                doing: "changed".to_owned(),
                since: None,
                last_sign,
                expiry: UNREADABLE_EXPIRY,
            },
        }
    }
}

impl Holding {
    /// Whether it may be taken over.
    #[must_use]
    pub fn has_expired(&self) -> bool {
        self.last_sign >= self.expiry
    }

    /// How long until it expires, if no further sign comes.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        self.expiry.saturating_sub(self.last_sign)
    }
}

impl fmt::Display for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            environment,
            doing,
            holder,
            ..
        } = self;
        write!(f, "{environment} is being {doing} by {holder} (")?;
        if let Some(run) = self.run {
            write!(f, "run {run}, ")?;
        }
        write!(f, "last sign {} s ago)", self.last_sign.as_secs())
    }
}

fn seconds<S: serde::Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(value.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim() -> Claim {
        Claim {
            environment: "sandbox".to_owned(),
            holder: "ci@runner-7".to_owned(),
            run: Ulid::from_parts(1, 1),
            doing: "deployed".to_owned(),
        }
    }

    fn body() -> Body {
        Body::new(&claim(), Duration::from_secs(60), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_lease_expires_by_its_own_time() {
        let found = Body::read(&body().json().unwrap());
        let expired = |age: u64| found.holding(Some(Duration::from_secs(age))).has_expired();
        assert!(!expired(59));
        assert!(expired(60));
        let holding = found.holding(Some(Duration::from_secs(6)));
        assert_eq!(holding.expires_in().as_secs(), 54);
        assert_eq!(
            holding.to_string(),
            "sandbox is being deployed by ci@runner-7 (run 00000000010000000000000001, \
             last sign 6 s ago)"
        );
    }

    #[test]
    fn without_dates_nothing_expires() {
        assert!(
            !Body::read(&body().json().unwrap())
                .holding(None)
                .has_expired()
        );
        assert!(!Body::read(b"{}").holding(None).has_expired());
    }

    #[test]
    fn what_cannot_be_read_is_somebody_elses_until_it_expires() {
        let mut newer = body();
        newer.format = 2;
        for json in [newer.json().unwrap(), b"{".to_vec(), Vec::new()] {
            let found = Body::read(&json);
            assert!(!found.is_of(newer.lease));
            assert!(!found.holding(Some(Duration::from_secs(59))).has_expired());
            assert!(found.holding(Some(Duration::from_secs(60))).has_expired());
        }
    }

    #[test]
    fn each_sign_is_another_object_of_the_same_lease() {
        let first = body();
        let second = first.signed_again();
        assert_ne!(first.json().unwrap(), second.json().unwrap());
        assert!(Body::read(&second.json().unwrap()).is_of(first.lease));
        assert!(!Body::read(&second.json().unwrap()).is_of(body().lease));
    }
}
