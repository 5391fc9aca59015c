//! The engine: what is ([`Observed`]), what should be ([`Wish`]), what to do
//! ([`Plan`]) and the doing ([`walk`]). Knows no AWS and no Kubernetes; pure
//! but for the walk.
//!
//! Layers join by the [`Layer`] trait; their steps become one graph over
//! everything. A plan is data: what it shows is what the walk does.

mod applying;
mod event;
mod failure;
mod intents;
mod layer;
mod observed;
mod order;
mod plan;
mod step;
mod walk;

pub use applying::{Applying, Slots};
pub use event::{Event, Events, Happening, Listener};
pub use failure::{Cause, Failure, FailureKind, Left};
pub use intents::{Create, Intent, Intents, NoIntents};
pub use layer::{AnyLayer, AnyObservation, Draft, Health, Kept, Layer, Observing, Seen, Wish};
pub use observed::{Observed, Presence};
pub use order::DeleteOrder;
pub use plan::{CriticalPath, Plan, PlanError};
pub use step::{Action, Change, Step, Verb};
pub use walk::{Ended, Outcome, Performer, Report, Stop, WalkOptions, walk};
