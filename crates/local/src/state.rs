//! `state.json`: what a stack consists of at this moment. Written by the daemon
//! alone, in whole by a rename, so that a reader never sees half of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::options::Options;
use crate::paths::Paths;
use crate::process::Identity;

/// The format of the file; another one is refused instead of misread.
const FORMAT: u32 = 1;

/// A stack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    format: u32,
    /// What it was started with.
    pub(crate) options: Options,
    /// The daemon that owns it.
    pub(crate) daemon: Identity,
    /// When the daemon started.
    pub(crate) since: jiff::Timestamp,
    /// Where it is reached; none while it starts.
    pub(crate) addresses: Option<Addresses>,
    /// Its processes, by name.
    pub(crate) parts: BTreeMap<String, PartState>,
    /// Its clusters, by name.
    pub(crate) clusters: BTreeMap<String, ClusterState>,
}

/// Where a stack is reached, and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Addresses {
    /// The front: `AWS_ENDPOINT_URL`.
    pub(crate) front: String,
    /// moto itself, for looks past the front.
    pub(crate) moto: String,
    /// The charts' repository: the mirror, or what was asked for.
    pub(crate) charts: String,
    /// Access key id of the deployer.
    pub(crate) access_key_id: String,
    /// Its secret: of an account that exists on this machine alone.
    pub(crate) secret_access_key: String,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartState {
    /// Which process.
    #[serde(flatten)]
    pub(crate) process: Identity,
    /// What it says.
    pub(crate) log: PathBuf,
    /// How it ended, if it did without having been told to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<String>,
}

/// One cluster's control plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClusterState {
    /// URL of its API server.
    pub(crate) url: String,
    /// A kubeconfig with every right, for looks past the emulator.
    pub(crate) kubeconfig: PathBuf,
    /// Where its API server records writes.
    pub(crate) audit_log: PathBuf,
}

impl State {
    /// A stack that begins.
    pub(crate) fn new(options: Options, daemon: Identity) -> Self {
        Self {
            format: FORMAT,
            options,
            daemon,
            since: jiff::Timestamp::now(),
            addresses: None,
            parts: BTreeMap::new(),
            clusters: BTreeMap::new(),
        }
    }
}

/// How a stack stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Standing {
    /// There is none.
    Down,
    /// Its daemon lives and is not done with starting.
    Starting(Box<State>),
    /// It runs.
    Up(Box<State>, Box<Addresses>),
    /// Its daemon ended without having been told to.
    Died(Box<State>),
}

impl Standing {
    /// Reads the state and looks whether its daemon lives.
    pub(crate) fn of(paths: &Paths) -> Result<Self> {
        let Some(state) = read(&paths.state())? else {
            return Ok(Self::Down);
        };
        let state = Box::new(state);
        Ok(match (state.daemon.is_alive(), state.addresses.clone()) {
            (false, _) => Self::Died(state),
            (true, None) => Self::Starting(state),
            (true, Some(addresses)) => Self::Up(state, Box::new(addresses)),
        })
    }
}

fn read(file: &Path) -> Result<Option<State>> {
    let text = match fs::read(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("{} cannot be read", file.display()))?,
    };
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let broken = || format!("{} is broken; `down` removes it", file.display());
    let Format { format } = serde_json::from_slice(&text).with_context(broken)?;
    if format != FORMAT {
        bail!(
            "{} is of another version of trunkline-local (format {format}, not {FORMAT}); stop \
             that stack with the version that started it",
            file.display()
        );
    }
    serde_json::from_slice(&text).map(Some).with_context(broken)
}

/// Writes a file that only its owner may read, in whole or not at all.
pub(crate) fn write_privately(file: &Path, value: &impl Serialize) -> Result<()> {
    let aside = file.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut options = fs::File::options();
        options.create(true).truncate(true).write(true).mode(0o600);
        options
            .open(&aside)?
            .write_all(&serde_json::to_vec_pretty(value)?)?;
        fs::rename(&aside, file)
    };
    write().with_context(|| format!("{} cannot be written", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toolbox::Toolbox;

    fn state(daemon: Identity) -> State {
        let options = Options {
            name: "default".into(),
            account: "111122223333".into(),
            pace: "60".parse().unwrap(),
            port: 0,
            charts: None,
            tools: Toolbox::default(),
        };
        State::new(options, daemon)
    }

    #[test]
    fn a_stack_stands_as_its_daemon_does() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::at(folder.path());
        assert_eq!(Standing::of(&paths).unwrap(), Standing::Down);
        let own = Identity::own().unwrap();
        let mut state = state(own);
        write_privately(&paths.state(), &state).unwrap();
        assert_eq!(
            Standing::of(&paths).unwrap(),
            Standing::Starting(Box::new(state.clone()))
        );
        let addresses = Addresses {
            front: "http://127.0.0.1:1".into(),
            moto: "http://127.0.0.1:2".into(),
            charts: "http://127.0.0.1:3".into(),
            access_key_id: "AKIA".into(),
            secret_access_key: "secret".into(),
        };
        state.addresses = Some(addresses.clone());
        write_privately(&paths.state(), &state).unwrap();
        let up = Standing::Up(Box::new(state.clone()), Box::new(addresses));
        assert_eq!(Standing::of(&paths).unwrap(), up);
        state.daemon.start_time += 1;
        write_privately(&paths.state(), &state).unwrap();
        assert!(matches!(Standing::of(&paths).unwrap(), Standing::Died(_)));
    }

    #[test]
    fn another_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::at(folder.path());
        fs::write(paths.state(), r#"{"format": 99}"#).unwrap();
        let error = Standing::of(&paths).unwrap_err().to_string();
        assert!(error.contains("format 99, not 1"), "{error}");
        fs::write(paths.state(), "{").unwrap();
        let error = Standing::of(&paths).unwrap_err().to_string();
        assert!(error.contains("is broken"), "{error}");
    }

    #[test]
    fn secrets_are_for_the_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("options.json");
        write_privately(&file, &1).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
