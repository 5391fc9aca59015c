//! The daemon's own copy of the state: every change goes to `state.json` at
//! once, so that a killed daemon leaves the truth about what it had started.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::state::{PartState, State, write_privately};

/// Keeps the state and its file in step.
#[derive(Debug)]
pub(crate) struct Board {
    file: PathBuf,
    state: Mutex<State>,
}

impl Board {
    /// Writes the first state.
    pub(crate) fn new(file: PathBuf, state: State) -> anyhow::Result<Self> {
        write_privately(&file, &state)?;
        Ok(Self {
            file,
            state: Mutex::new(state),
        })
    }

    /// Changes the state and writes it.
    pub(crate) fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        // A full disk must not stop the stack: the next change tries again.
        if let Err(error) = write_privately(&self.file, &*state) {
            tracing::error!("{error:#}");
        }
    }

    /// Changes what is known of one part, if it is known.
    pub(crate) fn update_part(&self, name: &str, change: impl FnOnce(&mut PartState)) {
        self.update(|state| {
            if let Some(part) = state.parts.get_mut(name) {
                change(part);
            }
        });
    }
}
