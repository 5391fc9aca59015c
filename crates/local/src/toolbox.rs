//! The programs that a stack runs, found by the tools crate before the daemon
//! is started, or given by hand (`--tool NAME=PATH`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};
use trunkline_tools::{Progress, Tool};

/// All tools of a stack; kubectl is for people and not needed to run one.
const NEEDED: [Tool; 9] = [
    Tool::Helm,
    Tool::Etcd,
    Tool::KubeApiserver,
    Tool::KubeControllerManager,
    Tool::KubeScheduler,
    Tool::Kwok,
    Tool::ArgoCd,
    Tool::Moto,
    Tool::Redis,
];

/// Where each tool is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Toolbox {
    paths: BTreeMap<String, PathBuf>,
}

impl Toolbox {
    /// Sees to it that every tool is there but those given by hand. Blocks,
    /// for minutes where something has to be built.
    pub(crate) fn fill(given: &[GivenTool], progress: &dyn Progress) -> Result<Self> {
        let is_given = |tool: &Tool| given.iter().any(|one| one.tool == *tool);
        let wanted: Vec<Tool> = NEEDED.into_iter().filter(|tool| !is_given(tool)).collect();
        let found = trunkline_tools::ensure(&wanted, progress)?;
        let found = found.into_iter().map(|one| (one.tool, one.path));
        let given = given.iter().map(|one| (one.tool, one.path.clone()));
        let named = found
            .chain(given)
            .map(|(tool, path)| (tool.name().to_owned(), path));
        Ok(Self {
            paths: named.collect(),
        })
    }

    /// The program of a tool.
    pub(crate) fn path(&self, tool: Tool) -> Result<&Path> {
        self.paths
            .get(tool.name())
            .map(PathBuf::as_path)
            .with_context(|| format!("the stack was started without {tool}"))
    }
}

/// A tool given by hand: `NAME=PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GivenTool {
    tool: Tool,
    path: PathBuf,
}

impl std::str::FromStr for GivenTool {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, path) = text
            .split_once('=')
            .ok_or_else(|| anyhow!("it is NAME=PATH"))?;
        let path = std::path::absolute(path).with_context(|| format!("`{path}` is no path"))?;
        if !path.is_file() {
            return Err(anyhow!("{} is no file", path.display()));
        }
        Ok(Self {
            tool: name.parse()?,
            path,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Silent;

    impl Progress for Silent {
        fn line(&self, _: Tool, _: &str) {}
    }

    #[test]
    fn tools_given_by_hand_are_not_looked_for() {
        let given: Vec<GivenTool> = NEEDED
            .iter()
            .map(|tool| format!("{tool}=/bin/sh").parse().unwrap())
            .collect();
        let toolbox = Toolbox::fill(&given, &Silent).unwrap();
        assert_eq!(toolbox.path(Tool::Etcd).unwrap(), Path::new("/bin/sh"));
        let error = toolbox.path(Tool::Kubectl).unwrap_err().to_string();
        assert_eq!(error, "the stack was started without kubectl");
    }

    #[test]
    fn a_wrong_tool_is_refused_at_the_command_line() {
        for (text, says) in [
            ("etcd", "NAME=PATH"),
            ("etcd=/no/such/file", "is no file"),
            ("etdc=/bin/sh", "no tool is called `etdc`"),
        ] {
            let error = text.parse::<GivenTool>().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
