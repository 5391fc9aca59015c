//! What a layer is given while it applies one action.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use trunkline_ids::{Address, Output, Outputs, Ref};

use crate::{Events, Failure, Happening, Intents, Stop, Verb};

/// How many steps of one service run at once.
#[derive(Debug, Clone)]
pub struct Slots {
    by_service: BTreeMap<String, Arc<Semaphore>>,
    other: Arc<Semaphore>,
}

impl Slots {
    /// So many for the services named, `other` for all the rest together.
    #[must_use]
    pub fn new(by_service: &[(&str, usize)], other: usize) -> Self {
        let slots = |n: usize| Arc::new(Semaphore::new(n.max(1)));
        let by_service = by_service
            .iter()
            .map(|(name, n)| ((*name).to_owned(), slots(*n)));
        Self {
            by_service: by_service.collect(),
            other: slots(other),
        }
    }

    pub(crate) fn of(&self, service: &str) -> Arc<Semaphore> {
        Arc::clone(self.by_service.get(service).unwrap_or(&self.other))
    }
}

/// The context of one step: outputs of others, intents, waits, cancellation.
pub struct Applying {
    pub(crate) address: Address,
    pub(crate) verb: Verb,
    pub(crate) outputs: Arc<RwLock<Outputs>>,
    pub(crate) intents: Arc<dyn Intents>,
    pub(crate) events: Events,
    pub(crate) stop: Stop,
    pub(crate) window: Duration,
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) slot: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Applying {
    /// The resource.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What a reference points at: seeded by observation or filled by a step
    /// that came before.
    ///
    /// # Errors
    /// A bug: the step did not name the resource in `after`.
    pub fn get<T: Output>(&self, reference: &Ref<T>) -> Result<T, Failure> {
        let outputs = self.outputs.read().unwrap_or_else(PoisonError::into_inner);
        outputs.get(reference).ok_or_else(|| {
            Failure::bug(format!(
                "{} needs the {reference:?}, which is not known",
                self.address
            ))
        })
    }

    /// Where intents are kept.
    #[must_use]
    pub fn intents(&self) -> &dyn Intents {
        self.intents.as_ref()
    }

    /// How long AWS may take to show what it has made.
    #[must_use]
    pub fn consistency_window(&self) -> Duration {
        self.window
    }

    /// Where remarks go.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Whether the run was asked to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop.is_asked()
    }

    /// Tells what the step waits for, in a few words.
    pub fn waiting_for(&self, what: &str) {
        self.events.tell(Happening::Waiting {
            address: self.address.clone(),
            verb: self.verb,
            what: what.to_owned(),
        });
    }

    /// Waits for something outside of us without holding a slot. Ends early
    /// when the run is stopped: a wait can be left at any time.
    ///
    /// # Errors
    /// The future's own, or [`FailureKind::Stopped`](crate::FailureKind).
    pub async fn wait<T>(
        &self,
        what: &str,
        until: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.waiting_for(what);
        drop(
            self.slot
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let ended = self.unless_stopped(what, until).await?;
        if let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await {
            *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(slot);
        }
        Ok(ended)
    }

    /// Asks again and again, `every` so often, until the answer is something.
    /// Passing failures are asked again, too; others end the wait.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), or a time-out after `at_most`.
    pub async fn poll<T, F>(
        &self,
        what: &str,
        every: Duration,
        at_most: Duration,
        ask: impl Fn() -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<Option<T>, Failure>>,
    {
        let asking = async {
            let until = tokio::time::Instant::now() + at_most;
            loop {
                match ask().await {
                    Ok(Some(answer)) => return Ok(answer),
                    Err(failure) if !failure.is_passing() => return Err(failure),
                    Ok(None) | Err(_) => {}
                }
                if tokio::time::Instant::now() >= until {
                    return Err(Failure::stopped(format!(
                        "waited {} s for {what}: it did not happen",
                        at_most.as_secs()
                    )));
                }
                tokio::time::sleep(every).await;
            }
        };
        self.wait(what, asking).await
    }

    /// Sleeps, unless the run is stopped.
    ///
    /// # Errors
    /// The run was stopped.
    pub async fn pause(&self, time: Duration) -> Result<(), Failure> {
        let sleep = async {
            tokio::time::sleep(time).await;
            Ok(())
        };
        self.unless_stopped("a pause", sleep).await
    }

    async fn unless_stopped<T>(
        &self,
        what: &str,
        until: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            ended = until => ended,
            () = self.stop.asked() => Err(Failure::stopped(format!("stopped while waiting for {what}"))),
        }
    }
}

impl std::fmt::Debug for Applying {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Applying({} {})", self.verb, self.address)
    }
}
