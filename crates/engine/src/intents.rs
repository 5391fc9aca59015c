//! Intents: what is written down before a create, so that a create whose end
//! was not seen is never done twice.

use std::{future::Future, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use trunkline_ids::Address;

use crate::{Applying, Failure, FailureKind, Left};

/// "I am about to create this", written before the request leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The resource.
    pub address: Address,
    /// The client token of the request, for APIs that take one: the same
    /// token makes AWS answer with what the first request made.
    pub token: String,
    /// When it was written, by the clock of the store.
    pub at: Timestamp,
}

/// Where intents are kept across runs.
#[async_trait]
pub trait Intents: Send + Sync {
    /// The intent that an earlier run left open for `address`, if any.
    fn open(&self, address: &Address) -> Option<Intent>;

    /// Writes an intent. It is durable when this returns.
    async fn intend(&self, address: &Address) -> Result<Intent, Failure>;
}

/// No store: every create is taken as the first. For tests of the walk.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoIntents;

#[async_trait]
impl Intents for NoIntents {
    fn open(&self, _: &Address) -> Option<Intent> {
        None
    }

    async fn intend(&self, address: &Address) -> Result<Intent, Failure> {
        let token = ulid::Ulid::generate().to_string();
        Ok(Intent {
            address: address.clone(),
            token,
            at: Timestamp::now(),
        })
    }
}

/// Between the first two looks for something that may not be visible yet; it
/// is doubled up to [`LOOK_LATER`].
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Between two later looks.
const LOOK_LATER: Duration = Duration::from_secs(2);

/// One create, done once whatever happens to its answer.
///
/// For an API without client token, `find` looks for what carries our mark;
/// when the end of a create was not seen, by this run or an earlier one, it is
/// asked until it finds something or the consistency window has passed since
/// the request. Only then is the create sent again.
pub struct Create<'a> {
    cx: &'a Applying,
    address: &'a Address,
}

impl<'a> Create<'a> {
    /// A create of the resource at `address`.
    #[must_use]
    pub fn new(cx: &'a Applying, address: &'a Address) -> Self {
        Self { cx, address }
    }

    /// Creates by an API that takes a client token: the intent's. A repeated
    /// request with it answers with what the first one made.
    ///
    /// # Errors
    /// The create's, or the store's.
    pub async fn with_token<T, F>(&self, create: impl Fn(String) -> F + Send) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>> + Send,
    {
        let intent = match self.cx.intents().open(self.address) {
            Some(intent) => intent,
            None => self.cx.intents().intend(self.address).await?,
        };
        create(intent.token).await
    }

    /// Creates by an API without client token.
    ///
    /// # Errors
    /// The create's, the look's, or the store's.
    pub async fn by_mark<T, C, F>(
        &self,
        create: impl Fn() -> C + Send,
        find: impl Fn() -> F + Send,
    ) -> Result<T, Failure>
    where
        T: Send,
        C: Future<Output = Result<T, Failure>> + Send,
        F: Future<Output = Result<Option<T>, Failure>> + Send,
    {
        if let Some(intent) = self.cx.intents().open(self.address) {
            let age = Timestamp::now().duration_since(intent.at);
            let age = Duration::try_from(age).unwrap_or(Duration::ZERO);
            let left = self.cx.consistency_window().saturating_sub(age);
            if let Some(found) = self.look(&find, left).await? {
                return Ok(found);
            }
        }
        self.cx.intents().intend(self.address).await?;
        match create().await {
            Err(failure) if failure.is_unclear() => {
                self.after_unclear(failure, &create, &find).await
            }
            ended => ended,
        }
    }

    /// The answer was lost: look, and only when the window has passed without
    /// a trace, send the request once more.
    async fn after_unclear<T, C, F>(
        &self,
        failure: Failure,
        create: &(impl Fn() -> C + Send),
        find: &(impl Fn() -> F + Send),
    ) -> Result<T, Failure>
    where
        T: Send,
        C: Future<Output = Result<T, Failure>> + Send,
        F: Future<Output = Result<Option<T>, Failure>> + Send,
    {
        if failure.kind == FailureKind::Stopped {
            return Err(failure);
        }
        self.cx.waiting_for("whether the lost request did its work");
        match self.look(find, self.cx.consistency_window()).await? {
            Some(found) => Ok(found),
            None => {
                // A request of its own: whoever looks for it later must know
                // when it was sent.
                self.cx.intents().intend(self.address).await?;
                create().await
            }
        }
    }

    /// None only if a look at the end of the window was answered: a look that
    /// failed does not say that nothing is there.
    async fn look<T, F>(
        &self,
        find: &(impl Fn() -> F + Send),
        window: Duration,
    ) -> Result<Option<T>, Failure>
    where
        T: Send,
        F: Future<Output = Result<Option<T>, Failure>> + Send,
    {
        let until = tokio::time::Instant::now() + window;
        let mut pause = LOOK_AGAIN;
        loop {
            let unread = match find().await {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => None,
                // Whatever the look says of itself, the create is unclear.
                Err(mut failure) => {
                    failure.left = Left::Unknown;
                    if !failure.is_passing() {
                        return Err(failure);
                    }
                    Some(failure)
                }
            };
            let now = tokio::time::Instant::now();
            if now >= until {
                return unread.map_or(Ok(None), Err);
            }
            self.cx.pause(pause.min(until - now)).await?;
            pause = (pause * 2).min(LOOK_LATER);
        }
    }
}
