//! Events: the only output of libraries. Screen, JSON lines, journal and
//! timeline are readers of them.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use trunkline_ids::Address;

use crate::{Failure, Verb};

/// Something that happened, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[allow(
    missing_docs,
    reason = "the fields repeat the words of the variants' docs"
)]
pub enum Happening {
    /// A layer was read: how many resources are there, how long it took.
    Observed {
        layer: String,
        resources: usize,
        #[serde(with = "seconds")]
        took: Duration,
    },
    /// A plan was made.
    Planned {
        steps: usize,
        #[serde(with = "seconds")]
        estimate: Duration,
    },
    /// A step began.
    Started { address: Address, verb: Verb },
    /// A step waits for something outside of us.
    Waiting {
        address: Address,
        verb: Verb,
        what: String,
    },
    /// A step failed in passing and is tried again.
    Retrying {
        address: Address,
        verb: Verb,
        failure: Failure,
        attempt: u32,
        #[serde(with = "seconds")]
        pause: Duration,
    },
    /// A step ended well.
    Done {
        address: Address,
        verb: Verb,
        #[serde(with = "seconds")]
        took: Duration,
    },
    /// A step ended badly.
    Failed {
        address: Address,
        verb: Verb,
        failure: Failure,
        attempts: u32,
        #[serde(with = "seconds")]
        took: Duration,
    },
    /// A step never began because one before it failed.
    Skipped {
        address: Address,
        verb: Verb,
        because: Address,
    },
    /// A step never began because the run was stopped.
    NotStarted { address: Address, verb: Verb },
    /// A remark for the operator.
    Note { text: String },
}

/// Whoever wants to hear of events. Must return at once: it is called from
/// within the walk.
pub trait Listener: Send + Sync {
    /// Takes one event.
    fn hear(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync> Listener for F {
    fn hear(&self, event: &Event) {
        self(event);
    }
}

/// Where events go: to all listeners, in order.
#[derive(Clone, Default)]
pub struct Events(Arc<[Arc<dyn Listener>]>);

impl Events {
    /// To these listeners.
    #[must_use]
    pub fn to(listeners: Vec<Arc<dyn Listener>>) -> Self {
        Self(listeners.into())
    }

    /// Also to this one.
    #[must_use]
    pub fn and(&self, listener: Arc<dyn Listener>) -> Self {
        Self(self.0.iter().cloned().chain([listener]).collect())
    }

    /// Tells all of them, now.
    pub fn tell(&self, what: Happening) {
        let event = Event {
            at: Timestamp::now(),
            what,
        };
        for listener in self.0.iter() {
            listener.hear(&event);
        }
    }

    /// Tells a remark.
    pub fn note(&self, text: impl Into<String>) {
        self.tell(Happening::Note { text: text.into() });
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Events({} listeners)", self.0.len())
    }
}

/// Durations as seconds with a fraction: what people and `jq` can read.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64((value.as_secs_f64() * 1000.0).round() / 1000.0)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(from)?;
        Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)
    }
}
