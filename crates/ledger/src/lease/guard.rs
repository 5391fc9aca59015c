//! The guard: whether a request may still leave under a lease. Asked at every
//! attempt, so it only looks at two clocks and never at the network.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;
use trunkline_aws::Guard;

use crate::clock::{Clock, Moment};

/// Lets requests leave while a lease is held.
///
/// Once it has refused it refuses for ever: a holder that could not give a
/// sign in time may have been replaced, and what it knew is old.
#[derive(Debug, Clone)]
pub struct LeaseGuard(Arc<Shared>);

/// What holder, heartbeat and guards share.
#[derive(Debug)]
pub(super) struct Shared {
    clock: Arc<dyn Clock>,
    /// How long after a sign the holder trusts itself.
    limit: Duration,
    state: Mutex<State>,
    gone: CancellationToken,
}

#[derive(Debug)]
struct State {
    /// Just before the last sign that was written left: S3 wrote it later, so
    /// this is the earliest it can have been.
    signed: Moment,
    etag: String,
    /// What hindered the last sign.
    trouble: Option<String>,
    ended: Option<Ended>,
}

#[derive(Debug)]
enum Ended {
    Lost(String),
    Closed,
}

impl LeaseGuard {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }
}

impl Guard for LeaseGuard {
    fn check(&self) -> Result<(), String> {
        self.0.check()
    }
}

impl Shared {
    pub(super) fn new(
        clock: Arc<dyn Clock>,
        limit: Duration,
        signed: Moment,
        etag: String,
    ) -> Self {
        Self {
            clock,
            limit,
            state: Mutex::new(State {
                signed,
                etag,
                trouble: None,
                ended: None,
            }),
            gone: CancellationToken::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the lease can be trusted now; if not, it is lost.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut state = self.state();
        match &state.ended {
            Some(Ended::Lost(why)) => return Err(why.clone()),
            Some(Ended::Closed) => return Err("the lease was given back".to_owned()),
            None => {}
        }
        let silent = self.clock.now().since(state.signed);
        if silent < self.limit {
            return Ok(());
        }
        let mut why = format!("the lease could not be renewed for {} s", silent.as_secs());
        if let Some(trouble) = &state.trouble {
            why = format!("{why}: {trouble}");
        }
        state.ended = Some(Ended::Lost(why.clone()));
        self.gone.cancel();
        Err(why)
    }

    /// Notes a sign that was written; `asked` is the moment before it left.
    pub(super) fn signed(&self, asked: Moment, etag: String) {
        let mut state = self.state();
        state.signed = asked;
        state.etag = etag;
        state.trouble = None;
    }

    /// Notes what the object is now, which is no sign.
    pub(super) fn found(&self, etag: String) {
        self.state().etag = etag;
    }

    pub(super) fn trouble(&self, why: String) {
        self.state().trouble = Some(why);
    }

    pub(super) fn lose(&self, why: String) {
        let mut state = self.state();
        if state.ended.is_none() {
            state.ended = Some(Ended::Lost(why));
            self.gone.cancel();
        }
    }

    /// No request leaves from here on.
    pub(super) fn close(&self) {
        self.state().ended.get_or_insert(Ended::Closed);
    }

    pub(super) fn etag(&self) -> String {
        self.state().etag.clone()
    }

    pub(super) fn silent_for(&self) -> Duration {
        self.clock.now().since(self.state().signed)
    }

    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    pub(super) fn why_lost(&self) -> Option<String> {
        match &self.state().ended {
            Some(Ended::Lost(why)) => Some(why.clone()),
            _ => None,
        }
    }

    pub(super) async fn lost(&self) -> String {
        self.gone.cancelled().await;
        self.why_lost().unwrap_or_default()
    }
}
