//! AWS shows what it has made only after a while. Whoever plans meanwhile takes
//! it for absent: a deploy would make it twice, a destroy would leave it. So
//! intents stay open until what they are about was seen.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;
use trunkline_engine::{Observing, Outcome, Plan, Presence, Report, Stop, Verb};
use trunkline_ids::{Address, Outputs};
use trunkline_ledger::LedgerIntents;

use crate::{Pipeline, PipelineError, Planned, run::CONSISTENCY_WINDOW};

/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

impl Pipeline {
    /// What a run has made and AWS does not show. A run that did all it should
    /// gives AWS the consistency window to show it, so that the next plan is
    /// empty; any other looks once.
    pub(crate) async fn unseen(
        &self,
        plan: &Plan,
        report: &Report,
        stop: &Stop,
    ) -> BTreeSet<Address> {
        let until = Instant::now() + CONSISTENCY_WINDOW;
        let mut unseen = self.made(plan, report);
        loop {
            self.look_for(&mut unseen).await;
            if unseen.is_empty() || !report.is_done() || Instant::now() >= until {
                return unseen;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = stop.asked() => return unseen,
            }
        }
    }

    /// What was created, but for what lives in something of ours: Kubernetes
    /// shows at once what it has stored.
    fn made(&self, plan: &Plan, report: &Report) -> BTreeSet<Address> {
        let steps = plan.steps.iter().zip(&report.steps);
        let made = steps
            .filter(|(step, end)| step.verb == Verb::Create && end.outcome == Outcome::Done)
            .map(|(step, _)| step.address.clone());
        let standing = |address: &Address| {
            let layer = |layer: &&trunkline_engine::AnyLayer| layer.name() == address.layer();
            let layer = self.layers.iter().find(layer);
            layer.is_some_and(|layer| layer.inside().is_none())
        };
        made.filter(standing).collect()
    }

    /// Takes out what is seen now.
    async fn look_for(&self, unseen: &mut BTreeSet<Address>) {
        let cx = Observing {
            outputs: Outputs::new(),
            parent: Presence::Present,
        };
        let concerned = |name: &str| unseen.iter().any(|address| address.layer() == name);
        let layers = self.layers.iter().filter(|layer| concerned(layer.name()));
        let looks: Vec<_> = layers.map(|layer| layer.observe(&cx)).collect();
        for seen in futures::future::join_all(looks).await {
            let is_there = |address: &Address| {
                let presence = seen.seen.presence.get(address);
                presence == Some(&Presence::Present)
            };
            unseen.retain(|address| !is_there(address));
        }
    }

    /// Plans a destroy once AWS shows what earlier runs were about to make, or
    /// the consistency window has passed since.
    pub(crate) async fn plan_of_all(
        &self,
        shown: &Planned,
        intents: &LedgerIntents,
        stop: &Stop,
    ) -> Result<Planned, PipelineError> {
        let mut told = false;
        let until = Instant::now() + CONSISTENCY_WINDOW;
        loop {
            let planned = self.plan(shown.wish).await?;
            let hidden = |address: &Address| {
                let presence = planned.presence.get(address);
                !matches!(presence, Some(Presence::Present))
            };
            let open = intents.all_open();
            let mut coming = open
                .iter()
                .filter(|intent| is_recent(intent.at) && hidden(&intent.address));
            let Some(intent) = coming.next() else {
                return Ok(planned);
            };
            if Instant::now() >= until {
                return Ok(planned);
            }
            if !told {
                let address = &intent.address;
                self.events
                    .note(format!("AWS may not show {address} yet: waiting"));
                told = true;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = stop.asked() => return Ok(planned),
            }
        }
    }
}

fn is_recent(at: Timestamp) -> bool {
    let age = Timestamp::now().duration_since(at);
    // S3's clock may be ahead of ours: what is of the future was just written.
    Duration::try_from(age).map_or(true, |age| age < CONSISTENCY_WINDOW)
}
