//! Steps: one change of one resource, as data.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use trunkline_ids::{Address, Later};

use crate::event::seconds;

/// What a step does to its resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Makes it.
    Create,
    /// Changes it in place.
    Update,
    /// Removes it.
    Delete,
}

/// One change of one resource. `A` is the layer's own action inside the layer
/// and [`Action`] at the seam.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step<A = Action> {
    /// The resource.
    pub address: Address,
    /// What is done to it.
    pub verb: Verb,
    /// What it is, in a few words: `10.20.0.0/19 in euc1-az1`.
    pub about: String,
    /// Field by field what changes; empty for a create or delete that says
    /// enough by itself.
    pub changes: Vec<Change>,
    /// Resources whose create or update, if the plan has one, comes first.
    /// The order of deletes comes from the table of kinds instead.
    pub after: Vec<Address>,
    /// Why: `zones went from 2 to 3`.
    pub reason: String,
    /// How long it is expected to take.
    #[serde(with = "seconds")]
    pub estimate: Duration,
    /// Whose slots it takes: `ec2`, `helm`.
    pub service: String,
    /// The data that would be lost, in words. Such a step needs more than
    /// `--yes`.
    pub loses: Option<String>,
    /// How it is done.
    pub action: A,
}

/// One field that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The field, by its name in the API: `versioning`.
    pub field: String,
    /// What it is.
    pub from: Option<String>,
    /// What it should be.
    pub to: Option<Later<String>>,
}

/// A layer's action at the seam: whose it is, in which version of its format,
/// and the action itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// The layer.
    pub layer: String,
    /// The version of the layer's format.
    pub version: u32,
    /// The action as the layer wrote it.
    pub body: serde_json::Value,
}

impl<A> Step<A> {
    /// A step with nothing but the necessary; see the `with`-like methods.
    #[must_use]
    pub fn new(verb: Verb, address: Address, service: &str, action: A) -> Self {
        Self {
            address,
            verb,
            about: String::new(),
            changes: Vec::new(),
            after: Vec::new(),
            reason: String::new(),
            estimate: Duration::from_secs(1),
            service: service.to_owned(),
            loses: None,
            action,
        }
    }

    /// Says what it is.
    #[must_use]
    pub fn about(mut self, about: impl Into<String>) -> Self {
        self.about = about.into();
        self
    }

    /// Says what comes first.
    #[must_use]
    pub fn after(mut self, addresses: impl IntoIterator<Item = Address>) -> Self {
        self.after.extend(addresses);
        self
    }

    /// Says why.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Says how long it is expected to take.
    #[must_use]
    pub fn takes(mut self, estimate: Duration) -> Self {
        self.estimate = estimate;
        self
    }

    /// Says what changes.
    #[must_use]
    pub fn changes(mut self, changes: Vec<Change>) -> Self {
        self.changes = changes;
        self
    }

    /// Says which data is lost.
    #[must_use]
    pub fn loses(mut self, what: impl Into<String>) -> Self {
        self.loses = Some(what.into());
        self
    }

    /// The same step with another action.
    pub(crate) fn try_map<B, E>(self, f: impl FnOnce(A) -> Result<B, E>) -> Result<Step<B>, E> {
        Ok(Step {
            action: f(self.action)?,
            address: self.address,
            verb: self.verb,
            about: self.about,
            changes: self.changes,
            after: self.after,
            reason: self.reason,
            estimate: self.estimate,
            service: self.service,
            loses: self.loses,
        })
    }
}

impl Change {
    /// A field that goes from one known value to another.
    #[must_use]
    pub fn new(field: &str, from: impl Into<String>, to: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            from: Some(from.into()),
            to: Some(Later::Known(to.into())),
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        })
    }
}
