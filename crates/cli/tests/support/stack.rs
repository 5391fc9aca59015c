//! A local stack and the program pointed at it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use trunkline_tools::Tool;

use super::{ACCOUNT, Ended, http::request};

const MOTO_DATA: &str = include_str!("moto_data.py");
/// In front of every snippet: `client(service)` straight at moto, `front(service)`
/// for what moto does not know, `give(value)` for the answer.
const PRELUDE: &str = "
import json, os, sys, boto3
def client(service, url=os.environ['MOTO']):
    return boto3.client(service, endpoint_url=url, region_name='eu-central-1')
def front(service):
    return client(service, os.environ['AWS_ENDPOINT_URL'])
def give(value):
    json.dump(value, sys.stdout, default=str)
";

/// One stack with a folder of environment files; both end with it.
pub(crate) struct Stack {
    name: String,
    /// Where the environment files are and the program runs.
    folder: TempDir,
    variables: BTreeMap<String, String>,
    moto: String,
    /// What Argo CD reads: this checkout's commit, fixed, so that a commit
    /// made meanwhile changes no plan.
    pub(crate) commit: String,
}

impl Stack {
    /// Starts a stack, with the environments sandbox and live in it. None (and
    /// a line that says so) if a tool is missing: building one takes minutes.
    pub(crate) fn up(test: &str) -> Option<Self> {
        Self::up_with(test, &[])
    }

    /// The same with more arguments for `trunkline-local up`.
    pub(crate) fn up_with(test: &str, more: &[&str]) -> Option<Self> {
        if !tools_are_here(test) {
            return None;
        }
        trunkline_local();
        let repository = format!("file://{}", checkout().display());
        let mut stack = Self {
            name: format!("cli-{}-{test}", std::process::id()),
            folder: tempfile::tempdir().unwrap(),
            variables: BTreeMap::new(),
            moto: String::new(),
            commit: head(),
        };
        stack
            .local(&[&["up", "--account", ACCOUNT], more].concat())
            .exits(0);
        stack.variables = serde_json::from_value(stack.local_json("env")).unwrap();
        let more = [
            ("TRUNKLINE_REPOSITORY", repository.as_str()),
            ("TRUNKLINE_REVISION", &stack.commit),
            // Of the stack's own, so that downloads of charts are tested too.
            ("XDG_CACHE_HOME", stack.folder.path().to_str().unwrap()),
        ];
        for (name, value) in more {
            stack.variables.insert(name.to_owned(), value.to_owned());
        }
        stack.moto = stack.status()["moto"].as_str().unwrap().to_owned();
        fs::create_dir(stack.folder.path().join("environments")).unwrap();
        for name in ["sandbox", "live"] {
            stack.write(name, &environment_file(name));
        }
        Some(stack)
    }

    /// Writes an environment's file.
    pub(crate) fn write(&self, environment: &str, text: &str) {
        let file = format!("environments/{environment}.toml");
        fs::write(self.folder.path().join(file), text).unwrap();
    }

    /// Where the program runs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the stack has its state and logs.
    pub(crate) fn home(&self) -> PathBuf {
        trunkline_tools::cache_dir().join("local").join(&self.name)
    }

    /// Where moto is, to look past the front.
    pub(crate) fn moto(&self) -> &str {
        &self.moto
    }

