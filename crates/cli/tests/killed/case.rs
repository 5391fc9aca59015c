//! One environment whose deploy is killed, and what is then found past our
//! own code.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::moto::Moto;
use crate::support::stack::environment_file;
use crate::support::{Ended, Stack};

/// Longer than a second run takes to begin, shorter than the window in which
/// it looks for what it does not see.
pub(crate) const VISIBILITY: Duration = Duration::from_secs(10);

/// How many times moto has each address.
pub(crate) type Counts = BTreeMap<String, usize>;

/// What keeps a create from being done twice, switched off between the kill and
/// the second run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// Nothing is.
    Nothing,
    /// The intents are deleted.
    Intents,
    /// What was created loses its marks.
    Marks,
}

/// An environment of its own in a stack that cases share.
pub(crate) struct Case<'a> {
    pub(crate) stack: &'a Stack,
    pub(crate) moto: &'a Moto,
    pub(crate) name: String,
    started: Instant,
}

impl<'a> Case<'a> {
    /// Makes the environment's file and its ledger.
    pub(crate) fn new(stack: &'a Stack, moto: &'a Moto, name: &str) -> Self {
        let file = environment_file("sandbox");
        let named = file.replace(
            "environment = \"sandbox\"",
            &format!("environment = \"{name}\""),
        );
        assert_ne!(file, named);
        stack.write(name, &named);
        let case = Self {
            stack,
            moto,
            name: name.to_owned(),
            started: Instant::now(),
        };
        case.run(&["bootstrap"]).exits(0);
        case
    }

    /// The EKS API refuses to make a cluster: the run ends with the network.
    pub(crate) fn without_cluster(self) -> Self {
        let denied = json!({"type": "fail", "status": 403, "code": "AccessDeniedException"});
        self.fault(json!({
            "service": "eks", "action": "CreateCluster", "times": 1000, "do": denied
        }));
        self
    }

    /// Sets a fault for this environment's calls alone.
    pub(crate) fn fault(&self, mut fault: Value) {
        fault["app"] = json!(self.name);
        self.stack.add_faults(&json!([fault]));
    }

    /// The program is killed once this call has done its work; nobody sees the
    /// answer.
    pub(crate) fn kill_at(&self, mut call: Value) {
        call["do"] = json!({"type": "kill_caller_drop_answer"});
        self.fault(call);
    }

    /// The arguments with the environment behind the verb.
    pub(crate) fn command(&self, args: &[&str]) -> std::process::Command {
        let args = [&args[..1], &[self.name.as_str()], &args[1..]].concat();
        let mut command = self.stack.command(&args);
        command.env("AWS_SDK_UA_APP_ID", &self.name);
        command
    }

