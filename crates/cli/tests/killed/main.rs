//! Killed at any moment, run again: it converges, and nothing is there twice.
//!
//! The program is killed by the front once a call has done its work, so that
//! nobody sees the answer, and EC2 does not show for ten seconds what it has
//! made. What is there is then read past our own code. With intents or marks
//! switched off the same harness must see duplicates.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "../support/mod.rs"]
mod support;

mod case;
mod clusters;
mod moto;
mod network;

use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde_json::json;

use case::VISIBILITY;
use support::Stack;

/// The stack that the tests of this program share while one of them runs.
fn stack(test: &str) -> Option<Arc<Stack>> {
    static SHARED: Mutex<(usize, Weak<Stack>)> = Mutex::new((0, Weak::new()));
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(stack) = shared.1.upgrade() {
        return Some(stack);
    }
    // The one before may still be going down.
    shared.0 += 1;
    let stack = Arc::new(Stack::up(&format!("killed-{}", shared.0)).or_else(|| {
        println!("SKIP {test}: no stack, see above");
        None
    })?);
    stack.settings(&json!({"visibility_ms": VISIBILITY.as_millis() as u64}));
    shared.1 = Arc::downgrade(&stack);
    Some(stack)
}
