//! Layers: the seam by which knowledge of AWS, Kubernetes or anything else
//! joins the graph. An embedder adds a layer of its own the same way.

use std::{any::Any, collections::BTreeMap, marker::PhantomData, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use trunkline_ids::{Address, Kind, Outputs};

use crate::{Action, Applying, Failure, Presence, Step};

/// What is asked of the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// Everything as the spec says; what is marked and no longer wished goes.
    Deployed,
    /// Nothing left.
    Destroyed {
        /// Also what holds data. Without it such things are kept and said.
        with_data: bool,
    },
}

/// What a layer is told when it is asked to look.
#[derive(Debug, Clone)]
pub struct Observing {
    /// What layers observed before this one know.
    pub outputs: Outputs,
    /// Whether the resource this layer lives in is there
    /// ([`Layer::inside`]). Absent means that everything of this layer is
    /// derived absent; unknown means that it cannot be told.
    pub parent: Presence,
}

/// The summary of a layer's observation, for the engine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Each known address and whether it is there.
    pub presence: BTreeMap<Address, Presence>,
    /// What is known of those that are there.
    pub outputs: Outputs,
    /// One line of health per thing that an operator would look at.
    pub health: Vec<Health>,
}

/// One line of `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The resource.
    pub address: Address,
    /// Whether it is as it should be.
    pub well: bool,
    /// In a few words: `ACTIVE, 1.35`, `Synced, Healthy at 3f9c2e1`.
    pub words: String,
}

/// What a layer wants done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Draft<A = Action> {
    /// The steps, in no order.
    pub steps: Vec<Step<A>>,
    /// What could not be read, and why: nothing is planned for it.
    pub unknown: Vec<(Address, String)>,
    /// What is ours and stays on purpose, although it is not wished.
    pub kept: Vec<Kept>,
    /// What is not ours and was found where ours is: left alone.
    pub foreign: Vec<String>,
}

/// Something of ours that stays on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The resource.
    pub address: Address,
    /// What AWS calls it.
    pub id: String,
    /// Why it stays.
    pub why: String,
    /// The command that removes it.
    pub command: String,
}

impl<A> Default for Draft<A> {
    fn default() -> Self {
        Self {
            steps: vec![],
            unknown: vec![],
            kept: vec![],
            foreign: vec![],
        }
    }
}

/// One part of a deployment: a group of resource kinds that are observed,
/// planned and changed together.
///
/// `observe` and `apply` do I/O and are small; `seen` and `plan` are pure.
#[async_trait]
pub trait Layer: Send + Sync + 'static {
    /// What is.
    type Observation: Send + Sync + 'static;
    /// One way to change one resource. Written into plans: changing the
    /// format means raising [`action_version`](Self::action_version).
    type Action: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// The first part of every address of this layer.
    fn name(&self) -> &'static str;

    /// The version of the format of [`Self::Action`].
    fn action_version(&self) -> u32 {
        1
    }

    /// The resource that all of this layer lives in, if any: without it
    /// everything here is derived absent.
    fn inside(&self) -> Option<Address> {
        None
    }

    /// What must be there before anything inside can be seen, if that is more
    /// than the resource itself: a right to enter. While it is absent what is
    /// inside is unknown, and a run makes it first and then plans anew.
    fn entrance(&self) -> Option<Address> {
        None
    }

    /// Pairs of kinds: what is deleted first, what after it.
    fn delete_order(&self) -> Vec<(Kind, Kind)> {
        Vec::new()
    }

    /// Every API action this layer calls, as `service:Action`.
    fn api_actions(&self) -> &'static [&'static str];

    /// Reads what is. Must not fail: what could not be read is unknown.
    async fn observe(&self, cx: &Observing) -> Self::Observation;

    /// What an observation says, in the engine's terms.
    fn seen(&self, observation: &Self::Observation) -> Seen;

    /// What has to be done so that the wish is met.
    fn plan(&self, wish: Wish, observation: &Self::Observation) -> Draft<Self::Action>;

    /// Checks what can only be asked of the other side, before anything is
    /// changed: each problem in words, with its fix.
    async fn preflight(&self) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }

    /// Does one action. Returns what is known of the resource afterwards.
    async fn apply(&self, action: Self::Action, cx: &Applying) -> Result<Outputs, Failure>;

    /// After a destroy: what of this environment is still there and has no
    /// address, made by AWS on our behalf, each as one line.
    async fn leaks(&self) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }
}

/// A layer without its types: what the pipeline composes.
#[derive(Clone)]
pub struct AnyLayer(Arc<dyn Erased>);

/// An observation without its type.
pub struct AnyObservation {
    /// Its summary.
    pub seen: Seen,
    inner: Box<dyn Any + Send + Sync>,
}

impl AnyLayer {
    /// Erases the types of a layer.
    pub fn new<L: Layer>(layer: L) -> Self {
        Self(Arc::new(Typed(layer, PhantomData)))
    }

