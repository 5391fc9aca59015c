//! Doing one action. Creates are in `apply/create.rs`, changes in
//! `apply/mend.rs`, deletes in `apply/delete.rs`; here is what they share:
//! patience with a service that is eventually consistent.

mod create;
mod delete;
mod mend;

use std::{future::Future, time::Duration};

use aws_sdk_ec2::Client;
use trunkline_engine::{Applying, Failure, FailureKind};
use trunkline_ids::Outputs;

pub(crate) use delete::order;

use crate::{
    Net, NetAction,
    observe::{Life, marked_as, read},
};

/// Between two tries of the same call, at first; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A NAT gateway takes about two minutes; this is when we stop believing.
const NAT_GATEWAY_AT_MOST: Duration = Duration::from_secs(600);

/// One action in the doing.
struct Doer<'a> {
    net: &'a Net,
    cx: &'a Applying,
}

/// Does one action.
pub(crate) async fn apply(net: &Net, action: NetAction, cx: &Applying) -> Result<Outputs, Failure> {
    let doer = Doer { net, cx };
    match action {
        NetAction::Create { make, tags } => doer.create(make, &tags).await,
        NetAction::Mend { id, mends } => {
            for mend in mends {
                doer.mend(&id, mend).await?;
            }
            Ok(Outputs::new())
        }
        NetAction::Delete { id, first } => {
            for mend in first {
                doer.mend(&id, mend).await?;
            }
            doer.delete(&id).await?;
            Ok(Outputs::new())
        }
    }
}

impl Doer<'_> {
    /// The client for everything that may be sent twice.
    fn ec2(&self) -> &Client {
        &self.net.ec2
    }

    /// Tries again while the failure is passing, for the time in which EC2 may
    /// not know yet what it has made. For calls that may be done twice.
    async fn patiently<T, F>(&self, call: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        self.again_while(Failure::is_passing, call).await
    }

    /// As [`patiently`](Self::patiently), for a create without client token:
    /// tried again only when the answer says that nothing was made.
    async fn patiently_create<T, F>(&self, call: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let nothing_made = |failure: &Failure| failure.is_passing() && !failure.is_unclear();
        self.again_while(nothing_made, call).await
    }

    async fn again_while<T, F>(
        &self,
        may: impl Fn(&Failure) -> bool,
        call: impl Fn() -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let until = tokio::time::Instant::now() + self.cx.consistency_window();
        let mut pause = FIRST_PAUSE;
        let mut unclear = false;
        loop {
            let ended = call().await.map_err(not_known_yet);
            let failure = match ended.map_err(|failure| failure.after(&mut unclear)) {
                Err(failure) if may(&failure) => failure,
                ended => return ended,
            };
            if tokio::time::Instant::now() + pause >= until {
                return Err(failure);
            }
            self.cx.pause(pause).await?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Waits until a NAT gateway is available. One that failed is deleted:
    /// its address is free again, and the next run makes another.
    async fn await_nat_gateway(&self, id: &str) -> Result<(), Failure> {
        let ask = || async move {
            let all = read::nat_gateways(self.ec2(), self.marked()).await?;
            let found = all.into_iter().find(|nat| nat.id.as_str() == id);
            Ok(found
                .map(|nat| nat.life)
                .filter(|life| *life != Life::Coming))
        };
        let every = Duration::from_secs(1);
        let what = format!("{id} to be available");
        let life = self.cx.poll(&what, every, NAT_GATEWAY_AT_MOST, ask).await?;
        let why = match life {
            Life::Well | Life::Coming => return Ok(()),
            Life::Going => "somebody deletes it".to_owned(),
            Life::Failed(why) => why,
        };
        self.delete_nat_gateway(id).await?;
        let (code, message) = why.split_once(": ").unwrap_or(("failed", &why));
        let cause = trunkline_engine::Cause {
            service: "EC2".into(),
            action: "CreateNatGateway".into(),
            code: code.to_owned(),
            message: format!("{id} did not become available and is deleted: {message}"),
            request_id: None,
        };
        Err(Failure::new(FailureKind::Conflict, cause).clear())
    }

    fn marked(&self) -> aws_sdk_ec2::types::Filter {
        marked_as(self.net.aws.environment())
    }
}

/// What we refer to was there when the plan was made, or was made a moment
/// ago: EC2 not knowing it passes.
fn not_known_yet(mut failure: Failure) -> Failure {
    if failure.kind == FailureKind::Gone {
        failure.kind = FailureKind::Retry;
    }
    failure
}

/// Something was made and is not finished. It must not be tried again from the
/// start within this run: that could make another one.
fn unfinished(id: &str) -> impl Fn(Failure) -> Failure {
    move |mut failure| {
        if failure.is_passing() {
            failure.kind = FailureKind::Conflict;
        }
        failure.remains(format!("{id}, marked: the next run goes on with it"))
    }
}
