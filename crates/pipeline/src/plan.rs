//! Plans: observation to steps, by the layers' pure functions.

use std::{collections::BTreeMap, time::Duration};

use trunkline_engine::{Draft, Happening, Plan, Presence, Wish};
use trunkline_ids::{Address, Outputs};

use crate::{Pipeline, PipelineError, observe::Observations};

/// A plan and what it was made from.
#[derive(Debug, Clone)]
pub struct Planned {
    /// What was asked.
    pub wish: Wish,
    /// What will be done.
    pub plan: Plan,
    /// How long observing took.
    pub observed_in: Duration,
    pub(crate) outputs: Outputs,
    pub(crate) presence: BTreeMap<Address, Presence>,
}

impl Planned {
    /// From a plan that was made elsewhere. It can be shown, and run: a run
    /// plans anew and refuses to do more than this shows.
    #[must_use]
    pub fn new(wish: Wish, plan: Plan, observed_in: Duration) -> Self {
        Self {
            wish,
            plan,
            observed_in,
            outputs: Outputs::new(),
            presence: BTreeMap::new(),
        }
    }

    /// Steps that would lose data, and which.
    #[must_use]
    pub fn losses(&self) -> Vec<(Address, String)> {
        let steps = self.plan.steps.iter();
        steps
            .filter_map(|step| Some((step.address.clone(), step.loses.clone()?)))
            .collect()
    }
}

impl Pipeline {
    /// Observes and plans. Changes nothing and needs no ledger.
    ///
    /// What could not be read is in [`Plan::unknown`]; whoever walks refuses
    /// such a plan.
    ///
    /// # Errors
    /// A mistake of a layer.
    pub async fn plan(&self, wish: Wish) -> Result<Planned, PipelineError> {
        let observed = self.observe().await;
        let plan = self.assemble(wish, &observed)?;
        self.events.tell(Happening::Planned {
            steps: plan.steps.len(),
            estimate: plan.critical_path().estimate,
        });
        Ok(Planned {
            wish,
            plan,
            observed_in: observed.took,
            outputs: observed.outputs,
            presence: observed.presence,
        })
    }

    fn assemble(&self, wish: Wish, observed: &Observations) -> Result<Plan, PipelineError> {
        let layers = self.layers.iter().zip(&observed.all);
        let drafts: Vec<Draft> = layers
            .map(|(layer, seen)| layer.plan(wish, seen))
            .collect::<Result<_, _>>()?;
        Ok(Plan::assemble(drafts, &self.order(), observed.present())?)
    }

    /// Asks the layers what only AWS can say, before anything is changed.
    ///
    /// # Errors
    /// All problems found, at once.
    pub async fn preflight(&self) -> Result<(), PipelineError> {
        let asked = futures::future::join_all(self.layers.iter().map(|l| l.preflight())).await;
        let mut problems = Vec::new();
        for found in asked {
            problems.extend(found?);
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(PipelineError::Preflight(problems))
        }
    }
}
