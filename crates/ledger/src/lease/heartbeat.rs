//! The heartbeat: signs of life of a holder, in the background.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{KEY, body::Body, guard::Shared};
use crate::store::{Condition, Store, Written};

/// The pause before a sign that failed is tried again: some tries fit into
/// the life of a lease.
const TRY_AGAIN: Duration = Duration::from_secs(3);
/// How often the holder looks at its own clocks: nobody may ask the guard for
/// a while, and a run that waits must hear that it lost its lease, too.
const LOOK: Duration = Duration::from_secs(1);

pub(super) struct Heartbeat {
    pub(super) shared: Arc<Shared>,
    pub(super) store: Store,
    pub(super) body: Body,
    pub(super) every: Duration,
}

/// What came of one sign.
enum Sign {
    Given,
    /// Not given; again in a while.
    Again(Duration),
    Lost,
}

impl Heartbeat {
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut pause = self.every.saturating_sub(self.shared.silent_for());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.watch(pause) => {}
            }
            if self.shared.check().is_err() {
                return;
            }
            // Not in the select: a sign that has left is waited for, since
            // its ETag is needed to give the lease back.
            pause = match self.sign().await {
                Sign::Given => self.every.saturating_sub(self.shared.silent_for()),
                Sign::Again(pause) => pause,
                Sign::Lost => return,
            };
        }
    }

    /// Sleeps, with an eye on the clocks.
    async fn watch(&self, pause: Duration) {
        let mut left = pause;
        while !left.is_zero() {
            let step = left.min(LOOK);
            tokio::time::sleep(step).await;
            left -= step;
            if self.shared.check().is_err() {
                return;
            }
        }
    }

    async fn sign(&mut self) -> Sign {
        let asked = self.shared.now();
        let body = self.body.signed_again();
        let json = match body.json() {
            Ok(json) => json,
            Err(failure) => return self.trouble(failure.to_string()),
        };
        let condition = Condition::Unchanged(self.shared.etag());
        match self.store.put_if(KEY, json, &condition).await {
            Ok(Written::Done { etag }) => {
                self.body = body;
                self.shared.signed(asked, etag);
                Sign::Given
            }
            Ok(Written::Refused) => self.look().await,
            Err(failure) => self.trouble(failure.to_string()),
        }
    }

    /// The object is another one: an own sign whose answer was lost, or
    /// somebody else's lease.
    async fn look(&self) -> Sign {
        match self.store.get(KEY).await {
            Ok(Some(found)) => {
                let there = Body::read(&found.body);
                if there.is_of(self.body.lease) {
                    self.shared.found(found.etag);
                    return Sign::Again(Duration::ZERO);
                }
                let holder = there.holding(found.age).holder;
                self.lose(format!("the lease was taken over by {holder}"))
            }
            Ok(None) => self.lose("the lease was deleted".to_owned()),
            Err(failure) => self.trouble(failure.to_string()),
        }
    }

    fn lose(&self, why: String) -> Sign {
        self.shared.lose(why);
        Sign::Lost
    }

    fn trouble(&self, why: String) -> Sign {
        self.shared.trouble(why);
        Sign::Again(TRY_AGAIN.min(self.every))
    }
}
