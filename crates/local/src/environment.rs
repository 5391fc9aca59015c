//! `env`: the environment that points the CLI, and any AWS SDK, at a stack.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;

use anyhow::{Result, bail};
use trunkline_tools::Tool;

use crate::options::REGION;
use crate::state::{Addresses, Standing, State};

/// What must not be set beside it: each of these would win over, or contradict,
/// what the stack gives.
const UNSET: [&str; 5] = [
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
];

/// Prints the environment of a stack that is up: lines for a shell, or a map.
pub(crate) fn print(standing: &Standing, json: bool, out: &mut dyn Write) -> Result<()> {
    let Standing::Up(state, addresses) = standing else {
        bail!("the stack is not up; start it with `trunkline-local up`");
    };
    let variables = variables(state, addresses)?;
    if json {
        writeln!(out, "{:#}", serde_json::to_value(&variables)?)?;
        return Ok(());
    }
    writeln!(
        out,
        "unset {}",
        unset(std::env::vars_os().map(|(name, _)| name))
    )?;
    for (name, value) in variables {
        writeln!(out, "export {name}={}", quoted(&value))?;
    }
    Ok(())
}

/// What a shell with these variables has to forget: endpoints of single
/// services win over the one for all.
fn unset(present: impl Iterator<Item = OsString>) -> String {
    let names = present.filter_map(|name| name.into_string().ok());
    let single = names.filter(|name| name.starts_with("AWS_ENDPOINT_URL_"));
    let all: Vec<String> = UNSET
        .iter()
        .map(|name| (*name).to_owned())
        .chain(single)
        .collect();
    all.join(" ")
}

fn variables(state: &State, addresses: &Addresses) -> Result<BTreeMap<&'static str, String>> {
    let helm = state.options.tools.path(Tool::Helm)?;
    Ok(BTreeMap::from([
        ("AWS_ENDPOINT_URL", addresses.front.clone()),
        ("AWS_ACCESS_KEY_ID", addresses.access_key_id.clone()),
        ("AWS_SECRET_ACCESS_KEY", addresses.secret_access_key.clone()),
        ("AWS_REGION", REGION.to_owned()),
        // boto3 and the AWS CLI read this one only.
        ("AWS_DEFAULT_REGION", REGION.to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        // No profile of the user's may reach into a rehearsal.
        ("AWS_CONFIG_FILE", "/dev/null".to_owned()),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
        ("TRUNKLINE_CHARTS", addresses.charts.clone()),
        ("TRUNKLINE_HELM", helm.display().to_string()),
    ]))
}

/// In single quotes, for a POSIX shell.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_reach_a_shell_as_they_are() {
        let value = "a'b $HOME\\";
        let script = format!("printf %s {}", quoted(value));
        let output = std::process::Command::new("sh")
            .args(["-c", &script])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), value);
    }

    #[test]
    fn endpoints_of_single_services_are_forgotten() {
        let present = ["HOME", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EKS"];
        let unset = unset(present.into_iter().map(OsString::from));
        assert!(unset.ends_with(" AWS_ENDPOINT_URL_EKS"), "{unset}");
        assert!(!unset.contains("HOME") && !unset.contains("AWS_ENDPOINT_URL "));
    }

    #[test]
    fn a_stack_that_is_down_has_no_environment() {
        let error = print(&Standing::Down, false, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("trunkline-local up"));
    }
}
