//! Kills while the network is made. The EKS API refuses the cluster, so that a
//! run ends with the network: what is shown does not need more.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::case::{Case, Counts, Run, SOON, Sabotage, VISIBILITY, assert_once, at, beside};
use crate::moto::Moto;
use crate::stack;
use crate::support::{Ended, Stack, wait_for};

/// A create, how it is looked for, how it is undone, and what it makes.
struct Create {
    action: &'static str,
    look: &'static str,
    delete: &'static str,
    address: &'static str,
}

const VPC: Create = Create {
    action: "CreateVpc",
    look: "DescribeVpcs",
    delete: "DeleteVpc",
    address: "net/vpc/main",
};
const ADDRESS: Create = Create {
    action: "AllocateAddress",
    look: "DescribeAddresses",
    delete: "ReleaseAddress",
    address: "net/elastic-ip/euc1-az1",
};
const NAT_GATEWAY: Create = Create {
    action: "CreateNatGateway",
    look: "DescribeNatGateways",
    delete: "DeleteNatGateway",
    address: "net/nat-gateway/euc1-az1",
};

/// A run observes twice: for the plan that it shows, and under the lease.
const LOOKS: usize = 2;

/// The environments of this test.
struct World<'a> {
    stack: &'a Stack,
    moto: &'a Moto,
}

impl<'a> World<'a> {
    fn case(&self, name: &str) -> Case<'a> {
        Case::new(self.stack, self.moto, name).without_cluster()
    }

    /// Deploys, killed right after this create was done; switches a guard off;
    /// deploys again. Gives what is there then.
    ///
    /// A second run that began so late that it saw everything at its first look
    /// shows nothing: it is done again with another environment.
    #[track_caller]
    fn killed_at(&self, name: &str, create: &Create, sabotage: Sabotage) -> (Case<'a>, Counts) {
        for attempt in ["", "again", "third"] {
            let case = self.case(&format!("{name}{attempt}"));
            if let Some(counts) = killed_at(&case, create, sabotage) {
                return (case, counts);
            }
            case.says("began too late to show anything: once more");
        }
        panic!("this machine starts a run too slowly: {VISIBILITY:?} are over before");
    }
}

#[track_caller]
fn killed_at(case: &Case<'_>, create: &Create, sabotage: Sabotage) -> Option<Counts> {
    let Create {
        action, address, ..
    } = create;
    // What has lost its marks is never found: that run may begin at any time.
    let in_time = sabotage != Sabotage::Marks;
    let soon = in_time.then(|| SOON.get());
    case.kill_at(json!({"service": "ec2", "action": action}));
    case.dies(&["deploy"]);
    let kill = case.kill();
    assert_eq!(kill["action"], *action);
    assert_eq!(case.counts()[*address], 1);
    case.sabotage(sabotage, address);
    case.break_lease();
    let args = ["deploy", "--json"];
    let mut again = case.command(&args);
    let again = again.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut again = again.spawn().unwrap();
    let looks = || case.asked_after(&kill, create.look);
    wait_for("the second run to look", || {
        (looks().len() >= LOOKS || again.try_wait().unwrap().is_some()).then_some(())
    });
    drop(soon);
    let again = Ended::new(&args, again.wait_with_output().unwrap());
    let (seen_from, last) = (at(&kill) + VISIBILITY, looks()[LOOKS - 1]);
    if in_time && last >= seen_from {
        return None;
    }
    if sabotage == Sabotage::Nothing {
        ends_with_the_network(&again.json());
    }
    let counts = case.counts();
    let found = counts[*address];
    case.says(&format!(
        "killed at {action}, off: {sabotage:?}, then {found} there"
    ));
    Some(counts)
}

