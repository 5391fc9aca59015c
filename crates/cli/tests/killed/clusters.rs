//! Kills and lost answers in deploys that go to their end: a cluster each, so
//! that there are few of them.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::process::Stdio;
use std::time::SystemTime;

use serde_json::json;

use crate::case::{CLUSTERS, Case, Run, beside};
use crate::moto::Moto;
use crate::stack;
use crate::support::{kill, wait_for};

/// The calls that change something in a deploy are a few more than these.
const CHANGES_OF_A_DEPLOY: u64 = 75;
/// In so many equal parts of a deploy, one call each is killed at.
const PARTS: u64 = 3;

/// The same seed kills at the same calls.
const SEED: &str = "TRUNKLINE_TEST_SEED";

#[test]
fn a_deploy_killed_anywhere_goes_on_to_its_end() {
    let Some(stack) = stack("a_deploy_killed_anywhere_goes_on_to_its_end") else {
        return;
    };
    let moto = Moto::of(&stack);
    let case = |name: &str| (CLUSTERS.get(), Case::new(&stack, &moto, name));
    let seed = seed();
    println!("{SEED}={seed}");
    let case = &case;
    let parts = (0..PARTS).map(|part| {
        let run = move |name: &str| {
            let (_place, case) = case(name);
            killed_at_one_of_the_calls(&case, seed, part);
        };
        (
            ["kpart0", "kpart1", "kpart2"][part as usize],
            Box::new(run) as _,
        )
    });
    let mut cases: Vec<(&str, Run<'_>)> = vec![
        (
            "kcluster",
            Box::new(|name| killed_at_the_cluster(&case(name).1)),
        ),
        ("khelm", Box::new(|name| killed_in_helm(&case(name).1))),
        ("klost", Box::new(|name| answers_are_lost(&case(name).1))),
    ];
    cases.extend(parts);
    beside(cases);
}

/// CreateCluster takes a client token and names are unique: there cannot be two
/// whatever is switched off. What can go wrong is everything behind it. The
/// second run is killed, too: then our own access entry is there and lets us do
/// nothing yet.
fn killed_at_the_cluster(case: &Case<'_>) {
    case.kill_at(json!({"service": "eks", "action": "CreateCluster"}));
    case.dies(&["deploy"]);
    case.break_lease();
    let entry = json!({"service": "eks", "action": "CreateAccessEntry", "about": "user/"});
    case.kill_at(entry);
    case.dies(&["deploy"]);
    assert_eq!(
        case.hit("kill_caller_drop_answer"),
        ["CreateCluster", "CreateAccessEntry"]
    );
    case.break_lease();
    case.deploys_to_the_end();
    case.says("killed at CreateCluster and CreateAccessEntry, settled");
    let delete = json!({"service": "eks", "action": "DeleteCluster"});
    case.is_destroyed_although_killed_at(&[delete]);
}

/// Killed by hand once helm has written that it is at work.
fn killed_in_helm(case: &Case<'_>) {
    let mut deploy = case.command(&["deploy"]);
    let mut deploy = deploy
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let cluster = format!("trunkline-{}", case.name);
    let log = wait_for("a control plane", || {
        let log = &case.stack.status()["clusters"][&cluster]["audit_log"];
        log.as_str().map(str::to_owned)
    });
    wait_for("helm to write its release", || {
        assert_eq!(deploy.try_wait().unwrap(), None, "the deploy ended before");
        let log = fs::read_to_string(&log).unwrap_or_default();
        log.contains("sh.helm.release.v1.argocd.v1").then_some(())
    });
    let helm = children(deploy.id());
    assert_eq!(helm.len(), 1, "helm is the one child: {helm:?}");
    kill("-KILL", deploy.id());
    assert_eq!(deploy.wait().unwrap().code(), None);
    wait_for("helm to die with its parent", || {
        is_dead(helm[0]).then_some(())
    });
    assert_eq!(case.revisions(), ["argocd 1 pending-install"]);
    case.break_lease();
    case.deploys_to_the_end();
    case.says("killed in the middle of helm, settled");
    let delete = json!({"service": "iam", "action": "DeleteRole"});
    case.is_destroyed_although_killed_at(&[delete]);
}

/// Nobody is killed, and the same run finds out what became of its requests.
fn answers_are_lost(case: &Case<'_>) {
    let lost = [
        ("ec2", "CreateVpc"),
        ("ec2", "CreateSubnet"),
        ("s3", "CreateBucket"),
        ("iam", "CreateRole"),
        ("eks", "CreateCluster"),
        ("eks", "CreateAccessEntry"),
    ];
    for (service, action) in lost {
        let what = json!({"type": "drop_answer"});
        case.fault(json!({"service": service, "action": action, "do": what}));
    }
    case.deploys_to_the_end();
    let (mut hit, mut wanted) = (case.hit("drop_answer"), lost.map(|(_, action)| action));
    hit.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(hit, wanted);
    case.says("six answers lost, settled in the same run");
    case.is_destroyed_although_killed_at(&[]);
}

/// Killed at a call that the seed chooses, whatever it is: the ledger's own
/// writes are among them.
fn killed_at_one_of_the_calls(case: &Case<'_>, seed: u64, part: u64) {
    let mut hash = DefaultHasher::new();
    (seed, part).hash(&mut hash);
    let length = CHANGES_OF_A_DEPLOY / PARTS;
    let nth = part * length + hash.finish() % length + 1;
    println!("{}: call {nth}", case.name);
    case.kill_at(json!({"service": "*", "action": "*", "mutating": true, "nth": nth}));
    case.dies(&["deploy"]);
    let hit = case.hit("kill_caller_drop_answer");
    case.break_lease();
    case.deploys_to_the_end();
    case.says(&format!("killed at call {nth}, {hit:?}, settled"));
    let any = json!({"service": "*", "action": "*", "mutating": true, "nth": 1 + nth % 20});
    case.is_destroyed_although_killed_at(&[any]);
}

/// Other calls each time only where time is taken to look into what they find.
fn seed() -> u64 {
    let thorough = std::env::var_os("TRUNKLINE_THOROUGH").is_some();
    match std::env::var(SEED) {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) if thorough => SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs(),
        Err(_) => 1,
    }
}

/// The processes that a process has started and that live.
fn children(parent: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|(state, its)| its == parent && state != "Z"))
        .collect()
}

fn is_dead(pid: u32) -> bool {
    // Where nobody waits for orphans it stays as a zombie.
    stat(pid).is_none_or(|(state, _)| state == "Z")
}

/// State and parent of a process; its name before them may hold anything.
fn stat(pid: u32) -> Option<(String, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut words = text.rsplit_once(") ")?.1.split(' ');
    Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
}
