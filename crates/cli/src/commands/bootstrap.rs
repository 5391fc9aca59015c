//! `trunkline bootstrap`.

use std::process::ExitCode;

use super::print_json;
use crate::{
    args::{Global, Target},
    context::{self, hint},
    exit,
};

pub(crate) async fn run(target: &Target, global: &Global) -> anyhow::Result<ExitCode> {
    let connection = context::connection(target, global).await?;
    let done = connection.bootstrap().await?;
    if global.json {
        print_json(&done)?;
    } else if done.is_unchanged() {
        say!(
            "the ledger is as it should be: s3://{}",
            connection.ledger().bucket()
        );
    } else {
        let verb = if done.created { "made" } else { "repaired" };
        say!(
            "the ledger was {verb}: s3://{}",
            connection.ledger().bucket()
        );
        say!("next: {}", hint(&format!("deploy {}", target.environment)));
    }
    Ok(ExitCode::from(exit::DONE))
}
