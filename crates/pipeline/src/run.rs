//! Runs: a plan done under the lease, with intents before and a journal
//! beside it.

use std::{collections::BTreeSet, future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use trunkline_engine::{
    AnyLayer, Applying, Events, Failure, FailureKind, Kept, Left as LeftBehind, Outcome, Performer,
    Plan, Presence, Report, Slots, Step, Stop, WalkOptions, Wish, walk,
};
use trunkline_ids::{Address, Outputs};
use trunkline_ledger::{
    Claim, Journal, Lease, LeaseError, LedgerIntents, RunOutcome, RunStart, bucket_address,
};
use ulid::Ulid;

use crate::{Pipeline, PipelineError, Planned};

/// How a run ended.
#[derive(Debug)]
pub struct Run {
    /// The run.
    pub id: Ulid,
    /// What was to be done.
    pub plan: Plan,
    /// How it ended, step by step.
    pub report: Report,
    /// What is left, after a destroy whose steps were all done.
    pub left: Option<Left>,
    /// Why the journal or the lease could not be closed; the run itself is
    /// not concerned.
    pub afterwards: Vec<Failure>,
}

/// What is left of an environment after its destroy.
#[derive(Debug, Clone, Default)]
pub struct Left {
    /// What stays on purpose.
    pub kept: Vec<Kept>,
    /// What should have gone and is there.
    pub still: Vec<Address>,
    /// What AWS made on our behalf and is there.
    pub leaks: Vec<String>,
    /// What could not be looked for, and why.
    pub unknown: Vec<String>,
}

/// How long AWS may take to show what it has made.
pub(crate) const CONSISTENCY_WINDOW: Duration = Duration::from_secs(60);
/// Tries of a step that fails in passing: about four minutes in all, which is
/// what a network interface of a deleted cluster takes at worst.
const ATTEMPTS: u32 = 14;
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Between two looks whether we are let in.
const ENTERED_AGAIN: Duration = Duration::from_secs(1);

fn slots() -> Slots {
    // EC2 throttles mutating calls at about 5 a second; helm is CPU of ours.
    let by_service = [
        ("ec2", 10),
        ("eks", 8),
        ("iam", 5),
        ("s3", 10),
        ("kubernetes", 10),
        ("helm", 3),
    ];
    Slots::new(&by_service, 10)
}

struct Layers<'a>(&'a [AnyLayer]);

#[async_trait]
impl Performer for Layers<'_> {
    async fn perform(&self, step: &Step, cx: &Applying) -> Result<Outputs, Failure> {
        let layer = self
            .0
            .iter()
            .find(|layer| layer.name() == step.action.layer);
        let layer = layer
            .ok_or_else(|| Failure::bug(format!("no layer is called {}", step.action.layer)))?;
        layer.apply(&step.action, cx).await
    }
}

impl Pipeline {
    /// Does what was planned, under the lease. Reality is read again first:
    /// a run that would do more than was shown is refused.
    ///
    /// # Errors
    /// Nothing was changed; see [`PipelineError`]. Failures of steps are in the
    /// report.
    pub async fn run(
        &self,
        shown: &Planned,
        holder: &str,
        stop: &Stop,
    ) -> Result<Run, PipelineError> {
        self.refuse_unknown(shown)?;
        if matches!(shown.wish, Wish::Deployed) {
            self.preflight().await?;
        }
        let id = Ulid::generate();
        let lease = self.lease(id, shown.wish, holder).await?;
        self.connection.gate.set(Arc::new(lease.guard()));
        let ended = self.under_lease(id, shown, holder, &lease, stop).await;
        self.connection.gate.open();
        let released = lease.release().await;
        let mut run = ended?;
        run.afterwards.extend(released.err());
        if run.report.is_done() && matches!(shown.wish, Wish::Destroyed { .. }) {
            run.left = Some(self.left(shown.wish).await?);
        }
        Ok(run)
    }

