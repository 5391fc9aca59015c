//! What is installed into the cluster: the platform's objects (node class and
//! pool, storage classes) and the releases of the catalogue, one file each.
//!
//! Nothing here holds an id that AWS assigns: subnets and security groups are
//! chosen by tag, roles by name. So everything can be rendered and shown
//! before a cluster exists.

mod apply;
mod catalog;
mod observe;
mod plan;
mod platform;
mod spec;

use std::path::PathBuf;

use async_trait::async_trait;
use trunkline_engine::{Applying, Draft, Failure, Layer, Observing, Seen, Wish};
use trunkline_helm_wrapper::{ChartSource, Helm};
use trunkline_ids::{Address, Kind, Outputs};
use trunkline_objects::{Connections, Inventory};

pub use catalog::{Entry, catalog};
pub use observe::Observation;
pub use plan::Action;
pub use spec::AddonsSpec;

/// How charts are had.
#[derive(Debug, Clone)]
pub struct Charts {
    /// The helm that installs them.
    pub helm: Helm,
    /// Where all of them come from; none: each from its own repository.
    pub source: Option<ChartSource>,
    /// The folder that downloads are kept in.
    pub cache: PathBuf,
}

/// The layer.
pub struct Addons {
    spec: AddonsSpec,
    charts: Charts,
    connections: Connections,
    inventory: Inventory,
}

impl Addons {
    /// The add-ons of `spec`, in the cluster of `connections`.
    #[must_use]
    pub fn new(spec: AddonsSpec, charts: Charts, connections: Connections) -> Self {
        let inventory = Inventory::of(&spec.environment);
        Self {
            spec,
            charts,
            connections,
            inventory,
        }
    }
}

#[async_trait]
impl Layer for Addons {
    type Observation = Observation;
    type Action = Action;

    fn name(&self) -> &'static str {
        "addons"
    }

    fn inside(&self) -> Option<Address> {
        Some(self.connections.endpoint().address().clone())
    }

    fn entrance(&self) -> Option<Address> {
        Some(self.connections.entrance().clone())
    }

    fn delete_order(&self) -> Vec<(Kind, Kind)> {
        let kind = |name| Kind::new("addons", name);
        // A node class waits for its pools; a namespace for what is in it.
        vec![
            (kind("node-pool"), kind("node-class")),
            (kind("release"), kind("node-pool")),
            (kind("release"), kind("namespace")),
            (kind("release"), kind("storage-class")),
        ]
    }

    fn api_actions(&self) -> &'static [&'static str] {
        &[]
    }

    async fn observe(&self, cx: &Observing) -> Observation {
        let (charts, connections) = (&self.charts, &self.connections);
        observe::observe(&self.spec, charts, connections, &self.inventory, cx).await
    }

    fn seen(&self, observation: &Observation) -> Seen {
        observe::seen(observation)
    }

    fn plan(&self, wish: Wish, observation: &Observation) -> Draft<Action> {
        plan::plan(&self.spec, wish, observation)
    }

    async fn apply(&self, action: Action, cx: &Applying) -> Result<Outputs, Failure> {
        let cluster = self.connections.ready(cx).await?;
        apply::Applier {
            spec: &self.spec,
            charts: &self.charts,
            inventory: &self.inventory,
            cluster,
        }
        .apply(action, cx)
        .await
    }
}
