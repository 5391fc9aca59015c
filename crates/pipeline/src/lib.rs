//! The pipeline of an environment: all layers in one graph. The library that
//! the command line uses and that others embed.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use trunkline_pipeline::{Connection, Environment, Pipeline, Settings, Stop, Wish};
//!
//! let text = std::fs::read_to_string("environments/sandbox.toml")?;
//! let environment = Environment::parse("environments/sandbox.toml", &text)?;
//! let connection = Connection::open(environment).await?;
//! let settings = Settings::new("/usr/bin/helm", "/var/cache/charts").await?.at_commit("3f9c2e1…");
//! let pipeline = Pipeline::new(connection, settings)?;
//! let planned = pipeline.plan(Wish::Deployed).await?;
//! let run = pipeline.run(&planned, "ops@laptop", &Stop::new()).await?;
//! assert!(run.report.is_done());
//! # Ok(())
//! # }
//! ```
//!
//! This crate only composes: what is verified, leaked or allowed is known by
//! the layer that owns it. A layer of an embedder joins by
//! [`Pipeline::with_layer`]; see `examples/extra_layer.rs` at the top.

mod compose;
mod connection;
mod delete_order;
mod error;
mod gate;
mod observe;
mod plan;
mod run;
mod shown;
mod status;
mod tokens;

use std::sync::Arc;

use trunkline_engine::{AnyLayer, DeleteOrder, Layer};
use trunkline_ids::Kind;

pub use compose::{References, Settings};
pub use connection::{Connection, Identity, token};
pub use error::PipelineError;
pub use plan::Planned;
pub use run::{Left, Run};
pub use status::{LayerStatus, Status};
pub use trunkline_engine::{
    Cause, Change, CriticalPath, Draft, Ended, Event, Events, Failure, FailureKind, Happening,
    Health, Kept, Listener, Outcome, Plan, Report, Step, Stop, Verb, Wish,
};
pub use trunkline_environment::{Environment, Mistakes, RepositoryUrl, Tier};
pub use trunkline_helm_wrapper::ChartSource;
pub use trunkline_ids::{Address, Later};
pub use trunkline_ledger::{Bootstrapped, Holding, RunOutcome, RunRecord, RunSummary};

/// All layers of one environment, connected.
pub struct Pipeline {
    connection: Connection,
    layers: Vec<AnyLayer>,
    delete_order: Vec<(Kind, Kind)>,
    references: References,
    events: Events,
}

impl Pipeline {
    /// The pipeline of the connection's environment.
    ///
    /// # Errors
    /// The environment asks for something that no layer can make.
    pub fn new(connection: Connection, settings: Settings) -> Result<Self, PipelineError> {
        let composed = compose::compose(&connection, settings)?;
        Ok(Self {
            connection,
            layers: composed.layers,
            delete_order: delete_order::across_layers(),
            references: composed.references,
            events: Events::default(),
        })
    }

    /// Adds a layer. `before` says what of it is deleted before what of other
    /// layers, or after: pairs of kinds, first and then.
    #[must_use]
    pub fn with_layer(
        mut self,
        layer: impl Layer,
        before: impl IntoIterator<Item = (Kind, Kind)>,
    ) -> Self {
        self.layers.push(AnyLayer::new(layer));
        self.delete_order.extend(before);
        self
    }

    /// Also tells events to this listener.
    #[must_use]
    pub fn with_listener(mut self, listener: Arc<dyn Listener>) -> Self {
        self.events = self.events.and(listener);
        self
    }

    /// References to what the layers make, for layers of embedders.
    #[must_use]
    pub fn references(&self) -> &References {
        &self.references
    }

    /// The connection.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Every API action that any layer calls, as `service:Action`.
    #[must_use]
    pub fn api_actions(&self) -> std::collections::BTreeSet<&'static str> {
        self.layers
            .iter()
            .flat_map(|layer| layer.api_actions().iter().copied())
            .collect()
    }

    /// What is deleted before what: the layers' own tables and the one across
    /// layers.
    #[must_use]
    pub fn order(&self) -> DeleteOrder {
        let of_layers = self.layers.iter().flat_map(AnyLayer::delete_order);
        DeleteOrder::new(of_layers.chain(self.delete_order.iter().cloned()))
    }
}
