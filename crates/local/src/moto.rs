//! moto as a part of the stack: started by fake-aws, named and watched here.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use trunkline_fake_aws::moto::{Moto, MotoError};
use trunkline_tools::Tool;

use crate::board::Board;
use crate::failure::PartFailed;
use crate::options::Options;
use crate::paths::Paths;
use crate::process::Identity;
use crate::state::PartState;

/// Its name in the state and in messages.
pub(crate) const NAME: &str = "moto";

/// How long it may take until it listens: one second, unless a build runs
/// beside it or its files are read for the first time.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks whether it still runs.
const LOOK: Duration = Duration::from_secs(1);

/// Starts moto and waits until it listens.
pub(crate) async fn start(options: &Options, paths: &Paths, board: &Arc<Board>) -> Result<Moto> {
    let log = paths.log(NAME);
    let program = options.tools.path(Tool::Moto)?.to_path_buf();
    let account = options.account.clone();
    let started = {
        let log = log.clone();
        tokio::task::spawn_blocking(move || Moto::start(&program, &account, &log))
    };
    let started = tokio::time::timeout(PATIENCE, started).await.map_err(|_| {
        let why = format!(
            "did not start: it does not listen after {} s",
            PATIENCE.as_secs()
        );
        PartFailed::new(NAME, why, &log)
    })?;
    let moto = started
        .context("moto's start broke off")?
        .map_err(|error| match error {
            MotoError::Ended(_) => {
                anyhow!(PartFailed::new(
                    NAME,
                    "did not start: it ended before it listened",
                    &log
                ))
            }
            error => anyhow!(error).context("moto did not start"),
        })?;
    if let Some(process) = Identity::of(moto.pid()) {
        let state = PartState {
            process,
            log,
            ended: None,
        };
        board.update(|all| drop(all.parts.insert(NAME.to_owned(), state.clone())));
        tokio::spawn(watch(state, board.clone()));
    }
    Ok(moto)
}

/// Notes if it ends: everything after that fails, and `status` has to say why.
async fn watch(moto: PartState, board: Arc<Board>) {
    while moto.process.is_alive() {
        tokio::time::sleep(LOOK).await;
    }
    tracing::error!("{}", PartFailed::new(NAME, "ended by itself", &moto.log));
    board.update_part(NAME, |part| part.ended = Some("by itself".to_owned()));
}
