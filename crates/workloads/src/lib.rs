//! The workloads that Argo CD keeps in step with Git: its project, one
//! application per chart, and waiting until a revision is really there.
//!
//! Argo CD deploys; this layer says what, at which commit, and knows when it
//! is done: see [`sync::judge`].

mod apply;
mod observe;
mod plan;
mod spec;
pub mod sync;

use async_trait::async_trait;
use trunkline_engine::{Applying, Draft, Failure, Layer, Observing, Seen, Wish};
use trunkline_ids::{Address, Kind, Outputs};
use trunkline_objects::{Connections, Inventory};

pub use observe::Observation;
pub use plan::Action;
pub use spec::WorkloadsSpec;

/// The layer.
pub struct Workloads {
    spec: WorkloadsSpec,
    connections: Connections,
    inventory: Inventory,
}

impl Workloads {
    /// The workloads of `spec`, in the cluster of `connections`.
    #[must_use]
    pub fn new(spec: WorkloadsSpec, connections: Connections) -> Self {
        let inventory = Inventory::of(&spec.environment);
        Self {
            spec,
            connections,
            inventory,
        }
    }
}

#[async_trait]
impl Layer for Workloads {
    type Observation = Observation;
    type Action = Action;

    fn name(&self) -> &'static str {
        "workloads"
    }

    fn inside(&self) -> Option<Address> {
        Some(self.connections.endpoint().address().clone())
    }

    fn entrance(&self) -> Option<Address> {
        Some(self.connections.entrance().clone())
    }

    fn delete_order(&self) -> Vec<(Kind, Kind)> {
        let kind = |name| Kind::new("workloads", name);
        // An application whose project is gone cannot be deleted by Argo CD.
        vec![
            (kind("application"), kind("project")),
            (kind("application"), kind("secret")),
            (kind("secret"), kind("namespace")),
            (kind("project"), kind("namespace")),
        ]
    }

    fn api_actions(&self) -> &'static [&'static str] {
        &[]
    }

    async fn observe(&self, cx: &Observing) -> Observation {
        observe::observe(&self.spec, &self.connections, cx).await
    }

    fn seen(&self, observation: &Observation) -> Seen {
        observe::seen(&self.spec, observation)
    }

    fn plan(&self, wish: Wish, observation: &Observation) -> Draft<Action> {
        plan::plan(&self.spec, wish, observation)
    }

    async fn apply(&self, action: Action, cx: &Applying) -> Result<Outputs, Failure> {
        let cluster = self.connections.ready(cx).await?;
        apply::apply(&self.spec, &cluster, &self.inventory, action, cx).await
    }
}
