//! Status: one look, layer by layer.

use std::time::Duration;

use serde::Serialize;
use trunkline_engine::{Health, Presence};
use trunkline_ids::Address;
use trunkline_ledger::{Holding, RunSummary};

use crate::Pipeline;

/// How an environment is.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Each layer, in the order of the pipeline.
    pub layers: Vec<LayerStatus>,
    /// Who changes it now.
    pub holding: Option<Holding>,
    /// The last run.
    pub last_run: Option<RunSummary>,
    /// Why the ledger could not be asked.
    pub ledger: Option<String>,
    /// How long looking took, in seconds.
    #[serde(serialize_with = "seconds")]
    pub took: Duration,
}

/// How one layer is.
#[derive(Debug, Serialize)]
pub struct LayerStatus {
    /// The layer.
    pub layer: String,
    /// How many of its resources are there.
    pub present: usize,
    /// What is not there.
    pub absent: Vec<Address>,
    /// What could not be read, and why.
    pub unknown: Vec<(Address, String)>,
    /// What an operator would look at.
    pub health: Vec<Health>,
}

impl Pipeline {
    /// Looks at everything. Changes nothing.
    pub async fn status(&self) -> Status {
        let ledger = &self.connection.ledger;
        let (observed, holding, runs) =
            futures::join!(self.observe(), ledger.holding(), ledger.runs(1));
        let layers = self.layers.iter().zip(&observed.all).map(|(layer, seen)| {
            let mut status = LayerStatus {
                layer: layer.name().to_owned(),
                present: 0,
                absent: Vec::new(),
                unknown: Vec::new(),
                health: seen.seen.health.clone(),
            };
            for (address, presence) in &seen.seen.presence {
                match presence {
                    Presence::Present => status.present += 1,
                    Presence::Absent => status.absent.push(address.clone()),
                    Presence::Unknown(why) => status.unknown.push((address.clone(), why.clone())),
                }
            }
            status
        });
        let trouble = holding
            .as_ref()
            .err()
            .or(runs.as_ref().err())
            .map(ToString::to_string);
        Status {
            layers: layers.collect(),
            holding: holding.ok().flatten(),
            last_run: runs.ok().and_then(|runs| runs.into_iter().next()),
            ledger: trouble,
            took: observed.took,
        }
    }
}

fn seconds<S: serde::Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(value.as_secs_f64())
}