    /// Runs the program.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        Ended::new(args, self.command(args).output().unwrap())
    }

    /// Runs what has to be killed by the fault that is set.
    #[track_caller]
    pub(crate) fn dies(&self, args: &[&str]) {
        let ended = self.run(args);
        assert_eq!(ended.code, None, "{} was not killed: {ended}", self.name);
    }

    /// Takes the lease away that a killed run has left. The next run then starts
    /// while what was made last cannot be seen yet. With the lease it would start
    /// a minute later, when everything can be seen and intents matter to nothing:
    /// this is the harder case.
    #[track_caller]
    pub(crate) fn break_lease(&self) {
        let broken: Vec<String> = self.moto.ask("forget", &[&self.name, "lease.json"]);
        assert_eq!(broken, ["lease.json"], "{}", self.name);
    }

    /// Switches a guard off.
    #[track_caller]
    pub(crate) fn sabotage(&self, sabotage: Sabotage, address: &str) {
        match sabotage {
            Sabotage::Nothing => {}
            Sabotage::Intents => {
                let forgotten: Vec<String> = self.moto.ask("forget", &[&self.name, "intents/"]);
                let intent = format!("intents/{address}.json");
                assert!(forgotten.contains(&intent), "{intent}: {forgotten:?}");
            }
            Sabotage::Marks => {
                let _: Vec<String> = self.moto.ask("unmark", &[&self.name, address]);
            }
        }
    }

    /// How many times moto has each address of EC2.
    pub(crate) fn counts(&self) -> Counts {
        self.moto.counts(&self.name)
    }

    /// The calls of this environment that a fault was applied to.
    pub(crate) fn hit(&self, fault: &str) -> Vec<String> {
        let record = self.stack.record();
        let hit = record
            .iter()
            .filter(|call| call["app"] == self.name.as_str() && call["fault"] == fault);
        hit.map(|call| call["action"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The call that the program was killed at.
    #[track_caller]
    pub(crate) fn kill(&self) -> Value {
        let mut record = self.stack.record();
        record.retain(|call| {
            call["app"] == self.name.as_str() && call["fault"] == "kill_caller_drop_answer"
        });
        assert_eq!(record.len(), 1, "{record:#?}");
        record.remove(0)
    }

    /// When this environment asked for `action` after that call.
    pub(crate) fn asked_after(&self, call: &Value, action: &str) -> Vec<Timestamp> {
        let record = self.stack.record_since(call["n"].as_u64().unwrap());
        let asked = record
            .iter()
            .filter(|call| call["app"] == self.name.as_str() && call["action"] == action);
        asked.map(at).collect()
    }

    /// Deploys to the end and demands that then a plan has nothing to do, nothing
    /// is there twice, and the ledger holds neither lease nor intent.
    #[track_caller]
    pub(crate) fn deploys_to_the_end(&self) {
        let name = &self.name;
        let run = self.run(&["deploy", "--json"]).exits(0).json();
        self.run(&["plan", "--detailed-exitcode"]).exits(0);
        assert_once(&self.counts());
        let clusters: Vec<String> = self.moto.ask("clusters", &[name]);
        assert_eq!(clusters, [format!("trunkline-{name}")]);
        let roles: Vec<String> = self.moto.ask("roles", &[name]);
        assert_eq!(roles.len(), 2, "{roles:?}");
        let buckets: Vec<String> = self.moto.ask("buckets", &[name]);
        assert_eq!(buckets.len(), 2, "{buckets:?}");
        assert_eq!(self.revisions(), ["argocd 1 deployed"], "{name}");
        let kept = |folder| -> Vec<String> { self.moto.ask("kept", &[name, folder]) };
        assert_eq!(kept("lease.json"), [] as [&str; 0], "{name}");
        // Who has nothing to do writes nothing, and so leaves the intents of a run
        // that was killed when all was there: they are about what can be seen.
        if !run["run"].is_null() {
            assert_eq!(kept("intents/"), [] as [&str; 0], "{name}");
        }
    }

    /// Helm's revisions in the cluster, by kubectl.
    #[track_caller]
    pub(crate) fn revisions(&self) -> Vec<String> {
        let what = ["secrets", "--all-namespaces", "--selector", "owner=helm"];
        let secrets = self.stack.get(&self.name, &what);
        let secrets = secrets["items"].as_array().unwrap().iter();
        let labels = secrets.map(|secret| &secret["metadata"]["labels"]);
        let word = |label: &Value| label.as_str().unwrap().to_owned();
        let words = |labels: &Value| ["name", "version", "status"].map(|key| word(&labels[key]));
        labels.map(|labels| words(labels).join(" ")).collect()
    }

    /// Destroys the environment, killed at each of these calls first, and
    /// demands that nothing of it is left.
    #[track_caller]
    pub(crate) fn is_destroyed_although_killed_at(&self, calls: &[Value]) {
        let (name, destroy) = (&self.name, ["destroy", "--yes", "--delete-data"]);
        for call in calls {
            self.kill_at(call.clone());
            self.dies(&destroy);
            self.break_lease();
        }
        self.run(&destroy).exits(0);
        let mut left = self.moto.things(name);
        // EC2 shows these for an hour.
        left.retain(|thing| thing.state.as_deref() != Some("deleted"));
        assert!(left.is_empty(), "{left:#?}");
        for what in ["roles", "clusters", "of_cluster"] {
            let left: Vec<Value> = self.moto.ask(what, &[name]);
            assert!(left.is_empty(), "{what} of {name}: {left:#?}");
        }
        let buckets: Vec<String> = self.moto.ask("buckets", &[name]);
        assert!(
            matches!(&buckets[..], [one] if one.ends_with("-ledger")),
            "{buckets:?}"
        );
        self.says("destroyed, nothing is left");
    }

    /// A line about the case, with the time since its start.
    pub(crate) fn says(&self, words: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        println!("{:>6.1} s  {}: {words}", seconds, self.name);
    }
}

/// When a call arrived.
pub(crate) fn at(call: &Value) -> Timestamp {
    call["at"].as_str().unwrap().parse().unwrap()
}

/// Demands that nothing is there twice.
#[track_caller]
pub(crate) fn assert_once(counts: &Counts) {
    assert!(counts.contains_key("net/vpc/main"), "{counts:#?}");
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "there twice: {twice:?}");
}

/// One of the cases of a test.
pub(crate) type Run<'a> = Box<dyn FnOnce(&str) + Send + 'a>;

/// Runs cases beside each other and waits for all of them.
pub(crate) fn beside(cases: Vec<(&str, Run<'_>)>) {
    std::thread::scope(|scope| {
        for (name, case) in cases {
            let thread = std::thread::Builder::new().name(name.to_owned());
            thread.spawn_scoped(scope, move || case(name)).unwrap();
        }
    });
}

/// Places for what needs a core to itself.
pub(crate) struct Places(Mutex<usize>, Condvar);

/// One of them, until it is dropped.
pub(crate) struct Place<'a>(&'a Places);

/// Cases with a cluster: each is half a dozen processes, and two keep two cores
/// busy.
pub(crate) static CLUSTERS: Places = Places(Mutex::new(2), Condvar::new());

/// Runs that have to come one soon after the other.
pub(crate) static SOON: Places = Places(Mutex::new(1), Condvar::new());

impl Places {
    /// Waits for one.
    pub(crate) fn get(&self) -> Place<'_> {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let none = |free: &mut usize| *free == 0;
        let free = self.1.wait_while(free, none);
        *free.unwrap_or_else(PoisonError::into_inner) -= 1;
        Place(self)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Places(free, changed) = self.0;
        *free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        changed.notify_one();
    }
}