    async fn lease(&self, run: Ulid, wish: Wish, holder: &str) -> Result<Lease, PipelineError> {
        let doing = match wish {
            Wish::Deployed => "deployed",
            Wish::Destroyed { .. } => "destroyed",
        };
        let claim = Claim {
            environment: self.connection.environment().name().to_string(),
            holder: holder.to_owned(),
            run,
            doing: doing.to_owned(),
        };
        let ledger = &self.connection.ledger;
        ledger.acquire(&claim).await.map_err(|error| match error {
            LeaseError::Taken(holding) => PipelineError::Taken(holding),
            LeaseError::Failed(failure) if failure.kind == FailureKind::Gone => {
                PipelineError::NotBootstrapped {
                    environment: claim.environment.clone(),
                    bucket: ledger.bucket().to_string(),
                }
            }
            LeaseError::Failed(failure) => PipelineError::Failed(failure),
        })
    }

    async fn under_lease(
        &self,
        id: Ulid,
        shown: &Planned,
        holder: &str,
        lease: &Lease,
        stop: &Stop,
    ) -> Result<Run, PipelineError> {
        let ledger = &self.connection.ledger;
        let intents = ledger.intents(Arc::new(lease.guard()), id);
        let (fresh, intents) = match shown.wish {
            Wish::Deployed => futures::join!(self.plan(shown.wish), intents),
            Wish::Destroyed { .. } => {
                let intents = intents.await?;
                (self.plan_of_all(shown, &intents, stop).await, Ok(intents))
            }
        };
        let (mut fresh, intents) = (fresh?, Arc::new(intents?));
        self.refuse_unknown(&fresh)?;
        refuse_more(&shown.plan, &fresh.plan)?;
        refuse_losses(shown, &fresh)?;
        settle_seen(&fresh, &intents).await?;
        let journal = ledger.journal(self.start(id, shown.wish, holder)).await?;
        let events = self.events.and(journal.listener());
        if !fresh.entering.is_empty() {
            let entering = Planned {
                plan: std::mem::take(&mut fresh.entering),
                ..fresh
            };
            let report = self
                .walk(&entering, &intents, events.clone(), lease, stop)
                .await;
            if !report.is_done() {
                return self
                    .ended(id, &entering, report, &intents, journal, stop)
                    .await;
            }
            let inside = async {
                settle(&entering, &report, &BTreeSet::new(), &intents).await?;
                let inside = self.plan_inside(shown, stop).await?;
                settle_seen(&inside, &intents).await?;
                Ok::<_, PipelineError>(inside)
            };
            fresh = match inside.await {
                Ok(inside) => inside,
                Err(error) => {
                    let outcome = match stop.is_asked() {
                        true => RunOutcome::Stopped,
                        false => RunOutcome::Failed,
                    };
                    // The error itself matters more than a journal's.
                    let _ = journal.finish(outcome, Some(error.to_string())).await;
                    return Err(PipelineError::Entered(Box::new(error)));
                }
            };
        }
        let report = self.walk(&fresh, &intents, events, lease, stop).await;
        self.ended(id, &fresh, report, &intents, journal, stop)
            .await
    }

    /// Closes the books of a walk.
    async fn ended(
        &self,
        id: Ulid,
        planned: &Planned,
        report: Report,
        intents: &LedgerIntents,
        journal: Journal,
        stop: &Stop,
    ) -> Result<Run, PipelineError> {
        let unseen = self.unseen(&planned.plan, &report, stop).await;
        let mut afterwards = Vec::new();
        afterwards.extend(settle(planned, &report, &unseen, intents).await.err());
        afterwards.extend(close(journal, &report, stop).await.err());
        Ok(Run {
            id,
            plan: planned.plan.clone(),
            report,
            left: None,
            afterwards,
        })
    }

