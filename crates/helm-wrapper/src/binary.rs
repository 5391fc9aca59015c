//! The helm binary: which one, of which version.

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use tokio::process::Command;
use trunkline_engine::{Failure, FailureKind};

use crate::{
    child::{self, Ended},
    failure::{Access, failed, invalid},
    private::Private,
};

/// The major version whose words, flags and Secrets this crate knows.
const MAJOR: &str = "v4.";

/// A helm that was asked for its version and may be started.
#[derive(Clone)]
pub struct Helm {
    binary: PathBuf,
    version: String,
    passed: Vec<(OsString, OsString)>,
}

impl Helm {
    /// Takes the binary at a path. A bare name is looked up on `PATH`.
    ///
    /// # Errors
    /// `Invalid` when there is none, or its major version is not 4.
    pub async fn at(binary: impl Into<PathBuf>) -> Result<Self, Failure> {
        let mut helm = Self {
            binary: binary.into(),
            version: String::new(),
            passed: Vec::new(),
        };
        let private = Private::new()?;
        let mut command = private.command(&helm);
        // `--short` differs between 3 and 4, the template does not.
        command.args(["version", "--template", "{{.Version}}"]);
        let ended = helm
            .run(Access::Read, "version", command, Duration::from_secs(30))
            .await;
        let ended = ended.map_err(|mut failure| {
            // Whatever kept it from telling its version, trying again will not.
            failure.kind = FailureKind::Invalid;
            let said = std::mem::take(&mut failure.cause.message);
            failure.cause.message = format!("{}: {said}", helm.binary.display());
            failure.next("install Helm 4, or name its binary: --helm PATH")
        })?;
        String::from_utf8_lossy(&ended.stdout)
            .trim()
            .clone_into(&mut helm.version);
        if helm.version.starts_with(MAJOR) {
            return Ok(helm);
        }
        let (path, version) = (helm.binary.display(), &helm.version);
        Err(invalid(
            "version",
            format!("{path} is Helm {version}: Helm 4 is needed"),
        )
        .next("install Helm 4, or name its binary: --helm PATH"))
    }

    /// Passes one variable of the environment on to helm: proxies, certificates
    /// of registries. Nothing else of it is passed.
    #[must_use]
    pub fn passing(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.passed.push((name.into(), value.into()));
        self
    }

    /// Where it is.
    #[must_use]
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Its version, `v4.2.3`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    pub(crate) fn passed(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.passed.iter().map(|(name, value)| (name, value))
    }

    /// Runs a command; a bad end is a failure.
    pub(crate) async fn run(
        &self,
        access: Access,
        action: &str,
        command: Command,
        limit: Duration,
    ) -> Result<Ended, Failure> {
        let ended = child::run(command, limit).await?;
        if ended.success {
            Ok(ended)
        } else {
            Err(failed(access, action, &ended))
        }
    }
}

impl fmt::Debug for Helm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Helm({} at {})", self.version, self.binary.display())
    }
}

/// A map as values: anything else is refused before helm is started.
pub(crate) fn check_values(action: &str, values: &Value) -> Result<(), Failure> {
    if values.is_object() {
        return Ok(());
    }
    Err(invalid(action, "the values of a release are a map"))
}
