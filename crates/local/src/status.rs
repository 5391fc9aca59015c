//! `status`: what of a stack runs, where it is reached, and what ended.

use std::io::Write;

use anyhow::Result;
use serde_json::{Value, json};

use crate::failure::last_lines;
use crate::paths::Paths;
use crate::state::{Addresses, PartState, Standing, State};

/// How many of a log's last lines stand under a part that ended.
const LINES: usize = 5;

/// Prints the status; says whether all that should run does.
pub(crate) fn print(
    name: &str,
    paths: &Paths,
    standing: &Standing,
    json: bool,
    out: &mut dyn Write,
) -> Result<bool> {
    if json {
        writeln!(out, "{:#}", tree(name, standing))?;
    } else {
        text(name, paths, standing, out)?;
    }
    Ok(match standing {
        Standing::Up(state, _) => state.parts.values().all(runs),
        _ => false,
    })
}

fn text(name: &str, paths: &Paths, standing: &Standing, out: &mut dyn Write) -> Result<()> {
    match standing {
        Standing::Down => writeln!(out, "{name} is down")?,
        Standing::Starting(state) => {
            writeln!(out, "{name} is starting (pid {})", state.daemon.pid)?;
            parts(state, out)?;
        }
        Standing::Died(state) => {
            writeln!(
                out,
                "{name} is down: its daemon (pid {}) was killed",
                state.daemon.pid
            )?;
            for line in last_lines(&paths.log("daemon"), LINES) {
                writeln!(out, "    {line}")?;
            }
            writeln!(out, "  `up` starts it anew, `down` clears it away")?;
        }
        Standing::Up(state, addresses) => up(name, paths, state, addresses, out)?,
    }
    Ok(())
}

fn up(
    name: &str,
    paths: &Paths,
    state: &State,
    addresses: &Addresses,
    out: &mut dyn Write,
) -> Result<()> {
    let options = &state.options;
    writeln!(
        out,
        "{name} is up since {} · account {} · pace {}",
        ago(state.since),
        options.account,
        options.pace
    )?;
    writeln!(out, "  aws      {}", addresses.front)?;
    writeln!(out, "  charts   {}", addresses.charts)?;
    writeln!(out, "  logs     {}", paths.logs().display())?;
    writeln!(out, "  nodes    simulated: pods are Ready without running")?;
    for (cluster, at) in &state.clusters {
        writeln!(out, "  cluster  {cluster}  {}", at.url)?;
        writeln!(
            out,
            "           kubectl --kubeconfig {}",
            at.kubeconfig.display()
        )?;
    }
    parts(state, out)
}

fn parts(state: &State, out: &mut dyn Write) -> Result<()> {
    for (name, part) in &state.parts {
        let PartState {
            process,
            log,
            ended,
        } = part;
        match ended {
            None if runs(part) => writeln!(out, "  part     {name}  pid {}", process.pid)?,
            how => {
                let how = how.as_deref().unwrap_or("not told how");
                writeln!(out, "  part     {name}  ENDED ({how}); {}:", log.display())?;
                for line in last_lines(log, LINES) {
                    writeln!(out, "    {line}")?;
                }
            }
        }
    }
    Ok(())
}

fn runs(part: &PartState) -> bool {
    part.ended.is_none() && part.process.is_alive()
}

fn tree(name: &str, standing: &Standing) -> Value {
    let (word, state, addresses) = match standing {
        Standing::Down => ("down", None, None),
        Standing::Starting(state) => ("starting", Some(state), None),
        Standing::Died(state) => ("died", Some(state), None),
        Standing::Up(state, addresses) => ("up", Some(state), Some(addresses)),
    };
    let mut tree = json!({ "name": name, "standing": word });
    if let Some(state) = state {
        tree["account"] = json!(state.options.account);
        tree["pace"] = json!(state.options.pace);
        tree["since"] = json!(state.since);
        tree["daemon"] = json!(state.daemon);
        tree["parts"] = json!(state.parts);
        tree["clusters"] = json!(state.clusters);
    }
    if let Some(addresses) = addresses {
        tree["endpoint"] = json!(addresses.front);
        tree["moto"] = json!(addresses.moto);
        tree["charts"] = json!(addresses.charts);
    }
    tree
}

/// How long ago something was, in one unit.
fn ago(since: jiff::Timestamp) -> String {
    let seconds = jiff::Timestamp::now()
        .duration_since(since)
        .as_secs()
        .max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86400 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86400),
    }
}