    /// The variables that point a program at the stack.
    pub(crate) fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    /// The program, pointed at the stack. It has no terminal.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
        for (name, _) in std::env::vars_os() {
            let foreign = name.to_string_lossy();
            if foreign.starts_with("AWS_") || foreign.starts_with("TRUNKLINE_") {
                command.env_remove(name);
            }
        }
        command
            .args(args)
            .current_dir(self.folder.path())
            .envs(&self.variables)
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        Ended::new(args, self.command(args).output().unwrap())
    }

    /// Starts the program.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// The calls that the front has seen.
    pub(crate) fn record(&self) -> Vec<Value> {
        self.record_since(0)
    }

    /// Those behind the call number `n`.
    pub(crate) fn record_since(&self, n: u64) -> Vec<Value> {
        let record = self.front("GET", &format!("record?since={n}"), &Value::Null);
        serde_json::from_value(record).unwrap()
    }

    /// The calls that change something, but for those to the ledger's buckets.
    pub(crate) fn changes(&self) -> Vec<Value> {
        let ledger = |call: &Value| {
            let ids = call["ids"].as_array().into_iter().flatten();
            call["service"] == "s3" && ids.clone().any(is_ledger)
                || call["resource"]
                    .as_str()
                    .is_some_and(|r| r.contains("-ledger"))
        };
        let mut record = self.record();
        record.retain(|call| call["mutating"] == true && !ledger(call));
        record
    }

    /// Forgets the calls so far.
    pub(crate) fn clear_record(&self) {
        self.front("DELETE", "record", &Value::Null);
    }

    /// Sets the faults; `json!([])` for none.
    pub(crate) fn faults(&self, faults: &Value) {
        self.front("PUT", "faults", faults);
    }

    /// Adds faults to those that are set; with `"app"` they are for the program
    /// whose `AWS_SDK_UA_APP_ID` it is alone.
    pub(crate) fn add_faults(&self, faults: &Value) {
        self.front("POST", "faults", faults);
    }

    /// Removes the faults of one application id.
    pub(crate) fn remove_faults(&self, app: &str) {
        self.front("DELETE", &format!("faults?app={app}"), &Value::Null);
    }

    /// Changes the settings: `{"latency_ms", "visibility_ms", "pace"}`; what is
    /// left out goes back to its default.
    pub(crate) fn settings(&self, settings: &Value) {
        self.front("PUT", "settings", settings);
    }

    fn front(&self, method: &str, what: &str, body: &Value) -> Value {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let front = &self.variables["AWS_ENDPOINT_URL"];
        request(front, method, &format!("/_trunkline/{what}"), &body)
    }

    /// Runs boto3 straight at moto; see the prelude for what a snippet has.
    pub(crate) fn python(&self, snippet: &str, args: &[&str]) -> Value {
        self.script(&format!("{PRELUDE}\n{snippet}"), args)
    }

    /// Everything that is in moto, without what EC2 still shows of things that
    /// are gone; lists are ordered.
    pub(crate) fn moto_data(&self) -> Value {
        self.script(MOTO_DATA, &[&self.moto])
    }

    fn script(&self, script: &str, args: &[&str]) -> Value {
        let moto = trunkline_tools::lookup(Tool::Moto).unwrap();
        let mut command = Command::new(moto.path.with_file_name("python"));
        command.arg("-c").arg(script).args(args);
        command.envs(&self.variables).env("MOTO", &self.moto);
        let ended = Ended::new(&["(python)"], command.output().unwrap());
        assert_eq!(ended.code, Some(0), "{ended}");
        ended.json()
    }

    /// kubectl with every right, past tokens and access entries.
    pub(crate) fn kubectl(&self, environment: &str, args: &[&str]) -> Ended {
        let status = self.status();
        let cluster = &status["clusters"][format!("trunkline-{environment}")];
        let config = cluster["kubeconfig"].as_str().unwrap();
        self.kubectl_as(Path::new(config), args)
    }

    /// kubectl with a kubeconfig.
    pub(crate) fn kubectl_as(&self, config: &Path, args: &[&str]) -> Ended {
        let kubectl = trunkline_tools::lookup(Tool::Kubectl).unwrap();
        let mut command = Command::new(kubectl.path);
        command.arg("--kubeconfig").arg(config).args(args);
        command
            .env("HOME", self.folder.path())
            .envs(&self.variables);
        Ended::new(args, command.output().unwrap())
    }

    /// What `kubectl get … -o json` finds.
    #[track_caller]
    pub(crate) fn get(&self, environment: &str, what: &[&str]) -> Value {
        let args = [&["get"], what, &["-o", "json"]].concat();
        self.kubectl(environment, &args).exits(0).json()
    }

    /// The writes that a cluster's API server has seen, as audit events; of one
    /// that is gone those of its whole life.
    pub(crate) fn audit(&self, environment: &str) -> Vec<Value> {
        let status = self.status();
        let cluster = format!("trunkline-{environment}");
        let log = match status["clusters"][&cluster]["audit_log"].as_str() {
            Some(log) => PathBuf::from(log),
            None => self.home().join(format!("logs/{cluster}.audit.log")),
        };
        let log = fs::read_to_string(log).unwrap();
        log.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// What the stack says of itself. Its exit code is not asked: it is 1 while
    /// a cluster comes or goes.
    pub(crate) fn status(&self) -> Value {
        self.local_json("status")
    }

    fn local_json(&self, verb: &str) -> Value {
        self.local(&[verb, "--json"]).json()
    }

    fn local(&self, args: &[&str]) -> Ended {
        let args = [args, &["--name", &self.name]].concat();
        let output = Command::new(trunkline_local()).args(&args).output();
        Ended::new(&args, output.unwrap())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let panicking = std::thread::panicking();
        let args = ["down", "--name", &self.name];
        let down = Command::new(trunkline_local()).args(args).output();
        if panicking {
            let logs = self.home().join("logs");
            eprintln!("the logs of the stack are in {}", logs.display());
            return;
        }
        fs::remove_dir_all(self.home()).unwrap();
        assert!(down.unwrap().status.success());
    }
}

fn is_ledger(id: &Value) -> bool {
    id.as_str().is_some_and(|id| id.contains("-ledger"))
}

/// The text of an environment's file: as in the checkout, but for who may
/// reach the endpoint and where Argo CD reads.
pub(crate) fn environment_file(name: &str) -> String {
    let file = checkout().join(format!("environments/{name}.toml"));
    fs::read_to_string(file).unwrap()
}

/// This checkout.
pub(crate) fn checkout() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    here.canonicalize().unwrap()
}

fn head() -> String {
    let mut git = Command::new("git");
    git.args(["rev-parse", "HEAD"]).current_dir(checkout());
    let output = git.output().unwrap();
    assert!(output.status.success(), "the checkout has no commit");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The stack's program, which cargo builds for its own package's tests alone.
fn trunkline_local() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_trunkline")).with_file_name("trunkline-local");
    assert!(
        path.exists(),
        "{} is not built: run `cargo build -p trunkline-local`, or the tests by `cargo xtask test`",
        path.display()
    );
    path
}

fn tools_are_here(test: &str) -> bool {
    let missing: Vec<&str> = Tool::ALL
        .into_iter()
        .filter(|tool| trunkline_tools::lookup(*tool).is_none())
        .map(Tool::name)
        .collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        println!("SKIP {test}: not cached: {missing}; run `cargo xtask tools`");
    }
    missing.is_empty()
}