    /// Plans anew once we were let in. A new access entry takes some seconds
    /// to be known to the API server.
    async fn plan_inside(&self, shown: &Planned, stop: &Stop) -> Result<Planned, PipelineError> {
        self.events
            .note("let in: planning anew with what is inside");
        let until = tokio::time::Instant::now() + CONSISTENCY_WINDOW;
        loop {
            let planned = self.plan(shown.wish).await?;
            // We were let in: nothing is excused any more.
            let refused = match planned.plan.unknown.as_slice() {
                [] => refuse_losses(shown, &planned),
                unknown => Err(PipelineError::Unknown(unknown.to_vec())),
            };
            if refused.is_ok() || stop.is_asked() || tokio::time::Instant::now() >= until {
                return refused.map(|()| planned);
            }
            tokio::time::sleep(ENTERED_AGAIN).await;
        }
    }

    fn start(&self, run: Ulid, wish: Wish, holder: &str) -> RunStart {
        let command = match wish {
            Wish::Deployed => "deploy",
            Wish::Destroyed { .. } => "destroy",
        };
        RunStart {
            run,
            environment: self.connection.environment().name().to_string(),
            command: command.to_owned(),
            holder: holder.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Walks; a lost lease stops everything at once.
    async fn walk(
        &self,
        planned: &Planned,
        intents: &Arc<LedgerIntents>,
        events: Events,
        lease: &Lease,
        stop: &Stop,
    ) -> Report {
        let options = WalkOptions {
            slots: slots(),
            attempts: ATTEMPTS,
            first_pause: FIRST_PAUSE,
            consistency_window: CONSISTENCY_WINDOW,
            intents: Arc::clone(intents) as _,
            events: events.clone(),
        };
        let layers = Layers(&self.layers);
        let walking = walk(
            &planned.plan,
            &layers,
            planned.outputs.clone(),
            &options,
            stop,
        );
        let lost = async {
            let why = lease.lost().await;
            events.note(format!("the lease is lost, everything stops: {why}"));
            stop.now();
        };
        beside(walking, lost).await
    }

    /// Looks again after a destroy. What stays is what a plan of now keeps: a
    /// volume that a driver deleted on the way is not said to be kept.
    async fn left(&self, wish: Wish) -> Result<Left, PipelineError> {
        let observed = self.observe().await;
        let plan = self.assemble(wish, &observed)?;
        let mut left = Left {
            kept: plan.kept,
            ..Left::default()
        };
        let kept: BTreeSet<&Address> = left.kept.iter().map(|kept| &kept.address).collect();
        for (address, presence) in &observed.presence {
            match presence {
                Presence::Present if !kept.contains(address) => left.still.push(address.clone()),
                Presence::Unknown(why) => left.unknown.push(format!("{address}: {why}")),
                _ => {}
            }
        }
        for layer in &self.layers {
            match layer.leaks().await {
                Ok(leaks) => left.leaks.extend(leaks),
                Err(failure) => left.unknown.push(format!("{}: {failure}", layer.name())),
            }
        }
        left.kept.push(self.kept_ledger());
        Ok(left)
    }

    /// The ledger outlives the environment: it is what bootstrap made.
    fn kept_ledger(&self) -> Kept {
        Kept {
            address: bucket_address(),
            id: self.connection.ledger.bucket().to_string(),
            why: "the lease and the history of runs".to_owned(),
            command: "emptying the bucket, versions too, then `aws s3 rb`".to_owned(),
        }
    }
}

/// Runs `main` to its end with `other` beside it.
async fn beside<T>(main: impl Future<Output = T>, other: impl Future<Output = ()>) -> T {
    let other = async {
        other.await;
        std::future::pending::<()>().await;
    };
    let (main, other) = (std::pin::pin!(main), std::pin::pin!(other));
    match futures::future::select(main, other).await {
        futures::future::Either::Left((ended, _)) => ended,
        futures::future::Either::Right(((), main)) => main.await,
    }
}

/// What `plan` shows is what is done: less is fine (a status that came right
/// by itself), more is not.
fn refuse_more(shown: &Plan, fresh: &Plan) -> Result<(), PipelineError> {
    match fresh.pairs().difference(&shown.pairs()).count() {
        0 => Ok(()),
        more => Err(PipelineError::Changed(more)),
    }
}

/// What would be lost was shown, or is asked for: between the two looks a
/// cluster may have become protected.
fn refuse_losses(shown: &Planned, fresh: &Planned) -> Result<(), PipelineError> {
    if matches!(fresh.wish, Wish::Destroyed { with_data: true }) {
        return Ok(());
    }
    let known: BTreeSet<Address> = shown
        .losses()
        .into_iter()
        .map(|(address, _)| address)
        .collect();
    let losses = fresh.losses().into_iter();
    let more: Vec<_> = losses
        .filter(|(address, _)| !known.contains(address))
        .collect();
    if more.is_empty() {
        Ok(())
    } else {
        Err(PipelineError::LosesData(more))
    }
}

/// Removes the intents of everything that is there. Before the walk: once this
/// run deletes such a thing, its intent would say that it may still come.
async fn settle_seen(planned: &Planned, intents: &LedgerIntents) -> Result<(), PipelineError> {
    let present = planned
        .presence
        .iter()
        .filter(|(_, presence)| **presence == Presence::Present);
    let settled = intents.settle(present.map(|(address, _)| address)).await;
    settled.map_err(PipelineError::Failed)
}

/// Removes the intents of everything whose end is known and can be seen.
async fn settle(
    planned: &Planned,
    report: &Report,
    unseen: &BTreeSet<Address>,
    intents: &LedgerIntents,
) -> Result<(), Failure> {
    // An address has one intent and may have two steps: a delete and a create.
    let (mut ended, mut open) = (BTreeSet::new(), BTreeSet::new());
    for (step, end) in planned.plan.steps.iter().zip(&report.steps) {
        let is_known = match &end.outcome {
            Outcome::Done => !unseen.contains(&step.address),
            Outcome::Failed(failure, _) => failure.left == LeftBehind::Clear,
            Outcome::Skipped(_) | Outcome::NotStarted => false,
        };
        let addresses = if is_known { &mut ended } else { &mut open };
        addresses.insert(&step.address);
    }
    intents.settle(ended.difference(&open).copied()).await
}

async fn close(journal: Journal, report: &Report, stop: &Stop) -> Result<(), Failure> {
    let (outcome, message) = match report.failures().next() {
        _ if stop.is_asked() => (RunOutcome::Stopped, None),
        Some((_, failure, _)) => (RunOutcome::Failed, Some(failure.to_string())),
        None => (RunOutcome::Done, None),
    };
    journal.finish(outcome, message).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use trunkline_engine::{Action, DeleteOrder, Draft, Verb};

    use super::*;

    fn planned(wish: Wish, loses: Option<&str>) -> Planned {
        let action = Action {
            layer: "x".into(),
            version: 1,
            body: serde_json::Value::Null,
        };
        let cluster = Address::new("cluster", "cluster", "main");
        let mut step = Step::new(Verb::Delete, cluster, "eks", action);
        step.loses = loses.map(str::to_owned);
        let draft = Draft {
            steps: vec![step],
            ..Draft::default()
        };
        let plan = Plan::assemble([draft], &DeleteOrder::default(), 1).unwrap();
        Planned::new(wish, plan, Duration::ZERO)
    }

    /// A cluster may become protected while a destroy waits for the lease.
    #[test]
    fn a_loss_that_was_not_shown_is_refused() {
        let wish = |with_data| Wish::Destroyed { with_data };
        let (shown, fresh) = (
            planned(wish(false), None),
            planned(wish(false), Some("all")),
        );
        assert!(refuse_more(&shown.plan, &fresh.plan).is_ok());
        let refused = refuse_losses(&shown, &fresh);
        assert!(matches!(refused, Err(PipelineError::LosesData(all)) if all.len() == 1));
        assert!(refuse_losses(&fresh, &fresh).is_ok(), "it was shown");
        let asked = planned(wish(true), Some("all"));
        assert!(refuse_losses(&shown, &asked).is_ok(), "it was asked for");
    }
}
