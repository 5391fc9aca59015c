//! Plans: observation to steps, by the layers' pure functions.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use trunkline_engine::{AnyLayer, Draft, Happening, Plan, Presence, Step, Verb, Wish};
use trunkline_ids::{Address, Outputs};

use crate::{Pipeline, PipelineError, observe::Observations};

/// A plan and what it was made from.
#[derive(Debug, Clone)]
pub struct Planned {
    /// What was asked.
    pub wish: Wish,
    /// What will be done.
    pub plan: Plan,
    /// What is done first, and after it a plan is made anew: steps that let us
    /// in where we cannot look yet. Empty where nothing hinders.
    pub entering: Plan,
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
            entering: Plan::default(),
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
        let entering = self.entering(wish, &plan)?;
        self.events.tell(Happening::Planned {
            steps: plan.steps.len(),
            estimate: plan.critical_path().estimate,
        });
        Ok(Planned {
            wish,
            plan,
            entering,
            observed_in: observed.took,
            outputs: observed.outputs,
            presence: observed.presence,
        })
    }

    pub(crate) fn assemble(
        &self,
        wish: Wish,
        observed: &Observations,
    ) -> Result<Plan, PipelineError> {
        let layers = self.layers.iter().zip(&observed.all);
        let drafts: Vec<Draft> = layers
            .map(|(layer, seen)| layer.plan(wish, seen))
            .collect::<Result<_, _>>()?;
        Ok(Plan::assemble(drafts, &self.order(), observed.present())?)
    }

    /// The steps of `plan` that let us in, if what is inside cannot be seen
    /// without them: a run that ended between a cluster and its access entries
    /// leaves one that answers 401 to us, and 403 if it ended between our entry
    /// and its policy.
    fn entering(&self, wish: Wish, plan: &Plan) -> Result<Plan, PipelineError> {
        let blind = !plan.unknown.is_empty() || matches!(wish, Wish::Destroyed { .. });
        let entrances: BTreeSet<Address> =
            self.layers.iter().filter_map(AnyLayer::entrance).collect();
        let opens = |step: &&Step| step.verb != Verb::Delete && entrances.contains(&step.address);
        let steps = plan.steps.iter().filter(opens).filter(|_| blind).cloned();
        let draft = Draft {
            steps: steps.collect(),
            ..Draft::default()
        };
        Ok(Plan::assemble([draft], &self.order(), plan.present)?)
    }

    /// Refuses what could not be read, but for what lies behind an entrance
    /// that is about to be made.
    pub(crate) fn refuse_unknown(&self, planned: &Planned) -> Result<(), PipelineError> {
        let opened: BTreeSet<&Address> = planned
            .entering
            .steps
            .iter()
            .map(|step| &step.address)
            .collect();
        let inside = |address: &Address| {
            let layer = self.layers.iter().find(|l| l.name() == address.layer());
            let entrance = layer.and_then(AnyLayer::entrance);
            entrance.is_some_and(|entrance| opened.contains(&entrance))
        };
        let unknown = planned.plan.unknown.iter();
        let unknown: Vec<_> = unknown
            .filter(|(address, _)| !inside(address))
            .cloned()
            .collect();
        if unknown.is_empty() {
            Ok(())
        } else {
            Err(PipelineError::Unknown(unknown))
        }
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
