//! The lease: one run at a time changes an environment.
//!
//! It is one object, written only under a condition, and it expires by itself:
//! whoever holds it writes it anew every few seconds, and once its last sign
//! is too old by S3's own dates anybody may take it over. The holder judges
//! itself more strictly, by its own clocks, and stops before that.
//!
//! Without fencing at AWS this bounds the overlap of two runs to the one
//! request that was under way when the first one lost its lease; it does not
//! exclude it.

mod body;
mod guard;
mod heartbeat;

use std::{sync::Arc, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trunkline_engine::{Cause, Failure, FailureKind};
use ulid::Ulid;

use self::{body::Body, guard::Shared, heartbeat::Heartbeat};
pub use self::{
    body::{Claim, Holding},
    guard::LeaseGuard,
};
use crate::{
    clock::{Clock, Moment},
    store::{Condition, Store, Written},
};

/// The object.
const KEY: &str = "lease.json";
/// How often a take-over is tried against others who try the same.
const ROUNDS: usize = 8;

/// How a lease lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How often the holder gives a sign.
    pub heartbeat: Duration,
    /// How long after its last sign a lease has expired. It is written into
    /// the lease, so that others judge a lease by its own.
    pub expiry: Duration,
    /// How long before that the holder stops by itself: for a request that is
    /// under way, and for clocks that run apart.
    pub margin: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(15),
            expiry: Duration::from_secs(60),
            margin: Duration::from_secs(10),
        }
    }
}

/// Why there is no lease.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else holds it.
    #[error("{0}")]
    Taken(Box<Holding>),
    /// S3 could not be asked.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// A lease that is held and kept alive in the background.
///
/// Given back by [`Lease::release`]; one that is only dropped expires by
/// itself.
#[derive(Debug)]
pub struct Lease {
    shared: Arc<Shared>,
    store: Store,
    stop: CancellationToken,
    heartbeat: Option<JoinHandle<()>>,
    lease: Ulid,
}

/// Takes the lease.
pub(crate) async fn acquire(
    store: &Store,
    clock: &Arc<dyn Clock>,
    timing: Timing,
    claim: &Claim,
) -> Result<Lease, LeaseError> {
    let store = store.quick();
    let body = Body::new(claim, timing.expiry, clock.now().wall);
    let started = clock.now();
    let mut condition = Condition::Absent;
    for _ in 0..ROUNDS {
        let asked = clock.now();
        match store.put_if(KEY, body.json()?, &condition).await {
            Ok(Written::Done { etag }) => {
                return Ok(hold(store, clock, timing, body, asked, etag));
            }
            Ok(Written::Refused) => {}
            // It may have been written all the same: what is there decides.
            Err(failure) if failure.is_unclear() => {}
            Err(failure) => return Err(failure.into()),
        }
        condition = match store.get(KEY).await? {
            None => Condition::Absent,
            Some(found) => {
                let there = Body::read(&found.body);
                if there.is_of(body.lease) {
                    // Ours: an own attempt was done and its answer lost. When
                    // it was done is not known, only that it was not before
                    // the first one left.
                    return Ok(hold(store, clock, timing, body, started, found.etag));
                }
                let holding = there.holding(found.age);
                if !holding.has_expired() {
                    return Err(LeaseError::Taken(Box::new(holding)));
                }
                Condition::Unchanged(found.etag)
            }
        };
    }
    let cause = Cause {
        service: "ledger".to_owned(),
        message: "the lease changes hands faster than it can be asked for".to_owned(),
        ..Cause::default()
    };
    Err(Failure::new(FailureKind::Conflict, cause).clear().into())
}

/// Who holds the lease now, if anybody.
pub(crate) async fn holding(store: &Store) -> Result<Option<Holding>, Failure> {
    let found = store.get(KEY).await?;
    let holding = found.map(|found| Body::read(&found.body).holding(found.age));
    Ok(holding.filter(|holding| !holding.has_expired()))
}

fn hold(
    store: Store,
    clock: &Arc<dyn Clock>,
    timing: Timing,
    body: Body,
    signed: Moment,
    etag: String,
) -> Lease {
    let limit = timing.expiry.saturating_sub(timing.margin);
    let shared = Arc::new(Shared::new(Arc::clone(clock), limit, signed, etag));
    let stop = CancellationToken::new();
    let lease = body.lease;
    let heartbeat = Heartbeat {
        shared: Arc::clone(&shared),
        store: store.clone(),
        body,
        every: timing.heartbeat,
    };
    Lease {
        shared,
        store,
        heartbeat: Some(tokio::spawn(heartbeat.run(stop.clone()))),
        stop,
        lease,
    }
}

impl Lease {
    /// The guard that lets requests leave while the lease is held.
    #[must_use]
    pub fn guard(&self) -> LeaseGuard {
        LeaseGuard::new(Arc::clone(&self.shared))
    }

    /// Ends when the lease is lost, and says why. The run must stop then.
    pub async fn lost(&self) -> String {
        self.shared.lost().await
    }

    /// Gives the lease back, so that the next run need not wait.
    ///
    /// # Errors
    /// It was lost before, or S3 could not be asked: then it expires by
    /// itself.
    pub async fn release(mut self) -> Result<(), Failure> {
        self.stop.cancel();
        if let Some(heartbeat) = self.heartbeat.take() {
            // A sign under way is finished first: the ETag is the one after.
            let _ = heartbeat.await;
        }
        if let Some(why) = self.shared.why_lost() {
            return Err(Failure::stopped(why).clear());
        }
        self.shared.close();
        if self
            .store
            .delete_unchanged(KEY, &self.shared.etag())
            .await?
        {
            return Ok(());
        }
        // Another object: ours with a sign whose answer was lost, or not ours.
        match self.store.get(KEY).await? {
            Some(found) if Body::read(&found.body).is_of(self.lease) => {
                self.store.delete_unchanged(KEY, &found.etag).await?;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.stop.cancel();
        self.shared.close();
        if let Some(heartbeat) = self.heartbeat.take() {
            heartbeat.abort();
        }
    }
}