    /// See [`Layer::name`].
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.name()
    }

    /// See [`Layer::inside`].
    #[must_use]
    pub fn inside(&self) -> Option<Address> {
        self.0.inside()
    }

    /// See [`Layer::entrance`].
    #[must_use]
    pub fn entrance(&self) -> Option<Address> {
        self.0.entrance()
    }

    /// See [`Layer::delete_order`].
    #[must_use]
    pub fn delete_order(&self) -> Vec<(Kind, Kind)> {
        self.0.delete_order()
    }

    /// See [`Layer::api_actions`].
    #[must_use]
    pub fn api_actions(&self) -> &'static [&'static str] {
        self.0.api_actions()
    }

    /// See [`Layer::observe`].
    pub async fn observe(&self, cx: &Observing) -> AnyObservation {
        self.0.observe(cx).await
    }

    /// See [`Layer::plan`].
    ///
    /// # Errors
    /// A bug: the observation is another layer's, or an action cannot be
    /// written as JSON.
    pub fn plan(&self, wish: Wish, observation: &AnyObservation) -> Result<Draft, Failure> {
        self.0.plan(wish, observation)
    }

    /// See [`Layer::preflight`].
    ///
    /// # Errors
    /// A question that could not be asked.
    pub async fn preflight(&self) -> Result<Vec<String>, Failure> {
        self.0.preflight().await
    }

    /// See [`Layer::apply`].
    ///
    /// # Errors
    /// The layer's; or a bug when the action is of another layer or version.
    pub async fn apply(&self, action: &Action, cx: &Applying) -> Result<Outputs, Failure> {
        self.0.apply(action, cx).await
    }

    /// See [`Layer::leaks`].
    ///
    /// # Errors
    /// A read that failed.
    pub async fn leaks(&self) -> Result<Vec<String>, Failure> {
        self.0.leaks().await
    }
}

#[async_trait]
trait Erased: Send + Sync {
    fn name(&self) -> &'static str;
    fn inside(&self) -> Option<Address>;
    fn entrance(&self) -> Option<Address>;
    fn delete_order(&self) -> Vec<(Kind, Kind)>;
    fn api_actions(&self) -> &'static [&'static str];
    async fn observe(&self, cx: &Observing) -> AnyObservation;
    fn plan(&self, wish: Wish, observation: &AnyObservation) -> Result<Draft, Failure>;
    async fn preflight(&self) -> Result<Vec<String>, Failure>;
    async fn apply(&self, action: &Action, cx: &Applying) -> Result<Outputs, Failure>;
    async fn leaks(&self) -> Result<Vec<String>, Failure>;
}

struct Typed<L>(L, PhantomData<fn() -> L>);

#[async_trait]
impl<L: Layer> Erased for Typed<L> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn inside(&self) -> Option<Address> {
        self.0.inside()
    }

    fn entrance(&self) -> Option<Address> {
        self.0.entrance()
    }

    fn delete_order(&self) -> Vec<(Kind, Kind)> {
        self.0.delete_order()
    }

    fn api_actions(&self) -> &'static [&'static str] {
        self.0.api_actions()
    }

    async fn observe(&self, cx: &Observing) -> AnyObservation {
        let inner = self.0.observe(cx).await;
        AnyObservation {
            seen: self.0.seen(&inner),
            inner: Box::new(inner),
        }
    }

    fn plan(&self, wish: Wish, observation: &AnyObservation) -> Result<Draft, Failure> {
        let Some(inner) = observation.inner.downcast_ref::<L::Observation>() else {
            return Err(Failure::bug(format!(
                "{} was given another's observation",
                self.name()
            )));
        };
        let draft = self.0.plan(wish, inner);
        let steps = draft
            .steps
            .into_iter()
            .map(|step| step.try_map(|a| self.erase(&a)));
        Ok(Draft {
            steps: steps.collect::<Result<_, _>>()?,
            unknown: draft.unknown,
            kept: draft.kept,
            foreign: draft.foreign,
        })
    }

    async fn preflight(&self) -> Result<Vec<String>, Failure> {
        self.0.preflight().await
    }

    async fn apply(&self, action: &Action, cx: &Applying) -> Result<Outputs, Failure> {
        let version = self.0.action_version();
        if action.layer != self.name() || action.version != version {
            return Err(Failure::bug(format!(
                "an action of {} version {} came to {} version {version}: plan again",
                action.layer,
                action.version,
                self.name(),
            )));
        }
        let typed = serde_json::from_value(action.body.clone())
            .map_err(|e| Failure::bug(format!("{} cannot read its action: {e}", self.name())))?;
        self.0.apply(typed, cx).await
    }

    async fn leaks(&self) -> Result<Vec<String>, Failure> {
        self.0.leaks().await
    }
}

impl<L: Layer> Typed<L> {
    fn erase(&self, action: &L::Action) -> Result<Action, Failure> {
        let body = serde_json::to_value(action)
            .map_err(|e| Failure::bug(format!("{} cannot write its action: {e}", self.name())))?;
        Ok(Action {
            layer: self.name().to_owned(),
            version: self.0.action_version(),
            body,
        })
    }
}
