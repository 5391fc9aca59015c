//! The gate: open while a command only looks, the lease's guard while it
//! walks. Layers are made before the lease is taken, so it can be changed.

use std::sync::{Arc, PoisonError, RwLock};

use trunkline_aws::Guard;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Gate(RwLock<Option<Arc<dyn Guard>>>);

impl Gate {
    /// From now on `guard` is asked.
    pub(crate) fn set(&self, guard: Arc<dyn Guard>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(guard);
    }

    /// From now on nobody is asked: only reads follow.
    pub(crate) fn open(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Guard for Gate {
    fn check(&self) -> Result<(), String> {
        let guard = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        guard.map_or(Ok(()), |guard| guard.check())
    }
}