/// Demands that a run has done everything but the cluster and what lives in it.
#[track_caller]
fn ends_with_the_network(run: &Value) {
    let steps = run["steps"].as_array().unwrap();
    let ended = |how: &str| -> Vec<&str> {
        let steps = steps.iter().filter(|step| step["outcome"] == how);
        steps
            .map(|step| step["address"].as_str().unwrap())
            .collect()
    };
    assert_eq!(ended("failed"), ["cluster/cluster/main"], "{run:#}");
    assert!(
        ended("skipped").iter().all(|of| in_the_cluster(of)),
        "{run:#}"
    );
    assert_eq!(ended("not_started"), [] as [&str; 0]);
}

/// Demands that only the cluster and what lives in it is left to do, once EC2
/// shows everything.
#[track_caller]
fn only_the_cluster_is_missing(case: &Case<'_>) {
    wait_for("a plan for the cluster alone", || {
        let plan = case.run(&["plan", "--json"]).exits(0).json();
        let mut steps = plan["steps"].as_array().unwrap().iter();
        let of_cluster = |step: &Value| in_the_cluster(step["address"].as_str().unwrap());
        steps.all(of_cluster).then_some(())
    });
}

fn in_the_cluster(address: &str) -> bool {
    let layers = ["cluster/", "addons/", "workloads/"];
    layers.iter().any(|layer| address.starts_with(layer))
}

fn claim<'a>(world: &'a World<'_>, create: &'static Create) -> Run<'a> {
    Box::new(move |name| {
        let (case, counts) = world.killed_at(name, create, Sabotage::Nothing);
        assert_once(&counts);
        // At once, while AWS does not show yet what was made last.
        let delete = json!({"service": "ec2", "action": create.delete});
        case.is_destroyed_although_killed_at(&[delete]);
    })
}

/// The same with a guard off must see a duplicate. The next run, which sees it
/// too, keeps the one that is in use.
fn control<'a>(world: &'a World<'_>, create: &'static Create, off: Sabotage) -> Run<'a> {
    Box::new(move |name| {
        let (case, counts) = world.killed_at(name, create, off);
        assert!(
            counts[create.address] > 1,
            "{name}: no duplicate: {counts:#?}"
        );
        let is_marked = off == Sabotage::Intents && create.action != NAT_GATEWAY.action;
        if is_marked {
            wait_for("the spare to be deleted", || {
                case.run(&["deploy"]).exits(1);
                (case.counts()[create.address] == 1).then_some(())
            });
            only_the_cluster_is_missing(&case);
            case.says("the spare is gone");
        }
    })
}

/// As the claims, with the lease left where it is: nobody may go on before it
/// has expired.
fn lease<'a>(world: &'a World<'_>) -> Run<'a> {
    Box::new(|name| {
        let case = world.case(name);
        case.kill_at(json!({"service": "ec2", "action": "CreateVpc"}));
        case.dies(&["deploy"]);
        case.run(&["deploy"]).exits(4).says("expires by itself");
        let again = case.run(&["deploy", "--wait", "2m", "--json"]);
        ends_with_the_network(&again.json());
        assert_once(&case.counts());
        only_the_cluster_is_missing(&case);
        case.says("went on once the lease had expired");
    })
}

#[test]
fn a_create_whose_answer_nobody_saw_is_done_once() {
    let Some(stack) = stack("a_create_whose_answer_nobody_saw_is_done_once") else {
        return;
    };
    let moto = Moto::of(&stack);
    let world = World {
        stack: &stack,
        moto: &moto,
    };
    // Those that wait longest first.
    beside(vec![
        ("klease", lease(&world)),
        ("kvpcmark", control(&world, &VPC, Sabotage::Marks)),
        ("keipmark", control(&world, &ADDRESS, Sabotage::Marks)),
        ("kvpcintent", control(&world, &VPC, Sabotage::Intents)),
        ("keipintent", control(&world, &ADDRESS, Sabotage::Intents)),
        (
            "knatintent",
            control(&world, &NAT_GATEWAY, Sabotage::Intents),
        ),
        ("kvpc", claim(&world, &VPC)),
        ("keip", claim(&world, &ADDRESS)),
        ("knat", claim(&world, &NAT_GATEWAY)),
    ]);
}
